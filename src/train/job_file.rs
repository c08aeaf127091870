//! The job file: raw text in, checked job out, every fault at once.
//!
//! Keys are those that users of axolotl, TRL, PEFT and LLaMA-Factory write; where these differ, `foreign.rs` knows the other
//! spellings and says ours.

use std::collections::BTreeMap;
use std::path::Path;

use regex::Regex;
use serde::Deserialize;
use serde::de::DeserializeOwned;

use super::foreign;
use super::job::{
    CheckpointPlan, Compute, Evaluation, Job, JobInit, JobLora, JobOptimizer, JobSchedule,
    JobTemplate, JobText, Length, Limits, Metric, OnOverlong, Rhythm, ScheduleName, Targets, Task,
    TrainOn, TrainOnEos, Warmup, Watchdog,
};
use crate::base::Pooling;
use crate::digest::Digest;
use crate::document::{Decimal, Fault, Faults, Source, suggest};
use crate::fsio;
use crate::time::Timestamp;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawJob {
    version: u64,
    kind: String,
    name: Option<String>,
    base: Option<String>,
    dataset: Option<String>,
    task: Option<String>,
    pooling: Option<String>,
    #[serde(default)]
    tokenizer: RawTokenizer,
    chat_template: Option<RawTemplate>,
    train_on: Option<String>,
    train_on_eos: Option<String>,
    sequence_len: Option<usize>,
    on_overlong: Option<String>,
    max_dropped_fraction: Option<f64>,
    max_duplicate_fraction: Option<f64>,
    max_leaked_fraction: Option<f64>,
    adapter: Option<String>,
    lora: Option<RawLora>,
    #[serde(default)]
    optimizer: RawOptimizer,
    #[serde(default)]
    lr_scheduler: RawSchedule,
    micro_batch_size: Option<usize>,
    gradient_accumulation_steps: Option<usize>,
    num_epochs: Option<u64>,
    max_steps: Option<u64>,
    max_grad_norm: Option<f64>,
    group_by_length: Option<bool>,
    sample_packing: Option<bool>,
    #[serde(default)]
    precision: RawPrecision,
    gradient_checkpointing: Option<bool>,
    val_set_size: Option<f64>,
    seed: Option<u64>,
    eval: Option<RawEvaluation>,
    #[serde(default)]
    checkpoint: RawCheckpoint,
    #[serde(default)]
    watchdog: RawWatchdog,
    #[serde(default)]
    limits: RawLimits,
}

#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields)]
struct RawTokenizer {
    add_bos: Option<RawAuto>,
}

#[derive(Deserialize)]
#[serde(untagged, expecting = "write auto, true or false")]
enum RawAuto {
    Decided(bool),
    Word(String),
}

#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields)]
struct RawTemplate {
    name: Option<String>,
    file: Option<String>,
    sha256: Option<String>,
    date: Option<String>,
}

#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields)]
struct RawPrecision {
    compute: Option<String>,
}

#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields)]
struct RawLimits {
    max_memory: Option<RawBytes>,
    max_seconds: Option<u64>,
}

#[derive(Deserialize)]
#[serde(
    untagged,
    expecting = "write a number of bytes, or a text such as 8GiB"
)]
enum RawBytes {
    Bytes(u64),
    Text(String),
}

/// What is trained.
#[derive(Deserialize, Clone, Copy)]
#[serde(rename_all = "snake_case")]
enum RawAdapter {
    Lora,
    Full,
}

#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields)]
struct RawLora {
    r: Option<usize>,
    alpha: Option<f64>,
    dropout: Option<f64>,
    target_modules: Option<RawTargets>,
    exclude_modules: Option<Vec<String>>,
    use_rslora: Option<bool>,
    #[serde(default)]
    rank_pattern: BTreeMap<String, usize>,
    #[serde(default)]
    alpha_pattern: BTreeMap<String, f64>,
    #[serde(default)]
    layers_to_transform: Vec<usize>,
    #[serde(default)]
    modules_to_save: Vec<String>,
    use_dora: Option<bool>,
    init: Option<String>,
}

