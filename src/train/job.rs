//! What to train, and how: a job whose every value is known and checked.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::base::{ExcludeModules, Init, LoraSpec, Pooling, TargetModules};
use crate::dataset::DatasetId;
use crate::digest::Digest;
use crate::document::{Decimal, canonical};
use crate::name::{BaseName, DatasetName};
use crate::time::Timestamp;

const SCHEMA: &str = "retune.job/1";

/// A training job. Read one with [`Job::read`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Job {
    /// For people.
    pub name: String,
    /// What is learned.
    #[serde(default, skip_serializing_if = "is_default")]
    pub task: Task,
    /// The frozen model.
    pub base: BaseRef,
    /// The examples.
    pub dataset: DatasetRef,
    /// What stands for a whole text, in classification. `None`: the mean of an encoder's tokens, a decoder's last one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pooling: Option<Pooling>,
    /// How rows become tokens, in causal language modelling.
    #[serde(default, skip_serializing_if = "is_default")]
    pub text: JobText,
    /// The longest text, in tokens, special tokens included.
    pub sequence_len: usize,
    /// What happens to longer ones.
    pub on_overlong: OnOverlong,
    /// The largest share of a split's rows that may be dropped.
    pub max_dropped_fraction: Decimal,
    /// The largest share of the training rows that may ask and answer what an earlier one does. `None`: all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_duplicate_fraction: Option<Decimal>,
    /// The largest share of the validation rows, and of the test rows, that may ask what training rows ask. `None`: 0.05.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_leaked_fraction: Option<Decimal>,
    /// The adapter. `None`: every weight is trained, and a whole checkpoint comes out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lora: Option<JobLora>,
    /// How weights follow gradients.
    pub optimizer: JobOptimizer,
    /// How the learning rate changes.
    pub lr_scheduler: JobSchedule,
    /// Rows of one forward and backward pass.
    pub micro_batch_size: usize,
    /// Passes of one optimiser step.
    pub gradient_accumulation_steps: usize,
    /// When training ends.
    pub length: Length,
    /// Gradients longer than this are shortened to it; 0 leaves them as they are.
    pub max_grad_norm: Decimal,
    /// Whether rows of one batch have similar lengths. No batch is padded, so this saves nothing; it bounds the largest batch.
    pub group_by_length: bool,
    /// Whether a row of a batch is as many examples as `sequence_len` tokens hold.
    #[serde(default, skip_serializing_if = "is_default")]
    pub sample_packing: bool,
    /// The precision of products.
    #[serde(default, skip_serializing_if = "is_default")]
    pub compute: Compute,
    /// Whether layers are computed again on the way back, rather than kept.
    #[serde(default, skip_serializing_if = "is_default")]
    pub gradient_checkpointing: bool,
    /// A share of the training split that is looked at in place of a validation split.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub val_set_size: Option<Decimal>,
    /// Where all randomness comes from.
    pub seed: u64,
    /// When the validation split is looked at. `None`: after every epoch if the dataset has one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub eval: Option<Evaluation>,
    /// When the run can be resumed from.
    pub checkpoint: CheckpointPlan,
    /// When training is given up.
    pub watchdog: Watchdog,
    /// What a run may use.
    #[serde(default, skip_serializing_if = "is_default")]
    pub limits: Limits,
}

/// What is learned.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Task {
    /// To which class a text belongs.
    #[default]
    SeqCls,
    /// What comes next.
    CausalLm,
}

/// How rows become tokens, in causal language modelling.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct JobText {
    /// How conversations become text, where the base's own template is not taken as it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub template: Option<JobTemplate>,
    /// Whether a BOS token is put before every text. `None`: as the tokenizer does.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub add_bos: Option<bool>,
    /// What is learned. `None`: completions, the assistant's messages, or whole texts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub train_on: Option<TrainOn>,
    /// Which ends are learned.
    #[serde(default, skip_serializing_if = "is_default")]
    pub train_on_eos: TrainOnEos,
}

