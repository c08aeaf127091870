//! What the candidate was trained on, as far as the suite is concerned.

use serde::{Deserialize, Serialize};

use crate::digest::Digest;

/// Whether the candidate has seen the suite's texts in training.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case", deny_unknown_fields)]
pub enum Lineage {
    /// The training data is known and was compared with the suite.
    Traced {
        /// What it was trained on.
        dataset: Digest,
        /// The ids of the cases whose text, normalised, is in the training data; sorted.
        overlap: Vec<String>,
    },
    /// The training data is not known.
    Unknown {
        /// Why.
        why: String,
    },
}
