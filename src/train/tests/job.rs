use std::path::Path;

use crate::base::{ExcludeModules, Init, Pooling};
use crate::document::{Faults, Source};
use crate::train::{
    Compute, DatasetRef, Evaluation, Job, JobText, Length, Metric, OnOverlong, Rhythm,
    ScheduleName, Targets, Task, TrainOn, TrainOnEos, Warmup,
};

const MINIMAL: &str = "\
version: 1
kind: TrainJob
name: router
base: minilm
dataset: banking77
task: seq_cls
num_epochs: 3
seed: 42
";

fn parse(text: &str) -> Result<Job, Faults> {
    Job::parse(&Source::new(Path::new("job.yaml"), text.to_owned()))
}

fn faults(text: &str) -> Vec<String> {
    let faults = parse(text).expect_err("the job is accepted");
    faults.as_slice().iter().map(ToString::to_string).collect()
}

fn with(more: &str) -> String {
    format!("{MINIMAL}{more}")
}

#[test]
fn defaults_are_those_that_are_documented() {
    let job = parse(MINIMAL).unwrap();
    assert_eq!(job.base.to_string(), "minilm");
    assert_eq!(job.pooling, None);
    assert_eq!((job.sequence_len, job.batch_size()), (256, 32));
    let lora = job.lora.as_ref().unwrap();
    assert_eq!((lora.r, lora.alpha.get()), (8, 16.0));
    assert_eq!(lora.target_modules, Targets::AllLinear);
    assert_eq!(job.optimizer.learning_rate.get(), 2e-3);
    assert_eq!(job.lr_scheduler.name, ScheduleName::Linear);
    assert_eq!(job.length, Length::Epochs(3));
    assert!(!job.group_by_length);
    assert_eq!(job.eval, None);
    assert_eq!((job.checkpoint.every_steps, job.checkpoint.keep), (200, 2));
    assert_eq!(job.warnings(), Vec::<String>::new());
}

#[test]
fn every_key_is_read() {
    let text = "\
version: 1
kind: TrainJob
name: x
base: b@20261124-0123
dataset: sha256:0000000000000000000000000000000000000000000000000000000000000000
task: seq_cls
pooling: cls
sequence_len: 64
on_overlong: drop
max_dropped_fraction: 0.01
lora: {r: 4, alpha: 8, dropout: 0.1, target_modules: [query, value], exclude_modules: [pooler.dense], use_rslora: true}
optimizer: {name: adamw, learning_rate: 1.0e-3, betas: [0.8, 0.99], eps: 1.0e-6, weight_decay: 0.1}
lr_scheduler: {name: cosine, warmup_steps: 7, min_lr_ratio: 0.1}
micro_batch_size: 8
gradient_accumulation_steps: 2
max_steps: 100
max_grad_norm: 0
group_by_length: true
seed: 7
eval: {every_steps: 10, metric: macro_f1, early_stopping_patience: 2, load_best: false}
checkpoint: {every_steps: 5, keep: 1}
watchdog: {max_loss: 9.5, patience: 4}
";
    let job = parse(text).unwrap();
    assert_eq!(job.base.version.as_deref(), Some("20261124-0123"));
    assert!(matches!(job.dataset, DatasetRef::Id(_)));
    assert_eq!(job.pooling, Some(Pooling::Cls));
    assert_eq!(
        (job.sequence_len, job.max_dropped_fraction.get()),
        (64, 0.01)
    );
    let lora = job.spec().unwrap();
    assert_eq!(
        (lora.r, lora.alpha, lora.dropout, lora.use_rslora),
        (4, 8.0, 0.1, true)
    );
    assert_eq!(
        lora.exclude_modules.unwrap(),
        ExcludeModules::Suffixes(vec!["pooler.dense".to_owned()])
    );
    assert_eq!(job.optimizer.betas.map(|b| b.get()), [0.8, 0.99]);
    assert_eq!(
        (job.optimizer.eps.get(), job.optimizer.weight_decay.get()),
        (1e-6, 0.1)
    );
    assert_eq!(job.lr_scheduler.warmup, Warmup::Steps(7));
    assert_eq!(job.lr_scheduler.min_lr_ratio.get(), 0.1);
    assert_eq!((job.batch_size(), job.length), (16, Length::Steps(100)));
    assert_eq!(
        (job.max_grad_norm.get(), job.group_by_length, job.seed),
        (0.0, true, 7)
    );
    let evaluation = Evaluation {
        every: Rhythm::Steps(10),
        metric: Metric::MacroF1,
        early_stopping_patience: Some(2),
        load_best: false,
    };
    assert_eq!(job.eval, Some(evaluation));
    assert_eq!((job.checkpoint.every_steps, job.checkpoint.keep), (5, 1));
    assert_eq!(
        (job.watchdog.max_loss.unwrap().get(), job.watchdog.patience),
        (9.5, 4)
    );
    // What is stored is what was read.
    let stored = serde_json::to_value(&job).unwrap();
    assert_eq!(serde_json::from_value::<Job>(stored).unwrap(), job);
}

