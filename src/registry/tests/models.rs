use super::support::{World, production, support};
use crate::digest::Digest;
use crate::name::TenantName;
use crate::reference::ModelRef;
use crate::registry::{RegistryError, VersionId};
use crate::time::Timestamp;

#[test]
fn the_identity_binds_the_schema_line_and_the_bytes() {
    let world = World::new();
    let manifest = world.manifest("1");
    let bytes = manifest.encode().unwrap();
    let mut prefixed = b"retune.version/1\n".to_vec();
    prefixed.extend(&bytes);
    assert_eq!(VersionId::of(&bytes).digest(), Digest::of(&prefixed));
    let version = world.version("1");
    assert_eq!(
        version.label.as_str(),
        format!("20261123-{}", version.id.short())
    );
}

#[test]
fn a_version_is_found_by_every_spelling() {
    let world = World::new();
    let version = world.version("1");
    let short = version.id.short();
    for selector in [
        format!("@{}", version.label),
        format!("@20261123-{}", &short[..4]),
        format!("@{}", version.id),
    ] {
        for prefix in ["", "acme/"] {
            let reference: ModelRef = format!("{prefix}support{selector}").parse().unwrap();
            assert_eq!(world.acme().resolve(&reference).unwrap(), version);
        }
    }
}

#[test]
fn ambiguous_missing_and_foreign_references_say_so() {
    let world = World::new();
    let mut labels = Vec::new();
    // Until two versions of the day share their first hexadecimal digit; then a crafted third file shares
    // four with the first.
    let version = world.version("1");
    let twin = format!("20261123-{}ffffffff", &version.id.short()[..4]);
    let path = format!("tenants/acme/models/support/versions/{twin}.json");
    world.tamper(&[(path, b"{}".to_vec())]);
    labels.extend([version.label.to_string(), twin]);
    labels.sort();
    let resolve = |text: &str| world.acme().resolve(&text.parse().unwrap()).unwrap_err();
    match resolve(&format!("support@20261123-{}", &version.id.short()[..4])) {
        RegistryError::Ambiguous { candidates, .. } => assert_eq!(candidates, labels),
        other => panic!("{other}"),
    }
    assert!(matches!(
        resolve("support@20261123-0000"),
        RegistryError::NotFound { .. }
    ));
    assert!(matches!(
        resolve("support:production"),
        RegistryError::NotFound { .. }
    ));
    assert!(matches!(
        resolve("suport:production"),
        RegistryError::NoName { .. }
    ));
    assert!(matches!(
        resolve("globex/support:production"),
        RegistryError::ForeignTenant { .. }
    ));
}

#[test]
fn registering_again_makes_no_commit() {
    let world = World::new();
    let manifest = world.manifest("1");
    let register = |later| {
        world
            .acme()
            .register(&manifest, &world.store, &world.at(later))
            .unwrap()
    };
    let first = register(0);
    assert!(first.new);
    let commits = world.commits();
    let version = &first.record;
    assert_eq!(
        commits[0].lines().next(),
        Some(&*format!("register {version} (acme)"))
    );
    let again = register(86_400);
    assert_eq!((again.new, &again.record), (false, version));
    assert_eq!(world.commits(), commits);
}

#[test]
fn nothing_without_its_lineage_or_its_bytes_is_registered() {
    let world = World::new();
    let sound = world.manifest("1");
    let refused = |manifest| {
        world
            .acme()
            .register(&manifest, &world.store, &world.at(0))
            .unwrap_err()
    };
    let unknown = Digest::of(b"unknown");

    let mut manifest = sound.clone();
    manifest.dataset.id = unknown;
    assert!(matches!(
        refused(manifest),
        RegistryError::Lineage {
            what: "dataset",
            ..
        }
    ));
    let mut manifest = sound.clone();
    manifest.run.id = unknown;
    assert!(matches!(
        refused(manifest),
        RegistryError::Lineage { what: "run", .. }
    ));
    let mut manifest = sound.clone();
    manifest.parents.push(unknown.into());
    assert!(matches!(
        refused(manifest),
        RegistryError::Lineage {
            what: "parent version",
            ..
        }
    ));
    let mut manifest = sound.clone();
    manifest.base = crate::registry::BasePart {
        tree: manifest.adapter.tree,
        files: manifest.adapter.files.clone(),
        ..manifest.base
    };
    assert!(matches!(
        refused(manifest),
        RegistryError::Lineage { what: "base", .. }
    ));
    let mut manifest = sound.clone();
    manifest.adapter.tree = unknown.into();
    assert!(matches!(refused(manifest), RegistryError::Manifest { .. }));
    let mut manifest = sound.clone();
    manifest.tenant = "globex".parse::<TenantName>().unwrap();
    assert!(matches!(
        refused(manifest),
        RegistryError::ForeignTenant { .. }
    ));
    world.flip(&sound.adapter.files[0].sha256);
    let damaged = refused(sound);
    assert!(matches!(damaged, RegistryError::Bytes { .. }) && damaged.is_integrity());
}

#[test]
fn what_was_in_production_on_a_day_can_be_answered() {
    let world = World::new();
    let (one, two) = (world.version("1"), world.version("2"));
    let day = 86_400;
    world.promote(&one, None, day);
    world.promote(&two, Some(&one), 2 * day);
    world.rollback(None, 3 * day);
    let chain = world.acme().history(&support(), &production()).unwrap();
    let at = |days: i64| {
        let time = Timestamp::from_unix(super::support::NOON + days * day + 1);
        chain.at(time).map(|(_, event)| event.to.version.clone())
    };
    assert_eq!(
        [at(0), at(1), at(2), at(3)],
        [
            None,
            Some(one.label.clone()),
            Some(two.label),
            Some(one.label)
        ]
    );
}

#[test]
fn an_exported_adapter_is_whole_or_not_there() {
    let world = World::new();
    let version = world.version("1");
    let out = world.dir.path().join("out");
    world.acme().export(&version, &world.store, &out).unwrap();
    assert_eq!(std::fs::read(out.join("weights.bin")).unwrap(), b"1");
    world.flip(&version.manifest.adapter.files[0].sha256);
    let other = world.dir.path().join("other");
    let failed = world
        .acme()
        .export(&version, &world.store, &other)
        .unwrap_err();
    assert!(failed.is_integrity() && !other.exists());
}
