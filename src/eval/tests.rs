#![allow(clippy::unwrap_used)]

use std::fs;
use std::path::Path;

use super::*;
use crate::digest::Digest;
use crate::store::Store;

fn suite_from(yaml: &str, rows: &str) -> Result<Suite, Vec<String>> {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("suite.yaml");
    fs::write(&path, yaml).unwrap();
    fs::write(dir.path().join("cases.jsonl"), rows).unwrap();
    Suite::read(&path).map_err(|error| match error {
        EvalError::Suite(faults) => {
            let root = format!("{}/", dir.path().display());
            let faults = faults.as_slice().iter();
            faults
                .map(|fault| fault.to_string().replace(&root, ""))
                .collect()
        }
        other => vec![other.to_string()],
    })
}

const YAML: &str = "version: 1\nname: intents\ntask: classification\ncases: cases.jsonl\n";

fn small() -> Suite {
    let rows = "{\"id\":\"t2\",\"vars\":{\"text\":\"where is it\"},\"target\":\"where\"}\n\
                {\"id\":\"t1\",\"text\":\"give it back\",\"label\":\"refund\"}\n";
    suite_from(YAML, rows).unwrap()
}

#[test]
fn both_row_shapes_give_the_same_case() {
    let promptfoo = "{\"vars\":{\"text\":\"a b\"},\"target\":\" x \",\"metadata\":{\"k\":[1.5]}}\n";
    let plain = "{\"text\":\"a b\",\"label\":\"x\"}";
    let ours = suite_from(YAML, plain).unwrap();
    assert_eq!(suite_from(YAML, promptfoo).unwrap(), ours);
    let mapped = format!("{YAML}fields: {{text: q.t, label: intent}}\n");
    assert_eq!(
        suite_from(
            &mapped,
            "{\"q\":{\"t\":\"a b\"},\"intent\":\"x\",\"more\":1}"
        )
        .unwrap(),
        ours
    );
    // python3: sha256(json.dumps({"schema":"retune.case/1","target":"x","vars":{"text":"a b"}},indent=2)+"\n")
    assert_eq!(ours.cases()[0].id, "ab125df304af");
}

#[test]
fn identity_binds_every_text_label_id_and_name_but_not_order() {
    let id = |suite: Suite| suite.id().unwrap();
    let base = "{\"id\":\"1\",\"text\":\"a\",\"label\":\"x\"}\n{\"id\":\"2\",\"text\":\"b\",\"label\":\"y\"}\n";
    let reference = id(suite_from(YAML, base).unwrap());
    let turned: String = base.lines().rev().map(|line| format!("{line}\n")).collect();
    assert_eq!(id(suite_from(YAML, &turned).unwrap()), reference);
    for (from, to) in [("\"a\"", "\"A\""), ("\"x\"", "\"z\""), ("\"1\"", "\"3\"")] {
        let other = suite_from(YAML, &base.replacen(from, to, 1)).unwrap();
        assert_ne!(id(other), reference, "{from} {to}");
    }
    let renamed = YAML.replace("intents", "other");
    assert_ne!(id(suite_from(&renamed, base).unwrap()), reference);
}

#[test]
fn every_faulty_line_is_named() {
    let rows = "{\"text\":\"a\",\"label\":\"x\"}\n\
                {\"text\":\"a\",\"label\":\"x\"}\n\
                {\"text\":\"a\"}\n\
                \n\
                {\"text\":\" \",\"label\":\"x\"}\n\
                {\"text\":\"b\",\"label\":\"x\",\"assert\":[]}\n\
                {\"id\":\"\",\"text\":\"b\",\"label\":\"x\"}\n\
                {\"text\":1,\"label\":\"x\"}\n\
                not json\n";
    let faults = suite_from(YAML, rows).unwrap_err();
    let lines: Vec<&str> = faults
        .iter()
        .map(|f| f.split(": ").next().unwrap())
        .collect();
    let expected: Vec<String> = (2..=9).map(|line| format!("cases.jsonl:{line}")).collect();
    assert_eq!(lines, expected, "{faults:#?}");
    assert!(faults[0].ends_with("is already on line 1"), "{}", faults[0]);
    assert!(
        faults[4].contains("unknown field `assert`"),
        "{}",
        faults[4]
    );
}

