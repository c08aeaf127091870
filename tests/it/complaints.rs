//! What users of other trainers report, one test for each of fifteen complaints: each shows here that it does not happen.
//!
//! Every one is a silent failure elsewhere: training runs, the loss falls, and the model that comes out is wrong. Adapters that
//! servers mis-scale (7), empty checkpoints (12) and merges that drift (14) are compared with PEFT number for number in
//! `tests/it/adapter.rs`; here is what a person at the command line meets.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use serde_json::Value;

use crate::support::{Env, Output};

const JOB: &str = "\
version: 1
kind: TrainJob
name: answers
task: causal_lm
base: tiny
dataset: tickets
sequence_len: 64
lora: {r: 2, alpha: 4}
optimizer: {learning_rate: 1.0e-2}
micro_batch_size: 4
max_steps: 4
seed: 7
";

/// A project with a tiny language model and some rows.
struct Scene {
    env: Env,
}

impl Scene {
    fn new(rows: &str) -> Self {
        Self::on(&fixture(), rows)
    }

    fn on(base: &Path, rows: &str) -> Self {
        let env = Env::new();
        env.run("init").ok();
        env.run_args(&["base", "add", "tiny", &base.display().to_string()])
            .ok();
        let scene = Self { env };
        scene.rows(rows);
        scene.job("");
        scene
    }

    fn rows(&self, rows: &str) {
        self.env.write("train.jsonl", rows);
        self.env.run("dataset add tickets --train train.jsonl").ok();
    }

    /// The job with more keys; a key that is there already is replaced.
    fn job(&self, more: &str) {
        let replaced = |line: &&str| {
            let key = line.split(':').next().unwrap_or_default();
            !more
                .lines()
                .any(|other| other.starts_with(&format!("{key}:")))
        };
        let kept: Vec<&str> = JOB.lines().filter(replaced).collect();
        self.env
            .write("job.yaml", format!("{}\n{more}", kept.join("\n")));
    }

    fn plan(&self) -> Value {
        self.env
            .run("train job.yaml --dry-run --format json")
            .ok()
            .json()
    }

    /// The plan is refused as a fault of job or data.
    fn refused(&self) -> String {
        let output = self.env.run("train job.yaml --dry-run");
        assert_eq!(output.code, Some(2), "{output}");
        output.stderr
    }

    /// The version that the only run is registered as.
    fn register(&self) -> String {
        let run = self.runs()[0].file_name().unwrap().to_owned();
        let register = ["model", "register", "support", "--run"];
        let run = run.to_str().unwrap();
        let registered = self.env.run_args(&[&register[..], &[run]].concat()).ok();
        let version = registered.stdout.trim().strip_prefix("registered ");
        version.unwrap().to_owned()
    }

    fn train(&self) -> Output {
        self.env.run("train job.yaml").ok()
    }

    /// The folders of all runs.
    fn runs(&self) -> Vec<PathBuf> {
        let runs = fs::read_dir(self.env.path(".retune/runs")).unwrap();
        let mut runs: Vec<PathBuf> = runs.map(|run| run.unwrap().path()).collect();
        runs.sort();
        runs
    }

    fn adapter(&self, file: &str) -> Vec<u8> {
        let runs = self.runs();
        assert_eq!(runs.len(), 1);
        fs::read(runs[0].join("adapter").join(file)).unwrap()
    }

    /// The loss of every step of the only run.
    fn losses(&self) -> Vec<f64> {
        let text = fs::read_to_string(self.runs()[0].join("metrics.jsonl")).unwrap();
        let lines = text.lines().map(|line| serde_json::from_str(line).unwrap());
        let steps = lines.filter(|line: &Value| line["event"] == "step");
        steps.map(|line| line["loss"].as_f64().unwrap()).collect()
    }
}

fn fixture() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/parity/llama/model")
}

/// The fixture's checkpoint with one file changed.
fn changed(file: &str, change: impl Fn(&str) -> String) -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    for entry in fs::read_dir(fixture()).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap();
        if name == "config.v4.json" {
            continue;
        }
        fs::copy(&path, dir.path().join(name)).unwrap();
    }
    let path = dir.path().join(file);
    let text = change(&fs::read_to_string(&path).unwrap());
    fs::write(path, text).unwrap();
    dir
}

