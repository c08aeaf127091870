//! What can go wrong in training.

use std::path::PathBuf;

use super::start::RunId;
use crate::adapter::AdapterError;
use crate::base::BaseError;
use crate::dataset::{DatasetError, SplitName};
use crate::document::canonical::CanonicalError;
use crate::fsio::FileError;
use crate::store::StoreError;

/// A training operation that failed.
#[derive(Debug, thiserror::Error)]
pub enum TrainError {
    /// The file system refused.
    #[error(transparent)]
    File(#[from] FileError),
    /// The store refused, or what it holds is damaged.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The base cannot be opened.
    #[error(transparent)]
    Base(#[from] BaseError),
    /// The dataset cannot be read.
    #[error(transparent)]
    Dataset(#[from] DatasetError),
    /// The adapter cannot be written, or was not written faithfully.
    #[error(transparent)]
    Adapter(#[from] AdapterError),
    /// The network refused, or a loss or gradient is not finite.
    #[cfg(feature = "train")]
    #[error(transparent)]
    Network(#[from] crate::base::network::NetworkError),
    /// A loss, a gradient or a weight is not finite, or the network failed otherwise.
    #[cfg(feature = "train")]
    #[error("training failed at step {step}")]
    Step {
        /// The step.
        step: u64,
        /// Why.
        source: crate::base::network::NetworkError,
    },
    /// The tokenizer cannot be read, or refused a text.
    #[cfg(feature = "train")]
    #[error(transparent)]
    Tokenizer(#[from] crate::base::TokenizerError),
    /// A document of a run that is not one.
    #[error("a document of the run cannot be used")]
    Document(#[from] CanonicalError),
    /// A file of a run that is not what was written.
    #[error("{} is damaged: {why}", path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        why: String,
    },
    /// Documents of a run that do not agree with each other.
    #[error("the run contradicts itself: {0}")]
    Contradiction(String),
    /// A directory without a start document.
    #[error("{} is not a run", .0.display())]
    NotARun(PathBuf),
    /// The same job was begun within the same second.
    #[error("run {run} is there already, in {}", dir.display())]
    Exists {
        /// The run.
        run: RunId,
        /// Its directory.
        dir: PathBuf,
    },
    /// Another process trains this run.
    #[error("run {0} is being trained by another process")]
    Busy(RunId),
    /// There is nothing left to do.
    #[error("run {0} is complete")]
    Complete(RunId),
    /// What the run was begun with is not what is there now.
    #[error("run {run} cannot go on: its {what} is {was}, now it is {now}")]
    Changed {
        /// The run.
        run: RunId,
        /// Which input.
        what: &'static str,
        /// When the run began.
        was: String,
        /// Now.
        now: String,
    },
    /// Rows without a class.
    #[error("dataset {dataset} cannot be used for seq_cls: its rows have no `text` and `label`")]
    Kind {
        /// The dataset.
        dataset: String,
    },
    /// An evaluation that was asked for, of nothing.
    #[error("the job has `eval`, but dataset {dataset} has no validation split")]
    NoValidation {
        /// The dataset.
        dataset: String,
    },
    /// Longer than the model can read.
    #[error("sequence_len is {asked}; the base reads {limit} tokens at most")]
    SequenceLength {
        /// In the job.
        asked: usize,
        /// Of the base.
        limit: usize,
    },
    /// A tokenizer with more ids than the model has embeddings.
    #[error("the tokenizer has {tokens} ids, the base {embeddings} embeddings")]
    Vocabulary {
        /// Of the tokenizer.
        tokens: usize,
        /// Of the base.
        embeddings: usize,
    },
    /// Rows that are too long, where the job says that this is an error.
    #[error("{}", overlong(.split, *.rows, .lines, *.limit, *.longest))]
    Overlong {
        /// Where.
        split: SplitName,
        /// How many.
        rows: u64,
        /// The first of them.
        lines: Vec<u64>,
        /// The job's `sequence_len`.
        limit: usize,
        /// Tokens of the longest.
        longest: u64,
    },
    /// More rows are too long than may be dropped.
    #[error(
        "{dropped} of {rows} rows of the {split} split are longer than sequence_len {limit} and would be dropped, \
         more than max_dropped_fraction allows"
    )]
    Dropped {
        /// Where.
        split: SplitName,
        /// How many.
        dropped: u64,
        /// Of how many.
        rows: u64,
        /// The job's `sequence_len`.
        limit: usize,
    },
    /// A class that cannot be learned.
    #[error("line {line} of the {split} split has the label {label:?}, which no training row has")]
    NewLabel {
        /// Where.
        split: SplitName,
        /// The row.
        line: u64,
        /// Its label.
        label: String,
    },
    /// Nothing to tell apart.
    #[error("the training split has {0} different labels; a classifier needs two")]
    Labels(usize),
    /// The watchdog gave up.
    #[error(
        "training was given up at step {step}: the loss was {loss} and above {limit} for {patience} steps in a row"
    )]
    Diverged {
        /// The step.
        step: u64,
        /// Its mean loss.
        loss: f64,
        /// The job's `watchdog.max_loss`.
        limit: f64,
        /// The job's `watchdog.patience`.
        patience: u64,
    },
    /// What was written does not compute what was trained.
    #[error("the adapter that was read back computes other logits than the trained model")]
    Unfaithful,
    /// Someone asked for the work to stop before there was anything to resume.
    #[error("interrupted before the first step; nothing was written")]
    Interrupted,
}

impl TrainError {
    /// Whether stored bytes are missing, changed or not what their record says.
    pub fn is_integrity(&self) -> bool {
        match self {
            Self::Store(error) => error.is_integrity(),
            Self::Base(error) => error.is_integrity(),
            Self::Dataset(error) => error.is_integrity(),
            Self::Adapter(AdapterError::Differs(_))
            | Self::Document(_)
            | Self::Damaged { .. }
            | Self::Contradiction(_)
            | Self::Unfaithful => true,
            _ => false,
        }
    }

    /// Whether the job, or the command, has to change.
    pub fn is_usage(&self) -> bool {
        #[cfg(feature = "train")]
        if let Self::Network(error) = self {
            use crate::base::network::NetworkError;
            return matches!(error, NetworkError::Lora(_) | NetworkError::NoPooler);
        }
        matches!(
            self,
            Self::NotARun(_)
                | Self::Exists { .. }
                | Self::Complete(_)
                | Self::Changed { .. }
                | Self::Kind { .. }
                | Self::NoValidation { .. }
                | Self::SequenceLength { .. }
                | Self::Overlong { .. }
                | Self::Dropped { .. }
                | Self::NewLabel { .. }
                | Self::Labels(_)
        )
    }
}

fn overlong(split: &SplitName, rows: u64, lines: &[u64], limit: usize, longest: u64) -> String {
    let listed: Vec<String> = lines.iter().map(u64::to_string).collect();
    let more = if rows > lines.len() as u64 {
        ", …"
    } else {
        ""
    };
    format!(
        "{rows} rows of the {split} split are longer than sequence_len {limit} (lines {}{more}; the longest has {longest} tokens)",
        listed.join(", ")
    )
}
