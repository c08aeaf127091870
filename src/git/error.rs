//! What can go wrong with a git repository.

use std::path::{Path, PathBuf};

use crate::fsio::FileError;

/// A git operation that failed.
#[derive(Debug, thiserror::Error)]
pub enum GitError {
    /// libgit2 refused: what was being done, and in which repository.
    #[error("cannot {action} in git repository {}: {message}", repository.display())]
    Refused {
        /// What was being done, such as `read refs/heads/main`.
        action: String,
        /// The repository.
        repository: PathBuf,
        /// libgit2's answer.
        message: String,
    },
    /// No repository there.
    #[error("{} is not a git repository", .0.display())]
    NotARepository(PathBuf),
    /// A repository in a format that libgit2 cannot read.
    #[error("git repository {} uses {feature}, which cannot be read here", repository.display())]
    Unsupported {
        /// The repository.
        repository: PathBuf,
        /// `reftable references` or `SHA-256 object names`.
        feature: String,
    },
    /// The directory belongs to another user, and git's `safe.directory` does not list it.
    #[error("git repository {} belongs to another user", .0.display())]
    ForeignOwner(PathBuf),
    /// Another repository could not be reached, or did not do what it was asked.
    #[error("cannot {action} {remote}: {message}")]
    Remote {
        /// What was being done, such as `fetch from`.
        action: String,
        /// Where it is.
        remote: String,
        /// What git said.
        message: String,
    },
    /// A repository holds what is not taken over.
    #[error("git repository {} is not taken over: {why}", repository.display())]
    Hostile {
        /// The repository.
        repository: PathBuf,
        /// What it holds.
        why: String,
    },
    /// The file system refused.
    #[error(transparent)]
    File(#[from] FileError),
}

/// Adds what was being done, and where, to libgit2's answer.
pub(super) trait Doing<T> {
    fn doing(self, action: impl Into<String>, repository: &Path) -> Result<T, GitError>;
}

impl<T> Doing<T> for Result<T, git2::Error> {
    fn doing(self, action: impl Into<String>, repository: &Path) -> Result<T, GitError> {
        self.map_err(|error| GitError::Refused {
            action: action.into(),
            repository: repository.to_owned(),
            message: error.message().to_owned(),
        })
    }
}
