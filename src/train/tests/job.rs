use std::path::Path;

use crate::base::Pooling;
use crate::document::{Faults, Source};
use crate::train::{
    DatasetRef, Evaluation, Job, Length, Metric, Rhythm, ScheduleName, Targets, Warmup,
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
    assert_eq!(job.pooling, Pooling::Mean);
    assert_eq!((job.sequence_len, job.batch_size()), (256, 32));
    assert_eq!((job.lora.r, job.lora.alpha.get()), (8, 16.0));
    assert_eq!(job.lora.target_modules, Targets::AllLinear);
    assert_eq!(job.optimizer.learning_rate.get(), 2e-3);
    assert_eq!(job.lr_scheduler.name, ScheduleName::Linear);
    assert_eq!(job.length, Length::Epochs(3));
    assert!(job.group_by_length);
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
group_by_length: false
seed: 7
eval: {every_steps: 10, metric: macro_f1, early_stopping_patience: 2, load_best: false}
checkpoint: {every_steps: 5, keep: 1}
watchdog: {max_loss: 9.5, patience: 4}
";
    let job = parse(text).unwrap();
    assert_eq!(job.base.version.as_deref(), Some("20261124-0123"));
    assert!(matches!(job.dataset, DatasetRef::Id(_)));
    assert_eq!(job.pooling, Pooling::Cls);
    assert_eq!(
        (job.sequence_len, job.max_dropped_fraction.get()),
        (64, 0.01)
    );
    let lora = job.lora.spec();
    assert_eq!(
        (lora.r, lora.alpha, lora.dropout, lora.use_rslora),
        (4, 8.0, 0.1, true)
    );
    assert_eq!(lora.exclude_modules.unwrap(), ["pooler.dense"]);
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
        (0.0, false, 7)
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
fn targets_are_written_as_in_peft() {
    let targets = |text: &str| {
        let job = parse(&with(&format!("lora: {{target_modules: {text}}}\n"))).unwrap();
        job.lora.target_modules
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
task: causal_lm
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
        "job.yaml:5: task: \"causal_lm\" is not supported; this version trains `seq_cls`",
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
            "job.yaml:13: use_dora: unknown key: DoRA is not supported by this version",
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
