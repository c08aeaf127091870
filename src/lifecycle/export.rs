//! A version's adapter, or the model that it makes of its base, as a directory for others.

use std::path::Path;

use super::workspace::Workspace;
use crate::adapter::{self, Adapter, AdapterError, BaseFile, MODEL_FORMAT, Profile, Storage};
use crate::base::{self, BaseError, BaseId, BaseManifest, Checkpoint};
use crate::dataset::{self, DatasetError, Example, SplitName};
use crate::registry::{RegistryError, Version};
use crate::store::StoreError;

/// What to write.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ExportForm {
    /// The adapter, in the terms of a server.
    Adapter(Profile),
    /// Base and adapter as one checkpoint, stored like the base or in another type.
    Merged(Option<Storage>),
}

/// What was written.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Exported {
    /// How many files.
    pub files: usize,
    /// Their bytes.
    pub bytes: u64,
    /// What was rewritten for the server, or added to the base.
    pub changes: Vec<String>,
    /// What the server has to be told.
    pub notes: Vec<String>,
    /// How far the merged model is from base and adapter; `None` where nothing was merged, or this build runs no models.
    pub drift: Option<Drift>,
}

/// The largest difference of two models on some texts.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Drift {
    /// How many texts.
    pub texts: usize,
    /// The largest difference of two logits.
    pub logits: f64,
    /// The largest logit of base and adapter, for scale.
    pub largest: f64,
}

