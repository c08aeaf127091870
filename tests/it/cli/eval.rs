//! Suites whose answers are texts: from a job to a gated version, and what is refused.

use std::fmt::Write;

use crate::support::Env;

const PIPELINE: &str = "\
version: 1
kind: Pipeline
name: numbers
project: .
model: numbers
base: {name: tiny, path: BASE}
dataset: {name: words, train: train.jsonl, test: test.jsonl}
train: job.yaml
suite: suite.yaml
gate: gate.yaml
promote: production
";

const JOB: &str = "\
version: 1
kind: TrainJob
name: numbers
base: tiny
dataset: words
task: causal_lm
sequence_len: 64
micro_batch_size: 6
max_steps: 80
seed: 11
lora: {r: 8, alpha: 16, dropout: 0}
optimizer: {learning_rate: 1.0e-2}
lr_scheduler: {name: constant, warmup_steps: 0}
";

const SUITE: &str = "\
version: 1
name: numbers
task: generation
cases: cases.jsonl
generate: {max_tokens: 6}
";

const GATE: &str = "\
version: 1
design: {alpha: 0.05, power: 0.8}
criteria:
  - {id: right, metric: exact_match, kind: binary, rule: noninferior, margin: 0.05}
first_version: {against: [zero-shot, majority], rule: superior, margin: 0}
";

const WORDS: [(&str, &str); 3] = [("one", "1"), ("two", "2"), ("three", "33")];

/// Prompts and completions, or the same as conversations, numbered from `first`.
fn rows(chat: bool, first: usize, count: usize) -> String {
    (first..first + count).fold(String::new(), |mut text, number| {
        let (word, answer) = WORDS[number % 3];
        match chat {
            false => writeln!(
                text,
                r#"{{"prompt": "{word} {number}:", "completion": " {answer}"}}"#
            ),
            true => writeln!(
                text,
                r#"{{"messages": [{{"role": "user", "content": "{word} {number}"}}, {{"role": "assistant", "content": "{answer}"}}]}}"#
            ),
        }
        .unwrap();
        text
    })
}

fn base() -> String {
    format!(
        "{}/tests/fixtures/parity/llama/model",
        env!("CARGO_MANIFEST_DIR")
    )
}

/// A project with everything that the pipeline names.
fn scene(chat: bool) -> Env {
    let env = Env::new();
    env.write("pipeline.yaml", PIPELINE.replace("BASE", &base()));
    env.write("job.yaml", JOB);
    env.write("suite.yaml", SUITE);
    env.write("gate.yaml", GATE);
    env.write("train.jsonl", rows(chat, 0, 90));
    env.write("test.jsonl", rows(chat, 200, 90));
    env.write("cases.jsonl", rows(chat, 200, 90));
    env
}

#[test]
fn a_language_model_goes_through_every_stage() {
    for chat in [false, true] {
        let env = scene(chat);
        let ran = env.run("pipeline run pipeline.yaml --format json");
        let ran = ran.ok().json();
        assert_eq!(ran["outcome"], "complete", "{ran:#}");
        let scores = ran["summary"]["scores"].as_array().unwrap();
        let right: Vec<f64> = scores
            .iter()
            .map(|score| score["accuracy"].as_str().unwrap().parse().unwrap())
            .collect();
        // The version, the bare base, and one of three equally frequent answers.
        assert!(right[0] > 0.9, "{right:?}");
        assert_eq!(right[1..], [0.0, 1.0 / 3.0], "{right:?}");
        assert_eq!(scores[1]["name"], "zero-shot");
        assert!(scores[0].get("macro_f1").is_none());

        let again = env.run("pipeline run pipeline.yaml --format json").ok();
        assert_eq!(again.json()["nothing_to_do"], true);
        let said = env
            .run("eval suite.yaml --model numbers:production")
            .ok()
            .stdout;
        assert!(said.contains("% right\n"), "{said}");
        assert!(
            said.contains("  exact_match 0.9") || said.contains("  exact_match 1"),
            "{said}"
        );
        assert!(said.contains("(there already)"), "{said}");
    }
}

