//! The trash: objects that a sweep moved out, until they are purged or asked for.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::blob::Store;
use super::error::StoreError;
use super::gc::Garbage;
use super::mark::Roots;
use crate::digest::Digest;
use crate::fsio::{self, Context};

/// How long something lies in the trash before it can be purged.
const KEPT: Duration = Duration::from_secs(14 * 24 * 3600);

/// What purging removed.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Purged {
    /// Objects that are gone, or would be.
    pub gone: Vec<Garbage>,
    /// Objects that were put back, or would be, because somebody names them.
    pub put_back: Vec<Garbage>,
    /// Objects that have not been in the trash for long enough.
    pub waiting: u64,
}

impl Store {
    /// Removes what has been in the trash for 14 days and what nobody names; puts back what somebody does.
    pub fn purge(&self, roots: &Roots, dry_run: bool) -> Result<Purged, StoreError> {
        let _alone = self.alone()?;
        let now = fsio::now_in(&self.root().join("tmp"))?;
        let live = self.mark(roots, [])?;
        let mut purged = Purged::default();
        for folder in fsio::list(&self.trash())? {
            // Moving something into the folder, or out of it, begins its time anew.
            let since = now.duration_since(fsio::modified(&folder)?);
            let ripe = since.is_ok_and(|since| since > KEPT);
            for path in fsio::list(&folder)? {
                let Some(garbage) = garbage(&path)? else {
                    continue;
                };
                if live.contains(&garbage.digest) {
                    purged.put_back.push(garbage);
                    if !dry_run {
                        self.put_back(&path, &garbage.digest)?;
                    }
                } else if ripe {
                    purged.gone.push(garbage);
                    if !dry_run {
                        fsio::remove_file(&path)?;
                    }
                } else {
                    purged.waiting += 1;
                }
            }
            // Fails while something is in it, which is what is wanted.
            let _ = (!dry_run).then(|| fs::remove_dir(&folder));
        }
        Ok(purged)
    }

    /// Puts an object back that lies in the trash; `false` when none does, or it cannot be.
    pub(super) fn rescue(&self, digest: &Digest) -> bool {
        let folders = fsio::list(&self.trash()).unwrap_or_default();
        let mut found = folders.iter().map(|folder| folder.join(digest.hex()));
        found.any(|path| path.is_file() && self.put_back(&path, digest).unwrap_or(false))
    }

    pub(super) fn put_back(&self, path: &Path, digest: &Digest) -> Result<bool, StoreError> {
        let home = self.path_of(digest);
        if let Some(dir) = home.parent() {
            fsio::create_dir(dir)?;
        }
        fsio::touch(path);
        let moved = fsio::move_file(path, &home)?;
        if let Some(dir) = home.parent() {
            fsio::sync_dir(dir)?;
        }
        Ok(moved || home.is_file())
    }

    fn trash(&self) -> PathBuf {
        self.root().join("trash")
    }
}

/// What lies at a path of the trash; `None` when it is gone by now, or no object.
fn garbage(path: &Path) -> Result<Option<Garbage>, StoreError> {
    let name = path.file_name().and_then(|name| name.to_str());
    let Some(digest) = name.and_then(|hex| Digest::from_hex(hex).ok()) else {
        return Ok(None);
    };
    match fs::metadata(path) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
        other => Ok(Some(Garbage {
            digest,
            size: other.doing("look at", path)?.len(),
        })),
    }
}
