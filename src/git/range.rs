//! What a push adds to a remote.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use git2::{ErrorCode, ObjectType, Oid, Tree, TreeEntry, TreeWalkMode, TreeWalkResult};

use super::error::{Doing, GitError};
use super::index::{BlobId, TreeFile, changes_only, files_of, is_regular};
use super::repository::Repository;

/// A reference that is being pushed, as git tells a pre-push hook.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PushedRef {
    /// The local side, such as `refs/heads/main`.
    pub local_ref: String,
    /// The object it points to.
    pub tip: String,
    /// The remote side.
    pub remote_ref: String,
    /// The object the remote side points to; `None` when it is new.
    pub remote_tip: Option<String>,
}

impl PushedRef {
    /// Reads a line of a pre-push hook's input: `<local ref> <local oid> <remote ref> <remote oid>`.
    ///
    /// `Ok(None)` for the deletion of a remote reference. The error is the line itself.
    pub fn parse(line: &str) -> Result<Option<Self>, String> {
        let is_oid = |text: &str| {
            matches!(text.len(), 40 | 64) && text.bytes().all(|c| c.is_ascii_hexdigit())
        };
        let is_zero = |text: &str| text.bytes().all(|c| c == b'0');
        match line.split(' ').collect::<Vec<_>>()[..] {
            [_, tip, _, remote] if is_oid(tip) && is_oid(remote) && is_zero(tip) => Ok(None),
            [local_ref, tip, remote_ref, remote] if is_oid(tip) && is_oid(remote) => {
                Ok(Some(Self {
                    local_ref: local_ref.to_owned(),
                    tip: tip.to_owned(),
                    remote_ref: remote_ref.to_owned(),
                    remote_tip: (!is_zero(remote)).then(|| remote.to_owned()),
                }))
            }
            _ => Err(line.to_owned()),
        }
    }
}

impl Repository {
    /// The files at the tip whose bytes are not already in the newest commits that `remote` is known to have.
    ///
    /// Known are the remote side of this reference and the remote-tracking references. Where they share no
    /// commit with the tip, every file of the tip is new.
    pub(super) fn pushed(&self, push: &PushedRef, remote: &str) -> Result<Vec<TreeFile>, GitError> {
        self.new_files(push, remote)
            .doing(format!("list what {} adds", push.local_ref), self.path())
    }

    fn new_files(&self, push: &PushedRef, remote: &str) -> Result<Vec<TreeFile>, git2::Error> {
        let object = self.inner.find_object(Oid::from_str(&push.tip)?, None)?;
        let Ok(commit) = object.peel_to_commit() else {
            return match object.peel(ObjectType::Tree) {
                Ok(tree) => self.whole(&tree.peel_to_tree()?),
                // A tag of a blob: no path, no kind, nothing to check.
                Err(_) => Ok(Vec::new()),
            };
        };
        let tree = commit.tree()?;
        match self.boundary(commit.id(), push, remote)? {
            Boundary::NothingNew => Ok(Vec::new()),
            Boundary::Commits(commits) if commits.is_empty() => self.whole(&tree),
            Boundary::Commits(commits) => self.in_none_of(&commits, &tree),
        }
    }

    /// The known commits that the new ones were built on.
    fn boundary(&self, tip: Oid, push: &PushedRef, remote: &str) -> Result<Boundary, git2::Error> {
        let known = self.known(push, remote)?;
        if known.is_empty() {
            return Ok(Boundary::Commits(BTreeSet::new()));
        }
        let mut walk = self.inner.revwalk()?;
        walk.push(tip)?;
        for id in known {
            walk.hide(id)?;
        }
        let new = walk.collect::<Result<BTreeSet<Oid>, _>>()?;
        if new.is_empty() {
            return Ok(Boundary::NothingNew);
        }
        let mut commits = BTreeSet::new();
        for id in &new {
            commits.extend(
                self.inner
                    .find_commit(*id)?
                    .parent_ids()
                    .filter(|parent| !new.contains(parent)),
            );
        }
        Ok(Boundary::Commits(commits))
    }