/// Why a version could not be exported.
#[derive(Debug, thiserror::Error)]
pub enum ExportError {
    /// The registry.
    #[error(transparent)]
    Registry(#[from] RegistryError),
    /// The store.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The adapter, the merge or the server.
    #[error(transparent)]
    Adapter(#[from] AdapterError),
    /// The base.
    #[error(transparent)]
    Base(#[from] BaseError),
    /// The dataset, which gives the texts to compare on.
    #[error(transparent)]
    Dataset(#[from] DatasetError),
    /// The registry has no such base.
    #[error("the registry has no base {0}")]
    UnknownBase(BaseId),
    /// The adapter names another base than its version does.
    #[error("the adapter was trained on base {named}, not on {base}")]
    OtherBase {
        /// What its own record says.
        named: BaseId,
        /// What the version says.
        base: BaseId,
    },
    /// There is no adapter to rewrite or to merge.
    #[error(
        "every weight of this version was trained: it is a whole checkpoint stored as f32, without an adapter that could be \
         rewritten or merged; export it without --for and --dtype"
    )]
    Whole,
    /// The two models could not be compared.
    #[cfg(feature = "train")]
    #[error("the merged model cannot be compared with base and adapter: {0}")]
    Compare(String),
}

/// Texts of the version's own dataset on which a merge is compared where none are given.
const PROBES: usize = 32;

impl ExportError {
    /// Whether stored bytes are missing, changed or contradict each other.
    pub fn is_integrity(&self) -> bool {
        match self {
            Self::Store(error) | Self::Adapter(AdapterError::Store(error)) => error.is_integrity(),
            Self::Base(error) => error.is_integrity(),
            Self::Dataset(error) => error.is_integrity(),
            Self::OtherBase { .. } => true,
            _ => false,
        }
    }

    /// Whether the asker has to ask for something else.
    pub fn is_usage(&self) -> bool {
        matches!(
            self,
            Self::Whole | Self::Adapter(AdapterError::Profile { .. } | AdapterError::Misfit(_))
        )
    }
}

/// Writes a version to `dir`, which appears whole or not at all; in a dry run everything is made and checked, and dropped.
///
/// A merged model is compared with base and adapter on `texts`, or on the first training rows of the version's dataset.
pub fn export(
    workspace: &Workspace<'_>,
    version: &Version,
    form: ExportForm,
    texts: Option<&[String]>,
    dir: &Path,
) -> Result<Exported, ExportError> {
    let whole = version.manifest.adapter.format == MODEL_FORMAT;
    match form {
        ExportForm::Adapter(Profile::Peft) | ExportForm::Merged(None) if whole => {
            as_it_is(workspace, version, dir)
        }
        _ if whole => Err(ExportError::Whole),
        ExportForm::Adapter(Profile::Peft) => as_it_is(workspace, version, dir),
        ExportForm::Adapter(profile) => served(workspace, version, profile, dir),
        ExportForm::Merged(storage) => merged(workspace, version, storage, texts, dir),
    }
}

fn as_it_is(
    workspace: &Workspace<'_>,
    version: &Version,
    dir: &Path,
) -> Result<Exported, ExportError> {
    let files = &version.manifest.adapter.files;
    if workspace.act.dry_run {
        for file in files {
            workspace.store.open_verified(&file.sha256)?;
        }
    } else {
        workspace.registry.tenant(&version.manifest.tenant).export(
            version,
            &workspace.store,
            dir,
        )?;
    }
    Ok(Exported {
        files: files.len(),
        bytes: files.iter().map(|file| file.size).sum(),
        ..Exported::default()
    })
}

fn served(
    workspace: &Workspace<'_>,
    version: &Version,
    profile: Profile,
    dir: &Path,
) -> Result<Exported, ExportError> {
    let source = Source::open(workspace, version)?;
    let served = profile.fit(&source.adapter, &source.files)?;
    let mut exported = Exported {
        changes: served.changes.clone(),
        notes: served.notes.clone(),
        ..Exported::default()
    };
    for (_, content) in served.adapter.files()? {
        exported.files += 1;
        exported.bytes += content.len() as u64;
    }
    if !workspace.act.dry_run {
        served.write_dir(dir)?;
    }
    Ok(exported)
}

fn merged(
    workspace: &Workspace<'_>,
    version: &Version,
    storage: Option<Storage>,
    texts: Option<&[String]>,
    dir: &Path,
) -> Result<Exported, ExportError> {
    let source = Source::open(workspace, version)?;
    let pending = adapter::merge(&source.files, &source.adapter, storage, dir)?;
    let texts = match texts {
        Some(texts) => texts.to_vec(),
        None => probes(workspace, version)?,
    };
    let drift = drift(&source, &pending.checkpoint()?, &texts)?;
    let merged = pending.merged;
    if !workspace.act.dry_run {
        pending.commit(dir)?;
    }
    Ok(Exported {
        files: merged.files,
        bytes: merged.bytes,
        changes: vec![format!(
            "{} weights have the factors added, {} tensors are the adapter's own",
            merged.adapted, merged.whole
        )],
        notes: Vec::new(),
        drift,
    })
}

/// A version's adapter and its base, every byte checked.
struct Source {
    adapter: Adapter,
    files: Vec<BaseFile>,
    #[cfg_attr(not(feature = "train"), expect(dead_code))]
    checkpoint: Checkpoint,
}

impl Source {
    fn open(workspace: &Workspace<'_>, version: &Version) -> Result<Self, ExportError> {
        let adapter = Adapter::open(&workspace.store, &version.manifest.adapter.tree)?;
        let id = BaseId::from(version.manifest.base.tree.digest());
        if adapter.record.base.tree != id.digest() {
            let named = adapter.record.base.tree.into();
            return Err(ExportError::OtherBase { named, base: id });
        }
        let tenant = workspace.registry.tenant(&version.manifest.tenant);
        let record = tenant.bases().by_id(&id.digest())?;
        let record = record.ok_or(ExportError::UnknownBase(id))?;
        let manifest = BaseManifest::decode(&record.document)?;
        let checkpoint = base::open(&workspace.store, &manifest)?;
        let file = |entry: &crate::store::TreeEntry| BaseFile {
            path: entry.path.clone(),
            at: workspace.store.path_of(&entry.sha256),
        };
        Ok(Self {
            adapter,
            files: manifest.files.iter().map(file).collect(),
            checkpoint,
        })
    }
}

fn probes(workspace: &Workspace<'_>, version: &Version) -> Result<Vec<String>, ExportError> {
    let manifest = dataset::load(&workspace.store, &version.manifest.dataset.id.into())?;
    let rows = dataset::examples(&workspace.store, &manifest, SplitName::Train)?;
    let texts = rows.iter().take(PROBES).map(Example::question);
    Ok(texts.map(str::to_owned).collect())
}

#[cfg(not(feature = "train"))]
fn drift(_: &Source, _: &Checkpoint, _: &[String]) -> Result<Option<Drift>, ExportError> {
    Ok(None)
}

#[cfg(feature = "train")]
fn drift(
    source: &Source,
    merged: &Checkpoint,
    texts: &[String],
) -> Result<Option<Drift>, ExportError> {
    super::compare::drift(&source.checkpoint, &source.adapter, merged, texts)
        .map(Some)
        .map_err(|error| ExportError::Compare(error.to_string()))
}
