//! Reading everything again.

use std::collections::BTreeSet;

use super::error::DatasetError;
use super::example::SplitName;
use super::manifest::{DatasetId, DatasetManifest, Split, load};
use super::record::Shape;
use super::rows::rows_shaped;
use crate::progress::{Event, Reporter, Unit};
use crate::store::Store;

/// What was read again and found to be as recorded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DatasetReport {
    /// Of all splits.
    pub rows: u64,
    /// Of all splits.
    pub bytes: u64,
}

/// Re-reads a dataset: every digest, and from the rows again their number, shape, labels and ignored columns.
///
/// Anything that is not as the manifest says is an error whose
/// [`is_integrity`](DatasetError::is_integrity) is true.
pub fn verify(
    store: &Store,
    id: &DatasetId,
    reporter: &dyn Reporter,
) -> Result<DatasetReport, DatasetError> {
    let manifest = load(store, id)?;
    let mut found = Found {
        shape: manifest.shape(),
        labels: BTreeSet::new(),
    };
    found.shape.extras.any = true;
    found.shape.extras.ignored.clear();
    for name in manifest.splits.keys() {
        let split = found.read(store, &manifest, *name, reporter)?;
        compare(id, *name, &split, &manifest.splits[name])?;
    }
    let differs = |what: &str| {
        Err(DatasetError::Contradiction {
            id: *id,
            what: format!("the {what} found in the rows are not those recorded"),
        })
    };
    if !found.labels.iter().eq(&manifest.labels) {
        return differs("labels");
    }
    if !found.shape.extras.ignored.iter().eq(&manifest.ignored) {
        return differs("ignored columns");
    }
    Ok(DatasetReport {
        rows: manifest.rows(),
        bytes: manifest.size(),
    })
}

/// What the rows tell.
struct Found {
    shape: Shape,
    labels: BTreeSet<String>,
}

impl Found {
    fn read(
        &mut self,
        store: &Store,
        manifest: &DatasetManifest,
        name: SplitName,
        reporter: &dyn Reporter,
    ) -> Result<Split, DatasetError> {
        let what = format!("verifying {name} rows");
        reporter.report(&Event::Started {
            what: &what,
            total: manifest.split(name).map(|split| split.rows),
            unit: Unit::Items,
        });
        let mut rows = rows_shaped(store, manifest, name, self.shape.clone())?;
        let mut count = 0_u64;
        for row in rows.by_ref() {
            let row = row?;
            count += 1;
            if count.is_multiple_of(8192) {
                advance(reporter, count)?;
            }
            if let Some(label) = row.example.label()
                && !self.labels.contains(label)
            {
                self.labels.insert(label.to_owned());
            }
        }
        reporter.report(&Event::Finished);
        let (shape, whole) = rows.finish();
        self.shape = shape;
        Ok(Split {
            blob: whole.digest,
            size: whole.size,
            rows: count,
            format: manifest.splits[&name].format,
        })
    }
}

fn advance(reporter: &dyn Reporter, done: u64) -> Result<(), DatasetError> {
    reporter.report(&Event::Advanced { done, note: "" });
    if reporter.interrupted() {
        return Err(DatasetError::Interrupted);
    }
    Ok(())
}

fn compare(
    id: &DatasetId,
    name: SplitName,
    found: &Split,
    recorded: &Split,
) -> Result<(), DatasetError> {
    if found == recorded {
        return Ok(());
    }
    Err(DatasetError::Contradiction {
        id: *id,
        what: format!(
            "the {name} split is {} with {} bytes and {} rows, recorded as {} with {} and {}",
            found.blob, found.size, found.rows, recorded.blob, recorded.size, recorded.rows
        ),
    })
}
