//! Registering what a run made as a version of a model.

use super::workspace::Workspace;
use crate::base::{BaseError, BaseManifest};
use crate::dataset::{DatasetError, DatasetManifest};
use crate::digest::Digest;
use crate::name::ModelName;
use crate::registry::{
    AdapterPart, Added, BasePart, DatasetPart, RegistryError, RunPart, Version, VersionManifest,
};
use crate::store::StoreError;
use crate::train::{RunRecord, RunStart, TrainError};

/// Why a run could not be registered.
#[derive(Debug, thiserror::Error)]
pub enum RegisterError {
    /// The registry refused, or does not know what the run was made of.
    #[error(transparent)]
    Registry(#[from] RegistryError),
    /// The run's documents.
    #[error(transparent)]
    Train(#[from] TrainError),
    /// The run's base.
    #[error(transparent)]
    Base(#[from] BaseError),
    /// The run's dataset.
    #[error(transparent)]
    Dataset(#[from] DatasetError),
    /// The store.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Registers the adapter of the run that `run` means (its id or a beginning of it) as a version of `model`.
///
/// Every part is taken from the run's own documents, so the same run gives the same version, and
/// registering it again changes nothing.
pub fn register(
    workspace: &Workspace<'_>,
    model: &ModelName,
    run: &str,
    licence: Option<String>,
) -> Result<Added<Version>, RegisterError> {
    let (tenant, store) = (workspace.tenant(), &workspace.store);
    let record = RunRecord::decode(&tenant.runs().find(run)?.document)?;
    let start = RunStart::decode(&store.read(&record.run.digest())?)?;
    if start.job_digest != record.job {
        let why = format!("the record of run {} is about another job", record.run);
        return Err(TrainError::Contradiction(why).into());
    }
    let unknown = |what, id: Digest| RegistryError::Lineage {
        tenant: workspace.tenant.clone(),
        what,
        id,
    };
    let base = start.base.digest();
    let base = tenant
        .bases()
        .by_id(&base)?
        .ok_or_else(|| unknown("base", base))?;
    let dataset = start.dataset.digest();
    let data = tenant.datasets().by_id(&dataset)?;
    let data = data.ok_or_else(|| unknown("dataset", dataset))?;
    let manifest = VersionManifest {
        tenant: workspace.tenant.clone(),
        model: model.clone(),
        parents: Vec::new(),
        base: base_part(BaseManifest::decode(&base.document)?),
        adapter: AdapterPart {
            format: "peft".to_owned(),
            tree: record.adapter,
            files: record.files,
        },
        dataset: DatasetPart {
            id: dataset,
            splits: DatasetManifest::decode(&data.document)?
                .splits
                .iter()
                .map(|(name, split)| (name.to_string(), split.blob))
                .collect(),
        },
        run: RunPart {
            id: record.run.digest(),
            config: start.job_digest,
            code: None,
            tool: start.tool,
            seed: start.job.seed,
            hardware: Some(format!(
                "{} {} {}",
                start.machine.arch, start.machine.cpu, start.machine.os
            )),
        },
        created: record.finished_at,
        licence,
    };
    Ok(tenant.register(&manifest, store, &workspace.act)?)
}

fn base_part(base: BaseManifest) -> BasePart {
    BasePart {
        source: base.source.as_ref().map(|source| source.repo().to_owned()),
        revision: base
            .source
            .as_ref()
            .map(|source| source.revision().to_owned()),
        tree: base.tree,
        files: base.files,
    }
}