#[test]
fn every_faulty_key_is_named() {
    let yaml = "version: 2\nname: Intents\ntask: classification\nsplits: {gate: cases.jsonl}\ncases: cases.jsonl\n";
    let faults = suite_from(yaml, "").unwrap_err();
    assert_eq!(faults.len(), 3, "{faults:#?}");
    let faults = suite_from("version: 1\nnmae: x\ntask: classification\n", "").unwrap_err();
    assert!(
        faults
            .iter()
            .any(|fault| fault.ends_with("did you mean `name`?")),
        "{faults:#?}"
    );
    assert_eq!(
        suite_from(YAML, "").unwrap_err(),
        ["cases.jsonl: there is no case"]
    );
    let many = "x\n".repeat(50);
    let faults = suite_from(YAML, &many).unwrap_err();
    assert_eq!(faults.len(), 21);
    assert!(faults[20].contains("30 more faults"));
}

#[test]
fn a_missing_file_is_a_fault() {
    let error = Suite::read(Path::new("/nowhere/suite.yaml")).unwrap_err();
    assert!(matches!(error, EvalError::Suite(_)));
}

fn subject() -> Subject {
    Subject::Majority {
        dataset: Digest::of(b"dataset").into(),
    }
}

fn report(suite: &Suite) -> Report {
    let answers = vec![
        Answer::Label("refund".to_owned()),
        Answer::Error("timed out".to_owned()),
    ];
    Report::new(suite, subject(), vec!["refund".to_owned()], answers).unwrap()
}

#[test]
fn suites_and_reports_come_back_from_the_store() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::create(dir.path()).unwrap();
    let suite = small();
    let id = suite.store(&store).unwrap();
    assert_eq!(id, suite.id().unwrap());
    assert_eq!(Suite::load(&store, &id).unwrap(), suite);
    let report = report(&suite);
    let report_id = report.store(&store).unwrap();
    assert_eq!(Report::load(&store, &report_id).unwrap(), report);
    assert_eq!(report.store(&store).unwrap(), report_id);
    assert_eq!(report.mismatches(&suite, &id), []);
    // One is not the other.
    assert!(matches!(
        Report::load(&store, &id.digest().into()),
        Err(EvalError::Document { .. })
    ));
    assert!(
        Suite::load(&store, &report_id.digest().into())
            .unwrap_err()
            .is_integrity()
    );
}

#[test]
fn an_error_counts_as_wrong_and_stays_counted() {
    let report = report(&small());
    assert_eq!(report.metrics.accuracy.get(), 0.5);
    assert_eq!((report.metrics.n, report.metrics.errors), (2, 1));
    assert_eq!(report.metrics.per_label["where"].support, 1);
}

#[test]
fn a_report_that_does_not_fit_says_how() {
    let suite = small();
    let id = suite.id().unwrap();
    let check = |change: &dyn Fn(&mut Report)| {
        let mut report = report(&suite);
        change(&mut report);
        report.mismatches(&suite, &id)
    };
    let case = |id: &str| id.to_owned();
    assert_eq!(
        check(&|r| drop(r.cases.remove(0))),
        [Mismatch::Missing(case("t1")), Mismatch::Metrics]
    );
    assert_eq!(
        check(&|r| r.cases.push(r.cases[0].clone())),
        [Mismatch::Duplicate(case("t1")), Mismatch::Metrics]
    );
    assert_eq!(
        check(&|r| r.cases[0].id = case("t9")),
        [Mismatch::Missing(case("t1")), Mismatch::Unknown(case("t9"))]
    );
    assert_eq!(
        check(&|r| r.cases[0].correct = false),
        [Mismatch::Contradiction(case("t1"))]
    );
    assert_eq!(
        check(&|r| r.cases[1].error = None),
        [Mismatch::Contradiction(case("t2")), Mismatch::Metrics]
    );
    assert!(
        check(&|r| r.cases[1].expected = case("other")).contains(&Mismatch::Expected(case("t2")))
    );
    assert_eq!(check(&|r| r.metrics.n = 3), [Mismatch::Metrics]);
    let other = SuiteId::from(Digest::of(b"other"));
    assert_eq!(check(&|r| r.suite = other), [Mismatch::Suite(other)]);
}

