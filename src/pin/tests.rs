#![allow(clippy::unwrap_used)]

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use super::*;
use crate::digest::Digest;
use crate::document::Source;

const PROJECT: &str = "\
# A comment that stays.
version: 1
tenant: acme

pins:
  support:            # who answers
    model: support
    alias: production
  # the other one
  router:
    model: partner/router
    version: 20261101-77ab00112233

scan:
  exclude: [tests/fixtures/]
";

fn parse(text: &str) -> Result<Project, Vec<String>> {
    let source = Source::new(Path::new("retune.yaml"), text.to_owned());
    Project::parse(&source)
        .map_err(|faults| faults.as_slice().iter().map(ToString::to_string).collect())
}

fn resolved(version: &str) -> Resolved {
    Resolved {
        version: version.parse().unwrap(),
        manifest: Digest::of(version.as_bytes()),
        registry: ".retune/registry".into(),
        base: LockedBase {
            source: Some("org/base".into()),
            revision: Some("0123456789012345678901234567890123456789".into()),
            tree: Digest::of(b"base"),
        },
        files: vec![LockedFile {
            path: "adapter_config.json".into(),
            size: 3,
            sha256: Digest::of(b"abc"),
        }],
    }
}

fn lock() -> Lock {
    let project = parse(PROJECT).unwrap();
    let versions = [
        ("router", "20261101-77ab00112233"),
        ("support", "20261123-3f9a1c2b7d10"),
    ];
    let pins = versions.map(|(name, version)| {
        let name: PinName = name.parse().unwrap();
        let ask = project.pins[&name].clone();
        (
            name,
            Pin {
                ask,
                got: resolved(version),
            },
        )
    });
    Lock { pins: pins.into() }
}

#[test]
fn a_project_file_is_read_with_its_defaults() {
    let project = parse(PROJECT).unwrap();
    assert_eq!(project.registry, Path::new(".retune/registry"));
    let asked: Vec<String> = project.pins.values().map(ToString::to_string).collect();
    assert_eq!(
        asked,
        [
            "partner/router@20261101-77ab00112233",
            "acme/support:production"
        ]
    );
    assert!(project.scan.exclude.matches("tests/fixtures/a.py"));
    assert!(parse("version: 1\ntenant: acme\n").unwrap().pins.is_empty());
}

#[test]
fn faults_of_a_project_file_have_lines() {
    let faults = parse(
        "version: 2\ntenant: acme\npins:\n  a: {model: A, alias: x}\n  b: {model: b}\n  c: {model: c, alias: x, version: 20261101-77ab}\nscan:\n  exclude:\n    - '[a]'\n",
    );
    assert_eq!(
        faults.unwrap_err(),
        [
            "retune.yaml:1: version: 2 is not a version this tool reads; it reads 1",
            "retune.yaml:4: pins.a.model: \"A\" is not a model name: use a-z, 0-9, '.', '_' and '-' only",
            "retune.yaml:5: pins.b: give the `alias` to follow, or one `version`",
            "retune.yaml:6: pins.c: give `alias` or `version`, not both",
            "retune.yaml:9: scan.exclude[0]: use only *, ** and ? as wildcards",
        ]
    );
    let faults = parse("version: 1\ntenant: acme\npin: {}\n").unwrap_err();
    assert_eq!(
        faults,
        ["retune.yaml:3: pin: unknown key; did you mean `pins`?"]
    );
}

#[test]
fn adding_a_pin_leaves_every_other_line() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("retune.yaml");
    fs::write(&path, PROJECT).unwrap();
    let ask = |model: &str, asked| Ask {
        tenant: "acme".parse().unwrap(),
        model: model.parse().unwrap(),
        asked,
    };
    let version = Asked::Version("20261123-3f9a1c2b7d10".parse().unwrap());
    let production = Asked::Alias("production".parse().unwrap());

    Project::write_pin(
        dir.path(),
        &"new".parse().unwrap(),
        &ask("new", production.clone()),
    )
    .unwrap();
    let added =
        "    version: 20261101-77ab00112233\n  new:\n    model: new\n    alias: production\n";
    let expected = PROJECT.replace("    version: 20261101-77ab00112233\n", added);
    assert_eq!(fs::read_to_string(&path).unwrap(), expected);

    Project::write_pin(
        dir.path(),
        &"router".parse().unwrap(),
        &ask("router", version),
    )
    .unwrap();
    let expected = expected.replace(
        "    model: partner/router\n    version: 20261101-77ab00112233\n",
        "    model: router\n    version: \"20261123-3f9a1c2b7d10\"\n",
    );
    assert_eq!(fs::read_to_string(&path).unwrap(), expected);

    for text in [
        "version: 1\ntenant: acme",
        "version: 1\ntenant: acme\npins:\n",
    ] {
        fs::write(&path, text).unwrap();
        Project::write_pin(
            dir.path(),
            &"a".parse().unwrap(),
            &ask("a", production.clone()),
        )
        .unwrap();
        assert_eq!(
            fs::read_to_string(&path).unwrap(),
            "version: 1\ntenant: acme\npins:\n  a:\n    model: a\n    alias: production\n"
        );
    }

    let inline = "version: 1\ntenant: acme\npins: {a: {model: a, alias: x}}\n";
    fs::write(&path, inline).unwrap();
    let refused = Project::write_pin(dir.path(), &"b".parse().unwrap(), &ask("b", production));
    assert!(matches!(refused, Err(PinError::Layout { .. })));
    assert_eq!(fs::read_to_string(&path).unwrap(), inline);
}

