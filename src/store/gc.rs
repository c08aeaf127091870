//! Garbage collection: what nobody names moves into the trash, and out of it days later.
//!
//! Writers never wait for it, so it must be right whatever they do meanwhile:
//! - What is younger than the grace period, or than the oldest lease, stays with all that it names. Storing
//!   bytes that are there already makes them young.
//! - A sweep looks again after it has moved things, and puts back what became young or named in between.
//! - Whoever asks for an object that lies in the trash gets it back.
//! - Purging looks a third time. Only what nobody named and nobody asked for, over all these days, goes.
//!
//! Anything that cannot be read stops it before anything is moved. There is no way to force it.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::time::{Duration, SystemTime};

use super::blob::Store;
use super::error::StoreError;
use super::mark::Roots;
use super::verify::digest_of_path;
use crate::digest::Digest;
use crate::fsio::{self, Context, Lock};
use crate::time::Timestamp;

/// How long a stored object stays although nobody names it yet.
const GRACE: Duration = Duration::from_secs(24 * 3600);

/// An object that nobody names.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Garbage {
    /// Its name.
    pub digest: Digest,
    /// In bytes.
    pub size: u64,
}

/// What a sweep would move.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct GcPlan {
    /// The digests that projects name.
    pub roots: Roots,
    /// Objects that stay because they are named.
    pub live: u64,
    /// Their bytes.
    pub live_bytes: u64,
    /// Objects that nobody names yet and that stay because they are young.
    pub young: u64,
    /// Objects that nobody names, sorted.
    pub garbage: Vec<Garbage>,
    /// Temporary files that killed writers left.
    pub left_over: Vec<PathBuf>,
}

/// What a sweep moved.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Swept {
    /// What it found.
    pub plan: GcPlan,
    /// The folder of the trash that holds what was moved; `None` when that is nothing.
    pub trash: Option<PathBuf>,
    /// How many of the moved objects were put back, because somebody came to need them meanwhile.
    pub put_back: u64,
}

struct Object {
    digest: Digest,
    size: u64,
    modified: SystemTime,
}

impl Store {
    /// Finds what nobody names. Nothing is moved.
    pub fn plan_gc(&self, roots: Roots) -> Result<GcPlan, StoreError> {
        let since = self.young_since()?;
        let objects = self.objects()?;
        let young = |object: &&Object| object.modified >= since;
        let young: BTreeSet<Digest> = objects.iter().filter(young).map(|o| o.digest).collect();
        let named = self.mark(&roots, [])?;
        let live = self.mark(&roots, young.iter().copied())?;
        let mut plan = GcPlan {
            roots,
            left_over: self.left_over(since)?,
            ..GcPlan::default()
        };
        for Object { digest, size, .. } in objects {
            if named.contains(&digest) {
                plan.live += 1;
                plan.live_bytes += size;
            } else if live.contains(&digest) {
                plan.young += 1;
            } else {
                plan.garbage.push(Garbage { digest, size });
            }
        }
        plan.garbage.sort();
        Ok(plan)
    }

    /// The objects that nobody names, young or not, sorted.
    pub fn unnamed(&self, roots: &Roots) -> Result<Vec<Garbage>, StoreError> {
        let named = self.mark(roots, [])?;
        let mut objects = self.objects()?;
        objects.retain(|object| !named.contains(&object.digest));
        let unnamed = objects
            .into_iter()
            .map(|Object { digest, size, .. }| Garbage { digest, size });
        let mut unnamed: Vec<Garbage> = unnamed.collect();
        unnamed.sort();
        Ok(unnamed)
    }

    /// Moves what nobody names into the trash. `roots` is asked twice: before, and after the move.
    pub fn sweep<E: From<StoreError>>(
        &self,
        at: Timestamp,
        roots: impl Fn() -> Result<Roots, E>,
    ) -> Result<Swept, E> {
        let _alone = self.alone()?;
        let plan = self.plan_gc(roots()?)?;
        for path in &plan.left_over {
            fsio::remove_file(path).map_err(StoreError::from)?;
        }
        if plan.garbage.is_empty() {
            return Ok(Swept {
                plan,
                trash: None,
                put_back: 0,
            });
        }
        let moved = self.move_out(&plan, at)?;
        let put_back = self.put_back_needed(&moved, &roots()?)?;
        Ok(Swept {
            trash: Some(moved.folder),
            put_back,
            plan,
        })
    }

