use std::collections::BTreeMap;

use super::support::World;
use crate::digest::Digest;
use crate::document::canonical;
use crate::name::{BaseName, DatasetName, TenantName};
use crate::registry::{Act, Registry, RegistryError, ReportEntry};

const DAY: i64 = 86_400;

fn dataset(text: &str) -> Vec<u8> {
    canonical::encode("retune.dataset/1", &BTreeMap::from([("rows", text)])).unwrap()
}

fn name(text: &str) -> DatasetName {
    text.parse().unwrap()
}

#[test]
fn a_document_comes_back_by_name_by_id_and_by_prefix() {
    let world = World::new();
    let tenant = world.registry.tenant(&world.tenant);
    let document = dataset("1");
    let added = tenant
        .datasets()
        .add(&name("support"), &document, &world.at(0))
        .unwrap();
    assert!(added.new);
    let record = added.record;
    assert_eq!(record.id, Digest::of(&document));
    assert_eq!(
        record.label.as_str(),
        format!("20261123-{}", record.id.short())
    );
    let datasets = tenant.datasets();
    assert_eq!(datasets.newest(&name("support")).unwrap(), record);
    assert_eq!(datasets.by_id(&record.id).unwrap(), Some(record.clone()));
    let short = record.id.short();
    for text in [
        record.label.as_str(),
        &short,
        &short[..4],
        &record.id.to_string(),
    ] {
        assert_eq!(
            datasets.find(&name("support"), text).unwrap(),
            record,
            "{text}"
        );
    }
    assert!(matches!(
        datasets.find(&name("support"), &short[..3]),
        Err(RegistryError::NotFound { .. })
    ));
    assert_eq!(datasets.names().unwrap(), [name("support")]);
}

#[test]
fn the_same_content_again_makes_no_commit_even_on_another_day() {
    let world = World::new();
    let tenant = world.registry.tenant(&world.tenant);
    let first = tenant
        .datasets()
        .add(&name("a"), &dataset("1"), &world.at(0))
        .unwrap();
    let commits = world.commits().len();
    let again = tenant
        .datasets()
        .add(&name("a"), &dataset("1"), &world.at(DAY))
        .unwrap();
    assert_eq!((again.new, &again.record), (false, &first.record));
    assert_eq!(world.commits().len(), commits);
}

#[test]
fn newest_goes_by_the_day_then_by_the_order_of_the_commits() {
    let world = World::new();
    let tenant = world.registry.tenant(&world.tenant);
    let datasets = tenant.datasets();
    let add = |text: &str, later| {
        datasets
            .add(&name("a"), &dataset(text), &world.at(later))
            .unwrap()
            .record
    };
    let added: Vec<_> = ["1", "2", "3", "4", "5"]
        .iter()
        .map(|text| add(text, 0))
        .collect();
    assert_eq!(datasets.newest(&name("a")).unwrap(), added[4]);
    let tomorrow = add("6", DAY);
    let late = add("7", -DAY);
    assert_eq!(datasets.newest(&name("a")).unwrap(), tomorrow);
    let mut expected = vec![tomorrow.label];
    expected.extend(added.into_iter().rev().map(|record| record.label));
    expected.push(late.label);
    assert_eq!(datasets.versions(&name("a")).unwrap(), expected);
}

#[test]
fn a_base_is_identified_by_its_tree() {
    let world = World::new();
    let tenant = world.registry.tenant(&world.tenant);
    let tree = Digest::of(b"tree");
    let document = |source: &str| {
        let fields = BTreeMap::from([("tree", tree.to_string()), ("source", source.to_owned())]);
        canonical::encode("retune.base/1", &fields).unwrap()
    };
    let base: BaseName = "minilm".parse().unwrap();
    let record = tenant
        .bases()
        .add(&base, &document("hub"), &world.at(0))
        .unwrap()
        .record;
    assert_eq!(record.id, tree);
    assert_eq!(tenant.bases().by_id(&tree).unwrap(), Some(record));
    let same = document("elsewhere");
    let same = tenant.bases().add(&base, &same, &world.at(0)).unwrap();
    assert_eq!((same.new, same.record.document), (false, document("hub")));
}

#[test]
fn only_canonical_documents_of_the_right_kind_go_in() {
    let world = World::new();
    let tenant = world.registry.tenant(&world.tenant);
    for bad in [
        &b"{}"[..],
        b"x",
        &canonical::encode("retune.suite/1", &BTreeMap::<&str, u8>::new()).unwrap(),
    ] {
        let added = tenant.datasets().add(&name("a"), bad, &world.at(0));
        assert!(matches!(added, Err(RegistryError::Refused { .. })));
    }
}

