//! What a dataset is: which bytes, and how they are read.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::columns::Columns;
use super::error::DatasetError;
use super::example::{Kind, SplitName};
use super::record::{Extras, Shape};
use crate::digest::Digest;
use crate::document::canonical;
use crate::store::Store;

crate::typed_id!(
    /// Identifies a dataset: the digest of its manifest's bytes.
    DatasetId
);

const SCHEMA: &str = "retune.dataset/1";

/// Names the exact bytes of every split and how they are read. The same bytes give the same manifest.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DatasetManifest {
    /// The shape of all rows.
    pub kind: Kind,
    /// The files, one per split; at least one.
    pub splits: BTreeMap<SplitName, Split>,
    /// Every label of every split, sorted; empty unless the rows are classified.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub labels: Vec<String>,
    /// Columns that do not bear their field's name.
    #[serde(default, skip_serializing_if = "Columns::is_default")]
    pub columns: Columns,
    /// Columns that are there and are not read, sorted.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub ignored: Vec<String>,
    /// Whether models of every tenant may be trained on it; otherwise it belongs to the tenant that recorded it.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub shared: bool,
}

/// One file of a dataset.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Split {
    /// Of the file's exact bytes.
    pub blob: Digest,
    /// In bytes.
    pub size: u64,
    /// How many examples the file holds.
    pub rows: u64,
    /// How the file is written.
    pub format: Format,
}

impl Split {
    /// Room to reserve for something per row: the recorded number, unless the file is too small for it to be true.
    pub(super) fn capacity(&self) -> usize {
        // The shortest row is `a,b` and a line feed.
        usize::try_from(self.rows.min(self.size / 4)).unwrap_or(0)
    }
}

/// How a file is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Format {
    /// One JSON object per line.
    Jsonl,
    /// Comma-separated, with a header line.
    Csv,
}

impl DatasetManifest {
    /// The dataset's identity.
    pub fn id(&self) -> Result<DatasetId, DatasetError> {
        Ok(Digest::of(&self.encode()?).into())
    }

    /// The manifest's canonical bytes, whose digest is the identity.
    pub fn encode(&self) -> Result<Vec<u8>, DatasetError> {
        canonical::encode(SCHEMA, self).map_err(DatasetError::Unwritable)
    }

    /// Reads what [`encode`](Self::encode) wrote; a manifest that contradicts itself is refused.
    pub fn decode(bytes: &[u8]) -> Result<Self, DatasetError> {
        let id = Digest::of(bytes).into();
        let manifest: Self = canonical::decode(SCHEMA, bytes)
            .map_err(|source| DatasetError::Manifest { id, source })?;
        match manifest.contradiction() {
            None => Ok(manifest),
            Some(what) => Err(DatasetError::Contradiction {
                id,
                what: what.to_owned(),
            }),
        }
    }

    /// The split of that name.
    pub fn split(&self, name: SplitName) -> Option<&Split> {
        self.splits.get(&name)
    }

    /// All rows of all splits.
    pub fn rows(&self) -> u64 {
        self.splits.values().map(|split| split.rows).sum()
    }

    /// All bytes of all splits.
    pub fn size(&self) -> u64 {
        self.splits.values().map(|split| split.size).sum()
    }

    /// What the rows must look like, with only the recorded columns ignored.
    pub(super) fn shape(&self) -> Shape {
        Shape {
            columns: self.columns.clone(),
            kind: Some(self.kind),
            extras: Extras {
                any: false,
                ignored: self.ignored.iter().cloned().collect(),
            },
        }
    }

    /// What is wrong with the manifest in itself.
    fn contradiction(&self) -> Option<&'static str> {
        let sorted = |names: &[String]| names.is_sorted_by(|a, b| a < b);
        if self.splits.is_empty() {
            Some("it has no split")
        } else if self.splits.values().any(|split| split.rows == 0) {
            Some("a split has no rows")
        } else if !sorted(&self.labels) || !sorted(&self.ignored) {
            Some("its labels or ignored columns are not in order")
        } else if (self.kind == Kind::Classification) == self.labels.is_empty() {
            Some("classification rows have labels, and no others have")
        } else {
            None
        }
    }
}

/// Reads a dataset's manifest; the digest is checked, the rows are not read.
pub fn load(store: &Store, id: &DatasetId) -> Result<DatasetManifest, DatasetError> {
    DatasetManifest::decode(&store.read(&id.digest())?)
}

impl std::fmt::Display for Format {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Jsonl => "jsonl",
            Self::Csv => "csv",
        })
    }
}