/// A chat template and what it is given.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct JobTemplate {
    /// One of the base's own, by name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// The template itself, read from a file beside the job.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub text: Option<String>,
    /// What its digest must be.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sha256: Option<Digest>,
    /// What `strftime_now` tells it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub date: Option<Timestamp>,
}

/// Which part of a row is learned.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TrainOn {
    /// Completions, of rows with a prompt.
    Completion,
    /// Every message of the assistant.
    Assistant,
    /// The last message of the assistant.
    LastAssistant,
    /// Everything.
    All,
}

/// Which of the tokens that end a turn or text are learned.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TrainOnEos {
    /// That of every learned turn.
    #[default]
    Turn,
    /// That of the last one.
    Last,
    /// Those of all turns, whoever speaks.
    All,
    /// None: the model does not learn to stop.
    None,
}

/// The precision of products with frozen weights.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Compute {
    /// 32 bits.
    #[default]
    F32,
    /// 16 bits of the range of 32.
    Bf16,
}

/// What a run may use. It ends with a checkpoint, and can be resumed, when it reaches one of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Limits {
    /// Bytes; more by the estimate, and it does not begin.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_memory: Option<u64>,
    /// Seconds of training and evaluating.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_seconds: Option<u64>,
}

/// The adapter that a job trains.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct JobLora {
    /// Rank.
    pub r: usize,
    /// Numerator of the scale.
    pub alpha: Decimal,
    /// Dropout before `A`.
    pub dropout: Decimal,
    /// The modules to adapt.
    pub target_modules: Targets,
    /// Modules that stay as they are.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub exclude_modules: Option<Vec<String>>,
    /// Scale α/√r in place of α/r.
    pub use_rslora: bool,
    /// Other ranks, by the last segments of a module's path (regular expressions).
    #[serde(default, skip_serializing_if = "is_default")]
    pub rank_pattern: BTreeMap<String, usize>,
    /// Other alphas, likewise.
    #[serde(default, skip_serializing_if = "is_default")]
    pub alpha_pattern: BTreeMap<String, Decimal>,
    /// The layers to adapt; empty for all.
    #[serde(default, skip_serializing_if = "is_default")]
    pub layers_to_transform: Vec<usize>,
    /// Modules that are trained whole.
    #[serde(default, skip_serializing_if = "is_default")]
    pub modules_to_save: Vec<String>,
    /// Weight-decomposed adaptation.
    #[serde(default, skip_serializing_if = "is_default")]
    pub use_dora: bool,
    /// The values before the first step.
    #[serde(default, skip_serializing_if = "is_default")]
    pub init: JobInit,
}

/// How `A` begins; `B` is zero.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum JobInit {
    /// U(−1/√in, 1/√in).
    #[default]
    Kaiming,
    /// N(0, 1/r²).
    Gaussian,
}

/// How modules are chosen.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Targets {
    /// Every linear module but the head.
    AllLinear,
    /// Modules whose path ends with one of these names.
    Names(Vec<String>),
    /// Modules whose whole path matches.
    Regex(String),
}

/// AdamW.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct JobOptimizer {
    /// Before the schedule.
    pub learning_rate: Decimal,
    /// Decay of the two moments.
    pub betas: [Decimal; 2],
    /// Added to the square root of the second moment.
    pub eps: Decimal,
    /// Decoupled decay of every trained tensor.
    pub weight_decay: Decimal,
    /// LoRA+: how many times the rate of `A` the factor `B` gets, and so do biases and magnitudes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub loraplus_lr_ratio: Option<Decimal>,
}

/// How the learning rate changes over the steps.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct JobSchedule {
    /// The shape after the warm-up.
    pub name: ScheduleName,
    /// How long the rate rises from zero.
    pub warmup: Warmup,
    /// The share of the rate that is left at the end.
    pub min_lr_ratio: Decimal,
}