/// Conversations of two messages.
fn conversations(count: usize) -> String {
    let row = |index: usize| {
        let (asked, said) = [
            ("Where is it?", "On its way."),
            ("Is it pinned?", "Yes."),
            ("Who pays?", "We do, all of it."),
        ][index % 3];
        format!(
            "{{\"messages\": [{{\"role\": \"user\", \"content\": \"{asked} {index}\"}}, \
             {{\"role\": \"assistant\", \"content\": \"{said}\"}}]}}\n"
        )
    };
    (0..count).map(row).collect()
}

fn completions(count: usize) -> String {
    let row = |index: usize| {
        let answer = ["one", "two, or three", "four and five and six"][index % 3];
        format!("{{\"prompt\": \"Say {index}:\", \"completion\": \" {answer}\"}}\n")
    };
    (0..count).map(row).collect()
}

/// What a plan's first rows learn.
fn learned(plan: &Value) -> Vec<String> {
    let samples = plan["samples"].as_array().unwrap().iter();
    let parts = samples.flat_map(|sample| sample["parts"].as_array().unwrap());
    let learned = parts.filter(|part| part["learned"] == true);
    learned
        .map(|part| part["text"].as_str().unwrap().to_owned())
        .collect()
}

// marin#7237, trl#3927, trl#980.
#[test]
fn complaint_1_the_loss_mask_was_empty_or_wrong() {
    let scene = Scene::new(&conversations(6));
    assert_eq!(
        learned(&scene.plan()),
        ["On its way.<|eot_id|>", "Yes.<|eot_id|>"]
    );
    let shown = scene.env.run("train job.yaml --dry-run").ok();
    assert!(shown.stdout.contains("⟦On its way.<|eot_id|>⟧"), "{shown}");
    // A template that writes an answer in another way once another turn follows has no sound mask.
    scene.env.write(
        "chat.jinja",
        "{{ bos_token }}{% for m in messages %}[{{ m.role }}]{% if loop.last %}!{% endif %}{{ m.content }}<|eot_id|>{% endfor %}\
         {% if add_generation_prompt %}[assistant]!{% endif %}",
    );
    scene.job("chat_template: {file: chat.jinja}\n");
    let turns = conversations(1).replace(
        "]}",
        ", {\"role\": \"user\", \"content\": \"a\"}, {\"role\": \"assistant\", \"content\": \"b\"}]}",
    );
    scene.rows(&turns);
    let why = scene.refused();
    assert!(
        why.contains("line 1: the chat template writes turn 2 in another way"),
        "{why}"
    );
}

// trl#6668, transformers#30998.
#[test]
fn complaint_2_rows_were_truncated_silently() {
    let long = "word ".repeat(60);
    let rows = completions(9) + &format!("{{\"prompt\": \"{long}:\", \"completion\": \" end\"}}\n");
    let scene = Scene::new(&rows);
    let why = scene.refused();
    assert!(
        why.contains("1 rows of the train split are longer than sequence_len 64 (lines 10;"),
        "{why}"
    );
    scene.job("on_overlong: drop\nmax_dropped_fraction: 0.1\n");
    let dropped = scene.plan();
    assert_eq!(
        (&dropped["train"]["kept"], &dropped["train"]["dropped"]),
        (&9.into(), &1.into())
    );
    scene.job("on_overlong: truncate_prompt_left\n");
    let cut = scene.plan();
    assert_eq!(
        (&cut["train"]["kept"], &cut["train"]["truncated"]),
        (&10.into(), &1.into())
    );
    // The whole answer and its end are still learned.
    assert_eq!(cut["train"]["learned"]["ended"], 10);
}

// trl#1623, trl#3091.
#[test]
fn complaint_3_the_model_never_learned_to_stop() {
    let padding_is_the_end = changed("tokenizer_config.json", |text| {
        text.replace(
            "\"pad_token\": \"<|end_of_text|>\"",
            "\"pad_token\": \"<|eot_id|>\"",
        )
    });
    let scene = Scene::on(padding_is_the_end.path(), &conversations(6));
    let plan = scene.plan();
    assert_eq!(plan["train"]["learned"]["ended"], 6);
    assert!(
        learned(&plan)
            .iter()
            .all(|text| text.ends_with("<|eot_id|>"))
    );
    // A template without an end is an error, until somebody wants it so.
    let endless = "{{ bos_token }}{% for m in messages %}{{ m.role }}: {{ m.content }}\n{% endfor %}{% if add_generation_prompt %}assistant: {% endif %}";
    scene.env.write("chat.jinja", endless);
    scene.job("chat_template: {file: chat.jinja}\n");
    let why = scene.refused();
    assert!(
        why.contains("so the model would never learn to stop"),
        "{why}"
    );
    scene.job("chat_template: {file: chat.jinja}\ntrain_on_eos: none\n");
    assert_eq!(scene.plan()["train"]["learned"]["ended"], 0);
}

