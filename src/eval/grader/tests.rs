#![allow(clippy::unwrap_used)]

use std::collections::BTreeMap;

use serde::Deserialize;

use super::{Grader, Grades, Hearing, Likeness, Marker, Normalise, Opinions, Rule, overlap};
use crate::document::Decimal;
use crate::eval::{Answer, Case, Generation, Report, Settings, Subject, Suite, Task};

fn decimal(value: f64) -> Decimal {
    Decimal::new(value).unwrap()
}

fn case(target: &str) -> Case {
    Case {
        label: target.to_owned(),
        ..Case::default()
    }
}

fn fresh(opinions: &Opinions) -> Hearing<'_> {
    Hearing::Fresh {
        opinions,
        repeat: 0,
    }
}

fn grade(graders: &[Grader], case: &Case, output: &str) -> Result<Grades, String> {
    let marker = Marker::new(graders)?;
    marker.grade(case, output, &BTreeMap::new(), fresh(&Opinions::default()))
}

fn holds(rule: Rule, target: &str, output: &str) -> bool {
    let grades = grade(&[Grader::new("m", rule)], &case(target), output);
    grades.unwrap().passed
}

#[test]
fn equal_is_byte_for_byte_but_for_what_is_taken_out() {
    let equals = |normalise: &[Normalise], target: &str, output: &str| {
        let rule = Rule::Equals {
            value: None,
            normalise: normalise.to_vec(),
        };
        holds(rule, target, output)
    };
    assert!(equals(&[], "Refund", "Refund"));
    assert!(!equals(&[], "Refund", "refund"));
    assert!(!equals(&[], "Refund", "Refund\n"));
    assert!(equals(&[Normalise::Trim], "Refund", "\n Refund "));
    assert!(equals(&[Normalise::Casefold], "Straße", "STRAßE"));
    assert!(equals(&[Normalise::Nfc], "caf\u{e9}", "cafe\u{301}"));
    assert!(!equals(&[Normalise::Trim], "caf\u{e9}", "cafe\u{301}"));
}

#[test]
fn without_a_demand_nothing_is_right() {
    assert!(!grade(&[], &case(""), "").unwrap().passed);
    let only_measured = Grader {
        weight: Some(decimal(0.0)),
        ..Grader::exact_match()
    };
    assert!(!grade(&[only_measured], &case("a"), "a").unwrap().passed);
}