/// The shape of a schedule.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ScheduleName {
    /// Stays.
    Constant,
    /// Falls in a straight line.
    Linear,
    /// Falls as half a cosine.
    Cosine,
}

/// The length of the warm-up.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Warmup {
    /// As a share of all steps, rounded up.
    Ratio(Decimal),
    /// In steps.
    Steps(u64),
}

/// When training ends.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Length {
    /// After so many passes over the training split.
    Epochs(u64),
    /// After so many optimiser steps.
    Steps(u64),
}

/// What happens to a text that is longer than `sequence_len`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OnOverlong {
    /// It is an error that names the row.
    Error,
    /// The row is left out and counted.
    Drop,
    /// The beginning of what is given is cut off and counted; everything that is learned stays.
    TruncatePromptLeft,
    /// The end is cut off and counted; the closing special token stays in classification, and no end is learned otherwise.
    TruncateRight,
}

/// When the validation split is looked at, and what follows from it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Evaluation {
    /// When.
    pub every: Rhythm,
    /// What decides which weights are the best.
    pub metric: Metric,
    /// Training stops after so many evaluations in a row without a new best.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub early_stopping_patience: Option<u64>,
    /// Whether the adapter gets the best weights, or the last ones.
    pub load_best: bool,
}

/// How often something happens.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Rhythm {
    /// At the end of every epoch.
    Epoch,
    /// Every so many optimiser steps, and at the end.
    Steps(u64),
}

/// A number about the validation split.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Metric {
    /// The share of right answers.
    Accuracy,
    /// The mean F1 of the labels.
    MacroF1,
    /// The share of rows whose answer is written token for token.
    ExactMatch,
    /// The mean cross-entropy of rows, or of learned tokens; less is better.
    Loss,
}

/// When checkpoints are written: as here, at the end, and when the run is interrupted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CheckpointPlan {
    /// Optimiser steps between two.
    pub every_steps: u64,
    /// How many of the newest are kept.
    pub keep: usize,
}

/// When training is given up. A loss or gradient that is not finite always ends it.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Watchdog {
    /// A mean loss above this is too high.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_loss: Option<Decimal>,
    /// So many steps in a row may be too high, and one more ends the run.
    pub patience: u64,
}

/// A base: a registered name, and a version of it if not the newest.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BaseRef {
    /// The registered name.
    pub name: BaseName,
    /// What follows the `@`.
    pub version: Option<String>,
}

/// A dataset: a registered name with perhaps a version, or the id itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum DatasetRef {
    /// A registered name, and what follows the `@`.
    Named(DatasetName, Option<String>),
    /// `sha256:…`.
    Id(DatasetId),
}

impl Job {
    /// The digest of the canonical form: comments, order of keys and spelled-out defaults do not change it.
    pub fn digest(&self) -> Result<Digest, canonical::CanonicalError> {
        Ok(Digest::of(&canonical::encode(SCHEMA, self)?))
    }

    /// The adapter in the terms of the network; `None` where every weight is trained.
    pub fn spec(&self) -> Option<LoraSpec> {
        self.lora.as_ref().map(JobLora::spec)
    }

    /// Rows of one optimiser step.
    pub fn batch_size(&self) -> usize {
        self.micro_batch_size * self.gradient_accumulation_steps
    }

    /// Values that are allowed but rarely wanted.
    pub fn warnings(&self) -> Vec<String> {
        let mut warnings = Vec::new();
        let rate = self.optimizer.learning_rate.get();
        let Some(lora) = &self.lora else {
            if rate > 5e-4 {
                warnings.push(format!(
                    "learning_rate {rate} is large for `adapter: full`; a tenth of LoRA's is usual"
                ));
            }
            return warnings;
        };
        if rate < 1e-5 {
            warnings.push(format!("learning_rate {rate} is small for LoRA; about ten times the rate of full fine-tuning is usual"));
        }
        let (large, batch) = match self.task {
            Task::SeqCls => (1e-2, usize::MAX),
            Task::CausalLm => (2e-3, 32),
        };
        if self.batch_size() > batch {
            warnings.push(format!(
                "{} rows a step: LoRA learns less from batches above about 32 (micro_batch_size × gradient_accumulation_steps)",
                self.batch_size()
            ));
        }
        if rate > large {
            warnings.push(format!(
                "learning_rate {rate} is large; training may diverge"
            ));
        }
        if lora.r > 256 {
            warnings.push(format!(
                "lora.r {} is more than most servers accept",
                lora.r
            ));
        }
        warnings
    }
}