#[test]
fn answers_are_drawn_stopped_and_asked_for_as_the_suite_says() {
    let env = Env::new();
    env.run("init").ok();
    env.run(&format!("base add tiny {}", base())).ok();
    env.write("cases.jsonl", rows(false, 0, 4));
    let eval = |generate: &str| {
        let suite = SUITE.replace("{max_tokens: 6}", generate);
        env.write("suite.yaml", suite);
        let made = env.run("eval suite.yaml --base tiny --format json");
        let made = made.ok().json();
        let report = env.stored(made["report"].as_str().unwrap());
        report["cases"].as_array().unwrap().clone()
    };
    let said = |cases: &[serde_json::Value]| -> Vec<String> {
        let text = |case: &serde_json::Value| case["predicted"].as_str().unwrap().to_owned();
        cases.iter().map(text).collect()
    };
    let greedy = said(&eval("{max_tokens: 12}"));
    // An answer ends before the stop text, wherever it comes.
    let stop: String = greedy[0].chars().skip(3).take(2).collect();
    let stopped = eval(&format!("{{max_tokens: 12, stop: [{stop:?}]}}"));
    let expected = |text: &String| text[..text.find(&stop).unwrap_or(text.len())].to_owned();
    assert_eq!(
        said(&stopped),
        greedy.iter().map(expected).collect::<Vec<_>>()
    );
    assert_eq!(stopped[0]["measures"]["complete"], "1");
    let drawn = eval("{max_tokens: 12, temperature: 0.9, seed: 1}\nrepeats: 2");
    assert_eq!(drawn.len(), 8);
    assert_eq!(drawn[1]["repeat"], 1);
    let other = eval("{max_tokens: 12, temperature: 0.9, seed: 2}\nrepeats: 2");
    let (drawn, other) = (said(&drawn), said(&other));
    assert_ne!(drawn[0], drawn[1]);
    assert_ne!(drawn, other);
    // A case draws the same whatever other cases there are.
    env.write("cases.jsonl", rows(false, 0, 1));
    let alone = said(&eval(
        "{max_tokens: 12, temperature: 0.9, seed: 1}\nrepeats: 2",
    ));
    assert_eq!(alone.len(), 2);
    assert!(
        drawn.windows(2).any(|pair| pair == alone),
        "{drawn:?} {alone:?}"
    );
}

#[test]
fn what_cannot_answer_is_said() {
    let env = Env::new();
    env.run("init").ok();
    env.run(&format!("base add tiny {}", base())).ok();
    let starter = format!("{}/pipelines/starter-base", env!("CARGO_MANIFEST_DIR"));
    env.run(&format!("base add starter {starter}")).ok();
    env.write("suite.yaml", SUITE);
    env.write("cases.jsonl", rows(false, 0, 3));
    env.write("train.jsonl", rows(false, 10, 3));
    env.run("dataset add words --train train.jsonl").ok();
    let refused = |args: &str, what: &str| {
        let output = env.run(args);
        assert_eq!(output.code, Some(2), "{output}");
        assert!(output.stderr.contains(what), "{output}");
    };
    refused("eval suite.yaml --base starter", "asks for texts");
    refused(
        "eval suite.yaml --baseline nearest-centroid --dataset words --base tiny",
        "answers with labels",
    );
    refused("eval suite.yaml --base tiny --dataset words", "--baseline");
    refused(
        "eval suite.yaml --base tiny --baseline zero-shot --dataset words",
        "leave --dataset out",
    );
    refused("eval suite.yaml --baseline zero-shot", "--model");
    env.write("labels.jsonl", "{\"text\": \"a\", \"label\": \"b\"}\n");
    env.write(
        "labels.yaml",
        "version: 1\nname: labels\ntask: classification\ncases: labels.jsonl\n",
    );
    refused("eval labels.yaml --base tiny", "answers with texts");
}
