//! What can go wrong with pins.

use std::path::PathBuf;

use super::ask::PinName;
use crate::document::Faults;
use crate::fsio::FileError;

/// An operation on pins that failed.
#[derive(Debug, thiserror::Error)]
pub enum PinError {
    /// `retune.yaml` is not valid.
    #[error(transparent)]
    Project(#[from] Faults),
    /// There is no `retune.yaml`.
    #[error("{} does not exist", .0.display())]
    NoProject(PathBuf),
    /// The file system refused.
    #[error(transparent)]
    File(#[from] FileError),
    /// The lock was edited by hand or written by a newer version.
    #[error("{} is not a lock that this version can read: {why}", path.display())]
    Lock {
        /// The lock.
        path: PathBuf,
        /// What is wrong.
        why: String,
    },
    /// A merge left conflict markers in the lock.
    #[error("{} holds the conflict markers of a merge", .0.display())]
    Conflict(PathBuf),
    /// A pin that moves by itself.
    #[error("{0} can point to another version tomorrow; a pin names one version")]
    Movable(String),
    /// No such pin.
    #[error("there is no pin {name}; there is {}", if known.is_empty() { "none".to_owned() } else { known.join(", ") })]
    NoPin {
        /// What was asked for.
        name: PinName,
        /// The pins there are.
        known: Vec<String>,
    },
    /// The project file is written in a way that an edit could break.
    #[error("cannot edit {} without changing the rest of it; add by hand:\n{block}", path.display())]
    Layout {
        /// The project file.
        path: PathBuf,
        /// The lines to add.
        block: String,
    },
}