#[derive(Deserialize)]
#[serde(
    untagged,
    expecting = "write all-linear, a list of names, or {regex: …}"
)]
enum RawTargets {
    Text(String),
    Names(Vec<String>),
    Regex(RawRegex),
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawRegex {
    regex: String,
}

#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields)]
struct RawOptimizer {
    name: Option<String>,
    learning_rate: Option<f64>,
    betas: Option<[f64; 2]>,
    eps: Option<f64>,
    weight_decay: Option<f64>,
    loraplus_lr_ratio: Option<f64>,
}

#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields)]
struct RawSchedule {
    name: Option<String>,
    warmup_ratio: Option<f64>,
    warmup_steps: Option<u64>,
    min_lr_ratio: Option<f64>,
}

#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields)]
struct RawEvaluation {
    every_steps: Option<u64>,
    every_epoch: Option<bool>,
    metric: Option<String>,
    early_stopping_patience: Option<u64>,
    load_best: Option<bool>,
}

#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields)]
struct RawCheckpoint {
    every_steps: Option<u64>,
    keep: Option<usize>,
}

#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields)]
struct RawWatchdog {
    max_loss: Option<f64>,
    patience: Option<u64>,
}

impl Job {
    /// Reads and checks a job file.
    ///
    /// Defaults: mean pooling, 256 tokens, overlong rows are errors; LoRA r 8, alpha 16 on all linear modules; AdamW
    /// with learning rate 2e-3 (`causal_lm`: 2e-4; `adapter: full`: 5e-5 and 2e-5), betas 0.9 and 0.999, eps 1e-8, no decay; linear schedule with 6 % warm-up; batches of 32
    /// (8) rows grouped by length; gradients clipped to 1; checkpoints every 200 steps, two kept. `name`, `base`, `dataset`,
    /// `task`, `seed` and one of `num_epochs` and `max_steps` have none.
    pub fn read(path: &Path) -> Result<Self, Faults> {
        Self::parse(&Source::read(path)?)
    }

    /// Like [`read`](Self::read), from text.
    pub fn parse(source: &Source) -> Result<Self, Faults> {
        let raw: RawJob = source.parse().map_err(foreign::explain)?;
        let mut check = Check {
            source,
            faults: Vec::new(),
        };
        let job = raw.validate(&mut check);
        Faults::check(check.faults)?;
        job.ok_or_else(|| source.fault("", "cannot be read").into())
    }
}

/// Collects what is wrong.
struct Check<'s> {
    source: &'s Source,
    faults: Vec<Fault>,
}

