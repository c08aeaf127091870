use super::support::{World, production, proof, refused, support};
use crate::git::{Advance, CommitId};
use crate::registry::promote::{Judged, Proof};
use crate::registry::{Act, Decision, EventKind, Refusal, RegistryError, Version, layout};

fn moved(decision: Decision) -> (EventKind, u64) {
    match decision {
        Decision::Moved(_, event) => (event.kind, event.seq),
        other => panic!("not moved: {other:?}"),
    }
}

#[test]
fn a_promotion_is_one_commit_with_event_pointer_and_evidence() {
    let world = World::new();
    let version = world.version("1");
    let before = world.commits().len();
    let decision = world.promote(&version, None, 60);
    let Decision::Moved(id, event) = decision else {
        panic!("{decision:?}")
    };
    assert_eq!(world.production(), version);
    let commits = world.commits();
    assert_eq!(commits.len(), before + 1);
    let evidence = proof(&version, None).evidence;
    let message = format!(
        "promote {version} to production (acme)\n\nRetune-Evidence: {evidence}\nRetune-Event: {id}\n"
    );
    assert_eq!(commits[0], message);
    assert_eq!((event.evidence, &event.actor), (Some(evidence), &world.by));
    assert_eq!(world.acme().evidence(&version).unwrap()[0].id, evidence);
    assert!(matches!(
        world.promote(&version, None, 61),
        Decision::Unchanged(_)
    ));
    assert_eq!(world.commits().len(), before + 1);
}

#[test]
fn evidence_about_something_else_is_refused() {
    let world = World::new();
    let (one, two) = (world.version("1"), world.version("2"));
    let promote = |proof| {
        world
            .acme()
            .promote_on(
                &one,
                &production(),
                &proof,
                None,
                &world.store,
                &world.at(0),
            )
            .unwrap()
    };
    assert!(matches!(
        refused(promote(proof(&two, None))),
        Refusal::OtherCandidate { .. }
    ));
    let about = |change: fn(&mut Proof, &Version)| {
        let mut proof = proof(&one, None);
        change(&mut proof, &two);
        refused(promote(proof))
    };
    let refusal = about(|proof, two| {
        proof.candidate = proof.candidate.map(|judged| Judged {
            base: two.manifest.adapter.tree.digest(),
            ..judged
        });
    });
    assert!(matches!(refusal, Refusal::OtherCandidate { .. }));
    let refusal = about(|proof, _| proof.candidate = None);
    assert!(matches!(refusal, Refusal::OtherCandidate { .. }));
    let refusal = about(|proof, two| proof.datasets.push(two.manifest.dataset.id));
    assert!(matches!(refusal, Refusal::OtherDataset { .. }));
    assert!(matches!(
        refused(promote(proof(&one, Some(&one)))),
        Refusal::SelfJudged(_)
    ));
    assert!(
        world
            .acme()
            .history(&support(), &production())
            .unwrap()
            .links
            .is_empty()
    );
}

#[test]
fn a_new_alias_takes_evidence_against_what_another_one_points_to() {
    let world = World::new();
    let (one, two, three) = (world.version("1"), world.version("2"), world.version("3"));
    let canary = "canary".parse().unwrap();
    let promote = |proof| {
        let acme = world.acme();
        acme.promote_on(&three, &canary, &proof, None, &world.store, &world.at(1))
            .unwrap()
    };
    world.promote(&one, None, 0);
    let refusal = refused(promote(proof(&three, Some(&two))));
    assert!(matches!(
        refusal,
        Refusal::UnusedBaseline {
            against: Some(_),
            ..
        }
    ));
    let moved = promote(proof(&three, Some(&one)));
    assert!(matches!(moved, Decision::Moved(..)));
    assert_eq!(world.production(), one);
}

#[test]
fn evidence_against_what_is_no_longer_in_production_is_refused() {
    let world = World::new();
    let (one, two, three) = (world.version("1"), world.version("2"), world.version("3"));
    world.promote(&one, None, 0);
    world.promote(&two, Some(&one), 1);
    let refusal = refused(world.promote(&three, Some(&one), 2));
    let Refusal::StaleBaseline { against, now, .. } = &refusal else {
        panic!("{refusal}")
    };
    assert_eq!((against.as_ref(), now), (Some(&one.label), &two.label));
    let refusal = refused(world.promote(&three, None, 2)).to_string();
    assert!(
        refusal.contains("something that is no version"),
        "{refusal}"
    );
    assert_eq!(world.production(), two);
}

#[test]
fn changed_or_missing_bytes_stop_a_promotion() {
    let world = World::new();
    let (one, two) = (world.version("1"), world.version("2"));
    world.promote(&one, None, 0);
    let promote = || {
        let proof = proof(&two, Some(&one));
        world.acme().promote_on(
            &two,
            &production(),
            &proof,
            None,
            &world.store,
            &world.at(1),
        )
    };
    for (version, what) in [(&two, "candidate"), (&one, "way back")] {
        for file in version
            .manifest
            .adapter
            .files
            .iter()
            .chain(&version.manifest.base.files)
        {
            let path = world.store.path_of(&file.sha256);
            let bytes = std::fs::read(&path).unwrap();
            std::fs::remove_file(&path).unwrap();
            let error = promote().unwrap_err();
            assert!(error.is_integrity(), "{what}: {error}");
            std::fs::write(&path, &bytes).unwrap();
        }
        let adapter = &version.manifest.adapter.files[0].sha256;
        world.flip(adapter);
        let error = promote().unwrap_err();
        assert!(error.is_integrity(), "{what}: {error}");
        assert!(error.to_string().contains(version.label.as_str()));
        world.flip(adapter);
    }
    assert_eq!(moved(promote().unwrap()), (EventKind::Promote, 2));
}