#[test]
fn as_many_answers_as_cases() {
    let error = Report::new(&small(), subject(), Vec::new(), Vec::new()).unwrap_err();
    assert_eq!(
        error.to_string(),
        "0 answers for the 2 cases of suite intents"
    );
}

#[test]
fn subjects_have_one_identity_each() {
    let subjects = [
        subject(),
        Subject::Centroid {
            base: Digest::of(b"base").into(),
            dataset: Digest::of(b"dataset").into(),
        },
    ];
    let digests = subjects.each_ref().map(|subject| subject.digest().unwrap());
    assert_ne!(digests[0], digests[1]);
    let text = serde_json::to_string(&subjects[1]).unwrap();
    assert_eq!(serde_json::from_str::<Subject>(&text).unwrap(), subjects[1]);
    assert!(text.contains("\"kind\":\"centroid\""));
}

#[test]
fn the_majority_label() {
    assert_eq!(majority(["b", "a", "b", "c"]), Some("b"));
    assert_eq!(majority(["b", "a"]), Some("a"), "the first of equals");
    assert_eq!(majority([]), None);
}

#[test]
fn the_nearest_centroid_goes_by_angle() {
    let labels = ["east", "north", "east"];
    let embeddings = [1.0, 0.1, 0.0, 5.0, 100.0, -10.0];
    let centroids = Centroids::fit(&labels, &embeddings, 2).unwrap();
    assert_eq!(centroids.labels(), ["east", "north"]);
    // East's examples are weighted alike however long they are: (1, 0.1) and (100, -10) sum to due east.
    for (embedding, label) in [
        ([0.1, 0.01], "east"),
        ([3.0, 4.0], "north"),
        ([1.0, 1.0], "east"),
    ] {
        assert_eq!(
            centroids.answer(&embedding),
            Answer::Label(label.to_owned()),
            "{embedding:?}"
        );
    }
    for bad in [&[0.0, 0.0][..], &[f32::NAN, 1.0], &[1.0]] {
        assert!(matches!(centroids.answer(bad), Answer::Error(_)), "{bad:?}");
    }
    assert!(Centroids::fit(&labels, &embeddings, 3).is_err());
    assert!(Centroids::fit(&["a"], &[0.0, 0.0], 2).is_err());
    assert!(Centroids::fit(&[], &[], 2).is_err());
}

#[test]
fn packing_keeps_every_row_once_and_the_budget() {
    let lengths = [3, 9, 1, 4, 12, 3, 0];
    let inputs: Vec<Vec<u32>> = lengths
        .iter()
        .enumerate()
        .map(|(row, length)| vec![row as u32; *length])
        .collect();
    let batches = pack(&inputs, 10);
    let rows: Vec<&[usize]> = batches.iter().map(|batch| &batch.rows[..]).collect();
    assert_eq!(rows, [&[6, 2, 0, 5][..], &[3], &[1], &[4]]);
    for batch in &batches {
        assert_eq!(batch.offsets.len(), batch.rows.len() + 1);
        for (index, row) in batch.rows.iter().enumerate() {
            let ids = &batch.ids[batch.offsets[index]..batch.offsets[index + 1]];
            assert_eq!(ids, inputs[*row]);
        }
    }
    assert!(pack(&[], 10).is_empty());
}

#[test]
fn metadata_groups_cases_and_is_part_of_the_suite() {
    let plain = "{\"id\":\"1\",\"text\":\"a\",\"label\":\"x\"";
    let with =
        |metadata: &str| suite_from(YAML, &format!("{plain},\"metadata\":{metadata}}}")).unwrap();
    let suite = with(
        "{\"locale\":\"de\",\"turn\":2,\"new\":true,\"notes\":[\"for people\"],\"none\":null}",
    );
    let case = &suite.cases()[0];
    for (key, value) in [
        ("label", Some("x")),
        ("metadata.locale", Some("de")),
        ("metadata.turn", Some("2")),
        ("metadata.new", Some("true")),
        ("metadata.notes", None),
        ("metadata.none", None),
        ("locale", None),
    ] {
        assert_eq!(case.value(key), value, "{key}");
    }
    assert_ne!(suite.id().unwrap(), with("{}").id().unwrap());
    // The derived id of a case is that of its text and label.
    let derived = |row: &str| suite_from(YAML, row).unwrap().cases()[0].id.clone();
    assert_eq!(
        derived("{\"text\":\"a\",\"label\":\"x\",\"metadata\":{\"k\":\"v\"}}"),
        derived("{\"text\":\"a\",\"label\":\"x\"}")
    );
    let dir = tempfile::tempdir().unwrap();
    let store = Store::create(dir.path()).unwrap();
    let id = suite.store(&store).unwrap();
    assert_eq!(Suite::load(&store, &id).unwrap(), suite);
}

