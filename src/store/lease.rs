//! Leases: signs that somebody is storing things and has not recorded them yet.

use std::path::PathBuf;
use std::time::{Duration, SystemTime};

use super::blob::Store;
use super::error::StoreError;
use crate::document::canonical;
use crate::fsio::{self, Sign};

const SCHEMA: &str = "retune.lease/1";

/// Nothing stores for longer than this before it records: the sign of a process that was killed ends then.
const LONGEST: Duration = Duration::from_secs(7 * 24 * 3600);

/// While it lives, garbage collection leaves everything alone that was stored since it was taken.
pub struct Lease {
    _sign: Sign,
}

#[derive(serde::Serialize)]
struct LeaseFile<'a> {
    purpose: &'a str,
}

impl Store {
    /// Takes a lease, to be held from before the first object is stored until all are recorded.
    pub fn lease(&self, purpose: &str) -> Result<Lease, StoreError> {
        let text = canonical::encode(SCHEMA, &LeaseFile { purpose }).unwrap_or_default();
        let sign = Sign::put_up(&self.leases(), &text)?;
        Ok(Lease { _sign: sign })
    }

    /// When the oldest lease was taken that may still be held.
    pub(super) fn oldest_lease(&self, now: SystemTime) -> Result<Option<SystemTime>, StoreError> {
        let mut oldest = None;
        for path in fsio::list(&self.leases())? {
            // A lease that ends while it is looked at protects nothing any more: its objects are recorded.
            let taken = match fsio::modified(&path) {
                Err(_) if !path.exists() => continue,
                taken => taken?,
            };
            let ended = now.duration_since(taken).is_ok_and(|since| since > LONGEST);
            if !ended {
                oldest = Some(oldest.map_or(taken, |other: SystemTime| other.min(taken)));
            }
        }
        Ok(oldest)
    }

    /// Signs of processes that were killed.
    pub fn dead_leases(&self) -> Result<Vec<PathBuf>, StoreError> {
        let now = fsio::now_in(&self.root().join("tmp"))?;
        let mut dead = fsio::list(&self.leases())?;
        dead.retain(|path| fsio::modified(path).is_ok_and(|taken| has_ended(taken, now)));
        Ok(dead)
    }

    fn leases(&self) -> PathBuf {
        self.root().join("leases")
    }
}

fn has_ended(taken: SystemTime, now: SystemTime) -> bool {
    now.duration_since(taken).is_ok_and(|since| since > LONGEST)
}