#[test]
fn going_back_twice_goes_two_versions_back_and_then_no_further() {
    let world = World::new();
    let versions: Vec<Version> = ["1", "2", "3"]
        .iter()
        .map(|text| world.version(text))
        .collect();
    let mut current = None;
    for version in &versions {
        world.promote(version, current, 0);
        current = Some(version);
    }
    let before = world.commits().len();
    for (index, expected) in versions[..2].iter().rev().enumerate() {
        assert_eq!(
            moved(world.rollback(None, 10)),
            (EventKind::Rollback, 4 + index as u64)
        );
        assert_eq!(world.production(), *expected);
    }
    assert_eq!(world.commits().len(), before + 2, "one commit each");
    assert!(matches!(
        refused(world.rollback(None, 11)),
        Refusal::NothingEarlier { .. }
    ));
    assert_eq!(
        moved(world.rollback(Some(&versions[2]), 12)),
        (EventKind::Rollback, 6)
    );
    assert_eq!(moved(world.rollback(None, 13)), (EventKind::Rollback, 7));
    assert_eq!(
        world.production(),
        versions[0],
        "back to where it was before"
    );
    let never = world.version("4");
    assert!(matches!(
        refused(world.rollback(Some(&never), 14)),
        Refusal::NeverThere { .. }
    ));
    let here = world.rollback(Some(&versions[0]), 15);
    assert!(matches!(here, Decision::Unchanged(_)));
}

#[test]
fn a_rollback_to_bytes_that_are_gone_is_refused() {
    let world = World::new();
    let (one, two) = (world.version("1"), world.version("2"));
    world.promote(&one, None, 0);
    world.promote(&two, Some(&one), 1);
    world.flip(&one.manifest.adapter.files[0].sha256);
    let back = world.acme().rollback(
        &support(),
        &production(),
        None,
        None,
        &world.store,
        &world.at(2),
    );
    assert!(back.unwrap_err().is_integrity());
    assert_eq!(world.production(), two);
}

#[test]
fn a_dry_run_decides_but_does_not_move() {
    let world = World::new();
    let version = world.version("1");
    let act = Act {
        dry_run: true,
        ..world.at(0)
    };
    let proof = proof(&version, None);
    let decision =
        world
            .acme()
            .promote_on(&version, &production(), &proof, None, &world.store, &act);
    assert_eq!(moved(decision.unwrap()), (EventKind::Promote, 1));
    assert!(
        world
            .acme()
            .history(&support(), &production())
            .unwrap()
            .links
            .is_empty()
    );
}

/// Two clones moved production on their own, and somebody merged them: both events are there now.
fn fork(world: &World, agreed: Option<&Version>, sides: [&Version; 2]) {
    let start = world.tip();
    let reset = |to: CommitId| {
        let moved = world
            .registry
            .git
            .advance(layout::REFERENCE, Some(world.tip()), to, "reset");
        assert_eq!(moved.unwrap(), Advance::Done);
    };
    let Decision::Moved(id, event) = world.promote(sides[0], agreed, 100) else {
        panic!("not moved")
    };
    let path = event.path(&id);
    let bytes = world
        .registry
        .git
        .read(world.tip(), &path)
        .unwrap()
        .unwrap();
    reset(start);
    moved(world.promote(sides[1], agreed, 100));
    world.tamper(&[(path, bytes)]);
}

#[test]
fn a_fork_is_an_error_that_names_the_agreed_version_until_a_rollback_settles_it() {
    let world = World::new();
    let versions: Vec<Version> = ["1", "2", "3", "4"]
        .iter()
        .map(|text| world.version(text))
        .collect();
    world.promote(&versions[0], None, 0);
    fork(&world, Some(&versions[0]), [&versions[1], &versions[2]]);
    let error = world
        .acme()
        .resolve(&"support:production".parse().unwrap())
        .unwrap_err();
    let RegistryError::Forked { agreed, sides, .. } = &error else {
        panic!("{error}")
    };
    assert_eq!(agreed.as_ref(), Some(&versions[0].label));
    assert_eq!(sides.len(), 2);
    let proof = proof(&versions[3], Some(&versions[0]));
    let promoted = world.acme().promote_on(
        &versions[3],
        &production(),
        &proof,
        None,
        &world.store,
        &world.at(1),
    );
    assert!(matches!(promoted, Err(RegistryError::Forked { .. })));
    assert!(!world.acme().verify(None).unwrap().faults.is_empty());

    assert_eq!(moved(world.rollback(None, 200)), (EventKind::Settle, 3));
    assert_eq!(world.production(), versions[0]);
    assert_eq!(world.acme().verify(None).unwrap().faults, []);
    assert_eq!(
        moved(world.promote(&versions[3], Some(&versions[0]), 300)),
        (EventKind::Promote, 4)
    );
    assert_eq!(moved(world.rollback(None, 400)), (EventKind::Rollback, 5));
    assert_eq!(world.production(), versions[0]);
}

#[test]
fn a_fork_of_the_very_first_move_is_settled_by_choosing_a_side() {
    let world = World::new();
    let (one, two, three) = (world.version("1"), world.version("2"), world.version("3"));
    fork(&world, None, [&one, &two]);
    assert!(matches!(
        refused(world.rollback(None, 200)),
        Refusal::NothingEarlier { .. }
    ));
    assert!(matches!(
        refused(world.rollback(Some(&three), 200)),
        Refusal::NeverThere { .. }
    ));
    assert_eq!(
        moved(world.rollback(Some(&two), 200)),
        (EventKind::Settle, 2)
    );
    assert_eq!(world.production(), two);
}