// LLaMA-Factory#2509, ollama#6823.
#[test]
fn complaint_4_it_was_served_with_another_template() {
    let scene = Scene::new(&conversations(6));
    let digest = scene.plan()["chat_template"].as_str().unwrap().to_owned();
    scene.job(&format!("chat_template: {{sha256: {}}}\n", "0".repeat(64)));
    let why = scene.refused();
    assert!(
        why.contains(&format!("the template of the base has {digest}")),
        "{why}"
    );
    scene.job(&format!("chat_template: {{sha256: '{digest}'}}\n"));
    scene.train();
    let template = String::from_utf8(scene.adapter("chat_template.jinja")).unwrap();
    let config = fs::read_to_string(fixture().join("tokenizer_config.json")).unwrap();
    let config: Value = serde_json::from_str(&config).unwrap();
    assert_eq!(config["chat_template"], template.as_str());
    let record: Value = serde_json::from_slice(&scene.adapter("retune.json")).unwrap();
    assert_eq!(record["chat_template"], digest.as_str());
}

// OpenRLHF#393, Soup#781.
#[test]
fn complaint_5_there_were_two_bos_tokens() {
    // The template writes one and the tokenizer would put another before it.
    let scene = Scene::new(&conversations(6));
    let plan = scene.plan();
    assert_eq!(plan["train"]["learned"]["begun"], 6);
    let text = plan["samples"][0]["parts"][0]["text"].as_str().unwrap();
    assert_eq!(text.matches("<|begin_of_text|>").count(), 1, "{text}");
    // One in the data is one too many.
    scene.rows(&conversations(6).replace("Is it", "<|begin_of_text|>Is it"));
    let why = scene.refused();
    assert!(
        why.contains("2 rows of the train split cannot be used: line 2:"),
        "{why}"
    );
    assert!(why.contains("its text has 2 BOS tokens"), "{why}");
    // A template without one is a decision that somebody has to take.
    let bare = "{% for m in messages %}[{{ m.role }}]{{ m.content }}<|eot_id|>{% endfor %}{% if add_generation_prompt %}[assistant]{% endif %}";
    scene.env.write("chat.jinja", bare);
    scene.rows(&conversations(7));
    scene.job("chat_template: {file: chat.jinja}\n");
    let why = scene.refused();
    assert!(why.contains("tokenizer: {add_bos: true}"), "{why}");
    scene.job("chat_template: {file: chat.jinja}\ntokenizer: {add_bos: true}\n");
    assert_eq!(scene.plan()["train"]["learned"]["begun"], 7);
}

// transformers#34191, transformers#37766.
#[test]
fn complaint_6_gradient_accumulation_changed_the_loss() {
    // Answers of one, five and seven tokens: a mean of means would be another number.
    let losses = |batch: usize, passes: usize| {
        let scene = Scene::new(&completions(16));
        scene.job(&format!(
            "micro_batch_size: {batch}\ngradient_accumulation_steps: {passes}\ngroup_by_length: false\n"
        ));
        scene.train();
        scene.losses()
    };
    let (whole, parts) = (losses(8, 1), losses(1, 8));
    assert_eq!(whole.len(), 4);
    for (whole, parts) in whole.iter().zip(&parts) {
        // Gradients are sums of f32 in another order; the loss is about 6.
        assert!((whole - parts).abs() < 1e-4, "{whole} and {parts}");
    }
}

// vLLM#9280, vLLM#10849; rsLoRA in SGLang and GGUF.
#[test]
fn complaint_7_a_server_could_not_load_the_adapter_or_scaled_it_wrongly() {
    let scene = Scene::new(&conversations(6));
    scene.job("lora: {r: 4, alpha: 8, use_rslora: true, target_modules: [q_proj, v_proj]}\n");
    scene.train();
    let version = scene.register();
    for server in ["vllm", "sglang", "gguf"] {
        let export = format!("model export {version} --to {server} --for {server}");
        scene.env.run(&export).ok();
        let file = scene.env.path(server).join("adapter_config.json");
        let config: Value = serde_json::from_str(&fs::read_to_string(file).unwrap()).unwrap();
        // Servers multiply by lora_alpha / r whatever use_rslora says, and not every r is allowed; the scale is 8/√4.
        assert_eq!(config["use_rslora"], false, "{server}");
        assert_eq!(config["r"], 8, "{server}");
        assert_eq!(config["lora_alpha"], 4 * 8, "{server}");
    }
    let scene = Scene::new(&conversations(6));
    scene.job("lora: {r: 4, use_dora: true, target_modules: [q_proj]}\n");
    scene.train();
    let export = format!("model export {} --to out --for vllm", scene.register());
    let refused = scene.env.run(&export);
    assert_eq!(refused.code, Some(2), "{refused}");
    assert!(refused.stderr.contains("DoRA"), "{refused}");
}

