//! What leaves the registry for other programs: as it was trained, for a server, merged into the base.

use std::fs;

use serde_json::Value;

use crate::support::Env;

const JOB: &str = "\
version: 1
kind: TrainJob
name: router
task: seq_cls
base: tiny
dataset: tickets
pooling: cls
sequence_len: 32
lora: {r: 2, alpha: 4, target_modules: [query, value], dropout: 0}
micro_batch_size: 4
max_steps: 3
seed: 7
";

const ROWS: &str = "\
{\"text\": \"when does my card arrive\", \"label\": \"card\"}
{\"text\": \"top up my account\", \"label\": \"top_up\"}
{\"text\": \"the card is lost\", \"label\": \"card\"}
{\"text\": \"i want to top up\", \"label\": \"top_up\"}
";

/// A trained and registered version.
fn version(env: &Env) -> String {
    env.run("init").ok();
    let base = concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/tests/fixtures/parity/bert/model"
    );
    env.run(&format!("base add tiny {base}")).ok();
    env.write("train.jsonl", ROWS);
    env.run("dataset add tickets --train train.jsonl").ok();
    env.write("job.yaml", JOB);
    env.run("train job.yaml").ok();
    let runs = fs::read_dir(env.path(".retune/runs")).unwrap();
    let run = runs
        .last()
        .unwrap()
        .unwrap()
        .file_name()
        .into_string()
        .unwrap();
    let registered = env.run(&format!("model register support --run {run}")).ok();
    let label = registered.stdout.trim().strip_prefix("registered ");
    label.unwrap().to_owned()
}

#[test]
fn a_version_is_merged_and_compared_before_it_appears() {
    let env = Env::new();
    let version = version(&env);
    let export = format!("model export {version} --to merged --merged --format json");
    let planned = env.run(&format!("{export} --dry-run")).ok();
    let planned: Value = serde_json::from_str(&planned.stdout).unwrap();
    assert_eq!(planned["dry_run"], true);
    assert!(!env.path("merged").exists());

    let merged: Value = serde_json::from_str(&env.run(&export).ok().stdout).unwrap();
    assert_eq!(merged["schema"], "retune.model-export/1");
    assert_eq!(merged["form"], "merged");
    assert_eq!(merged["drift"]["texts"], 4);
    // Two small f32 layers on both sides; only the rounding of the merged weights differs.
    let apart = merged["drift"]["largest_difference"].as_f64().unwrap();
    assert!(apart < 1e-5, "{apart}");
    let config = fs::read(env.path("merged/config.json")).unwrap();
    let config: Value = serde_json::from_slice(&config).unwrap();
    assert_eq!(config["architectures"][0], "BertForSequenceClassification");
    assert_eq!(config["id2label"]["1"], "top_up");
    assert!(env.path("merged/tokenizer.json").is_file());

    env.write("texts.jsonl", "{\"text\": \"lost\"}\n");
    let rounded = env
        .run(&format!(
            "model export {version} --to half --merged --dtype bf16 --texts texts.jsonl"
        ))
        .ok();
    assert!(rounded.stdout.contains("on 1 texts"), "{rounded}");
    env.write("texts.jsonl", "{\"txt\": \"lost\"}\n");
    let faulty = env.run(&format!(
        "model export {version} --to no --merged --texts texts.jsonl"
    ));
    assert_eq!(faulty.code, Some(2), "{faulty}");
    assert!(faulty.stderr.contains("texts.jsonl:1"), "{faulty}");
}

#[test]
fn a_server_that_cannot_have_the_adapter_is_named_with_the_reason() {
    let env = Env::new();
    let version = version(&env);
    for server in ["vllm", "sglang", "gguf"] {
        let refused = env.run(&format!(
            "model export {version} --to served --for {server}"
        ));
        assert_eq!(refused.code, Some(2), "{refused}");
        assert!(refused.stderr.contains("--merged"), "{refused}");
        assert!(refused.stderr.contains(server), "{refused}");
        assert!(!env.path("served").exists());
    }
    env.run(&format!("model export {version} --to served --for peft"))
        .ok();
    assert!(env.path("served/adapter_config.json").is_file());
    let both = env.run(&format!(
        "model export {version} --to x --merged --for vllm"
    ));
    assert_eq!(both.code, Some(2), "{both}");
}
