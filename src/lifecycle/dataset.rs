//! Adding datasets, and finding them again.

use std::path::PathBuf;

use super::workspace::Workspace;
use crate::dataset::{
    self, DatasetError, DatasetId, DatasetManifest, Options, Overlap, SplitName, overlap,
};
use crate::name::DatasetName;
use crate::registry::{Record, RegistryError};

/// Two splits of more rows than this are not compared while a dataset is added, to keep memory small.
const MAX_COMPARED: u64 = 500_000;

/// A dataset that was added, or was there already.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AddedDataset {
    /// The dataset.
    pub dataset: KnownDataset,
    /// `false` when the same content was there already under this name.
    pub new: bool,
    /// Texts that stand in two splits; `None` where that was not looked for: in a dry run, and for huge splits.
    pub overlaps: Option<Vec<Overlap>>,
}

/// A dataset with its record in the registry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KnownDataset {
    /// The identity.
    pub id: DatasetId,
    /// What it is.
    pub manifest: DatasetManifest,
    /// Under which name and label it is kept.
    pub record: Record<DatasetName>,
}

/// Why a dataset could not be added or found.
#[derive(Debug, thiserror::Error)]
pub enum DatasetActError {
    /// The files, or what the store holds of them.
    #[error(transparent)]
    Dataset(#[from] DatasetError),
    /// The registry.
    #[error(transparent)]
    Registry(#[from] RegistryError),
}

/// Stores files as a dataset and records it under a name. The same bytes again change nothing.
pub fn add_dataset(
    workspace: &Workspace<'_>,
    name: &DatasetName,
    files: &[(SplitName, PathBuf)],
    options: &Options,
) -> Result<AddedDataset, DatasetActError> {
    let (store, act) = (&workspace.store, &workspace.act);
    let tenant = workspace.tenant();
    // A tenant that does not exist is told before a gigabyte is read.
    tenant.datasets().names()?;
    let _lease = match act.dry_run {
        true => None,
        false => Some(store.lease("dataset add").map_err(DatasetError::from)?),
    };
    let (id, manifest) = if act.dry_run {
        dataset::inspect(files, options, act.reporter)?
    } else {
        dataset::import(store, files, options, act.reporter)?
    };
    let added = tenant.datasets().add(name, &manifest.encode()?, act)?;
    let overlaps = match act.dry_run || is_huge(&manifest) {
        true => None,
        false => Some(overlap(store, &manifest)?),
    };
    Ok(AddedDataset {
        dataset: KnownDataset {
            id,
            manifest,
            record: added.record,
        },
        new: added.new,
        overlaps,
    })
}

/// The version of a dataset that `version` means (see [`Catalogue::find`](crate::registry::Catalogue::find)), or the
/// newest.
pub fn find_dataset(
    workspace: &Workspace<'_>,
    name: &DatasetName,
    version: Option<&str>,
) -> Result<KnownDataset, DatasetActError> {
    let tenant = workspace.tenant();
    let record = match version {
        Some(version) => tenant.datasets().find(name, version)?,
        None => tenant.datasets().newest(name)?,
    };
    Ok(KnownDataset {
        id: record.id.into(),
        manifest: DatasetManifest::decode(&record.document)?,
        record,
    })
}

/// Whether even the second largest split is too large to keep its keys in memory.
fn is_huge(manifest: &DatasetManifest) -> bool {
    let mut rows: Vec<u64> = manifest.splits.values().map(|split| split.rows).collect();
    rows.sort_unstable();
    rows.iter()
        .rev()
        .nth(1)
        .is_some_and(|rows| *rows > MAX_COMPARED)
}