impl RawJob {
    /// `None` only where a fault was added.
    fn validate(self, check: &mut Check<'_>) -> Option<Job> {
        if self.version != 1 {
            check.fault("version", "this version of retune reads `version: 1`");
        }
        if self.kind != "TrainJob" {
            check.fault("kind", "expected `kind: TrainJob`");
        }
        if self.task.is_none() {
            check.fault("task", "is missing: write `task: seq_cls` or `causal_lm`");
        }
        let tasks = &["seq_cls", "causal_lm"];
        let task = check.word("task", self.task, Task::SeqCls, tasks);
        let name = check.required("name", self.name);
        if name.as_ref().is_some_and(|name| name.trim().is_empty()) {
            check.fault("name", "must not be empty");
        }
        let base = check.text("base", self.base);
        let dataset = check.text("dataset", self.dataset);
        let seed = check.required("seed", self.seed);
        let text = RawText {
            tokenizer: self.tokenizer,
            template: self.chat_template,
            train_on: self.train_on,
            train_on_eos: self.train_on_eos,
        };
        if self.pooling.is_some() && task == Task::CausalLm {
            check.fault("pooling", "means nothing for `task: causal_lm`");
        }
        let text = text.validate(task, check);
        let eval = self.eval.map(|eval| eval.validate(task, check));
        let passes = self.gradient_accumulation_steps;
        let pooled = self.pooling.is_some();
        let words = &["mean", "cls", "last"];
        let pooling = check.word("pooling", self.pooling, Pooling::Mean, words);
        let pooling = pooled.then_some(pooling);
        let sequence_len = check.within("sequence_len", self.sequence_len, 256, 3, 1 << 20);
        let on_overlong = check.word(
            "on_overlong",
            self.on_overlong,
            OnOverlong::Error,
            &["error", "drop", "truncate_prompt_left", "truncate_right"],
        );
        if task == Task::SeqCls && on_overlong == OnOverlong::TruncatePromptLeft {
            let why = "a classified text has no prompt; write `truncate_right`";
            check.fault("on_overlong", why);
        }
        let sample_packing = self.sample_packing.unwrap_or(false);
        if task == Task::SeqCls && sample_packing {
            let why = "batches of `seq_cls` are never padded; leave the key out";
            check.fault("sample_packing", why);
        }
        let max_dropped_fraction = check.number(
            "max_dropped_fraction",
            self.max_dropped_fraction,
            0.0,
            "from 0 to 1",
            |x| (0.0..=1.0).contains(&x),
        );
        let mut limit = |key, share: Option<f64>| {
            let fraction = |x| (0.0..=1.0).contains(&x);
            share.map(|share| check.number(key, Some(share), 0.0, "from 0 to 1", fraction))
        };
        let max_duplicate_fraction = limit("max_duplicate_fraction", self.max_duplicate_fraction);
        let max_leaked_fraction = limit("max_leaked_fraction", self.max_leaked_fraction);
        let lora = lora(check, self.adapter, self.lora);
        let optimizer = self.optimizer.validate(task, lora.is_some(), check);
        let lr_scheduler = self.lr_scheduler.validate(check);
        let rows = match task {
            Task::SeqCls => 32,
            Task::CausalLm => 8,
        };
        let micro_batch_size =
            check.within("micro_batch_size", self.micro_batch_size, rows, 1, 65536);
        let gradient_accumulation_steps =
            check.within("gradient_accumulation_steps", passes, 1, 1, 65536);
        let length = length(check, self.num_epochs, self.max_steps);
        let max_grad_norm = check.number(
            "max_grad_norm",
            self.max_grad_norm,
            1.0,
            "0 (no clipping) or positive",
            |x| x >= 0.0,
        );
        let checkpoint = self.checkpoint.validate(check);
        let watchdog = self.watchdog.validate(check);
        let limits = self.limits.validate(check);
        let compute = check.word(
            "precision.compute",
            self.precision.compute,
            Compute::F32,
            &["f32", "bf16"],
        );
        if compute == Compute::Bf16 && lora.is_none() {
            let why =
                "only frozen weights are held in bf16, and `adapter: full` leaves none; write f32";
            check.fault("precision.compute", why);
        }
        let val_set_size = self.val_set_size.map(|share| {
            check.number(
                "val_set_size",
                Some(share),
                0.0,
                "above 0 and below 1",
                |x| 0.0 < x && x < 1.0,
            )
        });
        // Everything was looked at; now what has no default must be there.
        Some(Job {
            name: name?,
            base: base?,
            dataset: dataset?,
            seed: seed?,
            group_by_length: self.group_by_length.unwrap_or(false),
            gradient_checkpointing: self.gradient_checkpointing.unwrap_or(false),
            task,
            text,
            sample_packing,
            compute,
            val_set_size,
            limits,
            pooling,
            sequence_len,
            on_overlong,
            max_dropped_fraction,
            max_duplicate_fraction,
            max_leaked_fraction,
            lora,
            optimizer,
            lr_scheduler,
            micro_batch_size,
            gradient_accumulation_steps,
            length,
            max_grad_norm,
            eval,
            checkpoint,
            watchdog,
        })
    }
}

/// `None` where every weight is trained.
fn lora(check: &mut Check<'_>, adapter: Option<String>, lora: Option<RawLora>) -> Option<JobLora> {
    let adapter = check.word("adapter", adapter, RawAdapter::Lora, &["lora", "full"]);
    match (adapter, lora) {
        (RawAdapter::Lora, lora) => Some(lora.unwrap_or_default().validate(check)),
        (RawAdapter::Full, None) => None,
        (RawAdapter::Full, Some(_)) => {
            check.fault(
                "lora",
                "means nothing for `adapter: full`, which trains every weight",
            );
            None
        }
    }
}