    /// Temporary files that killed writers left.
    pub fn abandoned(&self) -> Result<Vec<PathBuf>, StoreError> {
        self.left_over(self.young_since()?)
    }

    /// Objects that somebody could overwrite by mistake: their files are not read-only.
    pub fn writable_objects(&self) -> Result<Vec<PathBuf>, StoreError> {
        let mut files = self.object_files()?;
        files.retain(|path| fsio::is_writable(path));
        Ok(files)
    }

    /// Keeps a second collection out, where the file system has locks; nothing breaks without.
    pub(super) fn alone(&self) -> Result<Lock, StoreError> {
        let path = self.root().join("lock");
        Lock::try_exclusive(&path)?.ok_or(StoreError::Collecting(path))
    }

    /// What was modified at or after this time is young.
    pub(super) fn young_since(&self) -> Result<SystemTime, StoreError> {
        let now = fsio::now_in(&self.root().join("tmp"))?;
        let grace = now.checked_sub(GRACE).unwrap_or(SystemTime::UNIX_EPOCH);
        Ok(match self.oldest_lease(now)? {
            Some(lease) => lease.min(grace),
            None => grace,
        })
    }

    fn move_out(&self, plan: &GcPlan, at: Timestamp) -> Result<Moved, StoreError> {
        let names: String = plan.garbage.iter().map(|g| g.digest.hex()).collect();
        let name = format!("{}-{}", at.compact(), Digest::of(names.as_bytes()).short());
        let folder = self.root().join("trash").join(name);
        fsio::create_dir(&folder)?;
        fsio::sync_dir(&self.root().join("trash"))?;
        let mut digests = Vec::new();
        for garbage in &plan.garbage {
            let to = folder.join(garbage.digest.hex());
            if fsio::move_file(&self.path_of(&garbage.digest), &to)? {
                digests.push(garbage.digest);
            }
        }
        fsio::sync_dir(&folder)?;
        Ok(Moved { folder, digests })
    }

    /// Storing an object while it was being moved made it young, or stored it anew; recording it made it
    /// named. Either way it is needed.
    fn put_back_needed(&self, moved: &Moved, roots: &Roots) -> Result<u64, StoreError> {
        let since = self.young_since()?;
        let mut young = self.objects()?;
        young.retain(|object| object.modified >= since);
        let named = self.mark(roots, young.iter().map(|object| object.digest))?;
        let mut put_back = 0;
        for digest in &moved.digests {
            let path = moved.folder.join(digest.hex());
            let touched = fsio::modified(&path).is_ok_and(|modified| modified >= since);
            if (touched || named.contains(digest)) && self.put_back(&path, digest)? {
                put_back += 1;
            }
        }
        Ok(put_back)
    }

    /// Every object there is. Files whose name is no digest are not looked at: `verify` names them.
    fn objects(&self) -> Result<Vec<Object>, StoreError> {
        let mut objects = Vec::new();
        for path in self.object_files()? {
            let Some(digest) = digest_of_path(&path) else {
                continue;
            };
            let metadata = match std::fs::symlink_metadata(&path) {
                Err(error) if error.kind() == std::io::ErrorKind::NotFound => continue,
                other => other.doing("look at", &path)?,
            };
            objects.push(Object {
                digest,
                size: metadata.len(),
                modified: metadata.modified().doing("look at", &path)?,
            });
        }
        Ok(objects)
    }

    /// Temporary files that nobody has written to for long.
    fn left_over(&self, since: SystemTime) -> Result<Vec<PathBuf>, StoreError> {
        let mut old = Vec::new();
        for path in fsio::list(&self.root().join("tmp"))? {
            if fsio::modified(&path).is_ok_and(|modified| modified < since) {
                old.push(path);
            }
        }
        Ok(old)
    }
}

struct Moved {
    folder: PathBuf,
    digests: Vec<Digest>,
}

#[cfg(test)]
mod tests;
