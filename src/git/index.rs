//! What is staged, what the work tree holds, and the bytes of blobs.

use std::fmt;
use std::path::Path;

use git2::{Delta, Diff, DiffOptions, ErrorCode, Index, Oid, Status, StatusOptions, StatusShow};

use super::error::{Doing, GitError};
use super::repository::Repository;

/// Names the bytes of a file: the hexadecimal object name, of whichever hash the repository uses.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct BlobId(pub(super) String);

/// A file of the index or of a commit.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct TreeFile {
    /// The path from the root of the repository, with `/`. Bytes that are not UTF-8 are replaced.
    pub path: String,
    /// Its bytes.
    pub blob: BlobId,
}

impl Repository {
    /// The files whose staged bytes differ from `HEAD`. `index` is the index file that git named to a hook.
    ///
    /// Deletions, links, submodules and unmerged paths are left out.
    pub(super) fn staged(&self, index: Option<&Path>) -> Result<Vec<TreeFile>, GitError> {
        let staged = || {
            let index = self.index(index)?;
            let head = match self.inner.head() {
                Ok(head) => Some(head.peel_to_tree()?),
                Err(e) if matches!(e.code(), ErrorCode::UnbornBranch | ErrorCode::NotFound) => None,
                Err(e) => return Err(e),
            };
            let mut options = changes_only();
            let diff =
                self.inner
                    .diff_tree_to_index(head.as_ref(), Some(&index), Some(&mut options))?;
            Ok(files_of(&diff))
        };
        staged().doing("compare the index with HEAD", self.path())
    }

    /// The files of the work tree that are tracked, or neither tracked nor ignored. Paths with `/`, sorted.
    pub(super) fn work_files(&self, index: Option<&Path>) -> Result<Vec<String>, GitError> {
        let files = || {
            let mut options = StatusOptions::new();
            options
                .show(StatusShow::Workdir)
                .include_untracked(true)
                .recurse_untracked_dirs(true)
                .exclude_submodules(true);
            let untracked = self.inner.statuses(Some(&mut options))?;
            let untracked = untracked
                .iter()
                .filter(|entry| entry.status().contains(Status::WT_NEW))
                .map(|entry| String::from_utf8_lossy(entry.path_bytes()).into_owned());
            let index = self.index(index)?;
            let tracked = index
                .iter()
                .map(|entry| String::from_utf8_lossy(&entry.path).into_owned());
            let mut files: Vec<String> = tracked.chain(untracked).collect();
            files.sort();
            files.dedup();
            Ok(files)
        };
        files().doing("list the work tree", self.path())
    }

    /// Whether the index holds `path`, or anything below it.
    pub(super) fn is_staged(&self, index: Option<&Path>, path: &str) -> Result<bool, GitError> {
        let found = self.index(index).map(|index| {
            let below = format!("{path}/");
            index.iter().any(|entry| {
                entry.path == path.as_bytes() || entry.path.starts_with(below.as_bytes())
            })
        });
        found.doing("read the index", self.path())
    }

    /// The staged bytes of the file at `path`.
    pub(super) fn staged_file(
        &self,
        index: Option<&Path>,
        path: &str,
    ) -> Result<Option<Vec<u8>>, GitError> {
        let read = || {
            let index = self.index(index)?;
            let Some(entry) = index.get_path(Path::new(path), 0) else {
                return Ok(None);
            };
            Ok(Some(self.inner.find_blob(entry.id)?.content().to_vec()))
        };
        read().doing(format!("read the staged {path}"), self.path())
    }

    /// The bytes of blobs, in the same order; `None` for one of more than `max` bytes.
    pub(super) fn blobs(
        &self,
        ids: &[&BlobId],
        max: usize,
    ) -> Result<Vec<Option<Vec<u8>>>, GitError> {
        let one = |id: &BlobId| {
            let oid = Oid::from_str(&id.0)?;
            let (size, _) = self.inner.odb()?.read_header(oid)?;
            if size > max {
                return Ok(None);
            }
            Ok(Some(self.inner.find_blob(oid)?.content().to_vec()))
        };
        ids.iter()
            .map(|id| one(id).doing(format!("read blob {id}"), self.path()))
            .collect()
    }

    fn index(&self, path: Option<&Path>) -> Result<Index, git2::Error> {
        match path {
            Some(path) => Index::open(path),
            None => self.inner.index(),
        }
    }
}

/// A comparison that looks for files, not for text.
pub(super) fn changes_only() -> DiffOptions {
    let mut options = DiffOptions::new();
    options
        .include_typechange(true)
        .ignore_submodules(true)
        .context_lines(0);
    options
}

/// The new sides of a comparison that are regular files.
pub(super) fn files_of(diff: &Diff<'_>) -> Vec<TreeFile> {
    diff.deltas()
        .filter(|delta| !matches!(delta.status(), Delta::Deleted | Delta::Conflicted))
        .map(|delta| delta.new_file())
        .filter(|file| is_regular(u32::from(file.mode())) && !file.id().is_zero())
        .filter_map(|file| {
            Some(TreeFile {
                path: String::from_utf8_lossy(file.path_bytes()?).into_owned(),
                blob: BlobId(file.id().to_string()),
            })
        })
        .collect()
}

/// Whether a git mode is a file's, executable or not.
pub(super) fn is_regular(mode: u32) -> bool {
    mode & 0o170_000 == 0o100_000
}

impl fmt::Display for BlobId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}
