//! What can go wrong in training.

use std::path::PathBuf;

#[cfg(feature = "train")]
use super::encode::RowFault;
use super::job::TrainOn;
use super::start::RunId;
use crate::adapter::AdapterError;
use crate::base::BaseError;
use crate::base::chat::ChatError;
use crate::dataset::{DatasetError, Kind, SplitName};
use crate::digest::Digest;
use crate::document::Decimal;
use crate::document::canonical::CanonicalError;
use crate::fsio::FileError;
use crate::progress::bytes;
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
    /// Rows with a class.
    #[error(
        "dataset {dataset} cannot be used for causal_lm: its rows are classified texts; write `task: seq_cls`"
    )]
    Classified {
        /// The dataset.
        dataset: String,
    },
    /// A base that does not write.
    #[error(
        "the base is an encoder, which cannot learn `task: causal_lm`; give a decoder, or write `task: seq_cls`"
    )]
    NotALanguageModel,
    /// A classifier that transformers has no class for.
    #[error(
        "pooling: mean cannot be trained with `adapter: full` on this base: no class of transformers computes it, so the \
         checkpoint would load and answer wrongly; write `pooling: cls`, or `adapter: lora`"
    )]
    WholePooling,
    /// An adapter that cannot be read, or that is not one of this base.
    #[error("the run cannot go on from this adapter")]
    Unusable(#[source] AdapterError),
    /// An adapter that is not one as the job trains.
    #[error("the run cannot go on from this adapter: {}", .0.join("; "))]
    OtherAdapter(Vec<String>),
    /// Nothing that an adapter could begin.
    #[error(
        "`adapter: full` trains every weight, so it cannot go on from an adapter; merge it (`retune model export --merged`) and take \
         the result as base"
    )]
    FromNothing,
    /// The same rows again and again.
    #[error(
        "{rows} of {of} rows of the {split} split ask and answer what an earlier row does ({}), more than max_duplicate_fraction allows",
        in_lines(.lines, *.rows)
    )]
    Duplicates {
        /// Where.
        split: SplitName,
        /// How many.
        rows: u64,
        /// Of how many.
        of: u64,
        /// The first of them.
        lines: Vec<u64>,
    },
    /// What is looked at was learned.
    #[error(
        "{rows} of {of} rows of the {split} split ask what training rows ask ({}), more than max_leaked_fraction allows: what is measured on \
         them is memory",
        in_lines(.lines, *.rows)
    )]
    Leaked {
        /// Where.
        split: SplitName,
        /// How many.
        rows: u64,
        /// Of how many.
        of: u64,
        /// The first of them.
        lines: Vec<u64>,
    },
    /// A part that such rows do not have.
    #[error("train_on: {train_on} means nothing for {kind} rows; leave it out, or write `all`")]
    TrainOn {
        /// In the job.
        train_on: TrainOn,
        /// Of the dataset.
        kind: Kind,
    },
    /// Nothing that could be written again.
    #[error("eval.metric: exact_match needs answers; where whole texts are learned there are none")]
    NoAnswers,
    /// A template for rows that need none.
    #[error("chat_template means nothing for {kind} rows; leave it out")]
    NoConversations {
        /// Of the dataset.
        kind: Kind,
    },
    /// A base without a template.
    #[error("{}", no_template(.name, .known))]
    NoTemplate {
        /// What was asked for.
        name: String,
        /// What there is.
        known: Vec<String>,
    },
    /// A template that is not the one that the job pins.
    #[error("chat_template.sha256 is {want}; the template of the base has {found}")]
    OtherTemplate {
        /// In the job.
        want: Digest,
        /// Of the base.
        found: Digest,
    },
    /// The template is no template.
    #[error(transparent)]
    Chat(#[from] ChatError),
    /// A base whose texts have no end.
    #[error(
        "tokenizer_config.json names no eos_token that tokenizer.json has, so the model could not learn to stop"
    )]
    NoEos,
    /// A base whose texts have no beginning.
    #[error(
        "tokenizer.add_bos is true, but tokenizer_config.json names no bos_token that tokenizer.json has"
    )]
    NoBos,
    /// Two sets of rows to look at.
    #[error("dataset {dataset} has a validation split; leave `val_set_size` out")]
    TwoValidations {
        /// The dataset.
        dataset: String,
    },
    /// A share of nothing.
    #[error("val_set_size {0} of these rows is none; write a larger share")]
    NothingHeldOut(Decimal),
    /// Rows that cannot be learned from.
    #[cfg(feature = "train")]
    #[error("{}", rows_at_fault(.split, *.rows, .faults))]
    Rows {
        /// Where.
        split: SplitName,
        /// How many.
        rows: u64,
        /// The lines of the first of them, and what is wrong.
        faults: Vec<(u64, RowFault)>,
    },
    /// An estimate above the job's limit.
    #[error(
        "training would take about {}, limits.max_memory is {}; lower micro_batch_size or sequence_len",
        bytes(*.needed), bytes(*.limit)
    )]
    Memory {
        /// Bytes, by the estimate.
        needed: u64,
        /// Bytes, in the job.
        limit: u64,
    },
    /// More memory than the job allows.
    #[error(
        "training stopped after step {step}: it held {}, limits.max_memory is {}; a checkpoint was written",
        bytes(*.held), bytes(*.limit)
    )]
    OutOfMemory {
        /// Steps taken.
        step: u64,
        /// Bytes.
        held: u64,
        /// Bytes, in the job.
        limit: u64,
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
    #[error("what was read back computes other losses than the trained model")]
    Unfaithful,
    /// Weights that are those of the base.
    #[error("no weight of the trained model differs from the base's, so nothing was trained")]
    Untrained,
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
            Self::Unusable(AdapterError::Store(error)) => error.is_integrity(),
            Self::Adapter(AdapterError::Differs(_))
            | Self::Untrained
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
        match self {
            Self::Network(error) => {
                use crate::base::network::NetworkError;
                return matches!(
                    error,
                    NetworkError::Lora(_)
                        | NetworkError::NoPooler
                        | NetworkError::NoDevice { .. }
                        | NetworkError::Task { .. }
                );
            }
            Self::Rows { .. } => return true,
            _ => {}
        }
        matches!(
            self,
            Self::NotARun(_)
                | Self::Exists { .. }
                | Self::Complete(_)
                | Self::Changed { .. }
                | Self::Kind { .. }
                | Self::Classified { .. }
                | Self::TrainOn { .. }
                | Self::NoConversations { .. }
                | Self::NoTemplate { .. }
                | Self::OtherTemplate { .. }
                | Self::Chat(_)
                | Self::NoEos
                | Self::NoAnswers
                | Self::NotALanguageModel
                | Self::WholePooling
                | Self::OtherAdapter(_)
                | Self::Unusable(_)
                | Self::FromNothing
                | Self::Duplicates { .. }
                | Self::Leaked { .. }
                | Self::NoBos
                | Self::TwoValidations { .. }
                | Self::NothingHeldOut(_)
                | Self::Memory { .. }
                | Self::NoValidation { .. }
                | Self::SequenceLength { .. }
                | Self::Vocabulary { .. }
                | Self::Overlong { .. }
                | Self::Dropped { .. }
                | Self::NewLabel { .. }
                | Self::Labels(_)
        )
    }
}

