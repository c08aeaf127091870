//! A completed run as a version of a model.

use super::train::{TrainActError, TrainedRun};
use super::workspace::Workspace;
use crate::adapter::MODEL_FORMAT;
use crate::base::BaseManifest;
use crate::dataset;
use crate::name::ModelName;
use crate::registry::{
    AdapterPart, Added, BasePart, DatasetPart, RegistryError, RunPart, Version, VersionId,
    VersionManifest,
};
use crate::train::TrainError;

/// Registers the adapter of a run as a version of a model. The same run again changes nothing.
///
/// Every part is taken from the run's own documents, so the same run gives the same version.
pub fn register(
    workspace: &Workspace<'_>,
    model: &ModelName,
    run: &TrainedRun,
    licence: Option<String>,
) -> Result<Added<Version>, TrainActError> {
    let version = version_of(workspace, model, run, licence)?;
    let tenant = workspace.tenant();
    Ok(tenant.register(&version.manifest, &workspace.store, &workspace.act)?)
}

/// The version that a run is, whether it is registered yet or not.
pub fn version_of(
    workspace: &Workspace<'_>,
    model: &ModelName,
    run: &TrainedRun,
    licence: Option<String>,
) -> Result<Version, TrainActError> {
    let (start, record) = (&run.start, &run.record);
    if start.job_digest != record.job {
        let why = format!("the record of run {} is about another job", record.run);
        return Err(TrainError::Contradiction(why).into());
    }
    let dataset = dataset::load(&workspace.store, &start.dataset)?;
    let splits = dataset
        .splits
        .iter()
        .map(|(name, split)| (name.as_str().to_owned(), split.blob));
    let manifest = VersionManifest {
        tenant: workspace.tenant.clone(),
        model: model.clone(),
        parents: parent(workspace, model, run)?.into_iter().collect(),
        base: base_part(workspace, run)?,
        adapter: AdapterPart {
            format: match start.job.lora {
                Some(_) => "peft",
                None => MODEL_FORMAT,
            }
            .to_owned(),
            tree: record.adapter,
            files: record.files.clone(),
        },
        dataset: DatasetPart {
            id: start.dataset.digest(),
            splits: splits.collect(),
            tenants: start.tenants.clone(),
        },
        run: RunPart {
            id: record.run.digest(),
            config: record.job,
            code: None,
            tool: start.tool.clone(),
            seed: start.job.seed,
            hardware: Some(start.machine.to_string()),
        },
        created: record.finished_at,
        licence,
    };
    Ok(Version::of(manifest)?)
}

/// The version that the run went on from, where it is one of the same model.
fn parent(
    workspace: &Workspace<'_>,
    model: &ModelName,
    run: &TrainedRun,
) -> Result<Option<VersionId>, TrainActError> {
    let Some(id) = run.start.from.and_then(|from| from.version) else {
        return Ok(None);
    };
    let id = VersionId::from(id);
    match workspace.tenant().version(model, &id) {
        Ok(_) => Ok(Some(id)),
        Err(RegistryError::NotFound { .. }) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

fn base_part(workspace: &Workspace<'_>, run: &TrainedRun) -> Result<BasePart, TrainActError> {
    let id = run.start.base.digest();
    let tenant = workspace.tenant();
    let record = tenant
        .bases()
        .by_id(&id)?
        .ok_or_else(|| RegistryError::Lineage {
            tenant: workspace.tenant.clone(),
            what: "base",
            id,
        })?;
    let manifest =
        BaseManifest::decode(&record.document).map_err(super::base::BaseActError::from)?;
    Ok(BasePart {
        source: manifest
            .source
            .as_ref()
            .map(|source| source.repo().to_owned()),
        revision: manifest
            .source
            .as_ref()
            .map(|source| source.revision().to_owned()),
        tree: manifest.tree,
        files: manifest.files,
    })
}
