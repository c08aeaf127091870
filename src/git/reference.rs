//! References: read, and move by compare-and-swap.

use std::fs;
use std::io;
use std::path::PathBuf;
use std::time::Duration;

use git2::ErrorCode;

use super::commit::CommitId;
use super::error::{Doing, GitError};
use super::repository::Repository;
use super::writer;
use crate::fsio::{self, Context, Lock};

/// What came of moving a reference.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Advance {
    /// It points to the new commit now.
    Done,
    /// Somebody else moved it first; nothing happened.
    Lost,
    /// Its lock file is held, by a writer at work or by one that was killed; nothing happened.
    Held,
}

impl Repository {
    /// The commit a reference points to; `None` when there is no such reference.
    pub fn tip(&self, reference: &str) -> Result<Option<CommitId>, GitError> {
        match self.inner.refname_to_id(reference) {
            Ok(id) => Ok(Some(CommitId(id))),
            Err(error) if error.code() == ErrorCode::NotFound => Ok(None),
            Err(error) => Err(error).doing(format!("read {reference}"), self.path()),
        }
    }

    /// Moves a reference from `old` (`None`: it must not exist) to `new`, or says why nothing happened.
    pub fn advance(
        &self,
        reference: &str,
        old: Option<CommitId>,
        new: CommitId,
        why: &str,
    ) -> Result<Advance, GitError> {
        // The note of a writer that may have been killed stays until its lock file is gone.
        if self.lock_of(reference).exists() {
            return Ok(Advance::Held);
        }
        writer::note(self.git_dir(), reference, new)?;
        let moved = match old {
            Some(old) => self
                .inner
                .reference_matching(reference, new.0, true, old.0, why),
            None => self.inner.reference(reference, new.0, false, why),
        };
        match moved {
            Ok(_) => Ok(Advance::Done),
            Err(error) => match error.code() {
                ErrorCode::Modified | ErrorCode::Exists | ErrorCode::NotFound => Ok(Advance::Lost),
                ErrorCode::Locked => Ok(Advance::Held),
                _ => Err(error).doing(format!("move {reference}"), self.path()),
            },
        }
    }

    /// A reference's lock file whose writer was killed: it ended and left the commit that it was about to point to, or
    /// nothing is known of it and the file is older than `age`. The age is measured on the file system's clock,
    /// against a file written now.
    pub fn stale_lock(&self, reference: &str, age: Duration) -> Result<Option<PathBuf>, GitError> {
        let path = self.lock_of(reference);
        let modified = match fs::metadata(&path).and_then(|meta| meta.modified()) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            other => other.doing("look at", &path)?,
        };
        let now = fsio::now_in(self.git_dir())?;
        let elapsed = now.duration_since(modified).unwrap_or_default();
        let killed =
            elapsed > age || writer::was_killed(self.git_dir(), reference, &path, elapsed)?;
        Ok(killed.then_some(path))
    }

    fn lock_of(&self, reference: &str) -> PathBuf {
        self.git_dir().join(format!("{reference}.lock"))
    }

    /// Removes the lock file of a reference whose writer was killed, as [`stale_lock`](Self::stale_lock) knows it.
    ///
    /// Only the holder of the caller's own lock (`_own`) may do this, so that two processes do not clear
    /// each other's. Returns the path that was removed.
    pub fn clear_stale_lock(
        &self,
        reference: &str,
        age: Duration,
        _own: &Lock,
    ) -> Result<Option<PathBuf>, GitError> {
        let stale = self.stale_lock(reference, age)?;
        if let Some(path) = &stale {
            fs::remove_file(path).doing("remove", path)?;
        }
        Ok(stale)
    }
}
