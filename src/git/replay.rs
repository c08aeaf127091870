//! Doing once more, on another commit, what a commit did.

use std::collections::BTreeMap;

use git2::build::TreeUpdateBuilder;
use git2::{Delta, FileMode, Sort};

use super::commit::CommitId;
use super::error::{Doing, GitError};
use super::object::ObjectId;
use super::repository::Repository;

/// A path that is not the same in two commits.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Change {
    /// The path.
    pub path: String,
    /// The file there before; `None`: none.
    pub before: Option<ObjectId>,
    /// The file there after; `None`: none.
    pub after: Option<ObjectId>,
}

impl Repository {
    /// What is different between two commits, sorted by path; without the first one everything is new.
    pub fn changes(
        &self,
        before: Option<CommitId>,
        after: CommitId,
    ) -> Result<Vec<Change>, GitError> {
        let tree = |id: CommitId| {
            self.inner
                .find_commit(id.0)
                .and_then(|commit| commit.tree())
        };
        let compare = || {
            let before = before.map(tree).transpose()?;
            let after = tree(after)?;
            self.inner
                .diff_tree_to_tree(before.as_ref(), Some(&after), None)
        };
        let diff = compare().doing(format!("compare with {after}"), self.path())?;
        let mut changes = Vec::new();
        for delta in diff.deltas() {
            let (old, new) = (delta.old_file(), delta.new_file());
            let path = new.path_bytes().or(old.path_bytes()).unwrap_or_default();
            let (had, has) = match delta.status() {
                Delta::Added => (false, true),
                Delta::Deleted => (true, false),
                _ => (true, true),
            };
            changes.push(Change {
                path: String::from_utf8_lossy(path).into_owned(),
                before: had.then(|| ObjectId(old.id())),
                after: has.then(|| ObjectId(new.id())),
            });
        }
        Ok(changes)
    }

    /// The commits that lead to `tip` and not to `known`, each after its parents.
    pub fn since(&self, known: Option<CommitId>, tip: CommitId) -> Result<Vec<CommitId>, GitError> {
        let walk = || -> Result<Vec<CommitId>, git2::Error> {
            let mut walk = self.inner.revwalk()?;
            walk.set_sorting(Sort::TOPOLOGICAL | Sort::REVERSE)?;
            walk.push(tip.0)?;
            if let Some(known) = known {
                walk.hide(known.0)?;
            }
            walk.map(|id| id.map(CommitId)).collect()
        };
        walk().doing(format!("walk back from {tip}"), self.path())
    }

    /// The file at `path` of a commit, unread.
    pub fn object_at(&self, commit: CommitId, path: &str) -> Result<Option<ObjectId>, GitError> {
        let entry = self.entry(commit, path)?;
        Ok(entry.map(|entry| ObjectId(entry.id())))
    }

    /// Writes a commit on `parent` with the author, time and message of `original`, and some files of it.
    pub fn replay(
        &self,
        parent: CommitId,
        original: CommitId,
        files: &BTreeMap<String, ObjectId>,
    ) -> Result<CommitId, GitError> {
        let write = || -> Result<CommitId, git2::Error> {
            let (parent, original) = (
                self.inner.find_commit(parent.0)?,
                self.inner.find_commit(original.0)?,
            );
            let mut update = TreeUpdateBuilder::new();
            for (path, object) in files {
                update.upsert(path.as_str(), object.0, FileMode::Blob);
            }
            let tree = update.create_updated(&self.inner, &parent.tree()?)?;
            let tree = self.inner.find_tree(tree)?;
            let message = String::from_utf8_lossy(original.message_bytes());
            let (author, committer) = (original.author(), original.committer());
            self.inner
                .commit(None, &author, &committer, &message, &tree, &[&parent])
                .map(CommitId)
        };
        write().doing(format!("repeat commit {original}"), self.path())
    }
}
