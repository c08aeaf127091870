use std::collections::BTreeSet;
use std::thread;

use super::support::{World, act, document, production, proof};
use crate::fsio::Lock;
use crate::git::Identity;
use crate::registry::{Decision, Registry, Version};

const WRITERS: usize = 6;

/// Every writer registers its own datasets; each acknowledged one is in the history exactly once.
#[test]
fn writers_at_once_lose_nothing() {
    let world = World::new();
    let acknowledged = write_at_once(&world, 6);
    assert_eq!(acknowledged.len(), WRITERS * 6);
    check_history(&world, &acknowledged);
}

/// The same where the advisory lock helps nobody: only the compare-and-swap keeps the writers apart.
#[test]
fn writers_at_once_lose_nothing_without_the_advisory_lock() {
    let world = World::new();
    let taken = Lock::exclusive(&world.registry.git.git_dir().join("retune.lock")).unwrap();
    let acknowledged = write_at_once(&world, 2);
    drop(taken);
    assert_eq!(acknowledged.len(), WRITERS * 2);
    check_history(&world, &acknowledged);
}

fn write_at_once(world: &World, each: usize) -> Vec<String> {
    let path = world.path();
    thread::scope(|scope| {
        let writers: Vec<_> = (0..WRITERS)
            .map(|writer| {
                let (path, tenant) = (&path, &world.tenant);
                scope.spawn(move || {
                    let registry = Registry::open(path).unwrap();
                    let by = Identity::new(&format!("writer {writer}"), "w@acme.example").unwrap();
                    let add = |round: usize| {
                        let text = format!("{writer} {round}");
                        let document = document("retune.dataset/1", "rows", &text);
                        let tenant = registry.tenant(tenant);
                        let name = "tickets".parse().unwrap();
                        let added = tenant.datasets().add(&name, &document, &act(&by, 0));
                        added.unwrap().record.label.to_string()
                    };
                    (0..each).map(add).collect::<Vec<String>>()
                })
            })
            .collect();
        writers
            .into_iter()
            .flat_map(|writer| writer.join().unwrap())
            .collect()
    })
}

fn check_history(world: &World, acknowledged: &[String]) {
    let commits = world.commits();
    for label in acknowledged {
        let subject = format!("add dataset tickets@{label} (acme)");
        let count = commits
            .iter()
            .filter(|message| message.starts_with(&subject))
            .count();
        assert_eq!(count, 1, "{subject}");
    }
    let listed = world
        .acme()
        .datasets()
        .versions(&"tickets".parse().unwrap())
        .unwrap();
    let listed: BTreeSet<String> = listed.iter().map(ToString::to_string).collect();
    assert_eq!(listed, acknowledged.iter().cloned().collect());
}

/// Everybody promotes another candidate judged against the same production: one wins, the others are told
/// that their evidence is out of date.
#[test]
fn of_promotions_at_once_one_wins() {
    let world = World::new();
    let first = world.version("first");
    world.promote(&first, None, 0);
    let candidates: Vec<Version> = (0..WRITERS)
        .map(|writer| world.version(&writer.to_string()))
        .collect();
    let path = world.path();
    let decisions: Vec<Decision> = thread::scope(|scope| {
        let writers: Vec<_> = candidates
            .iter()
            .map(|candidate| {
                let (path, world, first) =
                    (&path, (&world.tenant, &world.store, &world.by), &first);
                scope.spawn(move || {
                    let (tenant, store, by) = world;
                    let registry = Registry::open(path).unwrap();
                    let proof = proof(candidate, Some(first));
                    let tenant = registry.tenant(tenant);
                    tenant
                        .promote_on(candidate, &production(), &proof, None, store, &act(by, 0))
                        .unwrap()
                })
            })
            .collect();
        writers
            .into_iter()
            .map(|writer| writer.join().unwrap())
            .collect()
    });
    let moved = decisions
        .iter()
        .filter(|decision| matches!(decision, Decision::Moved(..)));
    assert_eq!(moved.count(), 1);
    assert!(
        decisions
            .iter()
            .all(|decision| !matches!(decision, Decision::Unchanged(_)))
    );
    assert_eq!(world.acme().verify(Some(&world.store)).unwrap().faults, []);
}