    fn known(&self, push: &PushedRef, remote: &str) -> Result<BTreeSet<Oid>, git2::Error> {
        let mut known = BTreeSet::new();
        let prefix = format!("refs/remotes/{remote}/");
        for reference in self.inner.references()? {
            let reference = reference?;
            if reference.name_bytes().starts_with(prefix.as_bytes()) {
                known.extend(reference.peel_to_commit().map(|commit| commit.id()));
            }
        }
        // The remote may be ahead of what was fetched; then its commit is not here and proves nothing.
        if let Some(tip) = &push.remote_tip
            && let Ok(object) = self.inner.find_object(Oid::from_str(tip)?, None)
        {
            known.extend(object.peel_to_commit().map(|commit| commit.id()));
        }
        Ok(known)
    }

    /// The files of `tree` that differ from the same path in every one of these commits.
    fn in_none_of(
        &self,
        commits: &BTreeSet<Oid>,
        tree: &Tree<'_>,
    ) -> Result<Vec<TreeFile>, git2::Error> {
        let mut counts: BTreeMap<TreeFile, usize> = BTreeMap::new();
        let mut compared = 0;
        for id in commits {
            // The parent of a shallow clone's first commit is not here; without it, more is checked.
            let Ok(old) = self.inner.find_commit(*id).and_then(|commit| commit.tree()) else {
                continue;
            };
            compared += 1;
            let diff =
                self.inner
                    .diff_tree_to_tree(Some(&old), Some(tree), Some(&mut changes_only()))?;
            for file in files_of(&diff) {
                *counts.entry(file).or_default() += 1;
            }
        }
        if compared == 0 {
            return self.whole(tree);
        }
        Ok(counts
            .into_iter()
            .filter(|(_, count)| *count == compared)
            .map(|(file, _)| file)
            .collect())
    }

    fn whole(&self, tree: &Tree<'_>) -> Result<Vec<TreeFile>, git2::Error> {
        let mut files = Vec::new();
        tree.walk(TreeWalkMode::PreOrder, |folder, entry| {
            if is_regular(entry.filemode().unsigned_abs()) {
                files.push(TreeFile {
                    path: format!("{folder}{}", String::from_utf8_lossy(entry.name_bytes())),
                    blob: BlobId(entry.id().to_string()),
                });
            }
            TreeWalkResult::Ok
        })?;
        Ok(files)
    }

    /// Whether the tree at `tip` holds `path`, as a file or a folder.
    pub(super) fn tip_has(&self, tip: &str, path: &str) -> Result<bool, GitError> {
        let found = self.find_at(tip, path).map(|entry| entry.is_some());
        found.doing(format!("look for {path} in {tip}"), self.path())
    }

    /// The bytes of the file at `path` in the tree at `tip`.
    pub(super) fn tip_file(&self, tip: &str, path: &str) -> Result<Option<Vec<u8>>, GitError> {
        let read = || match self.find_at(tip, path)? {
            Some(entry) if is_regular(entry.filemode().unsigned_abs()) => {
                Ok(Some(self.inner.find_blob(entry.id())?.content().to_vec()))
            }
            _ => Ok(None),
        };
        read().doing(format!("read {path} of {tip}"), self.path())
    }

    fn find_at(&self, tip: &str, path: &str) -> Result<Option<TreeEntry<'static>>, git2::Error> {
        let object = self.inner.find_object(Oid::from_str(tip)?, None)?;
        let Ok(tree) = object.peel_to_tree() else {
            return Ok(None);
        };
        match tree.get_path(Path::new(path)) {
            Ok(entry) => Ok(Some(entry)),
            Err(e) if e.code() == ErrorCode::NotFound => Ok(None),
            Err(e) => Err(e),
        }
    }
}

enum Boundary {
    NothingNew,
    /// Empty when nothing is known to be on the remote.
    Commits(BTreeSet<Oid>),
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_of_a_pre_push_hook() {
        let (a, zero) = ("a".repeat(40), "0".repeat(40));
        let parsed = PushedRef::parse(&format!("refs/heads/x {a} refs/heads/y {zero}"));
        let pushed = PushedRef {
            local_ref: "refs/heads/x".into(),
            tip: a.clone(),
            remote_ref: "refs/heads/y".into(),
            remote_tip: None,
        };
        assert_eq!(parsed, Ok(Some(pushed)));
        assert_eq!(
            PushedRef::parse(&format!("(delete) {zero} refs/heads/y {a}")),
            Ok(None)
        );
        for bad in ["", "refs/heads/x", &format!("x {a} y"), "x 1 y 2"] {
            assert!(PushedRef::parse(bad).is_err(), "{bad}");
        }
    }
}
