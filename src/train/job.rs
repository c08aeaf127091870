//! What to train, and how: a job whose every value is known and checked.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::base::{LoraSpec, Pooling, TargetModules};
use crate::dataset::DatasetId;
use crate::digest::Digest;
use crate::document::{Decimal, canonical};
use crate::name::{BaseName, DatasetName};

const SCHEMA: &str = "retune.job/1";

/// A training job. Read one with [`Job::read`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Job {
    /// For people.
    pub name: String,
    /// The frozen model.
    pub base: BaseRef,
    /// The examples.
    pub dataset: DatasetRef,
    /// What stands for a whole text.
    pub pooling: Pooling,
    /// The longest text, in tokens, special tokens included.
    pub sequence_len: usize,
    /// What happens to longer ones.
    pub on_overlong: OnOverlong,
    /// The largest share of a split's rows that may be dropped.
    pub max_dropped_fraction: Decimal,
    /// The adapter.
    pub lora: JobLora,
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
    /// Whether rows of one batch have similar lengths.
    pub group_by_length: bool,
    /// Where all randomness comes from.
    pub seed: u64,
    /// When the validation split is looked at. `None`: after every epoch if the dataset has one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub eval: Option<Evaluation>,
    /// When the run can be resumed from.
    pub checkpoint: CheckpointPlan,
    /// When training is given up.
    pub watchdog: Watchdog,
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
    /// The end is cut off and counted; the closing special token stays.
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
    /// The mean cross-entropy; less is better.
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

    /// Rows of one optimiser step.
    pub fn batch_size(&self) -> usize {
        self.micro_batch_size * self.gradient_accumulation_steps
    }

    /// Values that are allowed but rarely wanted.
    pub fn warnings(&self) -> Vec<String> {
        let mut warnings = Vec::new();
        let rate = self.optimizer.learning_rate.get();
        if rate < 1e-5 {
            warnings.push(format!("learning_rate {rate} is small for LoRA; about ten times the rate of full fine-tuning is usual"));
        }
        if rate > 1e-2 {
            warnings.push(format!(
                "learning_rate {rate} is large; training may diverge"
            ));
        }
        if self.lora.r > 256 {
            warnings.push(format!(
                "lora.r {} is more than most servers accept",
                self.lora.r
            ));
        }
        warnings
    }
}

impl JobLora {
    /// In the terms of the network.
    pub fn spec(&self) -> LoraSpec {
        LoraSpec {
            r: self.r,
            alpha: self.alpha.get(),
            dropout: self.dropout.get(),
            target_modules: match &self.target_modules {
                Targets::AllLinear => TargetModules::AllLinear,
                Targets::Names(names) => TargetModules::Suffixes(names.clone()),
                Targets::Regex(pattern) => TargetModules::Regex(pattern.clone()),
            },
            exclude_modules: self.exclude_modules.clone(),
            use_rslora: self.use_rslora,
        }
    }
}

impl fmt::Display for Metric {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Accuracy => "accuracy",
            Self::MacroF1 => "macro_f1",
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
