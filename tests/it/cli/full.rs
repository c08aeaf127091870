//! Every weight trained, from the job to the folder that transformers loads.

use std::fs;

use serde_json::Value;

use crate::support::Env;

const CLASSIFIER: &str = "\
version: 1
kind: TrainJob
name: router
task: seq_cls
adapter: full
base: tiny
dataset: rows
sequence_len: 32
optimizer: {learning_rate: 1.0e-3}
micro_batch_size: 4
max_steps: 20
seed: 7
";

const ROWS: &str = "\
{\"text\": \"when does my card arrive\", \"label\": \"card\"}
{\"text\": \"top up my account\", \"label\": \"top_up\"}
{\"text\": \"the card is lost\", \"label\": \"card\"}
{\"text\": \"i want to top up\", \"label\": \"top_up\"}
";

const CASES: &str = "\
{\"text\": \"my card is lost\", \"label\": \"card\"}
{\"text\": \"i top up\", \"label\": \"top_up\"}
";

const ANSWERS: &str = "\
{\"prompt\": \"one:\", \"completion\": \" 1\"}
{\"prompt\": \"two:\", \"completion\": \" 2\"}
";

fn project(base: &str, rows: &str, job: &str) -> Env {
    let env = Env::new();
    env.run("init").ok();
    let base = format!(
        "{}/tests/fixtures/parity/{base}/model",
        env!("CARGO_MANIFEST_DIR")
    );
    env.run(&format!("base add tiny {base}")).ok();
    env.write("train.jsonl", rows);
    env.run("dataset add rows --train train.jsonl").ok();
    env.write("job.yaml", job);
    env
}

/// The version that the only run is registered as.
fn register(env: &Env) -> String {
    let mut runs = fs::read_dir(env.path(".retune/runs")).unwrap();
    let run = runs.next().unwrap().unwrap().file_name();
    let run = run.into_string().unwrap();
    let registered = env.run(&format!("model register support --run {run}")).ok();
    let label = registered.stdout.trim().strip_prefix("registered ");
    label.unwrap().to_owned()
}

fn config(env: &Env) -> Value {
    serde_json::from_slice(&fs::read(env.path("out/config.json")).unwrap()).unwrap()
}

#[test]
fn a_classifier_is_trained_evaluated_registered_and_written() {
    let env = project("bert", ROWS, CLASSIFIER);
    let planned = env.run("train job.yaml --dry-run").ok();
    assert!(
        planned.stdout.contains("trained     every weight,"),
        "{planned}"
    );
    let trained = env.run("train job.yaml").ok();
    assert!(
        trained.stdout.contains("  model       sha256:"),
        "{trained}"
    );
    let again = env.run("train job.yaml --format json").ok().json();
    assert_eq!(again["new"], false);
    let version = register(&env);
    env.write("cases.jsonl", CASES);
    env.write(
        "suite.yaml",
        "version: 1\nname: cases\ntask: classification\ncases: cases.jsonl\n",
    );
    let report = env
        .run(&format!("eval suite.yaml --model {version} --format json"))
        .ok()
        .json();
    assert_eq!(report["metrics"]["accuracy"], "1", "{report}");
    let shown = env.run(&format!("model show {version} --format json")).ok();
    assert_eq!(
        shown.json()["manifest"]["adapter"]["format"],
        "transformers"
    );
    env.run("model verify").ok();

    for (how, code) in [
        ("--for vllm", 2),
        ("--merged --dtype bf16", 2),
        ("--merged --dry-run", 0),
    ] {
        let output = env.run(&format!("model export {version} --to out {how}"));
        assert_eq!(output.code, Some(code), "{output}");
        assert!(
            code == 0 || output.stderr.contains("whole checkpoint"),
            "{output}"
        );
        assert!(!env.path("out").exists());
    }
    env.run(&format!("model export {version} --to out")).ok();
    assert_eq!(
        config(&env)["architectures"][0],
        "BertForSequenceClassification"
    );
    for file in [
        "model.safetensors",
        "tokenizer.json",
        "README.md",
        "retune.json",
    ] {
        assert!(env.path("out").join(file).is_file(), "{file}");
    }
}

#[test]
fn a_language_model_can_be_the_base_of_the_next_run() {
    let job = CLASSIFIER
        .replace("seq_cls", "causal_lm")
        .replace("max_steps: 20", "max_steps: 2");
    let env = project("qwen2", ANSWERS, &job);
    env.run("train job.yaml").ok();
    let version = register(&env);
    env.run(&format!("model export {version} --to out --merged"))
        .ok();
    let config = config(&env);
    assert_eq!(config["architectures"][0], "Qwen2ForCausalLM");
    env.run("base add whole out").ok();
    env.write(
        "job.yaml",
        job.replace("base: tiny", "base: whole")
            .replace("adapter: full\n", ""),
    );
    let next = env.run("train job.yaml").ok();
    assert!(next.stdout.contains("  adapter     sha256:"), "{next}");
}