fn overlong(split: &SplitName, rows: u64, lines: &[u64], limit: usize, longest: u64) -> String {
    format!(
        "{rows} rows of the {split} split are longer than sequence_len {limit} ({}; the longest has {longest} tokens)",
        in_lines(lines, rows)
    )
}

/// `lines 3, 9, …`
fn in_lines(lines: &[u64], rows: u64) -> String {
    let listed: Vec<String> = lines.iter().map(u64::to_string).collect();
    let more = if rows > lines.len() as u64 {
        ", …"
    } else {
        ""
    };
    format!("lines {}{more}", listed.join(", "))
}

fn no_template(name: &str, known: &[String]) -> String {
    match known {
        [] => "the base has no chat template; write `chat_template: {file: …}`".to_owned(),
        known => format!(
            "the base has no chat template named {name:?}; it has {}",
            known.join(", ")
        ),
    }
}

/// `3 rows of the train split cannot be used: line 4: …; line 9: …; …`
#[cfg(feature = "train")]
fn rows_at_fault(split: &SplitName, rows: u64, faults: &[(u64, RowFault)]) -> String {
    let mut told: Vec<String> = Vec::new();
    for (line, fault) in faults {
        told.push(format!("line {line}: {fault}"));
    }
    if rows > faults.len() as u64 {
        told.push("…".to_owned());
    }
    format!(
        "{rows} rows of the {split} split cannot be used: {}",
        told.join("; ")
    )
}
