//! What can go wrong with bases.

use std::path::PathBuf;

use super::manifest::BaseId;
use crate::document::canonical::CanonicalError;
use crate::fsio::FileError;
use crate::store::{StoreError, TreeError};

/// A base operation that failed.
#[derive(Debug, thiserror::Error)]
pub enum BaseError {
    /// The file system refused.
    #[error(transparent)]
    File(#[from] FileError),
    /// The store refused, or what it holds is damaged.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// A folder that is not a checkpoint.
    #[error("{} is not a checkpoint folder: {why}", dir.display())]
    Folder {
        /// The folder.
        dir: PathBuf,
        /// What is missing, too much or not a file, and the fix.
        why: String,
    },
    /// Files of the checkpoint that are not what they must be.
    #[error("{}", listed(.0))]
    Files(Vec<FileFault>),
    /// Paths that cannot form a tree.
    #[error("these files cannot be stored as one tree")]
    Tree(#[source] TreeError),
    /// The bytes stored are not the bytes that were checked.
    #[error("{} changed while it was read; nothing was added", .0.display())]
    Changed(PathBuf),
    /// Bytes that are not a base manifest.
    #[error("this is not a base manifest")]
    Manifest(#[source] CanonicalError),
    /// A manifest that does not agree with itself or with the files.
    #[error("base {id} contradicts itself: {what}")]
    Contradiction {
        /// The base.
        id: BaseId,
        /// What does not fit.
        what: String,
    },
    /// Someone asked for the work to stop.
    #[error("interrupted")]
    Interrupted,
}

impl BaseError {
    /// Whether stored bytes are missing, changed or not what their record says.
    pub fn is_integrity(&self) -> bool {
        match self {
            Self::Store(error) => error.is_integrity(),
            Self::Manifest(_) | Self::Contradiction { .. } => true,
            _ => false,
        }
    }
}

/// What is wrong with one file of a checkpoint.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{file}: {why}")]
pub struct FileFault {
    /// Its path inside the folder.
    pub file: String,
    /// What is wrong, and the fix.
    pub why: String,
}

impl FileFault {
    pub(super) fn new(file: &str, why: impl Into<String>) -> Self {
        Self {
            file: file.to_owned(),
            why: why.into(),
        }
    }
}

fn listed(faults: &[FileFault]) -> String {
    let lines: Vec<String> = faults.iter().map(ToString::to_string).collect();
    lines.join("\n")
}
