#![allow(clippy::unwrap_used)]

use std::path::Path;

use serde_json::{Value, json};

use super::declared::Api;
use super::file::TargetFile;
use super::journal::{Journal, sealed};
use super::*;
use crate::digest::Digest;
use crate::eval::{Case, EvalError, Settings};

const ENDPOINT: &str = "\
version: 1
kind: endpoint
url: http://127.0.0.1:8000/v1/
api: chat
model: m-1
";

fn read(text: &str) -> Result<TargetFile, Vec<String>> {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("target.yaml");
    std::fs::write(&path, text).unwrap();
    TargetFile::read(&path).map_err(|error| match error {
        EvalError::Target(faults) => {
            let root = format!("{}/", dir.path().display());
            let faults = faults.as_slice().iter();
            faults
                .map(|fault| fault.to_string().replace(&root, ""))
                .collect()
        }
        other => vec![other.to_string()],
    })
}

fn case() -> Case {
    Case {
        id: "c1".to_owned(),
        text: "two coffees".to_owned(),
        label: "2".to_owned(),
        ..Case::default()
    }
}

#[test]
fn what_cannot_change_an_answer_is_no_part_of_the_identity() {
    let plain = read(ENDPOINT).unwrap();
    let terms =
        "key: {env: KEY}\nconcurrency: 3\nattempts: 2\nlimits: {requests: 9}\ncache: true\n";
    let other = read(&format!("{ENDPOINT}{terms}")).unwrap();
    assert_eq!(other.target, plain.target);
    assert_eq!(other.key.as_deref(), Some("KEY"));
    assert_eq!((other.terms.concurrency, other.terms.attempts), (3, 2));
    assert_eq!(plain.target.expected_model(), Some("m-1"));
    let turned = |body: &str| read(&format!("{ENDPOINT}body: {body}\n")).unwrap().target;
    assert_eq!(
        turned("{b: 1, a: {d: 2, c: 3}}"),
        turned("{a: {c: 3, d: 2}, b: 1}")
    );
    assert_ne!(turned("{a: 1}"), plain.target);
}

#[test]
fn every_fault_of_a_target_is_told_at_once() {
    let text = "\
version: 2
kind: endpoint
url: https://user:secret@host/v1
api: chat
model: ' '
key: {env: sk-12ab}
file: outputs.jsonl
concurrency: 0
body: {temperature: 1, seed: null}
limits: {cost_usd: 3}
";
    let faults = read(text).unwrap_err();
    for expected in [
        "target.yaml:1: version: ",
        "target.yaml:3: url: the address is recorded",
        "target.yaml:5: model: which model id",
        "target.yaml:6: key.env: the name of an environment variable",
        "target.yaml:7: file: means nothing for `kind: endpoint`",
        "target.yaml:8: concurrency: 1 to 256",
        "target.yaml:9: body.temperature: the suite",
        "target.yaml:9: body.seed: the suite",
        "target.yaml:10: limits.cost_usd: what a call costs is known only with `prices`",
    ] {
        let told = faults.iter().any(|fault| fault.starts_with(expected));
        assert!(told, "{expected}: {faults:#?}");
    }
    assert!(!faults.concat().contains("sk-12ab"), "{faults:?}");
    let typo = read(&ENDPOINT.replace("model:", "modle:")).unwrap_err();
    assert!(typo[0].contains("did you mean"), "{typo:?}");
    let program = "version: 1\nkind: command\ncommand: []\nurl: http://x\n";
    assert_eq!(read(program).unwrap_err().len(), 2);
}

#[test]
fn a_request_is_what_the_suite_and_the_target_say() {
    let settings = Settings {
        max_tokens: 5,
        stop: vec!["\n".to_owned()],
        ..Settings::default()
    };
    let extra = json!({"max_tokens": null, "max_completion_tokens": 9});
    let extra = extra.as_object().unwrap();
    let body = |api| request::body(api, "m", &case(), 0, &settings, &serde_json::Map::new());
    assert_eq!(
        body(Api::Chat),
        json!({"model": "m", "messages": [{"role": "user", "content": "two coffees"}],
               "max_tokens": 5, "temperature": 0.0, "stop": ["\n"]})
    );
    assert_eq!(body(Api::Completions)["prompt"], "two coffees");
    let more = request::body(Api::Chat, "m", &case(), 0, &settings, extra);
    assert_eq!(more.get("max_tokens"), None);
    assert_eq!(more["max_completion_tokens"], 9);
    // Draws differ between repeats and cases, and not between calls.
    let drawn = Settings {
        temperature: crate::document::Decimal::new(0.7).unwrap(),
        ..settings.clone()
    };
    let seed = |repeat| {
        let none = serde_json::Map::new();
        request::body(Api::Chat, "m", &case(), repeat, &drawn, &none)["seed"].clone()
    };
    assert_eq!(seed(0), seed(0));
    assert_ne!(seed(0), seed(1));
    assert!(seed(0).as_u64().unwrap() < 1 << 31);
}

