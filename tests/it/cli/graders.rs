//! Graders that look further than the answer: embeddings of a base.

#[cfg(feature = "train")]
use serde_json::Value;
use serde_json::json;

use crate::support::Env;
#[cfg(feature = "train")]
use crate::support::Output;
#[cfg(feature = "train")]
use crate::support::endpoint::{Endpoint, Reply};

const SUITE: &str = "\
version: 1
name: tone
task: generation
cases: cases.jsonl
embeddings: starter@BASE
defaultTest: {assert: [{type: similar, threshold: 0.6, metric: near}]}
";

/// A project that has the starter base, and the base's id.
fn project() -> (Env, String) {
    let env = Env::new();
    env.run("init").ok();
    let base = concat!(env!("CARGO_MANIFEST_DIR"), "/pipelines/starter-base");
    let added = env.run_args(&["base", "add", "starter", base, "--format", "json"]);
    let id = added.ok().json()["id"].as_str().unwrap().to_owned();
    (env, id)
}

#[cfg(feature = "train")]
fn report(env: &Env, eval: &Output) -> Value {
    env.stored(eval.json()["report"].as_str().unwrap())
}

// Expected values: tests/fixtures/graders/make_similar.py, which is PyTorch's float32; printed to seven decimals. The
// embeddings differ by a few f32 roundings of 192 products, a cosine of them by less than 1e-5.
#[cfg(feature = "train")]
#[test]
fn similar_is_the_cosine_of_sentence_embeddings() {
    let (env, base) = project();
    let file = include_str!("../../fixtures/graders/similar.json");
    let expected: Value = serde_json::from_str(file).unwrap();
    let pairs = expected["pairs"].as_array().unwrap();
    assert!(pairs.len() > 10);
    let lines = |line: fn(usize, &Value) -> Value| -> String {
        let rows = pairs.iter().enumerate();
        rows.map(|(at, pair)| format!("{}\n", line(at, pair)))
            .collect()
    };
    env.write("suite.yaml", SUITE.replace("BASE", &base));
    env.write(
        "cases.jsonl",
        lines(
            |at, pair| json!({"id": format!("t{at:02}"), "prompt": "?", "target": pair["other"]}),
        ),
    );
    env.write(
        "outputs.jsonl",
        lines(|at, pair| json!({"id": format!("t{at:02}"), "output": pair["answer"]})),
    );
    let eval = env
        .run("eval suite.yaml --target outputs.jsonl --format json")
        .ok();
    let report = report(&env, &eval);
    for (case, pair) in report["cases"].as_array().unwrap().iter().zip(pairs) {
        let number = |value: &Value| value.as_str().unwrap().parse::<f64>().unwrap();
        let (found, want) = (
            number(&case["measures"]["near"]),
            pair["cosine"].as_f64().unwrap(),
        );
        assert!((found - want.max(0.0)).abs() < 1e-5, "{pair}: {found}");
        let right = want >= 0.6;
        assert_eq!(case["correct"], right, "{pair}");
        assert_eq!(number(&case["measures"]["near.pass"]), f64::from(right));
    }
    // A text that the base does not read to its end is graded by nobody.
    let long = "word ".repeat(200);
    env.write(
        "cases.jsonl",
        r#"{"id": "t", "prompt": "?", "target": "word"}"#,
    );
    env.write(
        "outputs.jsonl",
        json!({"id": "t", "output": long}).to_string(),
    );
    let output = env.run("eval suite.yaml --target outputs.jsonl --format json");
    assert_eq!(output.code, Some(13), "{output}");
    let why = self::report(&env, &output)["cases"][0]["error"].clone();
    assert!(
        why.as_str().unwrap().contains("the base reads 128"),
        "{why}"
    );
}

#[cfg(not(feature = "train"))]
#[test]
fn similar_needs_a_build_that_runs_models() {
    let (env, base) = project();
    env.write("suite.yaml", SUITE.replace("BASE", &base));
    env.write(
        "cases.jsonl",
        r#"{"id": "t", "prompt": "?", "target": "word"}"#,
    );
    env.write(
        "outputs.jsonl",
        json!({"id": "t", "output": "word"}).to_string(),
    );
    let output = env.run("eval suite.yaml --target outputs.jsonl");
    assert_eq!(output.code, Some(2), "{output}");
    assert!(
        output
            .stderr
            .contains("this build of retune cannot run models"),
        "{output}"
    );
}

