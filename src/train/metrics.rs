//! `metrics.jsonl`: one line per optimiser step and per evaluation.

use std::fs::{File, OpenOptions};
use std::io::{BufWriter, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::document::Decimal;
use crate::fsio::{Context, FileError};

use super::error::TrainError;

/// What an evaluation found.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Scores {
    /// Rows looked at.
    pub rows: u64,
    /// Learned tokens looked at, in causal language modelling.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tokens: Option<u64>,
    /// The share of rows whose answer is written token for token, where it was asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub exact_match: Option<Decimal>,
    /// The share of right answers, in classification.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub accuracy: Option<Decimal>,
    /// The mean F1 of the labels, in classification.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub macro_f1: Option<Decimal>,
    /// The mean cross-entropy of rows, or of learned tokens.
    pub loss: Decimal,
}

/// `accuracy 0.9100, macro-F1 0.9000, loss 0.3100`, as far as there is such a thing.
impl std::fmt::Display for Scores {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        if let Some(exact_match) = self.exact_match {
            write!(f, "exact match {:.4}, ", exact_match.get())?;
        }
        if let Some(accuracy) = self.accuracy {
            write!(f, "accuracy {:.4}, ", accuracy.get())?;
        }
        if let Some(macro_f1) = self.macro_f1 {
            write!(f, "macro-F1 {:.4}, ", macro_f1.get())?;
        }
        write!(f, "loss {:.4}", self.loss.get())
    }
}

/// A line of the file. Numbers are plain JSON: nothing is decided from them.
#[derive(Debug, Serialize)]
#[serde(tag = "event", rename_all = "snake_case")]
pub(super) enum Line {
    Step {
        step: u64,
        epoch: u64,
        loss: f64,
        learning_rate: f64,
        grad_norm: f64,
        rows: u64,
        tokens: u64,
        seconds: f64,
    },
    Evaluation {
        step: u64,
        epoch: u64,
        loss: f64,
        #[serde(skip_serializing_if = "Option::is_none")]
        exact_match: Option<f64>,
        #[serde(skip_serializing_if = "Option::is_none")]
        accuracy: Option<f64>,
        #[serde(skip_serializing_if = "Option::is_none")]
        macro_f1: Option<f64>,
        best: bool,
        seconds: f64,
    },
}

/// The file, open at its end.
pub(super) struct MetricsLog {
    path: PathBuf,
    file: BufWriter<File>,
    length: u64,
}

impl MetricsLog {
    /// Opens the file and cuts it to `length` bytes, what it had when the checkpoint was written that is resumed from.
    pub(super) fn open(path: &Path, length: u64) -> Result<Self, TrainError> {
        let mut file = OpenOptions::new()
            .create(true)
            .truncate(false)
            .write(true)
            .open(path)
            .doing("open", path)?;
        let found = file.metadata().doing("read the size of", path)?.len();
        if found < length {
            return Err(TrainError::Damaged {
                path: path.to_owned(),
                why: format!("it has {found} bytes; the checkpoint knows {length}"),
            });
        }
        file.set_len(length).doing("shorten", path)?;
        file.seek(SeekFrom::End(0)).doing("write", path)?;
        Ok(Self {
            path: path.to_owned(),
            file: BufWriter::new(file),
            length,
        })
    }

    /// Adds a line.
    pub(super) fn write(&mut self, line: &Line) -> Result<(), TrainError> {
        let mut bytes = serde_json::to_vec(line).map_err(|error| TrainError::Damaged {
            path: self.path.clone(),
            why: error.to_string(),
        })?;
        bytes.push(b'\n');
        self.file.write_all(&bytes).doing("write", &self.path)?;
        self.length += bytes.len() as u64;
        Ok(())
    }

    /// Lets readers see what was written so far.
    pub(super) fn flush(&mut self) -> Result<(), FileError> {
        self.file.flush().doing("write", &self.path)
    }

    /// Makes what was written so far survive a power cut; returns how much it is.
    pub(super) fn sync(&mut self) -> Result<u64, FileError> {
        self.flush()?;
        self.file.get_ref().sync_all().doing("flush", &self.path)?;
        Ok(self.length)
    }
}