#[test]
fn replies_are_read_as_openai_writes_them() {
    let settings = Settings {
        stop: vec!["END".to_owned()],
        ..Settings::default()
    };
    let reply = |value: Value| request::reply(&value.to_string(), &settings);
    let chat = reply(json!({
        "model": "m-1", "choices": [{"message": {"content": "two END more"}, "finish_reason": "length"}],
        "usage": {"prompt_tokens": 7, "completion_tokens": 3, "total_tokens": 10}, "id": "x"
    }));
    let chat = chat.unwrap();
    assert_eq!(chat.text.as_deref(), Some("two "));
    assert_eq!((chat.prompt_tokens, chat.output_tokens), (Some(7), Some(3)));
    assert_eq!(chat.complete, Some(true), "it ended before the stop text");
    let cut = reply(json!({"model": "m", "choices": [{"text": "two", "finish_reason": "length"}]}));
    assert_eq!(cut.unwrap().complete, Some(false));
    let refused =
        reply(json!({"model": "m", "choices": [{"message": {"content": null, "refusal": "no"}}]}));
    assert!(refused.unwrap().error.unwrap().contains("no"));
    assert!(reply(json!({"choices": []})).is_err());
    assert!(request::reply("<html>", &settings).is_err());
}

#[test]
fn a_journal_drops_a_torn_end_and_refuses_any_other_damage() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("j/x.journal");
    let about = Digest::of(b"this");
    let open = |path: &Path| Journal::open(path, about).map(|(_, known)| known);
    let answer = |text: &str| answered::Said {
        text: Some(text.to_owned()),
        latency_ms: Some(0.1),
        ..Default::default()
    };
    {
        let (mut journal, known) = Journal::open(&path, about).unwrap();
        assert!(known.is_empty());
        assert!(matches!(open(&path), Err(EvalError::Busy(_))));
        journal.add("a", 0, &answer("eins")).unwrap();
        journal.add("a", 1, &answer("zwei")).unwrap();
    }
    let whole = std::fs::read(&path).unwrap();
    assert_eq!(open(&path).unwrap()[&("a".to_owned(), 1)], answer("zwei"));
    let second = whole
        .iter()
        .enumerate()
        .filter(|(_, byte)| **byte == b'\n')
        .nth(1)
        .unwrap()
        .0;
    // Torn anywhere in its last line: the others are there, and it can be gone on with.
    for end in second + 1..whole.len() {
        std::fs::write(&path, &whole[..end]).unwrap();
        assert_eq!(open(&path).unwrap().len(), 1, "{end}");
    }
    let (mut journal, _) = Journal::open(&path, about).unwrap();
    journal.add("a", 1, &answer("zwei")).unwrap();
    drop(journal);
    assert_eq!(std::fs::read(&path).unwrap(), whole);
    // A changed byte in a line that was finished, wherever it is.
    for at in 0..whole.len() - 1 {
        let mut bytes = whole.clone();
        bytes[at] ^= 1;
        std::fs::write(&path, &bytes).unwrap();
        let error = open(&path);
        assert!(
            matches!(error, Err(EvalError::Journal { .. })),
            "{at}: {error:?}"
        );
    }
    let doubled = [&whole[..], &whole[second + 1..]].concat();
    std::fs::write(&path, doubled).unwrap();
    let error = open(&path).unwrap_err();
    assert!(error.to_string().contains(":4 is damaged"), "{error}");
    assert!(error.is_integrity());
    let other = sealed(&json!({"schema": "retune.journal/1", "about": Digest::of(b"that")}));
    std::fs::write(&path, other.unwrap()).unwrap();
    assert!(
        open(&path)
            .unwrap_err()
            .to_string()
            .contains("something else")
    );
}