#[test]
fn variants_of_lora_are_written_as_in_peft() {
    let job = parse(&with(
        "lora: {rank_pattern: {query: 2}, alpha_pattern: {query: 1.5}, layers_to_transform: [0, 1], use_dora: true, init: gaussian, modules_to_save: [pooler]}\n",
    ))
    .unwrap();
    let spec = job.spec().unwrap();
    assert_eq!(spec.rank_pattern, [("query".to_owned(), 2)]);
    assert_eq!(spec.alpha_pattern, [("query".to_owned(), 1.5)]);
    assert_eq!(spec.layers_to_transform, [0, 1]);
    assert_eq!(spec.modules_to_save, ["pooler"]);
    assert!(spec.use_dora && spec.init == Init::Gaussian);
    let found = faults(&with(
        "lora: {rank_pattern: {query: 0}, alpha_pattern: {query: -1}, init: xavier, modules_to_save: ['']}\n",
    ));
    assert_eq!(found.len(), 4, "{found:#?}");
}

#[test]
fn targets_are_written_as_in_peft() {
    let targets = |text: &str| {
        let job = parse(&with(&format!("lora: {{target_modules: {text}}}\n"))).unwrap();
        job.lora.unwrap().target_modules
    };
    assert_eq!(targets("all-linear"), Targets::AllLinear);
    assert_eq!(targets("[query]"), Targets::Names(vec!["query".to_owned()]));
    let regex = Targets::Regex(".*query".to_owned());
    assert_eq!(targets("'.*query'"), regex);
    assert_eq!(targets("{regex: '.*query'}"), regex);
    let broken = faults(&with("lora: {target_modules: '(query'}\n"));
    assert!(
        broken[0].contains("job.yaml:9: lora.target_modules"),
        "{broken:?}"
    );
    assert!(broken[0].contains("not a regular expression"), "{broken:?}");
}

#[test]
fn every_fault_is_told_at_once_with_its_line() {
    let text = "\
version: 2
kind: Job
name: ''
base: Minilm
task: causal_ml
pooling: maen
sequence_len: 1
lora: {r: 0, alpha: -1, dropout: 1.0}
optimizer: {name: sgd, learning_rate: 0, betas: [0.9, 1.0]}
lr_scheduler: {name: linear, warmup_ratio: 0.1, warmup_steps: 3}
micro_batch_size: 0
num_epochs: 1
max_steps: 1
seed: 1
eval: {every_steps: 3, every_epoch: true}
watchdog: {patience: 2}
";
    let found = faults(text);
    for expected in [
        "job.yaml:1: version: this version of retune reads `version: 1`",
        "job.yaml:2: kind: expected `kind: TrainJob`",
        "job.yaml:5: task: \"causal_ml\" is not one of seq_cls, causal_lm; did you mean `causal_lm`?",
        "job.yaml:12: max_steps: write `num_epochs` or `max_steps`, not both",
        "job.yaml:3: name: must not be empty",
    ] {
        let expected = expected.replace("job.yaml:12: max", "job.yaml:13: max");
        assert!(found.contains(&expected), "{expected}\n{found:#?}");
    }
    for key in [
        "base: ",
        "pooling: ",
        "sequence_len: ",
        "lora.r: ",
        "lora.alpha: ",
        "lora.dropout: ",
        "optimizer.name: ",
        "optimizer.learning_rate: ",
        "optimizer.betas: ",
        "lr_scheduler.warmup_steps: ",
        "micro_batch_size: ",
        "eval.every_epoch: ",
        "watchdog.patience: ",
        "dataset: ",
    ] {
        let count = found
            .iter()
            .filter(|fault| fault.contains(&format!(": {key}")))
            .count();
        assert_eq!(count, 1, "{key}\n{found:#?}");
    }
    assert!(
        found
            .iter()
            .any(|fault| fault.contains("did you mean `mean`?")),
        "{found:#?}"
    );
}