fn length(check: &mut Check<'_>, epochs: Option<u64>, steps: Option<u64>) -> Length {
    let (key, length, count) = match (epochs, steps) {
        (Some(epochs), None) => ("num_epochs", Length::Epochs(epochs), epochs),
        (None, Some(steps)) => ("max_steps", Length::Steps(steps), steps),
        (Some(_), Some(_)) => {
            check.fault("max_steps", "write `num_epochs` or `max_steps`, not both");
            return Length::Epochs(1);
        }
        (None, None) => {
            check.fault("num_epochs", "write `num_epochs` or `max_steps`");
            return Length::Epochs(1);
        }
    };
    if count == 0 {
        check.fault(key, "must be at least 1");
    }
    length
}

impl RawLora {
    fn validate(self, check: &mut Check<'_>) -> JobLora {
        if let Some(names) = &self.exclude_modules {
            check.names("lora.exclude_modules", names);
        }
        if !self.modules_to_save.is_empty() {
            check.names("lora.modules_to_save", &self.modules_to_save);
        }
        let mut rank_pattern = BTreeMap::new();
        for (pattern, r) in self.rank_pattern {
            let key = format!("lora.rank_pattern.{pattern}");
            rank_pattern.insert(pattern, check.within(&key, Some(r), r, 1, 4096));
        }
        let mut alpha_pattern = BTreeMap::new();
        for (pattern, alpha) in self.alpha_pattern {
            let key = format!("lora.alpha_pattern.{pattern}");
            let alpha = check.number(&key, Some(alpha), 0.0, "positive", |x| x > 0.0);
            alpha_pattern.insert(pattern, alpha);
        }
        let inits = &["kaiming", "gaussian"];
        JobLora {
            r: check.within("lora.r", self.r, 8, 1, 4096),
            alpha: check.number("lora.alpha", self.alpha, 16.0, "positive", |x| x > 0.0),
            dropout: check.number(
                "lora.dropout",
                self.dropout,
                0.0,
                "at least 0 and below 1",
                |x| (0.0..1.0).contains(&x),
            ),
            target_modules: self
                .target_modules
                .map_or(Targets::AllLinear, |targets| targets.validate(check)),
            exclude_modules: self.exclude_modules,
            use_rslora: self.use_rslora.unwrap_or(false),
            rank_pattern,
            alpha_pattern,
            layers_to_transform: self.layers_to_transform,
            modules_to_save: self.modules_to_save,
            use_dora: self.use_dora.unwrap_or(false),
            init: check.word("lora.init", self.init, JobInit::Kaiming, inits),
        }
    }
}

impl RawTargets {
    fn validate(self, check: &mut Check<'_>) -> Targets {
        let key = "lora.target_modules";
        match self {
            Self::Text(text) if text == "all-linear" => Targets::AllLinear,
            Self::Text(regex) | Self::Regex(RawRegex { regex }) => {
                if let Err(error) = Regex::new(&format!("^(?:{regex})$")) {
                    check.fault(
                        key,
                        format!("{regex:?} is not a regular expression: {error}"),
                    );
                }
                Targets::Regex(regex)
            }
            Self::Names(names) => {
                check.names(key, &names);
                Targets::Names(names)
            }
        }
    }
}

/// What only `causal_lm` reads.
struct RawText {
    tokenizer: RawTokenizer,
    template: Option<RawTemplate>,
    train_on: Option<String>,
    train_on_eos: Option<String>,
}

impl RawText {
    fn validate(self, task: Task, check: &mut Check<'_>) -> JobText {
        if task == Task::SeqCls {
            let given = [
                ("tokenizer.add_bos", self.tokenizer.add_bos.is_some()),
                ("chat_template", self.template.is_some()),
                ("train_on", self.train_on.is_some()),
                ("train_on_eos", self.train_on_eos.is_some()),
            ];
            for (key, _) in given.into_iter().filter(|(_, given)| *given) {
                check.fault(key, "means nothing for `task: seq_cls`");
            }
            return JobText::default();
        }
        let add_bos = match self.tokenizer.add_bos {
            None => None,
            Some(RawAuto::Decided(decided)) => Some(decided),
            Some(RawAuto::Word(word)) => {
                if word != "auto" {
                    check.fault("tokenizer.add_bos", "must be auto, true or false");
                }
                None
            }
        };
        let parts = &["completion", "assistant", "last_assistant", "all"];
        let train_on = self.train_on.is_some();
        let part = check.word("train_on", self.train_on, TrainOn::All, parts);
        let ends = &["turn", "last", "all", "none"];
        JobText {
            template: self.template.and_then(|template| template.validate(check)),
            add_bos,
            train_on: train_on.then_some(part),
            train_on_eos: check.word("train_on_eos", self.train_on_eos, TrainOnEos::Turn, ends),
        }
    }
}

