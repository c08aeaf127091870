//! Taking objects over from a repository that somebody else wrote.

use std::collections::BTreeSet;

use git2::{ObjectType, Odb, Oid};

use super::commit::CommitId;
use super::error::{Doing, GitError};
use super::repository::Repository;

/// How much of a foreign repository is taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// The largest file, in bytes.
    pub file: usize,
    /// The most objects in one go.
    pub objects: u64,
    /// The most folders inside each other.
    pub depth: usize,
}

/// The largest folder and the largest commit, in bytes.
const MAX_TREE: usize = 64 << 20;
const MAX_COMMIT: usize = 1 << 20;

impl Repository {
    /// Copies everything that `tip` leads to and that is not here from another repository.
    ///
    /// Every object is hashed again, and written after what it names, so that an object that is here always has
    /// all that it leads to. Links, submodules, programs and what is beyond the limits are refused. No reference
    /// moves.
    pub fn take(&self, from: &Self, tip: CommitId, limits: &Limits) -> Result<(), GitError> {
        Walk::new(from, self, true, limits)?.history(tip)
    }

    /// Looks through everything that `tip` leads to and that `own` does not have, as its [`take`](Self::take) would.
    pub fn check(&self, own: &Self, tip: CommitId, limits: &Limits) -> Result<(), GitError> {
        Walk::new(self, own, false, limits)?.history(tip)
    }
}

/// One look through foreign objects.
struct Walk<'r> {
    here: &'r Repository,
    from: Odb<'r>,
    to: Odb<'r>,
    /// Whether what is missing in `to` is written there.
    writes: bool,
    limits: Limits,
    seen: BTreeSet<Oid>,
}

impl<'r> Walk<'r> {
    fn new(
        here: &'r Repository,
        to: &'r Repository,
        writes: bool,
        limits: &Limits,
    ) -> Result<Self, GitError> {
        let odb = |repository: &'r Repository| {
            let odb = repository.inner.odb();
            odb.doing("open the objects", repository.path())
        };
        Ok(Self {
            here,
            from: odb(here)?,
            to: odb(to)?,
            writes,
            limits: *limits,
            seen: BTreeSet::new(),
        })
    }

    /// Every commit, parents first. A name is the hash of what it names, so no commit is its own ancestor; one that
    /// claims to be is found by its hash.
    fn history(&mut self, tip: CommitId) -> Result<(), GitError> {
        let mut open = vec![(tip.0, false)];
        while let Some((id, ready)) = open.pop() {
            if ready {
                let commit = self.here.inner.find_commit(id);
                let commit = commit.doing(format!("read commit {id}"), self.here.path())?;
                self.tree(commit.tree_id(), 0)?;
                self.write(id, ObjectType::Commit, MAX_COMMIT)?;
                continue;
            }
            if self.known(id)? {
                continue;
            }
            self.expect(id, ObjectType::Commit, MAX_COMMIT)?;
            let commit = self.here.inner.find_commit(id);
            let commit = commit.doing(format!("read commit {id}"), self.here.path())?;
            open.push((id, true));
            open.extend(commit.parent_ids().map(|parent| (parent, false)));
        }
        Ok(())
    }

    fn tree(&mut self, id: Oid, depth: usize) -> Result<(), GitError> {
        if self.known(id)? {
            return Ok(());
        }
        if depth > self.limits.depth {
            return Err(self.refuse(format!("folders lie more than {} deep", self.limits.depth)));
        }
        self.expect(id, ObjectType::Tree, MAX_TREE)?;
        let tree = self.here.inner.find_tree(id);
        let tree = tree.doing(format!("read tree {id}"), self.here.path())?;
        for entry in tree.iter() {
            let name = String::from_utf8_lossy(entry.name_bytes())
                .escape_debug()
                .to_string();
            match (entry.kind(), entry.filemode()) {
                (Some(ObjectType::Tree), _) => self.tree(entry.id(), depth + 1)?,
                (Some(ObjectType::Blob), 0o100_644) => {
                    if !self.known(entry.id())? {
                        self.write(entry.id(), ObjectType::Blob, self.limits.file)?;
                    }
                }
                (_, mode) => {
                    return Err(self.refuse(format!("{name} is no plain file (mode {mode:o})")));
                }
            }
        }
        self.write(id, ObjectType::Tree, MAX_TREE)
    }

    /// Whether an object was looked at already, or is here with all that it leads to.
    fn known(&mut self, id: Oid) -> Result<bool, GitError> {
        if self.to.exists(id) {
            return Ok(true);
        }
        let new = self.seen.insert(id);
        if self.seen.len() as u64 > self.limits.objects {
            return Err(self.refuse(format!("it has more than {} objects", self.limits.objects)));
        }
        Ok(!new)
    }

    /// Refuses an object of another kind or of absurd size, before it is read.
    fn expect(&self, id: Oid, kind: ObjectType, limit: usize) -> Result<(), GitError> {
        let header = self.from.read_header(id);
        let (size, found) = header.doing(format!("read {id}"), self.here.path())?;
        if found != kind {
            return Err(self.refuse(format!("{id} is a {found}, not a {kind}")));
        }
        if size > limit {
            return Err(self.refuse(format!(
                "the {kind} {id} has {size} bytes; at most {limit} are allowed"
            )));
        }
        Ok(())
    }

    fn write(&self, id: Oid, kind: ObjectType, limit: usize) -> Result<(), GitError> {
        self.expect(id, kind, limit)?;
        let object = self.from.read(id);
        let object = object.doing(format!("read {id}"), self.here.path())?;
        let found = match self.writes {
            true => self.to.write(kind, object.data()),
            false => Oid::hash_object(kind, object.data()),
        };
        let found = found.doing(format!("write {id}"), self.here.path())?;
        if found != id {
            return Err(self.refuse(format!("the content of {id} is {found}")));
        }
        Ok(())
    }

    fn refuse(&self, why: String) -> GitError {
        GitError::Hostile {
            repository: self.here.path().to_owned(),
            why,
        }
    }
}
