#![allow(clippy::unwrap_used)]

use super::*;
use crate::dataset::{Example, Message, Role};
use crate::document::Decimal;
use crate::eval::{Case, EvalError, Generation, Grader, Settings, Suite, Task};

fn suite(messages: bool) -> Suite {
    let case = Case {
        id: "c1".to_owned(),
        text: "where is my parcel".to_owned(),
        label: "delivery".to_owned(),
        messages: match messages {
            true => vec![Message {
                role: Role::User,
                content: "where is my parcel".to_owned(),
            }],
            false => Vec::new(),
        },
        ..Case::default()
    };
    let task = Task::Generation(Generation {
        settings: Settings {
            temperature: Decimal::default(),
            ..Settings::default()
        },
        graders: vec![Grader::exact_match()],
        repeats: 1,
        embeddings: None,
        judge: None,
    });
    Suite::of("answers".parse().unwrap(), task, vec![case]).unwrap()
}

fn row(text: &str, label: &str) -> Example {
    Example::Classification {
        id: None,
        text: text.to_owned(),
        label: label.to_owned(),
    }
}

fn rows() -> Vec<Example> {
    let mut rows: Vec<Example> = (0..20)
        .map(|n| row(&format!("text {n}"), "refund"))
        .collect();
    rows.push(row("where is my parcel", "delivery"));
    rows.push(row("text 3", "refund"));
    rows
}

fn shots(k: u32, seed: u64) -> Strategy {
    Strategy {
        instruction: Some("Name the intent.".to_owned()),
        examples: Some(Shots {
            dataset: crate::digest::Digest::of(b"rows").into(),
            k,
            seed,
        }),
        documents: None,
    }
}

fn asked(strategy: &Strategy, rows: &[Example], messages: bool) -> Result<Case, EvalError> {
    let prompting = Prompting {
        strategy,
        rows,
        documents: None,
        vectors: None,
    };
    prompting
        .apply(&suite(messages))
        .map(|suite| suite.cases()[0].clone())
}

#[test]
fn examples_are_drawn_by_the_seed_once_each_and_never_the_question_itself() {
    let (rows, mut turned) = (rows(), rows());
    turned.reverse();
    let text = |seed, rows: &[Example]| asked(&shots(4, seed), rows, false).unwrap().text;
    assert_eq!(
        text(1, &rows),
        text(1, &turned),
        "the order of the file does not matter"
    );
    assert_ne!(text(1, &rows), text(2, &rows));
    // All there are: 20 texts, and not the question; the doubled row is one.
    let all = asked(&shots(20, 1), &rows, false).unwrap();
    let parts: Vec<&str> = all.text.split("\n\n").collect();
    assert_eq!(parts.len(), 1 + 20 + 1);
    assert_eq!(
        (parts[0], parts[21]),
        ("Name the intent.", "where is my parcel")
    );
    let mut shown = parts[1..21].to_vec();
    shown.sort_unstable();
    shown.dedup();
    assert_eq!(shown.len(), 20);
    assert!(shown.contains(&"text 3 refund"), "{shown:?}");
    assert_eq!((all.id.as_str(), all.label.as_str()), ("c1", "delivery"));
    assert!(
        asked(&shots(22, 1), &rows, false).is_err(),
        "21 different rows"
    );
}

#[test]
fn a_conversation_gets_earlier_turns() {
    let case = asked(&shots(1, 1), &[row("money back", "refund")], true).unwrap();
    let turns: Vec<(Role, &str)> = case
        .messages
        .iter()
        .map(|message| (message.role, message.content.as_str()))
        .collect();
    assert_eq!(
        turns,
        [
            (Role::System, "Name the intent."),
            (Role::User, "money back"),
            (Role::Assistant, "refund"),
            (Role::User, "where is my parcel"),
        ]
    );
}

/// Okapi BM25 with k1 = 1.2, b = 0.75 and idf = ln(1 + (N − n + ½) / (n + ½)), written out.
fn bm25(passages: &[&str], question: &str) -> Vec<f64> {
    let words = |text: &str| -> Vec<String> { text.split(' ').map(str::to_owned).collect() };
    let all: Vec<Vec<String>> = passages.iter().map(|passage| words(passage)).collect();
    let mean = all.iter().map(Vec::len).sum::<usize>() as f64 / all.len() as f64;
    let score = |passage: &Vec<String>| -> f64 {
        let term = |word: &String| {
            let holds = all.iter().filter(|passage| passage.contains(word)).count() as f64;
            let idf = (1.0 + (all.len() as f64 - holds + 0.5) / (holds + 0.5)).ln();
            let times = passage.iter().filter(|other| *other == word).count() as f64;
            let length = 1.2 * (0.25 + 0.75 * passage.len() as f64 / mean);
            idf * times * 2.2 / (times + length)
        };
        words(question).iter().map(term).sum()
    };
    all.iter().map(score).collect()
}

