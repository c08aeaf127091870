//! What a resumed run begins from: a directory that appears whole or not at all.
//!
//! `state.json` has positions and scores; the safetensors files have the trained values, both moments of the optimiser and
//! the best values so far; `SHA256SUMS` has the digest of each, in the format of `sha256sum`.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::error::TrainError;
use super::metrics::Scores;
use super::record::Best;
use super::run::Progress;
use super::start::RunId;
use super::streams::Streams;
use crate::adapter::{Tensors, read_named, write_named};
use crate::digest::Digest;
use crate::document::{Decimal, canonical};
use crate::fsio::{self, Context, FileError, PendingDir};

const SCHEMA: &str = "retune.checkpoint/1";
const SUMS: &str = "SHA256SUMS";
const STATE: &str = "state.json";
const WEIGHTS: &str = "weights.safetensors";
const FIRST: &str = "first_moment.safetensors";
const SECOND: &str = "second_moment.safetensors";
const BEST: &str = "best.safetensors";

/// Everything that the rest of a run depends on.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Checkpoint {
    pub(super) state: State,
    /// Trained values, in the order of the parameters.
    pub(super) weights: Vec<Vec<f32>>,
    /// First moments.
    pub(super) first: Vec<Vec<f32>>,
    /// Second moments.
    pub(super) second: Vec<Vec<f32>>,
    /// The values of the best evaluation.
    pub(super) best: Option<Vec<Vec<f32>>>,
}

/// The part of a checkpoint that is not tensors.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct State {
    /// The run, and with it job, dataset, base and tool version.
    pub(super) run: RunId,
    /// The random streams; what was drawn from them follows from the position.
    pub(super) streams: Streams,
    /// Optimiser steps in all; with the position, where the schedule stands.
    pub(super) steps: u64,
    pub(super) position: Position,
    /// The length of `metrics.jsonl`.
    pub(super) metrics_length: u64,
    pub(super) evaluation: EvaluationState,
    /// The mean loss of the last step.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) last_loss: Option<Decimal>,
    /// Steps in a row with a loss above the watchdog's.
    pub(super) high_losses: u64,
    /// Seconds of training steps.
    pub(super) training_seconds: Decimal,
    /// Seconds of evaluations.
    pub(super) evaluating_seconds: Decimal,
}

/// Where in the data a run is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Position {
    /// Whole passes over the training rows.
    pub(super) epoch: u64,
    /// Micro-batches of the current pass.
    pub(super) batch: usize,
    /// Optimiser steps.
    pub(super) step: u64,
    /// Forward and backward passes; names the dropout masks.
    pub(super) passes: u64,
    /// Rows learned from.
    pub(super) examples: u64,
    /// Their tokens.
    pub(super) tokens: u64,
}

/// What evaluations have found so far.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct EvaluationState {
    /// The step after which the last one was.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) at: Option<u64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) last: Option<Scores>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) best: Option<Best>,
    /// Evaluations since the best.
    pub(super) without_gain: u64,
}

/// Between which two acts of a run a checkpoint is. The directory is called after it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Moment {
    /// Optimiser steps taken.
    pub(super) step: u64,
    /// Whether the evaluation after that step is done.
    pub(super) evaluated: bool,
}

impl State {
    pub(super) fn moment(&self) -> Moment {
        let step = self.position.step;
        Moment {
            step,
            evaluated: self.evaluation.at == Some(step),
        }
    }
}

impl Moment {
    fn directory(&self, root: &Path) -> PathBuf {
        root.join(self.to_string())
    }

    fn parse(name: &str) -> Option<Self> {
        let moment = Self {
            step: name.trim_end_matches("-evaluated").parse().ok()?,
            evaluated: name.ends_with("-evaluated"),
        };
        (moment.to_string() == name).then_some(moment)
    }
}

impl std::fmt::Display for Moment {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let mark = if self.evaluated { "-evaluated" } else { "" };
        write!(f, "{:08}{mark}", self.step)
    }
}

/// A trained tensor's name and shape.
pub(super) type Shape = (String, Vec<usize>);

impl Checkpoint {
    /// Writes the directory of this step under `root` and removes all but the `keep` newest.
    pub(super) fn write(
        &self,
        root: &Path,
        shapes: &[Shape],
        keep: usize,
    ) -> Result<(), TrainError> {
        let directory = self.state.moment().directory(root);
        let pending = PendingDir::beside(&directory)?;
        let mut files = vec![
            (STATE, canonical::encode(SCHEMA, &self.state)?),
            (WEIGHTS, write_named(&named(shapes, &self.weights))?),
            (FIRST, write_named(&named(shapes, &self.first))?),
            (SECOND, write_named(&named(shapes, &self.second))?),
        ];
        if let Some(best) = &self.best {
            files.push((BEST, write_named(&named(shapes, best))?));
        }
        let sums = files
            .iter()
            .map(|(name, bytes)| format!("{}  {name}\n", Digest::of(bytes).hex()));
        let sums: String = sums.collect();
        files.push((SUMS, sums.into_bytes()));
        for (name, bytes) in &files {
            let path = pending.path().join(name);
            fs::write(&path, bytes).doing("write", &path)?;
        }
        pending.commit(&directory)?;
        Ok(prune(root, keep)?)
    }

