use super::support::{World, document, production, support};
use crate::registry::layout;

/// The paths of all files below a folder of the registry.
fn files(world: &World, dir: &str) -> Vec<String> {
    let view = world.registry.view().unwrap();
    let mut found: Vec<String> = view
        .files(dir)
        .unwrap()
        .into_iter()
        .map(|name| format!("{dir}/{name}"))
        .collect();
    for folder in view.folders(dir).unwrap() {
        found.extend(files(world, &format!("{dir}/{folder}")));
    }
    found
}

#[test]
fn a_sound_registry_has_no_faults() {
    let world = World::new();
    let (one, two) = (world.version("1"), world.version("2"));
    world.promote(&one, None, 0);
    world.promote(&two, Some(&one), 1);
    world.rollback(None, 2);
    let found = world.acme().verify(Some(&world.store)).unwrap();
    assert_eq!(found.faults, []);
    assert_eq!(
        (found.versions, found.events, found.aliases, found.evidence),
        (2, 3, 1, 2)
    );
    assert_eq!((found.records, found.runs, found.objects), (3, 2, 3));
}

#[test]
fn an_edit_of_any_file_is_found() {
    let world = World::new();
    let (one, two) = (world.version("1"), world.version("2"));
    world.promote(&one, None, 0);
    world.promote(&two, Some(&one), 1);
    let start = world.tip();
    let mut edited = 0;
    for path in files(&world, layout::TENANTS) {
        // A run's record is not named after its own bytes, and the tenant file holds nothing yet.
        if path.contains("/runs/") || path.ends_with("tenant.yaml") {
            continue;
        }
        let mut bytes = world.registry.git.read(start, &path).unwrap().unwrap();
        let digit = bytes.iter().rposition(u8::is_ascii_digit).unwrap();
        bytes[digit] = if bytes[digit] == b'0' { b'1' } else { b'0' };
        world.tamper(&[(path.clone(), bytes)]);
        let found = world.acme().verify(None).unwrap();
        assert!(!found.faults.is_empty(), "{path}");
        let moved =
            world
                .registry
                .git
                .advance(layout::REFERENCE, Some(world.tip()), start, "reset");
        assert_eq!(moved.unwrap(), crate::git::Advance::Done);
        edited += 1;
    }
    // 2 manifests, 2 pieces of evidence, 2 events, 1 alias, 2 datasets, 1 base.
    assert_eq!(edited, 10);
}

#[test]
fn flipped_store_bytes_are_found_and_named() {
    let world = World::new();
    let version = world.version("1");
    world.flip(&version.manifest.base.files[0].sha256);
    assert_eq!(world.acme().verify(None).unwrap().faults, []);
    let found = world.acme().verify(Some(&world.store)).unwrap();
    assert_eq!(found.faults.len(), 1);
    assert_eq!(found.faults[0].what, version.to_string());
}

#[test]
fn an_alias_edited_by_hand_does_not_resolve() {
    let world = World::new();
    let (one, two) = (world.version("1"), world.version("2"));
    world.promote(&one, None, 0);
    let path = "tenants/acme/models/support/aliases/production.yaml";
    let text = world.registry.git.read(world.tip(), path).unwrap().unwrap();
    let text = String::from_utf8(text).unwrap();
    let text = text
        .replace(one.label.as_str(), two.label.as_str())
        .replace(&one.id.to_string(), &two.id.to_string());
    world.tamper(&[(path.to_owned(), text.into_bytes())]);
    let error = world.acme().history(&support(), &production()).unwrap_err();
    assert!(error.is_integrity(), "{error}");
}

#[test]
fn a_copy_of_a_version_under_another_model_is_found() {
    let world = World::new();
    let version = world.version("1");
    let bytes = version.manifest.encode().unwrap();
    let path = format!("tenants/acme/models/other/versions/{}.json", version.label);
    world.tamper(&[(path, bytes)]);
    let resolved = world
        .acme()
        .resolve(&format!("other@{}", version.label).parse().unwrap());
    assert!(resolved.unwrap_err().is_integrity());
    assert_eq!(world.acme().verify(None).unwrap().faults.len(), 1);
}

#[test]
fn a_dataset_under_a_wrong_name_is_found() {
    let world = World::new();
    let path = "tenants/acme/datasets/d/versions/20261123-000000000000.json";
    world.tamper(&[(path.to_owned(), document("retune.dataset/1", "rows", "x"))]);
    assert_eq!(world.acme().verify(None).unwrap().faults.len(), 1);
}
