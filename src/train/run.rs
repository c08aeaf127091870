//! A run's directory, and the runs there are.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::checkpoint;
use super::error::TrainError;
use super::record::RunRecord;
use super::start::{RunId, RunStart};
use crate::digest::Digest;
use crate::fsio::{self, Context, FileError, Lock, PendingDir};

/// Attempts to take a run's lock, which `run list` holds for a moment to see whether it is free.
const LOCK_ATTEMPTS: u32 = 20;

/// The directory of one run.
///
/// `start.json` says what was asked; `metrics.jsonl` has a line per step; `checkpoints/<step>/` (with
/// `-evaluated` after an evaluation) is what a resumed run
/// begins from; `adapter/` is the PEFT directory, or `model/` the checkpoint where every weight was trained; `run.json` says what came of it and is written last.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RunDir(PathBuf);

/// A run and how far it is.
#[derive(Debug, Clone, PartialEq)]
pub struct RunSummary {
    /// Its identity.
    pub id: RunId,
    /// Where it is.
    pub dir: RunDir,
    /// What was asked.
    pub start: RunStart,
    /// How far it is.
    pub state: RunState,
}

/// How far a run is.
#[derive(Debug, Clone, PartialEq)]
pub enum RunState {
    /// A process trains it.
    Running(Option<Progress>),
    /// Nobody trains it; it can be resumed.
    Interrupted(Option<Progress>),
    /// It is over.
    Complete(Box<RunRecord>),
}

/// Why a run stopped before its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stop {
    /// Someone asked for it.
    Asked,
    /// It had trained for `limits.max_seconds` since it was started or resumed.
    OutOfTime,
}

/// The newest checkpoint.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Progress {
    /// Optimiser steps taken.
    pub step: u64,
    /// Of how many.
    pub steps: u64,
}

/// Every run in `runs`, the newest first. Directories that are not runs are left out; a run that cannot be read is an error.
pub fn runs(runs: &Path) -> Result<Vec<RunSummary>, TrainError> {
    let mut found = Vec::new();
    if !runs.is_dir() {
        return Ok(found);
    }
    for entry in fs::read_dir(runs).doing("list", runs)? {
        let path = entry.doing("list", runs)?.path();
        if is_run_name(&path) && path.join("start.json").is_file() {
            found.push(RunDir(path).summary()?);
        }
    }
    found.sort_by_key(|run| std::cmp::Reverse((run.start.started_at, run.id)));
    Ok(found)
}

/// The run with this fingerprint that is nearest to its end: a complete one, else the newest.
pub fn find_run(dir: &Path, fingerprint: &Digest) -> Result<Option<RunSummary>, TrainError> {
    let mut matching = Vec::new();
    for run in runs(dir)? {
        if run.start.fingerprint()? == *fingerprint {
            matching.push(run);
        }
    }
    let complete = |run: &RunSummary| matches!(run.state, RunState::Complete(_));
    let best = matching.iter().position(complete).unwrap_or(0);
    Ok(matching.into_iter().nth(best))
}

impl RunDir {
    /// Where the run with this id is, or would be.
    pub fn of(runs: &Path, id: RunId) -> Self {
        Self(runs.join(id.short()))
    }

    /// An existing run's directory.
    pub fn open(dir: &Path) -> Result<Self, TrainError> {
        let run = Self(dir.to_owned());
        if run.start_file().is_file() {
            Ok(run)
        } else {
            Err(TrainError::NotARun(dir.to_owned()))
        }
    }

    /// The directory itself.
    pub fn path(&self) -> &Path {
        &self.0
    }

    /// The PEFT directory.
    pub fn adapter(&self) -> PathBuf {
        self.0.join("adapter")
    }

    /// The checkpoint, where every weight was trained.
    pub fn model(&self) -> PathBuf {
        self.0.join("model")
    }

    /// One line per step and evaluation.
    pub fn metrics(&self) -> PathBuf {
        self.0.join("metrics.jsonl")
    }

    pub(super) fn checkpoints(&self) -> PathBuf {
        self.0.join("checkpoints")
    }