#[test]
fn the_content_of_a_suite_is_the_suite_without_its_name() {
    let rows = "{\"id\":\"1\",\"text\":\"a\",\"label\":\"x\"}";
    let content = |yaml: &str, rows: &str| suite_from(yaml, rows).unwrap().content().unwrap();
    let renamed = YAML.replace("intents", "other");
    assert_eq!(content(YAML, rows), content(&renamed, rows));
    assert_ne!(
        content(YAML, rows),
        content(YAML, &rows.replace("\"a\"", "\"b\""))
    );
}

#[test]
fn repeated_answers_have_to_be_complete() {
    let suite = small();
    let id = suite.id().unwrap();
    let mut report = report(&suite);
    let twice: Vec<_> = report
        .cases
        .iter()
        .map(|case| CaseResult {
            repeat: 1,
            ..case.clone()
        })
        .collect();
    report.cases.extend(twice);
    report.metrics.n = 4;
    report.metrics.errors = 2;
    for label in report.metrics.per_label.values_mut() {
        label.support *= 2;
    }
    assert_eq!(report.repeats(), 2);
    assert_eq!(report.mismatches(&suite, &id), []);
    let last = report.cases.pop().unwrap();
    assert!(
        report
            .mismatches(&suite, &id)
            .contains(&Mismatch::Missing(last.id))
    );
}

const TEXTS: &str = "version: 1\nname: answers\ntask: generation\ncases: cases.jsonl\n";

#[test]
fn texts_are_asked_for_by_prompt_or_conversation() {
    let rows = "{\"id\":\"a\",\"prompt\":\"2+2=\",\"completion\":\" 4\"}\n\
                {\"id\":\"b\",\"prompt\":\"2+2=\",\"target\":\"\"}\n\
                {\"id\":\"c\",\"messages\":[{\"role\":\"system\",\"content\":\"s\"},{\"role\":\"user\",\"content\":\"q\"},{\"role\":\"assistant\",\"content\":\"a\"}]}\n\
                {\"id\":\"d\",\"messages\":[{\"role\":\"user\",\"content\":\"q\"}],\"target\":\"a\"}\n";
    let suite = suite_from(TEXTS, rows).unwrap();
    let cases: Vec<(&str, &str, usize)> = suite
        .cases()
        .iter()
        .map(|case| (case.text.as_str(), case.label.as_str(), case.messages.len()))
        .collect();
    assert_eq!(
        cases,
        [
            ("2+2=", " 4", 0),
            ("2+2=", "", 0),
            ("q", "a", 2),
            ("q", "a", 1)
        ]
    );
    let (_dir, store) = {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::create(&dir.path().join("store")).unwrap();
        (dir, store)
    };
    let id = suite.store(&store).unwrap();
    assert_eq!(Suite::load(&store, &id).unwrap(), suite);
}

#[test]
fn how_texts_are_generated_is_part_of_the_suite() {
    let row = "{\"prompt\":\"p\",\"target\":\"t\"}\n";
    let id = |more: &str| {
        let suite = suite_from(&format!("{TEXTS}{more}"), row).unwrap();
        (suite.id().unwrap(), suite.content().unwrap())
    };
    let reference = id("");
    assert_eq!(
        id("generate: {max_tokens: 256, temperature: 0}\n"),
        reference
    );
    for more in [
        "generate: {max_tokens: 255}\n",
        "generate: {stop: [a]}\n",
        "generate: {temperature: 1}\n",
        "generate: {temperature: 1, seed: 1}\n",
        "generate: {temperature: 1, top_p: 0.5}\n",
        "generate: {temperature: 1, top_k: 5}\n",
        "generate: {temperature: 1}\nrepeats: 2\n",
    ] {
        let other = id(more);
        assert!(other.0 != reference.0 && other.1 != reference.1, "{more}");
    }
}