#[test]
fn a_lock_has_one_text() {
    let lock = lock();
    let text = lock.encode().unwrap();
    let block = "  router:\n    asked:\n      model: partner/router\n      version: 20261101-77ab00112233\n    locked:\n      version: 20261101-77ab00112233\n      manifest: sha256:";
    assert!(text.contains(block), "{text}");
    assert_eq!(Lock::decode(&text, Path::new("retune.lock")).unwrap(), lock);
    for edited in [
        text.replace("size: 3", "size: 03"),
        text.replace("# Written", "# written"),
        text.replace("retune.lock/1", "retune.lock/2"),
        format!("{text}\n"),
        text.replace("      alias: production\n", ""),
    ] {
        assert!(
            Lock::decode(&edited, Path::new("retune.lock")).is_err(),
            "{edited}"
        );
    }
}

#[test]
fn writing_and_reading_back() {
    let dir = tempfile::tempdir().unwrap();
    assert_eq!(LockFile::read(dir.path()).unwrap(), LockFile::Missing);
    lock().write(dir.path()).unwrap();
    assert_eq!(LockFile::read(dir.path()).unwrap(), LockFile::Lock(lock()));
}

#[test]
fn a_conflict_keeps_what_both_sides_have() {
    let dir = tempfile::tempdir().unwrap();
    let (ours, mut theirs) = (lock(), lock());
    let support: PinName = "support".parse().unwrap();
    theirs.pins.get_mut(&support).unwrap().got = resolved("20261124-aaaabbbbcccc");
    let (ours_text, theirs_text) = (ours.encode().unwrap(), theirs.encode().unwrap());
    let split = ours_text.find("      version: 20261123").unwrap();
    for base in ["", "||||||| base\n      version: 20261001-aaaa\n"] {
        let text = format!(
            "{}<<<<<<< HEAD\n{}{base}=======\n{}>>>>>>> other\n",
            &ours_text[..split],
            &ours_text[split..],
            &theirs_text[split..]
        );
        fs::write(dir.path().join("retune.lock"), text).unwrap();
        let LockFile::Conflict(kept) = LockFile::read(dir.path()).unwrap() else {
            unreachable!("a conflict")
        };
        assert_eq!(
            kept.pins.keys().map(PinName::as_str).collect::<Vec<_>>(),
            ["router"]
        );
    }
}

#[test]
fn problems_by_depth() {
    let project = parse(PROJECT).unwrap();
    let support: PinName = "support".parse().unwrap();
    let sound = |lock: &Lock| -> BTreeMap<PinName, Answer> {
        let answer = |pin: &Pin| Answer {
            locked: Some(pin.got.clone()),
            newest: Some(pin.got.version.clone()),
            replaced_by: None,
        };
        lock.pins
            .iter()
            .map(|(name, pin)| (name.clone(), answer(pin)))
            .collect()
    };
    let say = |lock: &LockFile, answers: &BTreeMap<_, _>, depth| -> Vec<String> {
        check(&project, lock, answers, depth)
            .iter()
            .map(ToString::to_string)
            .collect()
    };
    let file = LockFile::Lock(lock());
    let mut answers = sound(&lock());
    for depth in [Depth::Frozen, Depth::Registry, Depth::Locked] {
        assert_eq!(say(&file, &answers, depth), [""; 0]);
        assert_eq!(
            say(&LockFile::Missing, &answers, depth),
            ["there is no retune.lock: nothing is pinned"]
        );
        assert_eq!(say(&LockFile::Conflict(lock()), &answers, depth).len(), 1);
    }

    answers.get_mut(&support).unwrap().newest = Some("20261124-aaaabbbbcccc".parse().unwrap());
    assert_eq!(say(&file, &answers, Depth::Registry), [""; 0]);
    assert_eq!(
        say(&file, &answers, Depth::Locked),
        ["support: locked to 20261123-3f9a1c2b7d10, the alias points to 20261124-aaaabbbbcccc now"]
    );

    answers
        .get_mut(&support)
        .unwrap()
        .locked
        .as_mut()
        .unwrap()
        .files[0]
        .size = 4;
    assert_eq!(
        say(&file, &answers, Depth::Registry),
        ["support: version 20261123-3f9a1c2b7d10 in the registry is not the one that was locked"]
    );
    assert_eq!(say(&file, &answers, Depth::Frozen), [""; 0]);
    answers.remove(&support);
    let problems = check(&project, &file, &answers, Depth::Registry);
    assert!(problems[0].is_integrity(), "{problems:?}");

    let mut stale = lock();
    stale.pins.get_mut(&support).unwrap().ask.asked = Asked::Alias("canary".parse().unwrap());
    let router = stale
        .pins
        .remove(&"router".parse::<PinName>().unwrap())
        .unwrap();
    stale.pins.insert("other".parse().unwrap(), router);
    assert_eq!(
        say(&LockFile::Lock(stale), &answers, Depth::Frozen),
        [
            "router: not in retune.lock",
            "support: retune.yaml asks for acme/support:production, the lock was made for acme/support:canary",
            "other: in retune.lock, but not in retune.yaml",
        ]
    );
}
