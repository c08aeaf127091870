//! `registry/`: the schemas describe what the tool writes, and yesterday's registry can still be read.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::process::Command;

use retune::eval::Suite;
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

/// A suite of texts with a grader of every kind, an embedding base and a judge, and one of labels.
#[test]
fn suites_of_both_tasks_are_as_the_schema_describes() {
    let dir = tempfile::tempdir().unwrap();
    let write = |name: &str, text: &str| std::fs::write(dir.path().join(name), text).unwrap();
    let read = |text: &str| {
        write("suite.yaml", text);
        let suite = Suite::read(&dir.path().join("suite.yaml")).unwrap();
        serde_json::from_slice::<Value>(&suite.document().unwrap()).unwrap()
    };
    write(
        "labels.jsonl",
        "{\"text\": \"money back\", \"label\": \"refund\"}\n",
    );
    valid(&read(
        "version: 1\nname: labels\ntask: classification\ncases: labels.jsonl\n",
    ));
    write(
        "texts.jsonl",
        "{\"id\": \"t\", \"prompt\": \"money back\", \"target\": \"7\"}\n",
    );
    write(
        "judge.yaml",
        "version: 1\nkind: endpoint\nurl: http://127.0.0.1:1/v1\napi: chat\nmodel: j\nbody: {effort: low}\nprices: {prompt_usd_per_million: 1, output_usd_per_million: 2}\n",
    );
    let known = |metric: &str, pass: bool, more: &str| {
        format!(
            "{{\"metric\": \"{metric}\", \"prompt\": \"p\", \"output\": \"o\", \"pass\": {pass}{more}}}\n"
        )
    };
    let other = ", \"other\": \"x\"";
    let rows = [
        known("kind", true, ""),
        known("kind", false, ""),
        known("kinder", true, other),
        known("kinder", false, other),
    ];
    write("known.jsonl", &rows.concat());
    let recorded =
        |repeat: u32| format!("{{\"id\": \"t\", \"repeat\": {repeat}, \"output\": \"7\"}}\n");
    write("old.jsonl", &[recorded(0), recorded(1)].concat());
    let base = format!("sha256:{}", "0a".repeat(32));
    let every = EVERY_GRADER.replace("BASE", &base);
    let document = read(&every);
    valid(&document);
    let kinds: BTreeSet<&str> = document["generation"]["graders"]
        .as_array()
        .unwrap()
        .iter()
        .map(|grader| grader["rule"]["type"].as_str().unwrap())
        .collect();
    let described = schemas()["retune.suite/1"]["$defs"]["grader"].clone();
    let described = described["properties"]["rule"]["oneOf"]
        .as_array()
        .unwrap()
        .clone();
    let described: BTreeSet<&str> = described
        .iter()
        .map(|rule| rule["properties"]["type"]["const"].as_str().unwrap())
        .collect();
    assert_eq!(kinds, described);
    let mut broken = document.clone();
    broken["grader"] = serde_json::json!({"name": "exact_match", "version": 1});
    assert!(
        !validator(&broken).is_valid(&broken),
        "texts have no grader of labels"
    );
}

const EVERY_GRADER: &str = "\
version: 1
name: texts
task: generation
cases: texts.jsonl
generate: {max_tokens: 8, temperature: 0.7, top_p: 0.9, top_k: 40, seed: 3, stop: [END]}
repeats: 2
embeddings: minilm@BASE
judge: {target: judge.yaml, calibration: known.jsonl, against: old.jsonl}
defaultTest:
  assert:
    - {type: equals, normalize: [trim, nfc]}
    - {type: equals-json}
    - {type: not-contains-any, value: [a, b], weight: 0.5}
    - {type: starts-with}
    - {type: regex, value: '7'}
    - {type: is-json, value: {type: integer}}
    - {type: contains-json}
    - {type: numeric, tolerance: 0.5}
    - {type: choice, choices: ['7', '8']}
    - {type: set-f1, threshold: 0.5}
    - {type: token-f1, threshold: 0.5}
    - {type: rouge-l}
    - {type: bleu}
    - {type: similar}
    - {type: levenshtein}
    - {type: llm-rubric, value: It is kind., metric: kind}
    - {type: pairwise, value: Kinder., metric: kinder}
    - {type: command, command: [cat]}
    - {type: latency, threshold: 100}
    - {type: cost, threshold: 0.1}
";

/// Insists that a document is as its schema describes.
#[track_caller]
pub(crate) fn valid(document: &Value) {
    let faults: Vec<String> = validator(document)
        .iter_errors(document)
        .map(|fault| format!("{}: {fault}", fault.instance_path()))
        .collect();
    assert_eq!(faults, Vec::<String>::new(), "{document:#}");
}

fn validator(document: &Value) -> jsonschema::Validator {
    let name = document["schema"].as_str().unwrap();
    jsonschema::validator_for(&schemas()[name]).unwrap()
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