// peft#1959.
#[test]
fn complaint_8_target_modules_matched_nothing_and_training_went_on() {
    let scene = Scene::new(&conversations(3));
    for targets in ["[query_key_value]", "[q_proj, k_prj]", "'.*attention.*'"] {
        scene.job(&format!("lora: {{target_modules: {targets}}}\n"));
        let why = scene.refused();
        assert!(why.contains("self_attn.q_proj"), "{why}");
    }
    scene.job("lora: {r: 2, target_modules: [q_proj]}\n");
    let plan = scene.plan();
    let modules = plan["modules"].as_array().unwrap();
    assert!(
        modules
            .iter()
            .all(|m| m["path"].as_str().unwrap().ends_with("q_proj"))
    );
    assert_eq!(plan["adapted_modules"], modules.len());
}

// transformers#35850, lerobot#3459.
#[test]
fn complaint_9_a_resumed_run_was_another_run() {
    let whole = Scene::new(&conversations(9));
    let job = "lora: {r: 2, alpha: 4, dropout: 0.2}\nmax_steps: 60\ncheckpoint: {every_steps: 1}\n";
    whole.job(job);
    whole.train();
    let stopped = Scene::new(&conversations(9));
    // Killed as soon as there is something to go on from.
    stopped.job(job);
    let mut child = stopped.env.command(env!("CARGO_BIN_EXE_retune"));
    let child = child.stdout(Stdio::null()).stderr(Stdio::null());
    let mut child = child.args(["train", "job.yaml"]).spawn().unwrap();
    let runs = stopped.env.path(".retune/runs");
    let begun = || {
        let run = fs::read_dir(&runs).ok()?.next()?.ok()?.path();
        fs::read_dir(run.join("checkpoints")).ok()?.next()
    };
    while begun().is_none() && child.try_wait().unwrap().is_none() {
        std::thread::sleep(Duration::from_millis(1));
    }
    child.kill().unwrap();
    child.wait().unwrap();
    stopped.train();
    assert_eq!(
        whole.adapter("adapter_model.safetensors"),
        stopped.adapter("adapter_model.safetensors")
    );
    // Other data is another run, never a continuation of this one.
    stopped.rows(&conversations(12));
    stopped.train();
    assert_eq!(stopped.runs().len(), 2);
}

// LLaMA-Factory#5446, Soup#354.
#[test]
fn complaint_10_a_seed_did_not_reproduce() {
    let adapter = |seed: u64| {
        let scene = Scene::new(&conversations(9));
        scene.job(&format!("lora: {{r: 2, dropout: 0.2}}\nseed: {seed}\n"));
        scene.train();
        let start = fs::read_to_string(scene.runs()[0].join("start.json")).unwrap();
        let start: Value = serde_json::from_str(&start).unwrap();
        assert_eq!(start["job"]["seed"], seed);
        for stream in ["init", "order", "dropout"] {
            assert!(start["streams"][stream].is_u64(), "{stream}");
        }
        scene.adapter("adapter_model.safetensors")
    };
    let first = adapter(7);
    assert_eq!(first, adapter(7));
    assert_ne!(first, adapter(8));
}

// Soup#627, axolotl.
#[test]
fn complaint_11_a_typo_in_the_configuration_was_ignored() {
    let scene = Scene::new(&conversations(3));
    scene.job("sequence_length: 32\nlora_r: 4\ngradient_acumulation_steps: 2\nlora: {rank: 2}\n");
    let why = scene.refused();
    for said in [
        "gradient_acumulation_steps: unknown key; did you mean `gradient_accumulation_steps`?",
        "lora_r: unknown key; retune calls it `lora.r`",
        "lora.rank: unknown key; retune calls it `lora.r`",
        "sequence_length: unknown key; did you mean `sequence_len`?",
    ] {
        assert!(why.contains(said), "{said}\n{why}");
    }
}