    /// Reads the newest checkpoint under `root`, if there is one; every file must be what was written.
    pub(super) fn newest(root: &Path, shapes: &[Shape]) -> Result<Option<Self>, TrainError> {
        match moments(root)?.last() {
            Some(moment) => Self::read(&moment.directory(root), shapes).map(Some),
            None => Ok(None),
        }
    }

    fn read(dir: &Path, shapes: &[Shape]) -> Result<Self, TrainError> {
        let files = read_files(dir)?;
        let tensors = |name: &str| match files.get(name) {
            Some(bytes) => ordered(dir, name, shapes, read_named(bytes)?),
            None => Err(damaged(&dir.join(name), "it is missing")),
        };
        Ok(Self {
            weights: tensors(WEIGHTS)?,
            first: tensors(FIRST)?,
            second: tensors(SECOND)?,
            best: match files.contains_key(BEST) {
                true => Some(tensors(BEST)?),
                false => None,
            },
            state: read_state(dir)?,
        })
    }
}

/// How far the newest checkpoint under `root` is.
pub(super) fn progress(root: &Path) -> Result<Option<Progress>, TrainError> {
    let Some(newest) = moments(root)?.last().copied() else {
        return Ok(None);
    };
    // The trainer may remove it at this moment.
    let dir = newest.directory(root);
    if !dir.is_dir() {
        return Ok(None);
    }
    let state = read_state(&dir)?;
    Ok(Some(Progress {
        step: state.position.step,
        steps: state.steps,
    }))
}

fn read_state(dir: &Path) -> Result<State, TrainError> {
    let path = dir.join(STATE);
    canonical::decode(SCHEMA, &fsio::read(&path)?)
        .map_err(|error| damaged(&path, error.to_string()))
}

/// The bytes of every file that `SHA256SUMS` names, checked.
fn read_files(dir: &Path) -> Result<BTreeMap<String, Vec<u8>>, TrainError> {
    let path = dir.join(SUMS);
    let text = String::from_utf8_lossy(&fsio::read(&path)?).into_owned();
    let mut files = BTreeMap::new();
    for line in text.lines() {
        let (sum, name) = line
            .split_once("  ")
            .ok_or_else(|| damaged(&path, "a line is not a digest and a name"))?;
        let known = [STATE, WEIGHTS, FIRST, SECOND, BEST].contains(&name);
        let sum = Digest::from_hex(sum).ok().filter(|_| known);
        let sum = sum.ok_or_else(|| damaged(&path, "a line is not a digest and a name"))?;
        let file = dir.join(name);
        let bytes = fsio::read(&file)?;
        if Digest::of(&bytes) != sum {
            return Err(damaged(&file, format!("it does not hash to {sum}")));
        }
        files.insert(name.to_owned(), bytes);
    }
    if !files.contains_key(STATE) {
        return Err(damaged(&path, "it does not name state.json"));
    }
    Ok(files)
}

fn named(shapes: &[Shape], values: &[Vec<f32>]) -> Tensors {
    let entries = shapes.iter().zip(values);
    entries
        .map(|((name, shape), values)| (name.clone(), (shape.clone(), values.clone())))
        .collect()
}

/// The tensors in the order of the parameters: these and no others.
fn ordered(
    dir: &Path,
    file: &str,
    shapes: &[Shape],
    mut tensors: Tensors,
) -> Result<Vec<Vec<f32>>, TrainError> {
    let path = dir.join(file);
    let mut values = Vec::with_capacity(shapes.len());
    for (name, shape) in shapes {
        match tensors.remove(name) {
            Some((found, data)) if found == *shape => values.push(data),
            _ => {
                return Err(damaged(
                    &path,
                    format!("it has no {name} of shape {shape:?}"),
                ));
            }
        }
    }
    match tensors.keys().next() {
        Some(extra) => Err(damaged(
            &path,
            format!("{extra} is not a tensor of this run"),
        )),
        None => Ok(values),
    }
}

/// The moments that have a checkpoint, in order.
fn moments(root: &Path) -> Result<Vec<Moment>, FileError> {
    let mut moments = Vec::new();
    if !root.is_dir() {
        return Ok(moments);
    }
    for entry in fs::read_dir(root).doing("list", root)? {
        let name = entry.doing("list", root)?.file_name();
        moments.extend(Moment::parse(&name.to_string_lossy()));
    }
    moments.sort_unstable();
    Ok(moments)
}

fn prune(root: &Path, keep: usize) -> Result<(), FileError> {
    let moments = moments(root)?;
    for old in &moments[..moments.len().saturating_sub(keep)] {
        // Under another name first: what carries a step's name is whole.
        let (dir, trash) = (old.directory(root), root.join(format!(".tmp-{old}")));
        fs::rename(&dir, &trash).doing("remove", &dir)?;
        fs::remove_dir_all(&trash).doing("remove", &trash)?;
    }
    Ok(())
}

fn damaged(path: &Path, why: impl Into<String>) -> TrainError {
    TrainError::Damaged {
        path: path.to_owned(),
        why: why.into(),
    }
}
