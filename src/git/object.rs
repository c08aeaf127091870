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
pub struct ObjectId(pub(super) Oid);

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

    /// Calls `each` with every blob of the repository, whether a reference leads to it or not: what a writer
    /// is about to commit is among them.
    pub fn every_blob(&self, mut each: impl FnMut(&[u8])) -> Result<(), GitError> {
        let doing = "read every object";
        let odb = self.inner.odb().doing(doing, self.path())?;
        let mut ids = Vec::new();
        odb.foreach(|id| {
            ids.push(*id);
            true
        })
        .doing(doing, self.path())?;
        for id in ids {
            let object = odb.read(id).doing(format!("read {id}"), self.path())?;
            if object.kind() == ObjectType::Blob {
                each(object.data());
            }
        }
        Ok(())
    }

    /// Calls `each` with the path and the bytes of every file of a commit, in the order of the paths.
    pub fn every_file(
        &self,
        commit: CommitId,
        mut each: impl FnMut(&str, &[u8]),
    ) -> Result<(), GitError> {
        let doing = || format!("read every file of {commit}");
        let tree = self
            .inner
            .find_commit(commit.0)
            .and_then(|commit| commit.tree())
            .doing(doing(), self.path())?;
        let mut failed = None;
        let walked = tree.walk(git2::TreeWalkMode::PreOrder, |dir, entry| {
            if kind(entry) != EntryKind::File {
                return git2::TreeWalkResult::Ok;
            }
            match (entry.name(), self.inner.find_blob(entry.id())) {
                (Ok(name), Ok(blob)) => each(&format!("{dir}{name}"), blob.content()),
                (Err(error), _) | (_, Err(error)) => {
                    failed = Some(error);
                    return git2::TreeWalkResult::Abort;
                }
            }
            git2::TreeWalkResult::Ok
        });
        match failed {
            Some(error) => Err(error).doing(doing(), self.path()),
            None => walked.doing(doing(), self.path()),
        }
    }

    /// What a directory of a commit holds, sorted by name; empty when there is no such directory.
    pub fn list(&self, commit: CommitId, dir: &str) -> Result<Vec<Entry>, GitError> {
        self.list_where(commit, dir, |_| true)
    }

    /// Like [`list`](Self::list), with only the names that are wanted.
    pub fn list_where(
        &self,
        commit: CommitId,
        dir: &str,
        wanted: impl Fn(&str) -> bool,
    ) -> Result<Vec<Entry>, GitError> {
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
            .filter(|entry| entry.name().map_or(true, &wanted))
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

    /// Whether anything is at `path` in a commit.
    pub fn exists(&self, commit: CommitId, path: &str) -> Result<bool, GitError> {
        Ok(self.entry(commit, path)?.is_some())
    }

    pub(super) fn entry(
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
