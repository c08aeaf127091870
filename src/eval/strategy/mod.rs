//! Ways of asking that need no training: an instruction, examples from a training split, passages of documents.
//!
//! A strategy turns a suite into one whose cases have these before them; whatever answers that one is graded by the
//! suite as it was. So the same suite compares zero-shot, k-shot, retrieval and fine-tuned answers.
//!
//! Home of the crate `bm25`.

mod documents;
mod file;
mod nearest;
mod prompts;
#[cfg(test)]
mod tests;

use std::fmt;

use serde::{Deserialize, Serialize};

pub use documents::Documents;
pub use file::{StrategyFile, WantedDocuments, WantedExamples};
pub use nearest::Vectors;
pub use prompts::Prompting;

use crate::base::BaseId;
use crate::dataset::DatasetId;
use crate::digest::Digest;

/// How a model is asked, named by digests: part of what a report is about.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Strategy {
    /// What it is told first.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub instruction: Option<String>,
    /// The examples that it is shown.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub examples: Option<Shots>,
    /// The passages that it is given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub documents: Option<Retrieval>,
}

/// Such as `told, 4-shot, with 3 passages by embeddings`.
impl fmt::Display for Strategy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let told = self.instruction.as_ref().map(|_| "told".to_owned());
        let shown = self.examples.map(|shots| format!("{}-shot", shots.k));
        let given = self.documents.map(|documents| match documents.base {
            None => format!("with {} passages", documents.k),
            Some(_) => format!("with {} passages by embeddings", documents.k),
        });
        let parts: Vec<String> = [told, shown, given].into_iter().flatten().collect();
        f.write_str(&parts.join(", "))
    }
}

/// Examples of a training split, the same for every case but for one that asks the very same.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Shots {
    /// The dataset.
    pub dataset: DatasetId,
    /// How many.
    pub k: u32,
    /// Which: the `k` rows with the smallest SHA-256 of this seed and the row.
    pub seed: u64,
}

/// The passages of a folder that are most like the question.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Retrieval {
    /// The digest of the folder's texts and their names.
    pub documents: Digest,
    /// How many.
    pub k: u32,
    /// The base whose embeddings say what is like what; absent where BM25 does.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub base: Option<BaseId>,
}
