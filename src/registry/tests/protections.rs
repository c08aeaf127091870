use std::collections::BTreeSet;

use super::support::{World, act, production, proof, refused, support};
use crate::git::Identity;
use crate::registry::{Decision, Protected, Refusal, Version};

fn allow(mails: &[&str]) -> BTreeSet<String> {
    mails.iter().map(|mail| (*mail).to_owned()).collect()
}

fn ben() -> Identity {
    Identity::new("ben", "ben@acme.example").unwrap()
}

fn protect(world: &World, by: &Identity, mails: &[&str], two_people: bool) -> Protected {
    let (model, alias) = (support(), production());
    let acme = world.acme();
    acme.protect(&model, &alias, allow(mails), two_people, None, &act(by, 0))
        .unwrap()
}

fn promote(world: &World, by: &Identity, version: &Version) -> Decision {
    let proof = proof(version, None);
    let acme = world.acme();
    acme.promote_on(
        version,
        &production(),
        &proof,
        None,
        &world.store,
        &act(by, 1),
    )
    .unwrap()
}

#[test]
fn only_those_allowed_move_a_protected_alias() {
    let world = World::new();
    let one = world.version("1");
    protect(&world, &ben(), &["ben@acme.example"], false);
    let refusal = refused(promote(&world, &world.by, &one));
    assert!(matches!(refusal, Refusal::NotAllowed { .. }), "{refusal}");
    assert!(matches!(promote(&world, &ben(), &one), Decision::Moved(..)));
    let two = world.version("2");
    let second = proof(&two, Some(&one));
    let acme = world.acme();
    let moved = acme.promote_on(
        &two,
        &production(),
        &second,
        None,
        &world.store,
        &act(&ben(), 2),
    );
    assert!(matches!(moved.unwrap(), Decision::Moved(..)));
    assert!(matches!(
        refused(world.rollback(None, 3)),
        Refusal::NotAllowed { .. }
    ));
    assert_eq!(acme.verify(Some(&world.store)).unwrap().faults, []);
}

#[test]
fn only_those_allowed_change_the_protection() {
    let world = World::new();
    world.version("1");
    protect(&world, &ben(), &["ben@acme.example"], false);
    let taken = protect(&world, &world.by, &["ana@acme.example"], false);
    assert!(matches!(
        taken,
        Protected::Refused(Refusal::NotAllowed { .. })
    ));
    let again = protect(&world, &ben(), &["ben@acme.example"], false);
    assert!(matches!(again, Protected::Done(added) if !added.new));
    let opened = protect(&world, &ben(), &[], false);
    assert!(matches!(opened, Protected::Done(added) if added.new));
}

#[test]
fn where_it_takes_two_people_who_registered_does_not_promote() {
    let world = World::new();
    let one = world.version("1");
    world.version("later");
    protect(&world, &world.by, &[], true);
    let refusal = refused(promote(&world, &world.by, &one));
    assert!(matches!(refusal, Refusal::SamePerson { .. }), "{refusal}");
    assert!(matches!(promote(&world, &ben(), &one), Decision::Moved(..)));
}

#[test]
fn readiness_for_rollback_is_proven_from_the_bytes() {
    let world = World::new();
    let (one, two) = (world.version("1"), world.version("2"));
    world.promote(&one, None, 0);
    let ready = || {
        world
            .acme()
            .rollback_readiness(&world.store)
            .unwrap()
            .remove(0)
    };
    assert_eq!(ready().to, None);
    world.promote(&two, Some(&one), 1);
    assert_eq!(
        (ready().to, ready().faults),
        (Some(one.label.clone()), Vec::new())
    );
    world.flip(&one.manifest.adapter.files[0].sha256);
    assert_eq!(ready().faults.len(), 1);
}
