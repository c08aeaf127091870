//! What can go wrong in evaluation.

use std::path::PathBuf;

use crate::digest::Digest;
use crate::document::Faults;
use crate::document::canonical::CanonicalError;
use crate::fsio::FileError;
use crate::stats::StatsError;
use crate::store::StoreError;

/// An evaluation that could not be done, or a stored suite or report that cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum EvalError {
    /// The suite file or its cases are wrong.
    #[error("the suite is not valid")]
    Suite(#[source] Faults),
    /// The suite file names no place for cases that every version has to pass.
    #[error("the suite {} has no floor", suite.display())]
    NoFloor {
        /// The suite file.
        suite: PathBuf,
        /// The file of its cases.
        cases: PathBuf,
    },
    /// A case does not fit the suite that it was to be added to.
    #[error("the case cannot be added")]
    NewCase(#[source] Faults),
    /// The target file or its recorded outputs are wrong.
    #[error("the target is not valid")]
    Target(#[source] Faults),
    /// What another tool wrote cannot be taken over.
    #[error("the import is not possible")]
    Import(#[source] Faults),
    /// The strategy file or its documents are wrong.
    #[error("the strategy is not valid")]
    Strategy(#[source] Faults),
    /// The environment has no key for the endpoint.
    #[error("the environment variable {0}, which the target names, holds no usable key")]
    NoKey(String),
    /// The target cannot answer such a suite.
    #[error("the target cannot be asked: {0}")]
    NotAsked(String),
    /// Another process asks the same.
    #[error("another process writes the journal {}", .0.display())]
    Busy(PathBuf),
    /// A journal is damaged.
    #[error("the journal {}:{line} is damaged: {why}", path.display())]
    Journal {
        /// The file.
        path: PathBuf,
        /// The line, from 1.
        line: usize,
        /// What is wrong with it.
        why: String,
    },
    /// A journal cannot be written.
    #[error("cannot write the journal {}", path.display())]
    JournalFile {
        /// The file.
        path: PathBuf,
        /// The system's answer.
        source: std::io::Error,
    },
    /// A file operation failed.
    #[error(transparent)]
    File(#[from] FileError),
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// A stored document is not what it should be.
    #[error("the {what} {digest} cannot be read")]
    Document {
        /// `suite` or `report`.
        what: &'static str,
        /// The object.
        digest: Digest,
        /// What is wrong with its bytes.
        source: CanonicalError,
    },
    /// The stored cases contradict the stored suite.
    #[error("the suite {suite} does not agree with its cases {cases}: {why}")]
    Cases {
        /// The suite.
        suite: Digest,
        /// The object that holds its cases.
        cases: Digest,
        /// What is wrong.
        why: String,
    },
    /// A document cannot be written.
    #[error("the {what} cannot be written as a document")]
    Encode {
        /// `suite`, `report` or `subject`.
        what: &'static str,
        /// Why.
        source: CanonicalError,
    },
    /// As many answers as cases are needed, in their order.
    #[error("{answers} answers for the {cases} cases of suite {suite}")]
    Answers {
        /// How many came.
        answers: usize,
        /// How many are needed.
        cases: usize,
        /// The suite.
        suite: String,
    },
    /// The model failed.
    #[cfg(feature = "train")]
    #[error(transparent)]
    Network(#[from] crate::base::network::NetworkError),
    /// Someone asked for the work to stop.
    #[error("interrupted; no report was written")]
    Interrupted,
    /// A judge cannot be asked.
    #[error("the judge cannot be asked: {0}")]
    Judge(String),
    /// A stored grader cannot be used.
    #[error("the suite's {0}")]
    Grader(String),
    /// The metrics cannot be computed.
    #[error("the metrics cannot be computed")]
    Metrics(#[from] StatsError),
    /// The centroids cannot be computed from these embeddings.
    #[error("cannot compute the centroids: {0}")]
    Centroids(String),
}

impl EvalError {
    /// Whether the asker has to ask for something else.
    pub fn is_usage(&self) -> bool {
        matches!(
            self,
            Self::Suite(_)
                | Self::NoFloor { .. }
                | Self::NewCase(_)
                | Self::Target(_)
                | Self::Import(_)
                | Self::Strategy(_)
                | Self::NoKey(_)
                | Self::NotAsked(_)
        )
    }

    /// Whether stored bytes are missing, changed or inconsistent.
    pub fn is_integrity(&self) -> bool {
        match self {
            Self::Store(error) => error.is_integrity(),
            Self::Document { .. } | Self::Cases { .. } | Self::Grader(_) | Self::Journal { .. } => {
                true
            }
            _ => false,
        }
    }
}
