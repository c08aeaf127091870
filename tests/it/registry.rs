//! The registry under processes that write at once, and under processes that are killed.

use std::collections::BTreeSet;
use std::process::Stdio;
use std::thread;
use std::time::Instant;

use retune::registry::Version;

use crate::support::project::Project;

const ROUNDS: u32 = 60;

/// Two versions that production can go back and forth between.
fn two_versions() -> (Project, [Version; 2]) {
    let project = Project::new();
    let one = project.first("1");
    let two = project.version("2");
    project.judge(&two, Some(&one), [0..1, 0..1]);
    project
        .env
        .run(&format!("model promote {two} --to production"))
        .ok();
    (project, [one, two])
}

fn rollback_to(version: &Version, reason: &str) -> String {
    format!(
        "model rollback support:production --to {} --reason {reason}",
        version.label
    )
}

/// The one of two versions that production does not point to.
fn elsewhere<'v>(project: &Project, versions: &'v [Version; 2]) -> &'v Version {
    let production = "support:production".parse().unwrap();
    let here = project.tenant().resolve(&production).unwrap();
    versions.iter().find(|version| **version != here).unwrap()
}

/// The reasons of all moves, the newest first.
fn reasons(project: &Project) -> Vec<String> {
    let log = project
        .env
        .run("model log support:production --format json")
        .ok()
        .json();
    let events = log["events"].as_array().unwrap();
    let reason = |event: &serde_json::Value| event["reason"].as_str().map(str::to_owned);
    events.iter().filter_map(reason).collect()
}

/// A process that is killed leaves the alias as it was or moved; the chain is sound, and nothing that was
/// acknowledged is lost. The lock file that it may leave is cleared by a later writer, who says so.
#[test]
fn a_killed_writer_leaves_the_state_before_or_after() {
    let (project, versions) = two_versions();
    let lock = project.env.path(".retune/registry/refs/heads/main.lock");
    let start = Instant::now();
    let first = rollback_to(elsewhere(&project, &versions), "whole");
    project.env.run(&first).ok();
    let whole = start.elapsed();
    let (mut killed, mut moved_yet_killed, mut cleared) = (0, 0, 0);
    // The moments of death are spread over the time that a whole run takes.
    for round in 0..ROUNDS {
        let before = reasons(&project);
        let target = elsewhere(&project, &versions);
        let reason = format!("round-{round}");
        let mut child = project
            .env
            .command(env!("CARGO_BIN_EXE_retune"))
            .args(rollback_to(target, &reason).split(' '))
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        thread::sleep(whole * round * 3 / 2 / ROUNDS);
        child.kill().unwrap();
        let ended = child.wait().unwrap();
        let acknowledged = ended.success();
        assert!(
            acknowledged || ended.code().is_none(),
            "round {round}: {ended}"
        );
        killed += u32::from(!acknowledged);

        let after = reasons(&project);
        let moved = after.first() == Some(&reason);
        assert_eq!(after[usize::from(moved)..], before, "round {round}");
        assert!(moved || !acknowledged, "round {round}");
        moved_yet_killed += u32::from(moved && !acknowledged);
        project.env.run("model verify").ok();
        if lock.exists() {
            let other = elsewhere(&project, &versions);
            let output = project
                .env
                .run(&rollback_to(other, &format!("after-{round}")))
                .ok();
            assert!(
                output
                    .stderr
                    .contains("removed the lock of a writer that was killed"),
                "{output}"
            );
            cleared += 1;
        }
    }
    let seen = format!(
        "{killed} killed, {moved_yet_killed} of them after the move, {cleared} locks cleared"
    );
    assert!(killed >= ROUNDS / 4, "{seen}");
}

/// Processes that write at once: every acknowledged move is in the log exactly once, in one chain.
#[test]
fn processes_at_once_lose_no_move() {
    let (project, versions) = two_versions();
    let run = |writer: usize| {
        let mut done = Vec::new();
        for round in 0..4 {
            let reason = format!("w{writer}-{round}");
            let target = &versions[(writer + round) % 2];
            let output = project.env.run(&rollback_to(target, &reason)).ok();
            // A move to where the alias is already writes nothing and says so.
            if output.stdout.contains("is now") {
                done.push(reason);
            }
        }
        done
    };
    let acknowledged: Vec<String> = thread::scope(|scope| {
        let writers: Vec<_> = (0..4)
            .map(|writer| scope.spawn(move || run(writer)))
            .collect();
        writers
            .into_iter()
            .flat_map(|writer| writer.join().unwrap())
            .collect()
    });
    let logged = reasons(&project);
    assert_eq!(logged.len(), acknowledged.len());
    let logged: BTreeSet<String> = logged.into_iter().collect();
    assert_eq!(logged, acknowledged.into_iter().collect());
    project.env.run("model verify").ok();
}