#[test]
fn json_is_compared_by_value() {
    let same = |target: &str, output: &str| holds(Rule::EqualsJson { value: None }, target, output);
    assert!(same(
        r#"{"a": 1, "b": [2, "x"]}"#,
        r#" {"b":[2.0,"x"],"a":1.0} "#
    ));
    assert!(!same(r#"{"a": 1}"#, r#"{"a": 1, "b": null}"#));
    assert!(!same(r#"[1, 2]"#, r#"[2, 1]"#));
    assert!(!same(r#"{"a": 1}"#, "so: {\"a\": 1}"));
    assert!(!same("{", "{"));
}

#[test]
fn texts_are_found() {
    let contains = |values: &[&str], all, ignore_case, output: &str| {
        let rule = Rule::Contains {
            values: values.iter().map(|value| (*value).to_owned()).collect(),
            all,
            ignore_case,
        };
        holds(rule, "Refund", output)
    };
    assert!(contains(&[], false, false, "a Refund is due"));
    assert!(!contains(&[], false, false, "a refund is due"));
    assert!(contains(&[], false, true, "a refund is due"));
    assert!(contains(&["x", "y"], false, false, "y"));
    assert!(!contains(&["x", "y"], true, false, "y"));
    assert!(contains(&["x", "y"], true, false, "yx"));
    let start = |output: &str| holds(Rule::StartsWith { value: None }, "Re", output);
    assert!(start("Refund") && !start(" Refund"));
    let regex = |value: &str, output: &str| {
        let value = value.to_owned();
        holds(Rule::Regex { value }, "", output)
    };
    assert!(regex("^[a-z]+$", "refund") && !regex("^[a-z]+$", "refund 1"));
    assert!(regex("(?i)REF", "a refund"));
}

#[test]
fn json_is_checked_by_its_schema() {
    let schema = r#"{"type": "object", "required": ["n"], "properties": {"n": {"type": "integer", "minimum": 1}}}"#;
    let is = |schema: Option<&str>, output: &str| {
        let schema = schema.map(str::to_owned);
        holds(Rule::IsJson { schema }, "", output)
    };
    assert!(is(None, "[1]\n") && is(None, "3") && !is(None, "[1] and") && !is(None, ""));
    assert!(is(Some(schema), r#"{"n": 3}"#));
    assert!(!is(Some(schema), r#"{"n": 0}"#) && !is(Some(schema), r#"{"m": 1}"#));
    let has = |schema: Option<&str>, output: &str| {
        let schema = schema.map(str::to_owned);
        holds(Rule::ContainsJson { schema }, "", output)
    };
    assert!(has(None, "Here: ```json\n{\"a\": [1]}\n``` done"));
    assert!(!has(None, "{ not } [json"));
    assert!(has(Some(schema), r#"first {"n": 0}, then {"n": 2}."#));
    assert!(
        !has(Some(schema), r#"{"o": {"n": 2}}"#),
        "only the whole object counts"
    );
    let broken = Grader::new(
        "m",
        Rule::IsJson {
            schema: Some(r#"{"type": 7}"#.to_owned()),
        },
    );
    assert!(
        grade(&[broken], &case(""), "1")
            .unwrap_err()
            .contains("grader m: not a JSON Schema")
    );
}

#[test]
fn numbers_are_read_and_compared() {
    let near = |target: &str, output: &str, tolerance: f64, relative: bool| {
        let rule = Rule::Numeric {
            value: None,
            tolerance: decimal(tolerance),
            relative,
        };
        holds(rule, target, output)
    };
    assert!(near("1234.5", "1,234.50", 0.0, false));
    assert!(near("18", "So 3 + 15 = 18.", 0.0, false));
    assert!(near("-4", "it is -4", 0.0, false));
    assert!(near("1e3", "1000", 0.0, false));
    assert!(!near("18", "17.9", 0.05, false) && near("18", "17.9", 0.2, false));
    assert!(near("200", "198", 0.01, true) && !near("200", "197.9", 0.01, true));
    assert!(!near("18", "eighteen", 1.0, false) && !near("18", "NaN", 1.0, false));
}

#[test]
fn one_choice_is_named() {
    let choice = |target: &str, output: &str| {
        let choices = ["A", "B", "billing"].map(str::to_owned).to_vec();
        holds(
            Rule::Choice {
                value: None,
                choices,
            },
            target,
            output,
        )
    };
    assert!(choice("A", "A") && choice("A", "(a)") && choice("A", " A. "));
    assert!(choice("B", "The answer is B."));
    assert!(choice("billing", "Billing!"));
    assert!(!choice("A", "B") && !choice("A", "A or B") && !choice("A", "C") && !choice("A", ""));
}

#[test]
fn sets_do_not_have_an_order() {
    let f1 = overlap::set_f1;
    assert_eq!(f1("a, b", "[\"b\", \"a\"]"), 1.0);
    // 2 of 3 and 2 of 4: 2·2/(3+4).
    assert_eq!(f1("a\nb\nx", "a,b,c,d"), 4.0 / 7.0);
    assert_eq!(f1("", "[]"), 1.0);
    assert_eq!(f1("a", ""), 0.0);
    assert_eq!(f1("[1, 2]", "[2, 1]"), 1.0);
}

#[derive(Deserialize)]
struct Expected {
    answer: String,
    target: String,
    bleu: f64,
    rouge_l: f64,
    token_f1: f64,
    levenshtein: usize,
}

// The references sum logarithms in another order: 1e-12 is some thousand roundings.
#[test]
fn scores_are_those_of_the_reference_implementations() {
    let file = include_str!("../../../tests/fixtures/graders/expected.json");
    let expected: Vec<Expected> = serde_json::from_str(file).unwrap();
    assert!(expected.len() > 50);
    for of in expected {
        let (answer, target) = (of.answer.as_str(), of.target.as_str());
        let found = [
            (overlap::bleu(answer, target), of.bleu),
            (overlap::rouge_l(answer, target), of.rouge_l),
            (overlap::token_f1(answer, target), of.token_f1),
        ];
        for (index, (found, expected)) in found.into_iter().enumerate() {
            assert!(
                (found - expected).abs() <= 1e-12,
                "{index} of {answer:?} and {target:?}: {found} {expected}"
            );
        }
        assert_eq!(overlap::levenshtein(answer, target).0, of.levenshtein);
    }
}

fn likeness(threshold: f64) -> Rule {
    Rule::TokenF1(Likeness {
        value: None,
        threshold: decimal(threshold),
    })
}

#[test]
fn scores_have_a_name_each_and_one_sum() {
    let graders = [
        Grader::new("f1", likeness(0.9)),
        Grader {
            not: true,
            ..Grader::new(
                "polite",
                Rule::Contains {
                    values: vec!["damn".to_owned()],
                    all: false,
                    ignore_case: true,
                },
            )
        },
    ];
    let asked = case("a refund today");
    let grades = grade(&graders, &asked, "refund tomorrow").unwrap();
    // Of two words each one is common.
    let score = |name: &str| grades.scores[name].get();
    assert_eq!(
        (score("f1"), score("f1.pass"), score("polite")),
        (0.5, 0.0, 1.0)
    );
    assert_eq!(grades.scores.len(), 3);
    assert!(!grades.passed);
    let lenient = Case {
        threshold: Some(decimal(0.75)),
        ..asked.clone()
    };
    assert!(grade(&graders, &lenient, "refund tomorrow").unwrap().passed);
    assert!(
        !grade(&graders, &lenient, "damn refund tomorrow")
            .unwrap()
            .passed
    );
    let weighted = [
        Grader {
            weight: Some(decimal(3.0)),
            ..graders[0].clone()
        },
        graders[1].clone(),
    ];
    // (3 · 0.5 + 1) / 4 is less than 0.75.
    assert!(
        !grade(&weighted, &lenient, "refund tomorrow")
            .unwrap()
            .passed
    );
}

#[test]
fn measures_are_demanded() {
    let most = decimal(100.0);
    let fast = Grader::new("fast", Rule::Latency { threshold: most });
    let marker = Marker::new(std::slice::from_ref(&fast)).unwrap();
    let graded = |measures: &[(&str, f64)]| {
        let pair = |(name, value): &(&str, f64)| ((*name).to_owned(), decimal(*value));
        let measures = measures.iter().map(pair).collect();
        marker.grade(&case(""), "", &measures, fresh(&Opinions::default()))
    };
    assert!(graded(&[("latency_ms", 100.0)]).unwrap().passed);
    assert!(!graded(&[("latency_ms", 100.5)]).unwrap().passed);
    assert!(
        graded(&[])
            .unwrap_err()
            .contains("latency_ms was not measured")
    );
}

fn program(script: &str) -> Grader {
    let argv = ["sh", "-c", script].map(str::to_owned).to_vec();
    Grader::new(
        "judged",
        Rule::Command {
            argv,
            timeout_s: 60,
        },
    )
}

#[test]
fn a_program_grades_and_what_it_said_is_kept() {
    let grader = program(
        r#"if grep -q '"output":"yes"'; then echo '{"pass": true}'; else echo '{"pass": false, "score": 0.25, "reason": "no"}'; fi"#,
    );
    let asked = Case {
        id: "c1".to_owned(),
        ..case("yes")
    };
    let graders = [grader];
    let marker = Marker::new(&graders).unwrap();
    let wrong = marker
        .grade(&asked, "no", &BTreeMap::new(), fresh(&Opinions::default()))
        .unwrap();
    assert!(!wrong.passed);
    assert_eq!(wrong.scores["judged"].get(), 0.25);
    assert_eq!(wrong.notes["judged"], "no");
    // Read again without the program.
    let again = marker
        .grade(&asked, "no", &wrong.scores, Hearing::Stored)
        .unwrap();
    assert_eq!((again.passed, &again.scores), (false, &wrong.scores));
    assert!(
        marker
            .grade(&asked, "yes", &BTreeMap::new(), fresh(&Opinions::default()))
            .unwrap()
            .passed
    );
    for (script, what) in [
        ("echo lost my mind >&2; exit 1", "lost my mind"),
        ("echo PASS", "{pass, score, reason}"),
        (r#"echo '{"pass": true, "score": 7}'"#, "outside 0 to 1"),
    ] {
        let error = grade(&[program(script)], &asked, "yes").unwrap_err();
        assert!(
            error.contains(what) && error.starts_with("grader judged"),
            "{error}"
        );
    }
    let absent = Rule::Command {
        argv: vec!["/nowhere/grader".to_owned()],
        timeout_s: 1,
    };
    let error = grade(&[Grader::new("judged", absent)], &asked, "yes").unwrap_err();
    assert!(error.contains("cannot start /nowhere/grader"), "{error}");
}

#[test]
fn embeddings_are_compared_by_their_cosine() {
    let graders = vec![
        Grader::new("near", Rule::Similar(likeness_to(None, 0.7))),
        Grader {
            not: true,
            ..Grader::new("far", Rule::Similar(likeness_to(Some("rude"), 0.7)))
        },
    ];
    let suite = |base: &[u8]| {
        let task = Task::Generation(Generation {
            settings: Settings::default(),
            graders: graders.clone(),
            repeats: 1,
            embeddings: Some(crate::digest::Digest::of(base).into()),
            judge: None,
        });
        let named = |id: &str| Case {
            id: id.to_owned(),
            ..case("polite")
        };
        let cases = ["a", "b", "c", "d"].map(named).to_vec();
        Suite::of("tone".parse().unwrap(), task, cases).unwrap()
    };
    let (suite, other) = (suite(b"base"), suite(b"other base"));
    assert_ne!(suite.id().unwrap(), other.id().unwrap());
    assert_ne!(suite.content().unwrap(), other.content().unwrap());
    let text = |text: &str| Answer::Label(text.to_owned());
    let answers = [
        text("kind"),
        text("rude"),
        Answer::Error("late".to_owned()),
        text("long"),
    ];
    let mut opinions = Opinions::default();
    let embed = |texts: &[&str]| {
        // Each text once.
        assert_eq!(texts, ["kind", "long", "polite", "rude"]);
        let long = Err("it has 600 tokens; the base reads 512".to_owned());
        Ok::<_, ()>(vec![
            Ok(vec![4.0, 3.0]),
            long,
            Ok(vec![2.0, 0.0]),
            Ok(vec![-1.0, 0.0]),
        ])
    };
    opinions.compare(&suite, &answers, embed).unwrap();
    let answers = answers.to_vec();
    let report = Report::graded(&suite, subject(), Vec::new(), answers, &opinions).unwrap();
    let measured = |case: usize, name: &str| report.cases[case].measures[name].get();
    // 4/5 along the first axis; away from a text is as far as beside it.
    assert_eq!((measured(0, "near"), measured(0, "near.pass")), (0.8, 1.0));
    assert_eq!((measured(0, "far"), measured(0, "far.pass")), (1.0, 1.0));
    assert_eq!((measured(1, "near"), measured(1, "far")), (0.0, 0.0));
    let correct: Vec<bool> = report.cases.iter().map(|case| case.correct).collect();
    assert_eq!(correct, [true, false, false, false]);
    let why = report.cases[3].error.as_deref().unwrap();
    assert!(
        why.contains("grader near: the answer cannot be embedded: it has 600 tokens"),
        "{why}"
    );
    // What was said is taken from the report: there is no base to ask.
    assert_eq!(report.mismatches(&suite, &suite.id().unwrap()), []);
    let mut forged = report.clone();
    forged.cases[1].correct = true;
    assert!(!forged.mismatches(&suite, &suite.id().unwrap()).is_empty());
    // Without anybody to ask there is no verdict, and none is made up.
    let unasked = Report::new(&suite, subject(), Vec::new(), vec![text("kind"); 4]).unwrap();
    assert_eq!(unasked.metrics.errors, 4);
}

fn likeness_to(value: Option<&str>, threshold: f64) -> Likeness {
    Likeness {
        value: value.map(str::to_owned),
        threshold: decimal(threshold),
    }
}

fn subject() -> Subject {
    Subject::Majority {
        dataset: crate::digest::Digest::of(b"dataset").into(),
    }
}
