//! Adding bases, and finding them again.

use std::path::Path;

use super::workspace::Workspace;
use crate::base::{self, BaseError, BaseManifest, Source};
use crate::name::BaseName;
use crate::registry::{Record, RegistryError};

/// A base that was added, or was there already.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AddedBase {
    /// The base.
    pub base: KnownBase,
    /// `false` when the same content was there already under this name.
    pub new: bool,
    /// What was left in the folder.
    pub ignored: Vec<String>,
}

/// A base with its record in the registry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KnownBase {
    /// What it is.
    pub manifest: BaseManifest,
    /// Under which name and label it is kept.
    pub record: Record<BaseName>,
}

/// Why a base could not be added or found.
#[derive(Debug, thiserror::Error)]
pub enum BaseActError {
    /// The files, or what the store holds of them.
    #[error(transparent)]
    Base(#[from] BaseError),
    /// The registry.
    #[error(transparent)]
    Registry(#[from] RegistryError),
    /// The same files are recorded under this name with another source, and records never change.
    #[error("{base} is recorded with {}, not with {given}", known.as_ref().map_or("no source".to_owned(), |s| format!("the source {s}")))]
    OtherSource {
        /// The record, as `name@label`.
        base: String,
        /// Its source.
        known: Option<Source>,
        /// What was given now.
        given: Source,
    },
}

/// Stores a Hugging Face folder as a base and records it under a name.
///
/// The same files again change nothing; the source that was recorded first stays, and another one is refused.
pub fn add_base(
    workspace: &Workspace<'_>,
    name: &BaseName,
    dir: &Path,
    source: Option<Source>,
) -> Result<AddedBase, BaseActError> {
    let act = &workspace.act;
    let tenant = workspace.tenant();
    // A tenant that does not exist is told before gigabytes are read.
    tenant.bases().names()?;
    let _lease = match act.dry_run {
        true => None,
        false => Some(workspace.store.lease("base add").map_err(BaseError::from)?),
    };
    let imported = if act.dry_run {
        base::inspect(dir, source, act.reporter)?
    } else {
        base::import(&workspace.store, dir, source, act.reporter)?
    };
    let (manifest, ignored) = (imported.manifest, imported.ignored);
    if let Some(base) = recorded(workspace, name, &manifest)? {
        return Ok(AddedBase {
            base,
            new: false,
            ignored,
        });
    }
    let added = tenant.bases().add(name, &manifest.encode()?, act)?;
    Ok(AddedBase {
        base: KnownBase {
            manifest,
            record: added.record,
        },
        new: added.new,
        ignored,
    })
}

/// The record of the same files under the same name.
fn recorded(
    workspace: &Workspace<'_>,
    name: &BaseName,
    manifest: &BaseManifest,
) -> Result<Option<KnownBase>, BaseActError> {
    let known = match find_base(workspace, name, Some(&manifest.id().to_string())) {
        Err(BaseActError::Registry(error)) if error.is_usage() => return Ok(None),
        known => known?,
    };
    match &manifest.source {
        Some(given) if known.manifest.source.as_ref() != Some(given) => {
            Err(BaseActError::OtherSource {
                base: format!("{}@{}", known.record.name, known.record.label),
                known: known.manifest.source,
                given: given.clone(),
            })
        }
        _ => Ok(Some(known)),
    }
}

/// The version of a base that `version` means (see [`Catalogue::find`](crate::registry::Catalogue::find)), or the
/// newest.
pub fn find_base(
    workspace: &Workspace<'_>,
    name: &BaseName,
    version: Option<&str>,
) -> Result<KnownBase, BaseActError> {
    let tenant = workspace.tenant();
    let record = match version {
        Some(version) => tenant.bases().find(name, version)?,
        None => tenant.bases().newest(name)?,
    };
    Ok(KnownBase {
        manifest: BaseManifest::decode(&record.document)?,
        record,
    })
}