    pub(super) fn start_file(&self) -> PathBuf {
        self.0.join("start.json")
    }

    pub(super) fn record_file(&self) -> PathBuf {
        self.0.join("run.json")
    }

    /// Makes the directory with its start document; it appears whole or not at all.
    pub(super) fn create(&self, id: RunId, start: &[u8]) -> Result<(), TrainError> {
        if self.0.exists() {
            return Err(TrainError::Exists {
                run: id,
                dir: self.0.clone(),
            });
        }
        let pending = PendingDir::beside(&self.0)?;
        fsio::write_atomic(&pending.path().join("start.json"), start)?;
        Ok(pending.commit(&self.0)?)
    }

    /// What was asked, and the run's identity, which the directory's name must begin.
    pub fn start(&self) -> Result<(RunId, RunStart), TrainError> {
        let path = self.start_file();
        let bytes = fsio::read(&path)?;
        let start = RunStart::decode(&bytes)?;
        let id = RunId::from(Digest::of(&bytes));
        if self.0.file_name().is_none_or(|name| *name != *id.short()) {
            let why = format!("it is the start of run {}", id.short());
            return Err(TrainError::Damaged { path, why });
        }
        Ok((id, start))
    }

    /// What came of the run, once it is complete.
    pub fn record(&self) -> Result<Option<RunRecord>, TrainError> {
        let path = self.record_file();
        if !path.is_file() {
            return Ok(None);
        }
        RunRecord::decode(&fsio::read(&path)?).map(Some)
    }

    /// The run and how far it is.
    pub fn summary(&self) -> Result<RunSummary, TrainError> {
        let (id, start) = self.start()?;
        let state = match self.record()? {
            Some(record) if record.run == id => RunState::Complete(Box::new(record)),
            Some(record) => {
                let why = format!("it is the record of run {}", record.run);
                return Err(TrainError::Damaged {
                    path: self.record_file(),
                    why,
                });
            }
            None => {
                let progress = checkpoint::progress(&self.checkpoints())?;
                match self.is_locked()? {
                    true => RunState::Running(progress),
                    false => RunState::Interrupted(progress),
                }
            }
        };
        Ok(RunSummary {
            id,
            dir: self.clone(),
            start,
            state,
        })
    }

    /// Keeps other processes from training this run until dropped.
    pub(super) fn lock(&self, id: RunId) -> Result<Lock, TrainError> {
        for attempt in 0..LOCK_ATTEMPTS {
            if let Some(lock) = Lock::try_exclusive(&self.lock_file())? {
                return Ok(lock);
            }
            if attempt + 1 < LOCK_ATTEMPTS {
                std::thread::sleep(Duration::from_millis(10));
            }
        }
        Err(TrainError::Busy(id))
    }

    fn is_locked(&self) -> Result<bool, FileError> {
        let path = self.lock_file();
        Ok(path.exists() && Lock::try_exclusive(&path)?.is_none())
    }

    fn lock_file(&self) -> PathBuf {
        self.0.join("lock")
    }

    /// Removes what a killed process left half-written. Only for the holder of the lock.
    pub(super) fn clean(&self) -> Result<(), FileError> {
        for dir in [self.0.clone(), self.checkpoints()] {
            remove_pending(&dir)?;
        }
        Ok(())
    }
}

fn remove_pending(dir: &Path) -> Result<(), FileError> {
    if !dir.is_dir() {
        return Ok(());
    }
    for entry in fs::read_dir(dir).doing("list", dir)? {
        let entry = entry.doing("list", dir)?;
        if !entry.file_name().to_string_lossy().starts_with(".tmp-") {
            continue;
        }
        let path = entry.path();
        let removed = match path.is_dir() {
            true => fs::remove_dir_all(&path),
            false => fs::remove_file(&path),
        };
        removed.doing("remove", &path)?;
    }
    Ok(())
}

fn is_run_name(path: &Path) -> bool {
    let name = path.file_name().map(|name| name.to_string_lossy());
    name.is_some_and(|name| {
        name.len() == 12 && name.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'))
    })
}