#[test]
fn passages_come_in_the_order_of_bm25() {
    let passages = [
        "parcels are sent on the day of the order",
        "money is sent back within ten days",
        "a parcel that is lost is sent again at no cost to you",
        "our shop is open all days",
        "where the parcel is you see under orders where parcel numbers are",
    ];
    let dir = tempfile::tempdir().unwrap();
    std::fs::create_dir(dir.path().join("sub")).unwrap();
    std::fs::write(dir.path().join("a.md"), passages[..3].join("\n\n")).unwrap();
    std::fs::write(dir.path().join("sub/b.txt"), passages[3..].join("\r\n\r\n")).unwrap();
    std::fs::write(dir.path().join("c.pdf"), "parcel parcel parcel").unwrap();
    let documents = Documents::read(dir.path()).unwrap();
    for question in ["where is my parcel", "is money sent back", "open days"] {
        let scores = bm25(&passages, question);
        let mut order: Vec<usize> = (0..5).filter(|at| scores[*at] > 0.0).collect();
        order.sort_by(|a, b| scores[*b].total_cmp(&scores[*a]));
        let expected: Vec<&str> = order.iter().map(|at| passages[*at]).collect();
        assert_eq!(documents.index().like(question, 5), expected, "{question}");
        assert_eq!(documents.index().like(question, 2), expected[..2]);
    }
    assert!(documents.index().like("xyzzy", 3).is_empty());
    let strategy = Strategy {
        instruction: None,
        examples: None,
        documents: Some(Retrieval {
            documents: documents.digest(),
            k: 1,
            base: None,
        }),
    };
    let prompting = Prompting {
        strategy: &strategy,
        rows: &[],
        documents: Some(&documents),
        vectors: None,
    };
    let case = prompting.apply(&suite(false)).unwrap().cases()[0].clone();
    assert_eq!(case.text, format!("{}\n\nwhere is my parcel", passages[4]));
    std::fs::write(dir.path().join("a.md"), "other").unwrap();
    assert_ne!(
        Documents::read(dir.path()).unwrap().digest(),
        documents.digest()
    );
}

#[test]
fn passages_come_in_the_order_of_the_cosine() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(
        dir.path().join("a.md"),
        "east\n\nnorth\n\nwest\n\nnorth-east",
    )
    .unwrap();
    let documents = Documents::read(dir.path()).unwrap();
    // The question lies 30° north of east.
    let at = |degrees: f32| Ok(vec![degrees.to_radians().cos(), degrees.to_radians().sin()]);
    let passages = vec![at(0.0), at(90.0), at(180.0), at(45.0)];
    let vectors = Vectors::new(&documents, passages.clone(), &suite(false), vec![at(30.0)]);
    let vectors = vectors.unwrap();
    assert_eq!(vectors.like("where is my parcel", 4), [3, 0, 1, 2]);
    assert_eq!(vectors.like("where is my parcel", 2), [3, 0]);
    let strategy = |base: Option<&[u8]>| Strategy {
        instruction: None,
        examples: None,
        documents: Some(Retrieval {
            documents: documents.digest(),
            k: 2,
            base: base.map(|base| crate::digest::Digest::of(base).into()),
        }),
    };
    let asked = |strategy: &Strategy| {
        let prompting = Prompting {
            strategy,
            rows: &[],
            documents: Some(&documents),
            vectors: Some(&vectors),
        };
        let asked = prompting.apply(&suite(false));
        asked.map(|suite| suite.cases()[0].text.clone())
    };
    let by_base = strategy(Some(b"base"));
    assert_eq!(by_base.to_string(), "with 2 passages by embeddings");
    assert_eq!(
        asked(&by_base).unwrap(),
        "north-east\n\neast\n\nwhere is my parcel"
    );
    // What the report would say and what was asked are the same.
    assert!(asked(&strategy(None)).is_err());
    let broken = vec![
        at(0.0),
        Err("it has 900 tokens".to_owned()),
        at(1.0),
        at(2.0),
    ];
    let error = Vectors::new(&documents, broken, &suite(false), vec![at(30.0)])
        .err()
        .unwrap();
    let why = error.to_string();
    assert!(
        why.contains("the passage \"north\"… cannot be embedded: it has 900 tokens"),
        "{why}"
    );
}
