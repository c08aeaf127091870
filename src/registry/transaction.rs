//! One decision, one commit, one compare-and-swap.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::thread;
use std::time::{Duration, Instant};

use super::act::Act;
use super::error::RegistryError;
use super::layout;
use super::root::Registry;
use super::view::View;
use crate::fsio::Lock;
use crate::git::{Advance, CommitId, Draft};
use crate::progress::Event;

/// How often a lost compare-and-swap is repeated before giving up: a minute in all, where many write at once.
pub(super) const ATTEMPTS: u32 = 40;

/// The longest that a writer who lost stands back.
const LONGEST_PAUSE: Duration = Duration::from_secs(4);

/// A writer of whom nothing is known, and who holds the branch's lock file this long, was killed.
const STALE: Duration = Duration::from_secs(60);

/// What one look at the registry decides to do.
pub(super) enum Step<T> {
    /// Nothing needs to change.
    Nothing(T),
    /// This needs to be written.
    Write(Transaction, T),
}

/// Files to write in one commit. Dropped without being committed, nothing happened.
#[must_use = "nothing happens until it is committed"]
pub(super) struct Transaction {
    subject: String,
    trailers: Vec<(&'static str, String)>,
    files: BTreeMap<String, Vec<u8>>,
}

impl Transaction {
    /// An empty transaction with the first line of its commit message.
    pub(super) fn new(subject: String) -> Self {
        Self {
            subject,
            trailers: Vec::new(),
            files: BTreeMap::new(),
        }
    }

    /// Adds a `Key: value` line to the end of the commit message.
    pub(super) fn trailer(mut self, key: &'static str, value: impl ToString) -> Self {
        self.trailers.push((key, value.to_string()));
        self
    }

    /// Adds a file that must not exist yet.
    pub(super) fn add(
        mut self,
        view: &View<'_>,
        path: String,
        bytes: Vec<u8>,
    ) -> Result<Self, RegistryError> {
        if view.read(&path)?.is_some() {
            return Err(RegistryError::Immutable {
                what: self.subject,
                path,
            });
        }
        self.files.insert(path, bytes);
        Ok(self)
    }

    /// Writes one of the few files that may change: an alias pointer.
    pub(super) fn replace(mut self, path: String, bytes: Vec<u8>) -> Self {
        self.files.insert(path, bytes);
        self
    }

    fn commit(self, view: &View<'_>, act: &Act<'_>) -> Result<(Advance, CommitId), RegistryError> {
        let commit = view.git.commit(&Draft {
            parent: Some(view.commit),
            files: &self.files,
            message: &self.message(),
            by: act.by,
            at: act.at,
        })?;
        let moved =
            view.git
                .advance(layout::REFERENCE, Some(view.commit), commit, &self.subject)?;
        Ok((moved, commit))
    }

    fn message(&self) -> String {
        let mut message = format!("{}\n", self.subject);
        if !self.trailers.is_empty() {
            message.push('\n');
        }
        for (key, value) in &self.trailers {
            message.push_str(&format!("{key}: {value}\n"));
        }
        message
    }
}

impl Registry {
    /// Carries out a decision: `decide` looks at the registry and says what to write; when somebody else
    /// moved the registry meanwhile, it is asked again about the new state.
    pub(super) fn transact<T>(
        &self,
        act: &Act<'_>,
        decide: impl Fn(&View<'_>) -> Result<Step<T>, RegistryError>,
    ) -> Result<T, RegistryError> {
        if act.dry_run {
            return match decide(&self.view()?)? {
                Step::Nothing(value) | Step::Write(_, value) => Ok(value),
            };
        }
        let queue = self.queue()?;
        let mut why = String::new();
        for attempt in 0..ATTEMPTS {
            let began = Instant::now();
            let view = self.view()?;
            let (transaction, value) = match decide(&view)? {
                Step::Nothing(value) => return Ok(value),
                Step::Write(transaction, value) => (transaction, value),
            };
            let (moved, commit) = transaction.commit(&view, act)?;
            match moved {
                Advance::Done => return Ok(value),
                Advance::Lost => {
                    why = "others moved it first each time".to_owned();
                    stand_back(attempt, began.elapsed(), commit);
                }
                Advance::Held => {
                    why = self.held(queue.as_ref(), act)?;
                    pause(attempt, commit);
                }
            }
        }
        Err(RegistryError::Contended {
            path: self.path().to_owned(),
            attempts: ATTEMPTS,
            why,
        })
    }

    /// The lock that a killed writer left; writers clear it by themselves.
    pub fn stale_lock(&self) -> Result<Option<PathBuf>, RegistryError> {
        Ok(self.git.stale_lock(layout::REFERENCE, STALE)?)
    }

    /// Removes the lock that a killed writer left; `None` when there is none, or somebody is at work.
    pub fn clear_stale_lock(&self) -> Result<Option<PathBuf>, RegistryError> {
        match self.queue()? {
            Some(own) => Ok(self.git.clear_stale_lock(layout::REFERENCE, STALE, &own)?),
            None => Ok(None),
        }
    }

    /// Waits a while for the advisory lock. It only spares writers lost races: without it they go on.
    pub(super) fn queue(&self) -> Result<Option<Lock>, RegistryError> {
        let path = self.git.git_dir().join("retune.lock");
        for turn in 0..80 {
            if let Some(lock) = Lock::try_exclusive(&path)? {
                return Ok(Some(lock));
            }
            thread::sleep(Duration::from_millis(2 + turn % 23));
        }
        Ok(None)
    }

    /// The branch's lock file is in the way: removes it when its writer was killed.
    pub(super) fn held(
        &self,
        queue: Option<&Lock>,
        act: &Act<'_>,
    ) -> Result<String, RegistryError> {
        let cleared = match queue {
            Some(own) => self.git.clear_stale_lock(layout::REFERENCE, STALE, own)?,
            None => None,
        };
        if let Some(path) = cleared {
            let note = format!(
                "removed the lock of a writer that was killed: {}",
                path.display()
            );
            act.reporter.report(&Event::Warning(&note));
        }
        Ok(format!(
            "{}.lock is held; if whoever made it was killed, it is cleared once it is {} s old",
            layout::REFERENCE,
            STALE.as_secs()
        ))
    }
}

/// Sleeps after a lost race: a random share of twice as long with each attempt, counted in what an attempt takes.
///
/// Among writers who try again sooner than an attempt takes, nearly all attempts would be in vain: the binary
/// exponential back-off of Metcalfe and Boggs, "Ethernet" (1976), whose slot is the attempt.
pub(super) fn stand_back(attempt: u32, took: Duration, commit: CommitId) {
    let longest = took.saturating_mul(2 << attempt.min(5)).min(LONGEST_PAUSE);
    thread::sleep(longest.mul_f64(share(attempt, commit)));
}

/// Sleeps while a writer holds the lock file of the branch, as short as a commit takes: 128 ms at most.
pub(super) fn pause(attempt: u32, commit: CommitId) {
    let longest = Duration::from_micros(500 << attempt.min(8));
    thread::sleep(longest.mul_f64((1.0 + share(attempt, commit)) / 2.0));
}

/// From 0 to 1, and not the same for two writers: their commits differ.
fn share(attempt: u32, commit: CommitId) -> f64 {
    let bytes = commit.as_bytes();
    let at = attempt as usize % (bytes.len() - 1);
    f64::from(u16::from_be_bytes([bytes[at], bytes[at + 1]])) / f64::from(u16::MAX)
}
