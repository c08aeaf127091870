//! What can go wrong with datasets.

use std::fmt;
use std::path::{Path, PathBuf};

use super::example::SplitName;
use super::manifest::DatasetId;
use crate::document::Fault;
use crate::document::canonical::CanonicalError;
use crate::fsio::FileError;
use crate::store::StoreError;

/// A dataset operation that failed.
#[derive(Debug, thiserror::Error)]
pub enum DatasetError {
    /// The file system refused.
    #[error(transparent)]
    File(#[from] FileError),
    /// The store refused, or what it holds is damaged.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// Rows that are not as they must be.
    #[error("the files cannot be added as a dataset:\n{0}")]
    Rows(RowFaults),
    /// Nothing to import.
    #[error("a dataset needs at least one split")]
    NoSplit,
    /// Two files for one split.
    #[error("two files are given for the {0} split; join them into one file")]
    Repeated(SplitName),
    /// The bytes stored are not the bytes that were checked.
    #[error("{} changed while it was read; nothing was added", .0.display())]
    Changed(PathBuf),
    /// The split is not there.
    #[error("dataset {dataset} has no {split} split")]
    Absent {
        /// The dataset.
        dataset: DatasetId,
        /// What was asked for.
        split: SplitName,
    },
    /// Bytes of the right digest that are not a manifest.
    #[error("object {id} is not a dataset manifest")]
    Manifest {
        /// The object.
        id: DatasetId,
        /// What is wrong with it.
        source: CanonicalError,
    },
    /// A manifest that has no canonical form.
    #[error("the dataset's manifest cannot be written")]
    Unwritable(#[source] CanonicalError),
    /// A manifest that does not agree with itself or with the rows.
    #[error("dataset {id} contradicts itself: {what}")]
    Contradiction {
        /// The dataset.
        id: DatasetId,
        /// What does not fit.
        what: String,
    },
    /// Someone asked for the work to stop.
    #[error("interrupted; nothing was added")]
    Interrupted,
}

impl DatasetError {
    /// Whether stored bytes are missing, changed or not what their record says.
    pub fn is_integrity(&self) -> bool {
        match self {
            Self::Store(error) => error.is_integrity(),
            Self::Manifest { .. } | Self::Contradiction { .. } => true,
            _ => false,
        }
    }
}

/// What is wrong with the rows of some files: the first kinds of faults, each with the first lines that have it.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct RowFaults {
    kinds: Vec<FaultKind>,
    /// Faults of other kinds.
    more: u64,
}

/// One thing that is wrong with one or more rows of a file.
#[derive(Debug, Clone, PartialEq, Eq)]
struct FaultKind {
    file: PathBuf,
    message: String,
    /// The first lines; empty where the file as a whole is at fault.
    lines: Vec<u64>,
    count: u64,
}

impl RowFaults {
    /// How many kinds of faults are kept.
    pub const KEPT: usize = 20;
    /// How many lines of each.
    const LINES: usize = 5;

    /// Takes in a fault.
    pub(super) fn push(&mut self, file: &Path, line: Option<u64>, message: String) {
        let mut kinds = self.kinds.iter_mut();
        if let Some(kind) = kinds.find(|kind| kind.message == message && kind.file == file) {
            kind.count += 1;
            kind.lines
                .extend(line.filter(|_| kind.lines.len() < Self::LINES));
        } else if self.kinds.len() < Self::KEPT {
            self.kinds.push(FaultKind {
                file: file.to_owned(),
                message,
                lines: line.into_iter().collect(),
                count: 1,
            });
        } else {
            self.more += 1;
        }
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.kinds.is_empty()
    }

    /// The kinds of faults in the order they were met, each at its first line.
    pub fn first(&self) -> Vec<Fault> {
        self.kinds.iter().map(FaultKind::as_fault).collect()
    }

    /// How many faults there are that [`first`](Self::first) does not tell of.
    pub fn more(&self) -> u64 {
        self.more
    }

    /// How many faults there are in all.
    pub fn count(&self) -> u64 {
        self.kinds.iter().map(|kind| kind.count).sum::<u64>() + self.more
    }
}

impl FaultKind {
    fn as_fault(&self) -> Fault {
        let mut message = self.message.clone();
        if let [_, others @ ..] = &self.lines[..]
            && !others.is_empty()
        {
            let others: Vec<String> = others.iter().map(u64::to_string).collect();
            let noun = if self.count > 2 { "lines" } else { "line" };
            message.push_str(&format!(" (also {noun} {}", others.join(", ")));
            match self.count - self.lines.len() as u64 {
                0 => message.push(')'),
                more => message.push_str(&format!(" and {more} more)")),
            }
        }
        let line = self.lines.first();
        Fault {
            file: self.file.clone(),
            line: line.and_then(|line| usize::try_from(*line).ok()),
            key: String::new(),
            message,
        }
    }
}

impl fmt::Display for RowFaults {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, fault) in self.first().iter().enumerate() {
            if index > 0 {
                f.write_str("\n")?;
            }
            fault.fmt(f)?;
        }
        if self.more > 0 {
            write!(f, "\nand {} more", self.more)?;
        }
        Ok(())
    }
}
