//! What can go wrong with datasets.

use std::fmt;
use std::path::PathBuf;

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

/// The first faults of some files, and how many more there are.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct RowFaults {
    first: Vec<Fault>,
    more: u64,
}

impl RowFaults {
    /// How many faults are kept.
    pub const KEPT: usize = 20;

    /// Takes in a fault.
    pub(super) fn push(&mut self, fault: Fault) {
        if self.first.len() < Self::KEPT {
            self.first.push(fault);
        } else {
            self.more += 1;
        }
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.first.is_empty()
    }

    /// The first of them, in the order they were met.
    pub fn first(&self) -> &[Fault] {
        &self.first
    }

    /// How many there are in all.
    pub fn count(&self) -> u64 {
        self.first.len() as u64 + self.more
    }
}

impl fmt::Display for RowFaults {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, fault) in self.first.iter().enumerate() {
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