impl RawTemplate {
    /// `None` when it says nothing, or where a fault was added.
    fn validate(self, check: &mut Check<'_>) -> Option<JobTemplate> {
        if self.file.is_some() && self.name.is_some() {
            check.fault("chat_template.name", "write `file` or `name`, not both");
        }
        let text = self
            .file
            .map(|file| check.beside("chat_template.file", &file));
        let sha256 = self.sha256.map(|hex| {
            let hex = hex.strip_prefix("sha256:").unwrap_or(&hex).to_owned();
            check.parsed("chat_template.sha256", Digest::from_hex(&hex))
        });
        let date = self.date.map(|date| {
            let time = match date.contains('T') {
                true => date,
                false => format!("{date}T00:00:00Z"),
            };
            check.parsed("chat_template.date", time.parse::<Timestamp>())
        });
        // Each is `None` where nothing was said, and holds `None` where a fault was added.
        let template = JobTemplate {
            name: self.name,
            text: text.flatten(),
            sha256: sha256.flatten(),
            date: date.flatten(),
        };
        if let (Some(text), Some(want)) = (&template.text, &template.sha256) {
            let found = Digest::of(text.as_bytes());
            if found != *want {
                check.fault(
                    "chat_template.sha256",
                    format!("the file's digest is {found}"),
                );
            }
        }
        (template != JobTemplate::default()).then_some(template)
    }
}

impl RawLimits {
    fn validate(self, check: &mut Check<'_>) -> Limits {
        if self.max_seconds == Some(0) {
            check.fault("limits.max_seconds", "must be at least 1");
        }
        let memory = self.max_memory.and_then(|memory| match memory {
            RawBytes::Bytes(bytes) => Some(bytes),
            RawBytes::Text(text) => check.parsed("limits.max_memory", size(&text)),
        });
        if memory == Some(0) {
            check.fault("limits.max_memory", "must be at least 1");
        }
        Limits {
            max_memory: memory,
            max_seconds: self.max_seconds,
        }
    }
}

/// Bytes of a text such as `8GiB`.
fn size(text: &str) -> Result<u64, String> {
    const UNITS: [(&str, u64); 7] = [
        ("KiB", 1 << 10),
        ("MiB", 1 << 20),
        ("GiB", 1 << 30),
        ("kB", 1_000),
        ("MB", 1_000_000),
        ("GB", 1_000_000_000),
        ("B", 1),
    ];
    let parsed = UNITS.into_iter().find_map(|(unit, factor)| {
        let number: f64 = text.strip_suffix(unit)?.trim().parse().ok()?;
        (number.is_finite() && number >= 0.0).then_some((number * factor as f64) as u64)
    });
    parsed.ok_or_else(|| format!("{text:?} is not a size; write one such as 8GiB"))
}

impl RawOptimizer {
    fn validate(self, task: Task, lora: bool, check: &mut Check<'_>) -> JobOptimizer {
        let rate = match (task, lora) {
            (Task::SeqCls, true) => 2e-3,
            (Task::CausalLm, true) => 2e-4,
            (Task::SeqCls, false) => 5e-5,
            (Task::CausalLm, false) => 2e-5,
        };
        if self.loraplus_lr_ratio.is_some() && !lora {
            let why = "means nothing for `adapter: full`";
            check.fault("optimizer.loraplus_lr_ratio", why);
        }
        let ratio = self.loraplus_lr_ratio.map(|ratio| {
            let key = "optimizer.loraplus_lr_ratio";
            check.number(key, Some(ratio), 1.0, "at least 1", |x| x >= 1.0)
        });
        if let Some(name) = self.name.filter(|name| name != "adamw") {
            check.fault(
                "optimizer.name",
                format!("{name:?} is not supported; this version has `adamw`"),
            );
        }
        let betas = self.betas.unwrap_or([0.9, 0.999]);
        let beta = |check: &mut Check<'_>, beta| {
            check.number(
                "optimizer.betas",
                Some(beta),
                0.9,
                "at least 0 and below 1 each",
                |x| (0.0..1.0).contains(&x),
            )
        };
        JobOptimizer {
            learning_rate: check.number(
                "optimizer.learning_rate",
                self.learning_rate,
                rate,
                "positive",
                |x| x > 0.0,
            ),
            betas: [beta(check, betas[0]), beta(check, betas[1])],
            eps: check.number("optimizer.eps", self.eps, 1e-8, "positive", |x| x > 0.0),
            weight_decay: check.number(
                "optimizer.weight_decay",
                self.weight_decay,
                0.0,
                "0 or positive",
                |x| x >= 0.0,
            ),
            loraplus_lr_ratio: ratio,
        }
    }
}

