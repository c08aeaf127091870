//! Making and walking commits.

use std::collections::BTreeMap;
use std::fmt;

use git2::build::TreeUpdateBuilder;
use git2::{FileMode, Oid, Signature, Time};

use super::error::{Doing, GitError};
use super::identity::Identity;
use super::repository::Repository;
use crate::time::Timestamp;

/// Names a commit.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct CommitId(pub(super) Oid);

/// A commit to be made: the parent's tree with some files written.
#[derive(Debug, Clone)]
pub struct Draft<'a> {
    /// What it builds on; `None` for a first commit.
    pub parent: Option<CommitId>,
    /// Files to write, by path. Everything else stays as it is in the parent.
    pub files: &'a BTreeMap<String, Vec<u8>>,
    /// First line, blank line, body.
    pub message: &'a str,
    /// Author and committer.
    pub by: &'a Identity,
    /// When.
    pub at: Timestamp,
}

/// A commit read back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Commit {
    /// Its name.
    pub id: CommitId,
    /// Its parents, the first one first.
    pub parents: Vec<CommitId>,
    /// The committer's time.
    pub at: Timestamp,
    /// The message.
    pub message: String,
}

impl Repository {
    /// Writes a commit, directly on trees. No reference moves: see [`advance`](Repository::advance).
    pub fn commit(&self, draft: &Draft<'_>) -> Result<CommitId, GitError> {
        self.write(draft).doing("write a commit", self.path())
    }

    fn write(&self, draft: &Draft<'_>) -> Result<CommitId, git2::Error> {
        let parent = draft
            .parent
            .map(|id| self.inner.find_commit(id.0))
            .transpose()?;
        let base = match &parent {
            Some(parent) => parent.tree()?,
            None => {
                let empty = self.inner.treebuilder(None)?.write()?;
                self.inner.find_tree(empty)?
            }
        };
        let mut update = TreeUpdateBuilder::new();
        for (path, bytes) in draft.files {
            update.upsert(path.as_str(), self.inner.blob(bytes)?, FileMode::Blob);
        }
        let tree = update.create_updated(&self.inner, &base)?;
        let tree = self.inner.find_tree(tree)?;
        let time = Time::new(draft.at.unix(), 0);
        let signature = Signature::new(draft.by.name(), draft.by.email(), &time)?;
        let parents: Vec<&git2::Commit<'_>> = parent.iter().collect();
        self.inner
            .commit(None, &signature, &signature, draft.message, &tree, &parents)
            .map(CommitId)
    }

    /// The mail address of who added the file at `path`: the author of the oldest commit that has it, going
    /// back from `tip` along first parents. `None` when `tip` does not have it.
    pub fn author_of(&self, tip: CommitId, path: &str) -> Result<Option<String>, GitError> {
        let mut author = None;
        for commit in self.history(tip) {
            let commit = commit?.id;
            if self.read(commit, path)?.is_none() {
                break;
            }
            author = Some(self.author(commit)?);
        }
        Ok(author)
    }

    /// The mail address of a commit's author.
    pub fn author(&self, commit: CommitId) -> Result<String, GitError> {
        let found = self.inner.find_commit(commit.0);
        let found = found.doing(format!("read commit {commit}"), self.path())?;
        Ok(String::from_utf8_lossy(found.author().email_bytes()).into_owned())
    }

    /// Reads one commit.
    pub fn show(&self, id: CommitId) -> Result<Commit, GitError> {
        let commit = self.inner.find_commit(id.0);
        let commit = commit.doing(format!("read commit {id}"), self.path())?;
        Ok(Commit {
            id,
            parents: commit.parent_ids().map(CommitId).collect(),
            at: Timestamp::from_unix(commit.time().seconds()),
            message: String::from_utf8_lossy(commit.message_bytes()).into_owned(),
        })
    }

    /// The commits from `tip` back to the first one, always following the first parent.
    pub fn history(&self, tip: CommitId) -> impl Iterator<Item = Result<Commit, GitError>> + '_ {
        let mut next = Some(tip);
        std::iter::from_fn(move || {
            let commit = self.show(next?);
            next = match &commit {
                Ok(commit) => commit.parents.first().copied(),
                Err(_) => None,
            };
            Some(commit)
        })
    }
}

impl CommitId {
    /// The 20 bytes of the name.
    pub fn as_bytes(&self) -> &[u8] {
        self.0.as_bytes()
    }
}

impl fmt::Display for CommitId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}

impl fmt::Debug for CommitId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}
