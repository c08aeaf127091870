//! What came of a run: written once, after everything else.

use serde::{Deserialize, Serialize};

use super::error::TrainError;
use super::from::FromAdapter;
use super::metrics::Scores;
use super::start::RunId;
use super::tokens::TokenAccount;
use crate::digest::Digest;
use crate::document::{Decimal, canonical};
use crate::store::{TreeEntry, TreeId};
use crate::time::Timestamp;

const SCHEMA: &str = "retune.run/1";

/// What came of a completed run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RunRecord {
    /// The run; its start document has this digest.
    pub run: RunId,
    /// The digest of the job.
    pub job: Digest,
    /// Why training ended.
    pub end: End,
    /// The adapter that the run went on from, if it did.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from: Option<FromAdapter>,
    /// What was trained, as a tree: the adapter, or the whole checkpoint where the job says `adapter: full`.
    pub adapter: TreeId,
    /// Its files.
    pub files: Vec<TreeEntry>,
    /// The mean training loss of the last step.
    pub final_loss: Decimal,
    /// The last evaluation.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last: Option<Scores>,
    /// The best evaluation.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub best: Option<Best>,
    /// The step whose weights the adapter has.
    pub adapter_step: u64,
    /// Work done.
    pub totals: Totals,
    /// What became of the training rows.
    pub train: TokenAccount,
    /// What became of the validation rows, where they were used.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub validation: Option<TokenAccount>,
    /// Rows of the test split that ask what training rows ask, where there are any.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub test_leaked: u64,
    /// When the run was over.
    pub finished_at: Timestamp,
}

/// Why training ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum End {
    /// All steps were taken.
    Completed,
    /// The validation split got no better.
    StoppedEarly,
}

/// The best evaluation of a run.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Best {
    /// After this many optimiser steps.
    pub step: u64,
    /// What it found.
    pub scores: Scores,
}

/// Work done in a run, over all its sessions.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Totals {
    /// Optimiser steps.
    pub steps: u64,
    /// Whole passes over the training rows.
    pub epochs: u64,
    /// Rows learned from, each as often as it was.
    pub examples: u64,
    /// Their tokens.
    pub tokens: u64,
    /// Seconds of training and evaluating; time between sessions and work that was done twice are not counted.
    pub wall_seconds: Decimal,
    /// Tokens learned from per second of training steps.
    pub tokens_per_second: Decimal,
    /// Rows learned from per second of training steps.
    pub examples_per_second: Decimal,
    /// The most memory that the last session held, in bytes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub peak_memory_bytes: Option<u64>,
}

fn is_zero(count: &u64) -> bool {
    *count == 0
}

impl RunRecord {
    /// The canonical bytes.
    pub fn encode(&self) -> Result<Vec<u8>, TrainError> {
        Ok(canonical::encode(SCHEMA, self)?)
    }

    /// Reads what [`encode`](Self::encode) wrote.
    pub fn decode(bytes: &[u8]) -> Result<Self, TrainError> {
        Ok(canonical::decode(SCHEMA, bytes)?)
    }
}