impl RawSchedule {
    fn validate(self, check: &mut Check<'_>) -> JobSchedule {
        let name = check.word(
            "lr_scheduler.name",
            self.name,
            ScheduleName::Linear,
            &["constant", "linear", "cosine"],
        );
        if name == ScheduleName::Constant && self.min_lr_ratio.is_some() {
            check.fault(
                "lr_scheduler.min_lr_ratio",
                "a constant schedule does not fall; leave the key out",
            );
        }
        if self.warmup_ratio.is_some() && self.warmup_steps.is_some() {
            check.fault(
                "lr_scheduler.warmup_steps",
                "write `warmup_ratio` or `warmup_steps`, not both",
            );
        }
        let fraction = |x| (0.0..=1.0).contains(&x);
        let ratio = check.number(
            "lr_scheduler.warmup_ratio",
            self.warmup_ratio,
            0.06,
            "from 0 to 1",
            fraction,
        );
        JobSchedule {
            name,
            warmup: self
                .warmup_steps
                .map_or(Warmup::Ratio(ratio), Warmup::Steps),
            min_lr_ratio: check.number(
                "lr_scheduler.min_lr_ratio",
                self.min_lr_ratio,
                0.0,
                "from 0 to 1",
                fraction,
            ),
        }
    }
}

impl RawEvaluation {
    fn validate(self, task: Task, check: &mut Check<'_>) -> Evaluation {
        let (metric, metrics): (_, &[&str]) = match task {
            Task::SeqCls => (Metric::Accuracy, &["accuracy", "macro_f1", "loss"]),
            Task::CausalLm => (Metric::Loss, &["loss", "exact_match"]),
        };
        let unknown = |word: &String| !metrics.contains(&word.as_str());
        if let Some(word) = self.metric.as_ref().filter(|word| unknown(word)) {
            let of = match task {
                Task::SeqCls => "seq_cls",
                Task::CausalLm => "causal_lm",
            };
            let known = metrics.join(", ");
            let meant = match suggest(word, metrics.iter().copied()) {
                Some(meant) => format!("; did you mean `{meant}`?"),
                None => String::new(),
            };
            let message = format!("{word:?} is no metric of {of} ({known}){meant}");
            check.fault("eval.metric", message);
        }
        let every = match (self.every_steps, self.every_epoch) {
            (None, None | Some(true)) => Rhythm::Epoch,
            (Some(0), _) => {
                check.fault("eval.every_steps", "must be at least 1");
                Rhythm::Epoch
            }
            (Some(steps), None | Some(false)) => Rhythm::Steps(steps),
            (Some(_), Some(true)) => {
                check.fault(
                    "eval.every_epoch",
                    "write `every_steps` or `every_epoch: true`, not both",
                );
                Rhythm::Epoch
            }
            (None, Some(false)) => {
                check.fault(
                    "eval.every_epoch",
                    "say how often with `every_steps`, or leave `eval` out",
                );
                Rhythm::Epoch
            }
        };
        if self.early_stopping_patience == Some(0) {
            check.fault("eval.early_stopping_patience", "must be at least 1");
        }
        Evaluation {
            every,
            metric: match self.metric.as_deref() {
                Some("accuracy") => Metric::Accuracy,
                Some("macro_f1") => Metric::MacroF1,
                Some("exact_match") => Metric::ExactMatch,
                Some("loss") => Metric::Loss,
                _ => metric,
            },
            early_stopping_patience: self.early_stopping_patience,
            load_best: self.load_best.unwrap_or(true),
        }
    }
}

