//! Reading blobs and trees of a commit.

use std::path::Path;

use git2::{ErrorCode, ObjectType, Oid};

use super::commit::CommitId;
use super::error::{Doing, GitError};
use super::repository::Repository;

/// One name in a directory of a commit.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Entry {
    /// The last part of the path.
    pub name: String,
    /// What it is.
    pub kind: EntryKind,
    /// The object behind the name.
    pub object: ObjectId,
}

/// Names a blob or a tree.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct ObjectId(Oid);

/// What a name stands for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum EntryKind {
    /// A file.
    File,
    /// A directory.
    Directory,
    /// A symbolic link or a submodule.
    Other,
}

impl Repository {
    /// The bytes of the file at `path` in a commit; `None` when there is no such path or it is no file.
    pub fn read(&self, commit: CommitId, path: &str) -> Result<Option<Vec<u8>>, GitError> {
        let Some(entry) = self.entry(commit, path)? else {
            return Ok(None);
        };
        if entry.kind() != Some(ObjectType::Blob) || entry.filemode() == 0o120_000 {
            return Ok(None);
        }
        self.blob(ObjectId(entry.id())).map(Some)
    }

    /// The bytes of a file that [`list`](Repository::list) found; faster than looking its path up again.
    pub fn blob(&self, object: ObjectId) -> Result<Vec<u8>, GitError> {
        let blob = self.inner.find_blob(object.0);
        let blob = blob.doing(format!("read blob {}", object.0), self.path())?;
        Ok(blob.content().to_vec())
    }

    /// What a directory of a commit holds, sorted by name; empty when there is no such directory.
    pub fn list(&self, commit: CommitId, dir: &str) -> Result<Vec<Entry>, GitError> {
        let doing = || format!("list {dir} of {commit}");
        let tree = match self.entry(commit, dir)? {
            Some(entry) if entry.kind() == Some(ObjectType::Tree) => self
                .inner
                .find_tree(entry.id())
                .doing(doing(), self.path())?,
            _ => return Ok(Vec::new()),
        };
        let mut entries = tree
            .iter()
            .map(|entry| match entry.name() {
                Ok(name) => Ok(Entry {
                    name: name.to_owned(),
                    kind: kind(&entry),
                    object: ObjectId(entry.id()),
                }),
                Err(error) => Err(error).doing(doing(), self.path()),
            })
            .collect::<Result<Vec<_>, _>>()?;
        entries.sort();
        Ok(entries)
    }

    /// Whether `path` is the same object in two commits (or absent in both).
    pub fn unchanged(&self, one: CommitId, other: CommitId, path: &str) -> Result<bool, GitError> {
        let one = self.entry(one, path)?.map(|entry| entry.id());
        let other = self.entry(other, path)?.map(|entry| entry.id());
        Ok(one == other)
    }

    fn entry(
        &self,
        commit: CommitId,
        path: &str,
    ) -> Result<Option<git2::TreeEntry<'static>>, GitError> {
        let found = self
            .inner
            .find_commit(commit.0)
            .and_then(|commit| commit.tree())
            .and_then(|tree| match tree.get_path(Path::new(path)) {
                Ok(entry) => Ok(Some(entry)),
                Err(error) if error.code() == ErrorCode::NotFound => Ok(None),
                Err(error) => Err(error),
            });
        found.doing(format!("find {path} of {commit}"), self.path())
    }
}

fn kind(entry: &git2::TreeEntry<'_>) -> EntryKind {
    match (entry.kind(), entry.filemode()) {
        (Some(ObjectType::Tree), _) => EntryKind::Directory,
        (Some(ObjectType::Blob), 0o100_644 | 0o100_755 | 0o100_664) => EntryKind::File,
        _ => EntryKind::Other,
    }
}