#[test]
fn what_texts_cannot_be_generated_by_is_named() {
    let faults = |yaml: &str, row: &str| suite_from(yaml, row).unwrap_err();
    let row = "{\"prompt\":\"p\",\"target\":\"t\"}";
    let wrong = "generate: {max_tokens: 0, temperature: -1, top_k: 0, stop: ['']}\n";
    assert_eq!(faults(&format!("{TEXTS}{wrong}"), row).len(), 5);
    let drawn = faults(&format!("{TEXTS}generate: {{seed: 1, top_p: 0.5}}\n"), row);
    assert!(
        drawn.iter().all(|f| f.contains("nothing is drawn")),
        "{drawn:?}"
    );
    let repeated = faults(&format!("{TEXTS}repeats: 2\n"), row);
    assert!(
        repeated[0].contains("every answer is the same"),
        "{repeated:?}"
    );
    let labels = faults(&format!("{YAML}generate: {{}}\nrepeats: 1\n"), row);
    assert_eq!(labels.len(), 2, "{labels:?}");
    for (row, what) in [
        ("{\"prompt\":\"p\"}", "no answer to compare with"),
        ("{\"prompt\":\"\",\"target\":\"t\"}", "the prompt is empty"),
        (
            "{\"target\":\"t\"}",
            "either `prompt`, `messages` or `vars`",
        ),
        (
            "{\"prompt\":\"p\",\"target\":\"t\",\"completion\":\"c\"}",
            "keep one",
        ),
        (
            "{\"messages\":[{\"role\":\"system\",\"content\":\"s\"}],\"target\":\"t\"}",
            "the user's",
        ),
        (
            "{\"messages\":[{\"role\":\"tool\",\"content\":\"s\"}],\"target\":\"t\"}",
            "tool",
        ),
    ] {
        let found = faults(TEXTS, row);
        assert!(found[0].contains(what), "{row}: {found:?}");
    }
}

#[test]
fn texts_are_graded_and_graded_again() {
    let rows = "{\"id\":\"a\",\"prompt\":\"p\",\"target\":\" yes\"}\n{\"id\":\"b\",\"prompt\":\"q\",\"target\":\"no\"}\n";
    let suite = suite_from(TEXTS, rows).unwrap();
    let id = suite.id().unwrap();
    let said = |text: &str| Answer::Text {
        text: text.to_owned(),
        measures: Default::default(),
    };
    let subject = Subject::Base {
        base: Digest::of(b"base").into(),
    };
    let made = Report::new(
        &suite,
        subject,
        Vec::new(),
        vec![said("yes\n"), said("yes")],
    )
    .unwrap();
    assert_eq!(made.metrics.accuracy.get(), 0.5);
    assert_eq!(made.metrics.scores["exact_match"].get(), 0.5);
    assert_eq!(made.metrics.macro_f1, None);
    assert_eq!(made.mismatches(&suite, &id), []);
    // A pass that the stored answer does not deserve.
    let mut forged = made.clone();
    forged.cases[1].correct = true;
    assert!(
        forged
            .mismatches(&suite, &id)
            .contains(&Mismatch::Graded("b".to_owned()))
    );
    let mut forged = made.clone();
    forged.cases[1].predicted = Some("no".to_owned());
    assert_eq!(
        forged.mismatches(&suite, &id),
        [Mismatch::Graded("b".to_owned())]
    );
    let mut forged = made;
    forged.metrics.scores.clear();
    assert_eq!(forged.mismatches(&suite, &id), [Mismatch::Metrics]);
}