#[test]
fn what_is_missing_is_named() {
    let found = faults("version: 1\nkind: TrainJob\n");
    for key in ["name", "base", "dataset", "task", "seed", "num_epochs"] {
        assert!(
            found
                .iter()
                .any(|fault| fault.contains(&format!(": {key}: "))),
            "{key}\n{found:#?}"
        );
    }
    assert_eq!(found.len(), 6, "{found:#?}");
}

#[test]
fn spellings_of_other_tools_are_recognised() {
    let found = faults(&with(
        "base_model: x\nlora_r: 8\nper_device_train_batch_size: 4\ncutoff_len: 128\nuse_dora: true\nlora:\n  lora_alpha: 3\n",
    ));
    assert_eq!(
        found,
        [
            "job.yaml:9: base_model: unknown key; retune calls it `base`",
            "job.yaml:10: lora_r: unknown key; retune calls it `lora.r`",
            "job.yaml:11: per_device_train_batch_size: unknown key; retune calls it `micro_batch_size`",
            "job.yaml:12: cutoff_len: unknown key; retune calls it `sequence_len`",
            "job.yaml:13: use_dora: unknown key; retune calls it `lora.use_dora`",
            "job.yaml:15: lora.lora_alpha: unknown key; retune calls it `lora.alpha`",
        ]
    );
    let typo = faults(&with("micro_batch_sise: 4\n"));
    assert!(
        typo[0].contains("did you mean `micro_batch_size`?"),
        "{typo:?}"
    );
}

#[test]
fn every_weight_is_trained_where_the_adapter_is_full() {
    let job = parse(&with("adapter: full\n")).unwrap();
    assert_eq!((&job.lora, job.spec()), (&None, None));
    assert_eq!(job.optimizer.learning_rate.get(), 5e-5);
    let stored = serde_json::to_value(&job).unwrap();
    assert_eq!(serde_json::from_value::<Job>(stored).unwrap(), job);
    // Spelled out, the default is the same job.
    let digest = |text: &str| parse(&with(text)).unwrap().digest().unwrap();
    assert_eq!(digest("adapter: lora\n"), digest(""));
    assert_ne!(digest("adapter: full\n"), digest(""));
    let found = faults(&with(
        "adapter: full\nlora: {r: 2}\noptimizer: {loraplus_lr_ratio: 16}\nprecision: {compute: bf16}\n",
    ));
    for key in ["lora", "optimizer.loraplus_lr_ratio", "precision.compute"] {
        let said = |fault: &&String| fault.contains(&format!(": {key}: "));
        assert!(found.iter().any(|fault| said(&fault)), "{key}\n{found:#?}");
    }
    assert_eq!(found.len(), 3, "{found:#?}");
    assert_eq!(
        faults(&with("adapter: ful\n")),
        ["job.yaml:9: adapter: \"ful\" is not one of lora, full; did you mean `full`?"]
    );
    assert_eq!(
        faults(&with("finetuning_type: full\n")),
        ["job.yaml:9: finetuning_type: unknown key; retune calls it `adapter`"]
    );
}

const CAUSAL: &str = "\
version: 1
kind: TrainJob
name: answers
base: smollm
dataset: tickets
task: causal_lm
num_epochs: 1
seed: 1
";