impl JobLora {
    /// In the terms of the network.
    pub fn spec(&self) -> LoraSpec {
        let target_modules = match &self.target_modules {
            Targets::AllLinear => TargetModules::AllLinear,
            Targets::Names(names) => TargetModules::Suffixes(names.clone()),
            Targets::Regex(pattern) => TargetModules::Regex(pattern.clone()),
        };
        let alphas = self.alpha_pattern.iter();
        LoraSpec {
            dropout: self.dropout.get(),
            exclude_modules: self.exclude_modules.clone().map(ExcludeModules::Suffixes),
            use_rslora: self.use_rslora,
            rank_pattern: self.rank_pattern.clone().into_iter().collect(),
            alpha_pattern: alphas
                .map(|(key, alpha)| (key.clone(), alpha.get()))
                .collect(),
            layers_to_transform: self.layers_to_transform.clone(),
            modules_to_save: self.modules_to_save.clone(),
            use_dora: self.use_dora,
            init: match self.init {
                JobInit::Kaiming => Init::Kaiming,
                JobInit::Gaussian => Init::Gaussian,
            },
            ..LoraSpec::new(self.r, self.alpha.get(), target_modules)
        }
    }
}

impl fmt::Display for Metric {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Accuracy => "accuracy",
            Self::MacroF1 => "macro_f1",
            Self::ExactMatch => "exact_match",
            Self::Loss => "loss",
        })
    }
}

impl FromStr for BaseRef {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (name, version) = split(text)?;
        let name = name
            .parse()
            .map_err(|e: crate::name::ParseNameError| e.to_string())?;
        Ok(Self { name, version })
    }
}

impl FromStr for DatasetRef {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if text.starts_with("sha256:") {
            let id: Digest = text
                .parse()
                .map_err(|e: crate::digest::ParseDigestError| e.to_string())?;
            return Ok(Self::Id(id.into()));
        }
        let (name, version) = split(text)?;
        let name = name
            .parse()
            .map_err(|e: crate::name::ParseNameError| e.to_string())?;
        Ok(Self::Named(name, version))
    }
}

fn split(text: &str) -> Result<(&str, Option<String>), String> {
    match text.split_once('@') {
        Some((_, "")) => Err(format!("{text:?} names no version after the @")),
        Some((name, version)) => Ok((name, Some(version.to_owned()))),
        None => Ok((text, None)),
    }
}

impl fmt::Display for BaseRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        named(f, self.name.as_str(), self.version.as_deref())
    }
}

impl fmt::Display for DatasetRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Named(name, version) => named(f, name.as_str(), version.as_deref()),
            Self::Id(id) => id.fmt(f),
        }
    }
}

fn named(f: &mut fmt::Formatter<'_>, name: &str, version: Option<&str>) -> fmt::Result {
    match version {
        Some(version) => write!(f, "{name}@{version}"),
        None => f.write_str(name),
    }
}

impl fmt::Display for TrainOn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Completion => "completion",
            Self::Assistant => "assistant",
            Self::LastAssistant => "last_assistant",
            Self::All => "all",
        })
    }
}

/// What is as it was before there was the key: it is left out, so that the digest of a job does not change.
fn is_default<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}

/// As the text that is parsed.
macro_rules! serde_as_text {
    ($($name:ident)*) => {$(
        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
            }
        }
    )*};
}

serde_as_text!(BaseRef DatasetRef);