#[test]
fn a_promptfoo_line_is_a_case() {
    let yaml = format!(
        "{TEXTS}prompt: 'Classify: {{{{text}}}}'\ndefaultTest: {{assert: [{{type: equals, value: '{{{{target}}}}', metric: exact_match}}]}}\n"
    );
    let rows = r#"{"description": "d", "vars": {"text": "money back", "n": 2}, "target": "refund", "assert": [{"type": "not-icontains", "value": "sorry"}, {"type": "regex", "value": "^{{target}}$", "metric": "shape", "weight": 2}], "threshold": 0.5, "metadata": {"intent": "billing"}}"#;
    let suite = suite_from(&yaml, rows).unwrap();
    let case = &suite.cases()[0];
    assert_eq!(
        (case.text.as_str(), case.label.as_str()),
        ("Classify: money back", "refund")
    );
    assert_eq!(case.value("metadata.intent"), Some("billing"));
    assert_eq!(case.threshold.map(|least| least.get()), Some(0.5));
    assert_eq!(case.graders.len(), 2, "{:?}", case.graders);
    let (sorry, shape) = (&case.graders[0], &case.graders[1]);
    assert!(sorry.not && sorry.metric == "not_icontains");
    let expression = Rule::Regex {
        value: "^refund$".to_owned(),
    };
    assert_eq!(
        (&shape.rule, shape.weight.map(|w| w.get())),
        (&expression, Some(2.0))
    );
    let all = suite.graders();
    assert_eq!(all.len(), 1);
    assert_eq!(
        all[0].rule,
        Rule::Equals {
            value: None,
            normalise: Vec::new()
        }
    );
    // Without an id, everything that is given and demanded makes one.
    for (from, to) in [
        ("money", "Money"),
        ("refund\"", "refuse\""),
        ("sorry", "Sorry"),
    ] {
        let other = suite_from(&yaml, &rows.replacen(from, to, 1)).unwrap();
        assert_ne!(other.cases()[0].id, case.id, "{from}");
    }
    let dir = tempfile::tempdir().unwrap();
    let store = Store::create(&dir.path().join("store")).unwrap();
    let id = suite.store(&store).unwrap();
    assert_eq!(Suite::load(&store, &id).unwrap(), suite);
}

#[test]
fn conversations_are_filled_in_and_defaults_too() {
    let yaml = format!(
        "{TEXTS}messages: [{{role: system, content: 'Answer in {{{{language}}}}.'}}, {{role: user, content: '{{{{ text }}}}'}}]\n\
         defaultTest:\n  vars: {{language: French}}\n  assert:\n  - {{type: contains, value: 'le {{{{text}}}}'}}\n  - {{type: is-json, value: 'type: object'}}\n"
    );
    let suite = suite_from(&yaml, "{\"vars\": {\"text\": \"chat\"}}\n{\"id\": \"2\", \"vars\": {\"text\": \"nom\", \"language\": \"Latin\"}}\n").unwrap();
    let by = |id: &str| {
        suite
            .cases()
            .iter()
            .find(|case| (case.id == "2") == (id == "2"))
            .unwrap()
    };
    let (first, second) = (by("1"), by("2"));
    assert_eq!(first.messages[0].content, "Answer in French.");
    assert_eq!(second.messages[0].content, "Answer in Latin.");
    assert_eq!((first.text.as_str(), first.label.as_str()), ("chat", ""));
    let contains = Rule::Contains {
        values: vec!["le chat".to_owned()],
        all: false,
        ignore_case: false,
    };
    assert_eq!(first.graders[0].rule, contains);
    let schema = Rule::IsJson {
        schema: Some("{\"type\":\"object\"}".to_owned()),
    };
    assert_eq!(suite.graders()[0].rule, schema);
}