impl RawCheckpoint {
    fn validate(self, check: &mut Check<'_>) -> CheckpointPlan {
        if self.every_steps == Some(0) {
            check.fault("checkpoint.every_steps", "must be at least 1");
        }
        CheckpointPlan {
            every_steps: self.every_steps.unwrap_or(200),
            keep: check.within("checkpoint.keep", self.keep, 2, 1, 1000),
        }
    }
}

impl RawWatchdog {
    fn validate(self, check: &mut Check<'_>) -> Watchdog {
        if self.patience == Some(0) {
            check.fault("watchdog.patience", "must be at least 1");
        }
        if self.patience.is_some() && self.max_loss.is_none() {
            check.fault("watchdog.patience", "means nothing without `max_loss`");
        }
        let max_loss = self.max_loss.map(|loss| {
            check.number("watchdog.max_loss", Some(loss), 0.0, "positive", |x| {
                x > 0.0
            })
        });
        Watchdog {
            max_loss,
            patience: self.patience.unwrap_or(3),
        }
    }
}

impl Check<'_> {
    fn fault(&mut self, key: &str, message: impl Into<String>) {
        self.faults.push(self.source.fault(key, message));
    }

    fn required<T>(&mut self, key: &str, value: Option<T>) -> Option<T> {
        if value.is_none() {
            self.fault(key, "is missing");
        }
        value
    }

    /// A text that means something else.
    fn text<T: std::str::FromStr<Err = String>>(
        &mut self,
        key: &str,
        value: Option<String>,
    ) -> Option<T> {
        match self.required(key, value)?.parse() {
            Ok(value) => Some(value),
            Err(why) => {
                self.fault(key, why);
                None
            }
        }
    }

    fn parsed<T, E: std::fmt::Display>(&mut self, key: &str, value: Result<T, E>) -> Option<T> {
        value
            .map_err(|error| self.fault(key, error.to_string()))
            .ok()
    }

    /// The text of a file whose path is relative to the job file.
    fn beside(&mut self, key: &str, file: &str) -> Option<String> {
        let folder = self.source.path().parent().unwrap_or(Path::new(""));
        let path = folder.join(file);
        let bytes = fsio::read(&path).map_err(|error| error.source.to_string());
        let text = bytes
            .and_then(|bytes| String::from_utf8(bytes).map_err(|_| "it is not UTF-8".to_owned()));
        let named = |why| format!("cannot read {}: {why}", path.display());
        self.parsed(key, text.map_err(named))
    }

    /// One of a few words, spelled as the type is stored.
    fn word<T: DeserializeOwned>(
        &mut self,
        key: &str,
        value: Option<String>,
        default: T,
        words: &[&str],
    ) -> T {
        let Some(text) = value else { return default };
        let deserializer = serde::de::value::StrDeserializer::<serde::de::value::Error>::new(&text);
        if let Ok(value) = T::deserialize(deserializer) {
            return value;
        }
        let known = words.join(", ");
        let message = match suggest(&text, words.iter().copied()) {
            Some(meant) => format!("{text:?} is not one of {known}; did you mean `{meant}`?"),
            None => format!("{text:?} is not one of {known}"),
        };
        self.fault(key, message);
        default
    }

    fn within(
        &mut self,
        key: &str,
        value: Option<usize>,
        default: usize,
        least: usize,
        most: usize,
    ) -> usize {
        let value = value.unwrap_or(default);
        if !(least..=most).contains(&value) {
            self.fault(
                key,
                format!("is {value}; it must be from {least} to {most}"),
            );
        }
        value
    }

    fn number(
        &mut self,
        key: &str,
        value: Option<f64>,
        default: f64,
        must: &str,
        good: impl Fn(f64) -> bool,
    ) -> Decimal {
        let value = value.unwrap_or(default);
        match Decimal::new(value) {
            Ok(decimal) if good(value) => decimal,
            _ => {
                self.fault(key, format!("is {value}; it must be {must}"));
                Decimal::default()
            }
        }
    }

    fn names(&mut self, key: &str, names: &[String]) {
        if names.is_empty() {
            self.fault(key, "names no module");
        }
        if names.iter().any(|name| name.trim().is_empty()) {
            self.fault(key, "a name is empty");
        }
    }
}
