//! Re-reading everything.

use std::fs;
use std::path::PathBuf;

use rayon::prelude::*;

use super::blob::Store;
use super::error::StoreError;
use crate::digest::Digest;
use crate::fsio::{self, Context};

/// What a full re-read found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoreReport {
    /// Objects that are what their name says.
    pub sound: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Everything else, sorted by path.
    pub faults: Vec<StoreFault>,
}

/// A file in the object directory that is not what it should be.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct StoreFault {
    /// The file.
    pub path: PathBuf,
    /// What is wrong with it.
    pub damage: Damage,
}

/// What can be wrong with a stored file.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Damage {
    /// The bytes hash to something else.
    Hashes {
        /// What they hash to.
        found: Digest,
    },
    /// The name is not a digest.
    Foreign,
    /// It cannot be read.
    Unreadable(String),
}

impl Store {
    /// Re-reads every object, several at a time.
    pub fn verify(&self) -> Result<StoreReport, StoreError> {
        let mut outcomes: Vec<Result<u64, StoreFault>> =
            self.object_files()?.into_par_iter().map(check).collect();
        let mut report = StoreReport {
            sound: 0,
            bytes: 0,
            faults: Vec::new(),
        };
        for outcome in outcomes.drain(..) {
            match outcome {
                Ok(size) => {
                    report.sound += 1;
                    report.bytes += size;
                }
                Err(fault) => report.faults.push(fault),
            }
        }
        report.faults.sort();
        Ok(report)
    }

    /// Every file where objects lie.
    pub(super) fn object_files(&self) -> Result<Vec<PathBuf>, StoreError> {
        let objects = self.root().join("objects/sha256");
        let mut files = Vec::new();
        for shard in fs::read_dir(&objects).doing("list", &objects)? {
            let shard = shard.doing("list", &objects)?.path();
            if shard.is_dir() {
                files.extend(fsio::list(&shard)?);
            } else {
                files.push(shard);
            }
        }
        Ok(files)
    }
}

fn check(path: PathBuf) -> Result<u64, StoreFault> {
    let Some(expected) = digest_of_path(&path) else {
        return Err(StoreFault {
            path,
            damage: Damage::Foreign,
        });
    };
    match fs::File::open(&path).and_then(Digest::of_reader) {
        Ok((found, size)) if found == expected => Ok(size),
        Ok((found, _)) => Err(StoreFault {
            path,
            damage: Damage::Hashes { found },
        }),
        Err(e) => Err(StoreFault {
            path,
            damage: Damage::Unreadable(e.to_string()),
        }),
    }
}

/// The name that a path gives an object; `None` when it is no object's path.
pub(super) fn digest_of_path(path: &std::path::Path) -> Option<Digest> {
    let rest = path.file_name()?.to_str()?;
    let shard = path.parent()?.file_name()?.to_str()?;
    Digest::from_hex(&format!("{shard}{rest}")).ok()
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn finds_every_flipped_and_foreign_file() {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::create(dir.path()).unwrap();
        let sound = store.put_bytes(b"sound").unwrap();
        let flipped = store.put_bytes(b"flipped").unwrap();
        fs::remove_file(store.path_of(&flipped.digest)).unwrap();
        fs::write(store.path_of(&flipped.digest), b"flippec").unwrap();
        let foreign = store.path_of(&sound.digest).with_file_name("notes.txt");
        fs::write(&foreign, b"hi").unwrap();
        let report = store.verify().unwrap();
        assert_eq!((report.sound, report.faults.len()), (1, 2));
        assert!(
            report
                .faults
                .iter()
                .any(|f| f.path == foreign && f.damage == Damage::Foreign)
        );
    }
}
