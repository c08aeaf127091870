//! What can go wrong in the store.

use std::path::PathBuf;

use super::tree::TreeError;
use crate::digest::Digest;
use crate::document::canonical::CanonicalError;
use crate::fsio::FileError;

/// A store operation that failed.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The file system refused.
    #[error(transparent)]
    File(#[from] FileError),
    /// No such object.
    #[error("object {digest} is not in the store {}", store.display())]
    Missing {
        /// What was asked for.
        digest: Digest,
        /// Where it was looked for.
        store: PathBuf,
    },
    /// The stored bytes no longer hash to their name.
    #[error("object {digest} is damaged: {} hashes to {found}", path.display())]
    Damaged {
        /// What was asked for.
        digest: Digest,
        /// What the bytes are.
        found: Digest,
        /// The object's file.
        path: PathBuf,
    },
    /// What came is not the object that it was to be.
    #[error("what was to be object {digest} hashes to {found}; nothing of it was kept")]
    Unlike {
        /// What it was to be.
        digest: Digest,
        /// What it is.
        found: Digest,
    },
    /// A newer or foreign directory.
    #[error("{} is not a store that this version can read: its format is {found:?}", store.display())]
    Format {
        /// The directory.
        store: PathBuf,
        /// What its `format` file says.
        found: String,
    },
    /// A tree that cannot be trusted.
    #[error("tree {digest} is not valid")]
    Tree {
        /// The tree object.
        digest: Digest,
        /// What is wrong.
        source: TreeError,
    },
    /// A file of `projects/` that does not say which project uses the store.
    #[error("{} does not name a project that uses the store", path.display())]
    Member {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        source: CanonicalError,
    },
    /// Another garbage collection is at work.
    #[error("another garbage collection holds {}", .0.display())]
    Collecting(PathBuf),
    /// A path that no tree may hold.
    #[error("cannot store these files as one tree")]
    Paths(#[source] TreeError),
}

impl StoreError {
    /// Whether stored bytes are missing or changed, as opposed to an operation that could not be done.
    pub fn is_integrity(&self) -> bool {
        !matches!(
            self,
            Self::File(_) | Self::Paths(_) | Self::Collecting(_) | Self::Member { .. }
        )
    }

    /// Whether the store's file system lets nobody, or not this user, write.
    pub fn is_read_only(&self) -> bool {
        use std::io::ErrorKind::{PermissionDenied, ReadOnlyFilesystem};
        match self {
            Self::File(error) => {
                matches!(error.source.kind(), PermissionDenied | ReadOnlyFilesystem)
            }
            _ => false,
        }
    }

    /// Whether trying again may help.
    pub fn is_race(&self) -> bool {
        matches!(self, Self::Collecting(_))
    }
}
