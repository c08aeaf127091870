//! `registry/`: the schemas describe what the tool writes, and yesterday's registry can still be read.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::process::Command;

use retune::registry::Registry;
use serde_json::Value;

const EXAMPLE: &str = "registry/example.git";

#[test]
fn the_example_registry_has_the_keys_that_the_schemas_describe() {
    let schemas = schemas();
    let mut seen = BTreeMap::new();
    for path in files() {
        if !path.ends_with(".json") {
            continue;
        }
        let document: Value =
            serde_json::from_str(&git(&["show", &format!("main:{path}")])).unwrap();
        let name = document["schema"].as_str().unwrap().to_owned();
        let schema = schemas
            .get(&name)
            .unwrap_or_else(|| panic!("no schema for {name}"));
        let keys: BTreeSet<&str> = document
            .as_object()
            .unwrap()
            .keys()
            .map(String::as_str)
            .collect();
        let described: BTreeSet<&str> = schema["properties"]
            .as_object()
            .unwrap()
            .keys()
            .map(String::as_str)
            .collect();
        let required: BTreeSet<&str> = schema["required"]
            .as_array()
            .unwrap()
            .iter()
            .filter_map(Value::as_str)
            .collect();
        assert!(
            keys.is_subset(&described),
            "{path} has keys that its schema does not describe: {keys:?}"
        );
        assert!(
            required.is_subset(&keys),
            "{path} lacks keys that its schema requires: {required:?}"
        );
        assert_eq!(
            schema["additionalProperties"], false,
            "{name} takes unknown keys"
        );
        *seen.entry(name).or_insert(0) += 1;
    }
    for name in [
        "dataset",
        "base",
        "suite",
        "run",
        "version",
        "evidence",
        "event",
        "report-entry",
    ] {
        assert!(
            seen.contains_key(&format!("retune.{name}/1")),
            "the example has no {name}"
        );
    }
}

#[test]
fn the_example_registry_opens_and_verifies() {
    let registry = Registry::open(Path::new(EXAMPLE)).unwrap();
    let tenant = registry.tenant(&"default".parse().unwrap());
    let model = "support-router".parse().unwrap();
    assert_eq!(tenant.versions(&model).unwrap().len(), 3);
    let history = tenant
        .history(&model, &"production".parse().unwrap())
        .unwrap();
    assert_eq!(history.links.len(), 3, "promoted, promoted, rolled back");
    let verification = tenant.verify(None).unwrap();
    assert!(verification.faults.is_empty(), "{verification:?}");
}

fn schemas() -> BTreeMap<String, Value> {
    let read = |path: std::path::PathBuf| -> Value {
        serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap()
    };
    let files = std::fs::read_dir("registry/schemas").unwrap();
    let documents = files.map(|entry| read(entry.unwrap().path()));
    documents
        .map(|schema| (schema["title"].as_str().unwrap().to_owned(), schema))
        .collect()
}

fn files() -> Vec<String> {
    let list = git(&["ls-tree", "-r", "--name-only", "main"]);
    let files: Vec<String> = list.lines().map(str::to_owned).collect();
    assert!(files.len() > 10, "{list}");
    files
}

fn git(args: &[&str]) -> String {
    let output = Command::new("git")
        .arg("--git-dir")
        .arg(EXAMPLE)
        .args(args)
        .output()
        .unwrap();
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    String::from_utf8(output.stdout).unwrap()
}