#[test]
fn every_kind_of_demand_is_read() {
    let demands = r#"[
        {"type": "equals", "value": {"a": 1}}, {"type": "equals", "value": "x", "normalize": ["trim", "casefold", "nfc"]}, {"type": "equals-json"},
        {"type": "contains", "value": "x"}, {"type": "contains-any", "value": "a, b"}, {"type": "icontains-all", "value": ["a", "b"]},
        {"type": "starts-with", "value": "x"}, {"type": "not-regex", "value": "x"}, {"type": "contains-json"},
        {"type": "numeric", "tolerance": 0.5}, {"type": "numeric", "relative_tolerance": 0.5}, {"type": "choice", "choices": ["t", "u"]},
        {"type": "set-f1", "threshold": 1}, {"type": "token-f1", "threshold": 0.5}, {"type": "rouge-l"}, {"type": "bleu", "value": "y", "threshold": 0.2},
        {"type": "levenshtein", "threshold": 3}, {"type": "command", "command": ["grade"], "timeout_s": 5}, {"type": "latency", "threshold": 900},
        {"type": "cost", "threshold": 0.001, "weight": 0}]"#;
    let row = format!(
        "{{\"prompt\": \"p\", \"target\": \"t\", \"assert\": {}}}",
        demands.replace('\n', "")
    );
    let suite = suite_from(TEXTS, &row).unwrap();
    assert_eq!(suite.cases()[0].graders.len(), 20);
    let needs: Vec<_> = suite.needs().into_iter().collect();
    assert_eq!(needs, ["cost_usd", "latency_ms"]);
}

#[test]
fn demands_that_make_no_sense_are_named_with_their_line() {
    for (demand, what) in [
        (r#"{"type": "equal"}"#, "did you mean `equals`"),
        (r#"{"type": "javascript", "value": "1"}"#, "write a program"),
        (
            r#"{"type": "factuality", "value": "nice"}"#,
            "is not supported",
        ),
        (
            r#"{"type": "llm-rubric", "value": "nice"}"#,
            "the suite has to name who judges",
        ),
        (
            r#"{"type": "similar", "value": "nice"}"#,
            "the suite has to name the base that embeds",
        ),
        (r#"{"type": "regex", "value": "("}"#, "unclosed"),
        (r#"{"type": "regex"}"#, "say `value`"),
        (
            r#"{"type": "is-json", "value": "type: 7"}"#,
            "not a JSON Schema",
        ),
        (
            r#"{"type": "is-json", "value": {"$ref": "http://example.org/x.json"}}"#,
            "not a JSON Schema",
        ),
        (r#"{"type": "token-f1"}"#, "say `threshold`"),
        (r#"{"type": "rouge-l", "threshold": 2}"#, "0 to 1"),
        (
            r#"{"type": "contains-any", "value": []}"#,
            "none of them empty",
        ),
        (r#"{"type": "equals", "threshold": 1}"#, "means nothing"),
        (r#"{"type": "equals", "transform": "x"}"#, "unknown field"),
        (
            r#"{"type": "equals", "value": "{{x}}"}"#,
            "no \"x\" to fill in",
        ),
        (
            r#"{"type": "equals", "metric": "latency_ms"}"#,
            "take another name",
        ),
        (
            r#"{"type": "choice", "value": "v", "choices": ["t", "u"]}"#,
            "none of the choices",
        ),
        (r#"{"type": "numeric", "tolerance": -1}"#, "at least 0"),
        (r#"{"type": "command"}"#, "say `command`"),
        (r#"{"type": "latency"}"#, "how many milliseconds"),
    ] {
        let row = format!("{{\"prompt\": \"p\", \"target\": \"t\", \"assert\": [{demand}]}}");
        let faults = suite_from(TEXTS, &row).unwrap_err();
        assert!(
            faults[0].starts_with("cases.jsonl:1: ") && faults[0].contains(what),
            "{demand}: {faults:?}"
        );
    }
    let twice = r#"{"prompt": "p", "assert": [{"type": "command", "command": ["a"], "metric": "m"}, {"type": "regex", "value": "a", "metric": "m"}]}"#;
    let faults = suite_from(TEXTS, twice).unwrap_err();
    assert!(faults[0].contains("a `metric` of its own"), "{faults:?}");
    let suite = format!(
        "{TEXTS}defaultTest: {{assert: [{{type: equals}}, {{type: nonsense}}], threshold: 2}}\n"
    );
    let faults = suite_from(&suite, twice).unwrap_err();
    assert!(
        faults.iter().any(|f| f.contains("defaultTest.assert[1]")),
        "{faults:?}"
    );
    assert_eq!(faults.len(), 2, "{faults:?}");
    let without = suite_from(TEXTS, r#"{"vars": {"text": "a"}, "target": "t"}"#).unwrap_err();
    assert!(
        without[0].contains("needs the suite's `prompt`"),
        "{without:?}"
    );
}