#[test]
fn the_base_that_embeds_is_fixed_in_the_suite() {
    let (env, base) = project();
    env.write(
        "cases.jsonl",
        r#"{"id": "t", "prompt": "?", "target": "word"}"#,
    );
    env.write(
        "outputs.jsonl",
        json!({"id": "t", "output": "word"}).to_string(),
    );
    let unknown = format!("sha256:{}", "0".repeat(64));
    for (suite, why) in [
        (
            SUITE.replace("@BASE", ""),
            "\"starter\" is no fixed base: write NAME@sha256:…",
        ),
        (
            SUITE.replace("embeddings: starter@BASE\n", ""),
            "the suite has to name the base that embeds",
        ),
        (
            SUITE
                .replace("type: similar", "type: rouge-l")
                .replace("BASE", &base),
            "no grader is of `type: similar`",
        ),
        (
            SUITE.replace("0.6", "1.5").replace("BASE", &base),
            "`threshold` must be 0 to 1",
        ),
        (
            SUITE.replace("starter@BASE", &unknown),
            "the registry has no base sha256:0000",
        ),
    ] {
        env.write("suite.yaml", suite);
        let output = env.run("eval suite.yaml --target outputs.jsonl");
        assert_eq!(output.code, Some(2), "{output}");
        assert!(output.stderr.contains(why), "{why}: {output}");
    }
}

// Expected order: make_similar.py, as above.
#[cfg(feature = "train")]
#[test]
fn passages_are_found_by_embeddings() {
    let (env, base) = project();
    let file = include_str!("../../fixtures/graders/similar.json");
    let expected: Value = serde_json::from_str(file).unwrap();
    let texts = |value: &Value| -> Vec<String> {
        let items = value.as_array().unwrap().iter();
        items
            .map(|item| item.as_str().unwrap().to_owned())
            .collect()
    };
    let passages = texts(&expected["passages"]);
    let found = expected["found"].as_array().unwrap();
    env.write("handbook/all.md", passages.join("\n\n"));
    env.write(
        "strategy.yaml",
        "version: 1\ndocuments: {folder: handbook, k: 3, base: starter}\n",
    );
    let case = |of: &Value| json!({"prompt": of["question"], "target": "?"});
    let rows: String = found.iter().map(|of| format!("{}\n", case(of))).collect();
    env.write("cases.jsonl", rows);
    env.write(
        "suite.yaml",
        "version: 1\nname: questions\ntask: generation\ncases: cases.jsonl\n",
    );
    let endpoint = Endpoint::new(|_| Reply::said("m", "?"));
    let target = format!(
        "version: 1\nkind: endpoint\nurl: {}\napi: chat\nmodel: m\n",
        endpoint.url()
    );
    env.write("target.yaml", target);
    let line = "eval suite.yaml --target target.yaml --strategy strategy.yaml --format json";
    let eval = env.run(line).ok();
    for of in found {
        let question = of["question"].as_str().unwrap();
        let nearest = of["nearest"].as_array().unwrap().iter().take(3);
        let nearest = nearest.map(|place| passages[place.as_u64().unwrap() as usize].as_str());
        let mut want: Vec<&str> = nearest.collect();
        want.push(question);
        let seen = endpoint.seen();
        let asked = seen
            .iter()
            .find(|call| call.prompt().ends_with(question))
            .unwrap();
        assert_eq!(asked.prompt(), want.join("\n\n"));
    }
    let strategy = &report(&env, &eval)["subject"]["strategy"];
    assert_eq!(strategy["documents"]["base"], base);
    env.write(
        "strategy.yaml",
        "version: 1\ndocuments: {folder: handbook, k: 3, base: sarter}\n",
    );
    assert_eq!(env.run(line).code, Some(2));
    let long = format!("{}\n\nshort", "word ".repeat(200));
    env.write("handbook/all.md", long);
    env.write(
        "strategy.yaml",
        "version: 1\ndocuments: {folder: handbook, k: 1, base: starter}\n",
    );
    let output = env.run(line);
    assert_eq!(output.code, Some(2), "{output}");
    assert!(
        output
            .stderr
            .contains("it has 202 tokens; the base reads 128"),
        "{output}"
    );
}