// peft#2892, trl#4416.
#[test]
fn complaint_12_what_was_saved_was_empty_or_not_a_number() {
    let scene = Scene::new(&conversations(6));
    let fails = |more: &str, says: &str| {
        scene.job(more);
        let failed = scene.env.run("train job.yaml");
        assert!(![Some(0), Some(2)].contains(&failed.code), "{failed}");
        assert!(failed.stderr.contains(says), "{failed}");
    };
    // One step with a rate of zero: the factors B are what they were, which is nothing.
    fails(
        "max_steps: 1\nlr_scheduler: {name: constant, warmup_steps: 1}\n",
        "every lora_B of the adapter is zero",
    );
    fails(
        "optimizer: {learning_rate: 1.0e+38}\nmax_grad_norm: 0\nlr_scheduler: {name: constant, warmup_steps: 0}\n",
        "not finite",
    );
    // Neither left anything that looks like a result.
    for run in scene.runs() {
        assert!(!run.join("adapter").exists() && !run.join("run.json").exists());
    }
    let listed = scene.env.run("run list --format json").ok().json();
    let states = listed["runs"].as_array().unwrap().iter();
    assert!(
        states.into_iter().all(|run| run["state"] == "interrupted"),
        "{listed}"
    );
}

// peft#2415, peft#1457.
#[test]
fn complaint_13_tokenizer_and_model_did_not_fit() {
    let more = changed("tokenizer.json", |text| {
        let mut file: Value = serde_json::from_str(text).unwrap();
        let tokens = file["added_tokens"].as_array_mut().unwrap();
        let mut token = tokens[0].clone();
        token["id"] = 999.into();
        token["content"] = "<|another|>".into();
        tokens.push(token);
        file.to_string()
    });
    // A base like this is not even taken in, or is refused before training.
    let env = Env::new();
    env.run("init").ok();
    let path = more.path().display().to_string();
    let added = env.run_args(&["base", "add", "tiny", &path]);
    if added.code == Some(0) {
        let scene = Scene::on(more.path(), &conversations(3));
        let why = scene.refused();
        assert!(why.contains("embeddings"), "{why}");
    } else {
        assert_eq!(added.code, Some(2), "{added}");
    }
    // The adapter says which tokenizer it was trained with.
    let scene = Scene::new(&conversations(6));
    scene.train();
    let record: Value = serde_json::from_slice(&scene.adapter("retune.json")).unwrap();
    let tokenizer = fs::read(fixture().join("tokenizer.json")).unwrap();
    let digest = retune::digest::Digest::of(&tokenizer).to_string();
    assert_eq!(record["tokenizer"], digest.as_str());
}

// peft#1043, unsloth-zoo#810.
#[test]
fn complaint_14_the_merged_model_drifted_from_base_and_adapter() {
    let scene = Scene::new(&conversations(6));
    scene.job("lora: {r: 4, alpha: 8, use_dora: true}\n");
    scene.train();
    let version = scene.register();
    let export = format!("model export {version} --to merged --merged --format json");
    let merged = scene.env.run(&export).ok().json();
    let drift = &merged["drift"];
    let (apart, largest) = (
        drift["largest_difference"].as_f64().unwrap(),
        drift["largest_logit"].as_f64().unwrap(),
    );
    // Some thousand roundings of f32.
    assert!(apart <= 1e-4 * largest.max(1.0), "{drift}");
    // It is made of the base that the adapter was trained on, and of no other.
    let text = fs::read_to_string(scene.env.path("merged/retune.json")).unwrap();
    let made: Value = serde_json::from_str(&text).unwrap();
    let record: Value = serde_json::from_slice(&scene.adapter("retune.json")).unwrap();
    assert_eq!(made["base"], record["base"]);
}

// peft#1567, transformers#29849.
#[test]
fn complaint_15_the_base_changed_under_the_adapter() {
    let scene = Scene::new(&conversations(6));
    scene.train();
    let record: Value = serde_json::from_slice(&scene.adapter("retune.json")).unwrap();
    let start = fs::read_to_string(scene.runs()[0].join("start.json")).unwrap();
    let start: Value = serde_json::from_str(&start).unwrap();
    assert_eq!(record["base"]["tree"], start["base"]);
    // Other weights under the same name are another base, and training on them another run.
    let other = changed("config.json", |text| text.replace("1e-05", "1e-06"));
    let path = other.path().display().to_string();
    scene.env.run_args(&["base", "add", "tiny", &path]).ok();
    scene.train();
    assert_eq!(scene.runs().len(), 2);
}