#[test]
fn every_key_of_causal_lm_is_read() {
    let text = format!(
        "{CAUSAL}tokenizer: {{add_bos: false}}
chat_template: {{name: tool_use, date: 2026-11-25, sha256: {}}}
train_on: last_assistant
train_on_eos: last
on_overlong: truncate_prompt_left
optimizer: {{loraplus_lr_ratio: 16}}
precision: {{compute: bf16}}
sample_packing: true
gradient_checkpointing: true
val_set_size: 0.1
eval: {{metric: loss}}
limits: {{max_memory: 8GiB, max_seconds: 3600}}
",
        "ab".repeat(32)
    );
    let job = parse(&text).unwrap();
    assert_eq!(job.task, Task::CausalLm);
    let template = job.text.template.as_ref().unwrap();
    assert_eq!(template.name.as_deref(), Some("tool_use"));
    assert_eq!(template.date.unwrap().to_string(), "2026-11-25T00:00:00Z");
    assert!(template.sha256.is_some());
    assert_eq!(job.text.add_bos, Some(false));
    assert_eq!(job.text.train_on, Some(TrainOn::LastAssistant));
    assert_eq!(job.text.train_on_eos, TrainOnEos::Last);
    assert_eq!(job.on_overlong, OnOverlong::TruncatePromptLeft);
    assert_eq!(job.optimizer.loraplus_lr_ratio.unwrap().get(), 16.0);
    assert_eq!(job.compute, Compute::Bf16);
    assert!(job.sample_packing && job.gradient_checkpointing);
    assert_eq!(job.val_set_size.unwrap().get(), 0.1);
    assert_eq!(job.limits.max_memory, Some(8 << 30));
    assert_eq!(job.limits.max_seconds, Some(3600));
    let stored = serde_json::to_value(&job).unwrap();
    assert_eq!(serde_json::from_value::<Job>(stored).unwrap(), job);
    // The task decides some defaults.
    let plain = parse(CAUSAL).unwrap();
    assert_eq!(
        (plain.batch_size(), plain.optimizer.learning_rate.get()),
        (8, 2e-4)
    );
    assert_eq!(plain.text, JobText::default());
}

#[test]
fn keys_of_the_other_task_are_faults() {
    let found = faults(&with(
        "train_on: completion\nchat_template: {name: x}\ntokenizer: {add_bos: true}\nsample_packing: true\n\
         on_overlong: truncate_prompt_left\ntrain_on_eos: turn\n",
    ));
    assert_eq!(found.len(), 6, "{found:#?}");
    assert!(
        found[0].contains("job.yaml:9: train_on: means nothing for `task: seq_cls`"),
        "{found:#?}"
    );
    let found = faults(&format!(
        "{CAUSAL}pooling: mean\neval: {{metric: accuracy}}\n"
    ));
    assert_eq!(
        found,
        [
            "job.yaml:9: pooling: means nothing for `task: causal_lm`",
            "job.yaml:10: eval.metric: \"accuracy\" is no metric of causal_lm (loss, exact_match)",
        ]
    );
    let found = faults(&format!(
        "{CAUSAL}limits: {{max_memory: 8 Gb}}\nval_set_size: 1\ntokenizer: {{add_bos: maybe}}\n"
    ));
    assert_eq!(found.len(), 3, "{found:#?}");
}

#[test]
fn a_template_beside_the_job_becomes_part_of_it() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("chat.jinja"), "{{ messages }}").unwrap();
    let read = |more: &str| {
        let path = dir.path().join("job.yaml");
        std::fs::write(&path, format!("{CAUSAL}{more}")).unwrap();
        Job::read(&path)
    };
    let job = read("chat_template: {file: chat.jinja}\n").unwrap();
    let template = job.text.template.unwrap();
    assert_eq!(template.text.as_deref(), Some("{{ messages }}"));
    let wrong = format!(
        "chat_template: {{file: chat.jinja, sha256: {}}}\n",
        "0".repeat(64)
    );
    let says = |more: &str, what: &str| {
        let error = read(more).unwrap_err().to_string();
        assert!(error.contains(what), "{error}");
    };
    says(&wrong, "chat_template.sha256: the file's digest is sha256:");
    says(
        "chat_template: {file: absent.jinja}\n",
        "chat_template.file: cannot read",
    );
}

#[test]
fn the_digest_is_that_of_the_meaning() {
    let digest = |text: &str| parse(text).unwrap().digest().unwrap();
    let plain = digest(MINIMAL);
    let commented = MINIMAL.replace("seed: 42", "# a comment\nseed: 42 # another");
    assert_eq!(digest(&commented), plain);
    // A default that is written out.
    assert_eq!(
        digest(&with("micro_batch_size: 32\nlora: {alpha: 16.0}\n")),
        plain
    );
    assert_ne!(digest(&with("micro_batch_size: 31\n")), plain);
    assert_ne!(digest(&MINIMAL.replace("seed: 42", "seed: 43")), plain);
}

#[test]
fn unwise_values_are_warned_of() {
    let warnings = |more: &str| parse(&with(more)).unwrap().warnings();
    assert_eq!(warnings("optimizer: {learning_rate: 1.0e-6}\n").len(), 1);
    assert_eq!(
        warnings("optimizer: {learning_rate: 0.5}\nlora: {r: 512}\n").len(),
        2
    );
}
