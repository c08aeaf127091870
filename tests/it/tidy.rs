//! The structure that docs/architecture.md promises, read from the source text.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

/// The floors, lowest first. A module uses only lower floors; within a floor, only the pairs below.
const FLOORS: [&[&str]; 10] = [
    &[
        "digest",
        "document",
        "fsio",
        "git",
        "name",
        "process",
        "progress",
        "reference",
        "signature",
        "stats",
        "time",
    ],
    &["store"],
    &["dataset"],
    &["base"],
    &["adapter", "train"],
    &["eval"],
    &["gate"],
    &["registry"],
    &["pin", "scan"],
    &["lifecycle", "pipeline"],
];

/// Floor 0 is where modules lean on each other, and `train` writes adapters.
const NEIGHBOURS: [(&str, &str); 14] = [
    ("document", "fsio"),
    ("document", "digest"),
    ("reference", "digest"),
    ("reference", "name"),
    ("git", "fsio"),
    ("git", "time"),
    ("git", "digest"),
    ("git", "process"),
    ("signature", "document"),
    ("signature", "fsio"),
    ("signature", "process"),
    ("train", "adapter"),
    ("pipeline", "lifecycle"),
    ("scan", "pin"),
];

/// Crates with one home: a deprecated or heavy one is replaced in one place.
const HOMES: [(&str, &[&str]); 17] = [
    ("sha2", &["src/digest.rs"]),
    ("serde_yaml", &["src/document/"]),
    ("tempfile", &["src/fsio.rs"]),
    ("git2", &["src/git/"]),
    ("ssh_key", &["src/signature/"]),
    ("burn", &["src/base/network/", "src/adapter/", "src/train/"]),
    ("tokenizers", &["src/base/"]),
    ("jiff", &["src/time.rs"]),
    ("jsonschema", &["src/eval/grader/"]),
    ("bm25", &["src/eval/strategy/"]),
    ("object_store", &["src/store/remote/"]),
    ("tokio", &["src/store/remote/"]),
    ("rustls", &["src/store/remote/"]),
    ("ureq", &["src/eval/target/"]),
    ("zip", &["src/eval/import/"]),
    ("clap", &["src/bin/"]),
    ("indicatif", &["src/bin/"]),
];

#[test]
fn imports_go_down() {
    let floor = |module: &str| FLOORS.iter().position(|floor| floor.contains(&module));
    let mut wrong = Vec::new();
    for (path, text) in sources("src") {
        let Some(from) = module_of(&path) else {
            continue;
        };
        let here = floor(&from).unwrap_or_else(|| panic!("{from} stands on no floor"));
        for to in used_modules(&text) {
            let Some(there) = floor(&to) else { continue };
            let neighbour = NEIGHBOURS.contains(&(from.as_str(), to.as_str()));
            if to != from && there >= here && !neighbour {
                wrong.push(format!("{}: {from} uses {to}", path.display()));
            }
        }
    }
    assert!(
        wrong.is_empty(),
        "imports that do not go down:\n{}",
        wrong.join("\n")
    );
}

#[test]
fn every_module_stands_on_a_floor() {
    let known: BTreeSet<&str> = FLOORS
        .iter()
        .flat_map(|floor| floor.iter().copied())
        .collect();
    let lib = fs::read_to_string("src/lib.rs").unwrap();
    for line in lib.lines() {
        if let Some(module) = line.trim().strip_prefix("pub mod ") {
            assert!(known.contains(module.trim_end_matches(';')), "{module}");
        }
    }
}

#[test]
fn crates_stay_at_home() {
    let mut wrong = Vec::new();
    for (path, text) in sources("src") {
        let code = without_tests(&text);
        for (name, homes) in HOMES {
            let here = path.to_string_lossy().replace('\\', "/");
            let uses = code.lines().map(str::trim).any(|line| {
                !line.starts_with("//")
                    && (line.contains(&format!("{name}::"))
                        && !line.contains(&format!("_{name}::")))
            });
            if uses && !homes.iter().any(|home| here.starts_with(home)) {
                wrong.push(format!("{here} uses {name}"));
            }
        }
    }
    assert!(
        wrong.is_empty(),
        "crates away from home:\n{}",
        wrong.join("\n")
    );
}

#[test]
fn no_utility_modules() {
    for (path, _) in sources("src") {
        let stem = path.file_stem().unwrap().to_string_lossy().into_owned();
        let bad = [
            "utils", "util", "helpers", "common", "manager", "types", "misc",
        ];
        assert!(!bad.contains(&stem.as_str()), "{}", path.display());
    }
}

/// The help is broken at 100 columns, and a line broken there leaves its last word alone on the next.
#[test]
fn examples_fit_the_help() {
    for (path, text) in sources("src/bin") {
        let Some((_, rest)) = text.split_once("const EXAMPLES: &str = \"\\\n") else {
            continue;
        };
        let (examples, _) = rest.split_once("\";\n").unwrap();
        for line in examples.lines() {
            let shown = line.replace("\\\\", "\\").replace("\\\"", "\"");
            let width = shown.chars().count();
            assert!(width <= 98, "{}: {width} columns: {shown}", path.display());
        }
    }
}

fn sources(dir: &str) -> Vec<(PathBuf, String)> {
    let mut found = Vec::new();
    collect(Path::new(dir), &mut found);
    assert!(found.len() > 10, "the sources were not found");
    found
}

fn collect(dir: &Path, found: &mut Vec<(PathBuf, String)>) {
    for entry in fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        // Tests may use what they like.
        if path.file_stem().is_some_and(|stem| stem == "tests") {
            continue;
        }
        if path.is_dir() {
            collect(&path, found);
        } else if path.extension().is_some_and(|e| e == "rs") {
            let text = fs::read_to_string(&path).unwrap();
            found.push((path, text));
        }
    }
}

/// The library module a file belongs to; the binary stands above all floors.
fn module_of(path: &Path) -> Option<String> {
    let relative = path.strip_prefix("src").unwrap();
    let first = relative
        .components()
        .next()?
        .as_os_str()
        .to_string_lossy()
        .into_owned();
    match first.as_str() {
        "lib.rs" | "bin" => None,
        file => Some(file.trim_end_matches(".rs").to_owned()),
    }
}

/// The modules named after `crate::` in code.
fn used_modules(text: &str) -> BTreeSet<String> {
    without_tests(text)
        .lines()
        .filter(|line| !line.trim_start().starts_with("//"))
        .flat_map(|line| {
            line.split("crate::")
                .skip(1)
                .map(str::to_owned)
                .collect::<Vec<_>>()
        })
        .flat_map(|rest| names_after(&rest))
        .collect()
}

fn names_after(rest: &str) -> Vec<String> {
    let name = |text: &str| -> String {
        text.chars()
            .take_while(|c| c.is_alphanumeric() || *c == '_')
            .collect()
    };
    match rest.strip_prefix('{') {
        Some(list) => list.split(',').map(|item| name(item.trim())).collect(),
        None => vec![name(rest)],
    }
}

fn without_tests(text: &str) -> &str {
    text.split("#[cfg(test)]").next().unwrap_or(text)
}
