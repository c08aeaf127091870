use super::support::{NOON, World, document, production, proof, refused};
use crate::registry::{Decision, Refusal, RegistryError};
use crate::time::Timestamp;

const DAY: i64 = 24 * 3600;

fn day(after: i64) -> Timestamp {
    Timestamp::from_unix(NOON + after * DAY)
}

#[test]
fn a_deprecation_is_recorded_once_and_the_newest_counts() {
    let world = World::new();
    let (one, two, three) = (world.version("1"), world.version("2"), world.version("3"));
    let acme = world.acme();
    let deprecate = |replacement, until, later| {
        acme.deprecate(&one, replacement, until, None, &world.at(later))
            .unwrap()
    };
    assert!(deprecate(&two, day(30), 1).new);
    assert!(!deprecate(&two, day(30), 2).new);
    assert!(deprecate(&three, day(60), 3).new);
    let counts = acme.deprecation(&one).unwrap().unwrap();
    assert_eq!(
        (counts.replacement, counts.until),
        ((&three).into(), day(60))
    );
    assert_eq!(acme.deprecation(&two).unwrap(), None);
    assert_eq!(acme.verify(Some(&world.store)).unwrap().faults, []);
}

#[test]
fn a_replacement_must_be_another_version_that_stays() {
    let world = World::new();
    let (one, two) = (world.version("1"), world.version("2"));
    let acme = world.acme();
    let deprecate = |a, b| acme.deprecate(a, b, day(1), None, &world.at(0));
    deprecate(&one, &two).unwrap();
    for (a, b) in [(&two, &two), (&two, &one)] {
        let error = deprecate(a, b).unwrap_err();
        assert!(
            matches!(error, RegistryError::Replacement { .. }),
            "{error}"
        );
    }
}

#[test]
fn past_its_day_a_version_is_not_promoted_but_can_be_gone_back_to() {
    let world = World::new();
    let (one, two) = (world.version("1"), world.version("2"));
    world.promote(&one, None, 0);
    world.promote(&two, Some(&one), 1);
    world
        .acme()
        .deprecate(&one, &two, day(0), None, &world.at(2))
        .unwrap();
    let promote = |later| {
        let proof = proof(&one, Some(&two));
        let acme = world.acme();
        let (alias, store) = (production(), &world.store);
        acme.promote_on(&one, &alias, &proof, None, store, &world.at(later))
            .unwrap()
    };
    assert!(matches!(
        refused(promote(3)),
        Refusal::Deprecated { replacement, .. } if replacement == two.label
    ));
    // In an emergency, the way back is more important.
    assert!(matches!(world.rollback(None, 4), Decision::Moved(..)));
}

#[test]
fn a_base_retires_under_all_its_names() {
    let world = World::new();
    let version = world.version("1");
    let acme = world.acme();
    let tree = version.manifest.base.tree.digest();
    let bases = acme.bases();
    let record = bases.by_id(&tree).unwrap().unwrap();
    let copy = document("retune.base/1", "tree", &tree.to_string());
    let other = bases
        .add(&"copy".parse().unwrap(), &copy, &world.at(1))
        .unwrap()
        .record;
    assert_eq!(acme.retirement(&tree).unwrap(), None);
    let retire = |record, on, later| acme.retire(record, on, None, &world.at(later)).unwrap();
    assert!(retire(&record, day(90), 2).new);
    assert!(!retire(&record, day(90), 3).new);
    assert!(retire(&other, day(60), 4).new);
    assert_eq!(acme.retirement(&tree).unwrap().unwrap().on, day(60));
    retire(&other, day(120), 5);
    assert_eq!(acme.retirement(&tree).unwrap().unwrap().on, day(90));
    assert_eq!(acme.verify(Some(&world.store)).unwrap().faults, []);
}

#[test]
fn an_edited_statement_is_found() {
    let world = World::new();
    let (one, two) = (world.version("1"), world.version("2"));
    let acme = world.acme();
    acme.deprecate(&one, &two, day(1), None, &world.at(0))
        .unwrap();
    let dir = format!("tenants/acme/models/support/deprecations/{}", one.label);
    let file = world
        .registry
        .view()
        .unwrap()
        .files(&dir)
        .unwrap()
        .remove(0);
    let path = format!("{dir}/{file}");
    let text = world
        .registry
        .git
        .read(world.tip(), &path)
        .unwrap()
        .unwrap();
    let text = String::from_utf8(text)
        .unwrap()
        .replace("2026-11-24", "2036-11-24");
    world.tamper(&[(path, text.into_bytes())]);
    assert!(acme.deprecation(&one).unwrap_err().is_integrity());
    assert_eq!(acme.verify(None).unwrap().faults.len(), 1);
}