#[test]
fn one_tenant_does_not_see_another_and_unknown_ones_are_named() {
    let world = World::new();
    let other: TenantName = "globex".parse().unwrap();
    let missing = world
        .registry
        .tenant(&other)
        .datasets()
        .names()
        .unwrap_err();
    assert_eq!(
        missing.to_string(),
        "the registry has no tenant globex (there is acme)"
    );
    let refused =
        world
            .registry
            .tenant(&other)
            .datasets()
            .add(&name("a"), &dataset("1"), &world.at(0));
    assert!(matches!(refused, Err(RegistryError::NoTenant { .. })));
    assert!(world.registry.add_tenant(&other, &world.at(0)).unwrap());
    assert!(!world.registry.add_tenant(&other, &world.at(0)).unwrap());
    let acme = world.registry.tenant(&world.tenant);
    let id = acme
        .datasets()
        .add(&name("a"), &dataset("1"), &world.at(0))
        .unwrap()
        .record
        .id;
    assert_eq!(
        world.registry.tenant(&other).datasets().by_id(&id).unwrap(),
        None
    );
    assert_eq!(
        world.registry.tenants().unwrap(),
        [world.tenant.clone(), other]
    );
}

#[test]
fn a_dry_run_says_what_would_be_and_writes_nothing() {
    let world = World::new();
    let tenant = world.registry.tenant(&world.tenant);
    let commits = world.commits();
    let act = Act {
        dry_run: true,
        ..world.at(0)
    };
    assert!(
        tenant
            .datasets()
            .add(&name("a"), &dataset("1"), &act)
            .unwrap()
            .new
    );
    assert_eq!(world.commits(), commits);
    assert_eq!(tenant.datasets().names().unwrap(), []);
}

#[test]
fn runs_are_found_by_id_and_prefix_and_never_change() {
    let world = World::new();
    let tenant = world.registry.tenant(&world.tenant);
    let runs = tenant.runs();
    let (one, two) = (Digest::of(b"one"), Digest::of(b"two"));
    assert!(runs.add(&one, b"first", &world.at(0)).unwrap().new);
    assert!(runs.add(&two, b"second", &world.at(40 * DAY)).unwrap().new);
    assert!(!runs.add(&one, b"first", &world.at(80 * DAY)).unwrap().new);
    let changed = runs.add(&one, b"other", &world.at(80 * DAY));
    assert!(matches!(changed, Err(RegistryError::Immutable { .. })));
    assert_eq!(runs.get(&one).unwrap().unwrap().document, b"first");
    assert_eq!(runs.get(&Digest::of(b"three")).unwrap(), None);
    assert_eq!(runs.find(&two.short()[..5]).unwrap().document, b"second");
    assert_eq!(runs.find(&two.to_string()).unwrap().document, b"second");
    let listed: Vec<String> = runs
        .list()
        .unwrap()
        .into_iter()
        .map(|run| run.short)
        .collect();
    assert_eq!(listed, [two.short(), one.short()]);
}

#[test]
fn reports_are_found_by_suite_and_subject_newest_first() {
    let world = World::new();
    let tenant = world.registry.tenant(&world.tenant);
    let entry = |report: &[u8], subject: &[u8]| ReportEntry {
        report: Digest::of(report),
        suite: Digest::of(b"suite"),
        subject: Digest::of(subject),
    };
    for report in [entry(b"1", b"x"), entry(b"2", b"x"), entry(b"3", b"y")] {
        assert!(tenant.reports().add(&report, &world.at(0)).unwrap().new);
        assert!(!tenant.reports().add(&report, &world.at(DAY)).unwrap().new);
    }
    let found = tenant
        .reports()
        .of(&Digest::of(b"suite"), &Digest::of(b"x"))
        .unwrap();
    assert_eq!(found, [entry(b"2", b"x"), entry(b"1", b"x")]);
    assert_eq!(
        tenant
            .reports()
            .of(&Digest::of(b"x"), &Digest::of(b"x"))
            .unwrap(),
        []
    );
}

#[test]
fn a_registry_that_is_none_or_newer_is_refused() {
    let world = World::new();
    let empty = world.dir.path().join("empty");
    crate::git::Repository::create_bare(&empty, "main").unwrap();
    assert!(matches!(
        Registry::open(&empty),
        Err(RegistryError::NotARegistry { .. })
    ));
    assert!(
        Registry::create(&world.path(), &world.at(0)).is_err(),
        "never created over another"
    );
    assert!(Registry::open(&world.path()).is_ok());
}
