//! Training a job, once.

use std::fmt;
use std::path::PathBuf;

use serde::Serialize;

use super::base::{BaseActError, KnownBase, find_base};
use super::dataset::{DatasetActError, KnownDataset, find_dataset};
use super::workspace::Workspace;
use crate::adapter::MODEL_FORMAT;
use crate::base::BaseManifest;
use crate::dataset::{self, DatasetError};
use crate::digest::Digest;
use crate::eval::Subject;
use crate::name::TenantName;
use crate::reference::ModelRef;
use crate::registry::RegistryError;
use crate::store::StoreError;
use crate::train::{
    Beginning, DatasetRef, FromAdapter, Job, MachineClass, RunId, RunRecord, RunStart, RunState,
    Stop, TrainError, find_run,
};

/// What came of asking for a run.
#[derive(Debug, Clone, PartialEq)]
pub enum Trained {
    /// The run is over and recorded.
    Finished(Box<TrainedRun>),
    /// The run stopped before its end; the same job goes on from the checkpoint.
    Interrupted(RunId, Stop),
    /// It would have to be trained, and this is a dry run.
    Planned,
}

/// A completed run, as it is recorded.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct TrainedRun {
    /// What was asked.
    pub start: RunStart,
    /// What came of it.
    pub record: RunRecord,
    /// Whether it was trained now, rather than found.
    pub new: bool,
}

/// Why a job could not be trained, or a run not be found.
#[derive(Debug, thiserror::Error)]
pub enum TrainActError {
    /// The job names a base that is not there.
    #[error(transparent)]
    Base(#[from] BaseActError),
    /// The job names a dataset that is not there.
    #[error(transparent)]
    Dataset(#[from] DatasetActError),
    /// Training.
    #[error(transparent)]
    Train(#[from] TrainError),
    /// The registry.
    #[error(transparent)]
    Registry(#[from] RegistryError),
    /// The store.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// There is no adapter to go on from.
    #[error(
        "every weight of {0} was trained, so there is no adapter to go on from; export it and take it as base (`retune base add`)"
    )]
    WholeModel(String),
    /// Training needs the feature `train`.
    #[error("this build of retune cannot train: it was made without the feature `train`")]
    NoTraining,
}

impl From<DatasetError> for TrainActError {
    fn from(error: DatasetError) -> Self {
        Self::Dataset(error.into())
    }
}

/// A job's inputs, found in the registry.
#[derive(Debug, Clone, PartialEq)]
pub struct JobInputs {
    /// The frozen model.
    pub base: KnownBase,
    /// The examples.
    pub dataset: dataset::DatasetManifest,
    /// The examples' identity.
    pub dataset_id: dataset::DatasetId,
    /// The adapter to go on from; not named by the job.
    pub from: Option<Beginning>,
    /// Whose the examples are; none: nobody's in particular.
    pub tenants: Vec<TenantName>,
}

/// Looks up the base and the dataset that a job names.
pub fn job_inputs(workspace: &Workspace<'_>, job: &Job) -> Result<JobInputs, TrainActError> {
    let base = find_base(workspace, &job.base.name, job.base.version.as_deref())?;
    let (dataset_id, dataset) = match &job.dataset {
        DatasetRef::Named(name, version) => {
            let KnownDataset { id, manifest, .. } =
                find_dataset(workspace, name, version.as_deref())?;
            (id, manifest)
        }
        DatasetRef::Id(id) => {
            workspace.tenant().require_dataset(&id.digest())?;
            (*id, dataset::load(&workspace.store, id)?)
        }
    };
    let owner = (!dataset.shared).then(|| workspace.tenant.clone());
    Ok(JobInputs {
        base,
        dataset,
        dataset_id,
        from: None,
        tenants: owner.into_iter().collect(),
    })
}

/// Refuses a run on the data of another tenant, such as one that was begun before the project became this tenant's.
fn check_owner(
    workspace: &Workspace<'_>,
    run: RunId,
    start: &RunStart,
) -> Result<(), RegistryError> {
    let what = || format!("run {}", run.short());
    workspace
        .tenant()
        .check_data(start.tenants.as_deref(), what)
}

/// Which adapter a run goes on from, as a person names it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FromWhere {
    /// A directory that PEFT, retune or another tool wrote.
    Folder(PathBuf),
    /// A registered version.
    Version(ModelRef),
}

/// Trains a job, unless a run of exactly this job, data, base, starting adapter and tool version is there: a completed one is the
/// answer, an interrupted one is gone on with.
pub fn train(
    workspace: &Workspace<'_>,
    job: &Job,
    from: Option<&FromWhere>,
) -> Result<Trained, TrainActError> {
    let mut inputs = job_inputs(workspace, job)?;
    inputs.from = from
        .map(|from| beginning(workspace, from, &inputs.base.manifest))
        .transpose()?;
    let adapter = inputs.from.as_ref().map(|beginning| beginning.from.adapter);
    let base = &inputs.base.manifest;
    let arithmetic = MachineClass::this().arithmetic(job, &base.model, workspace.device);
    let fingerprint = job.fingerprint(
        inputs.dataset_id,
        base.id(),
        adapter,
        workspace.device,
        arithmetic.as_deref(),
        workspace.tool,
    )?;
    let config = job.digest().map_err(TrainError::from)?;
    if let Some(run) = recorded(workspace, &config, &fingerprint)? {
        return Ok(Trained::Finished(Box::new(run)));
    }
    let begun = find_run(&workspace.runs, &fingerprint)?;
    if workspace.act.dry_run {
        return Ok(Trained::Planned);
    }
    match begun {
        Some(run) => match run.state {
            // Killed between the end of training and its record in the registry.
            RunState::Complete(record) => finish(workspace, run.start, *record),
            RunState::Running(_) => Err(TrainError::Busy(run.id).into()),
            RunState::Interrupted(_) => {
                check_owner(workspace, run.id, &run.start)?;
                fit::resume(workspace, &inputs, workspace.device, run.dir.path())
            }
        },
        None => {
            if let (Some(FromWhere::Folder(dir)), Some(beginning)) = (from, &inputs.from) {
                beginning.put(dir, &workspace.store)?;
            }
            fit::start(workspace, &inputs, job)
        }
    }
}

fn beginning(
    workspace: &Workspace<'_>,
    from: &FromWhere,
    base: &BaseManifest,
) -> Result<Beginning, TrainActError> {
    match from {
        FromWhere::Folder(dir) => Ok(Beginning::read_dir(dir, &workspace.store, base)?),
        FromWhere::Version(reference) => {
            let version = workspace.tenant().resolve(reference)?;
            if version.manifest.adapter.format == MODEL_FORMAT {
                return Err(TrainActError::WholeModel(version.to_string()));
            }
            let from = FromAdapter {
                adapter: version.manifest.adapter.tree,
                version: Some(version.id.digest()),
            };
            Ok(Beginning::open(from, &workspace.store, base)?)
        }
    }
}

/// Goes on with a run by its identity or the first digits of it.
pub fn resume(workspace: &Workspace<'_>, run: &str) -> Result<Trained, TrainActError> {
    let digits = run.strip_prefix("sha256:").unwrap_or(run);
    let found = crate::train::runs(&workspace.runs)?;
    let mut matching: Vec<_> = found
        .into_iter()
        .filter(|found| digits.len() >= 4 && found.id.digest().hex().starts_with(digits))
        .collect();
    if matching.len() > 1 {
        return Err(RegistryError::Ambiguous {
            what: format!("run {run}"),
            candidates: matching.iter().map(|run| run.id.short()).collect(),
        }
        .into());
    }
    let Some(found) = matching.pop() else {
        return Err(TrainError::NotARun(workspace.runs.join(run)).into());
    };
    check_owner(workspace, found.id, &found.start)?;
    let mut inputs = job_inputs(workspace, &found.start.job)?;
    if let Some(from) = found.start.from {
        let base = &inputs.base.manifest;
        inputs.from = Some(Beginning::open(from, &workspace.store, base)?);
    }
    match found.state {
        RunState::Complete(record) => finish(workspace, found.start, *record),
        _ => {
            // A run goes on where it began.
            let device = found.start.device;
            fit::resume(workspace, &inputs, device, found.dir.path())
        }
    }
}

/// The recorded run whose identity begins with `text`.
pub fn find_trained(workspace: &Workspace<'_>, text: &str) -> Result<TrainedRun, TrainActError> {
    let recorded = workspace.tenant().runs().find(text)?;
    let record = RunRecord::decode(&recorded.document)?;
    let start = started(workspace, record.run)?;
    Ok(TrainedRun {
        start,
        record,
        new: false,
    })
}

fn recorded(
    workspace: &Workspace<'_>,
    config: &Digest,
    fingerprint: &Digest,
) -> Result<Option<TrainedRun>, TrainActError> {
    for entry in workspace.tenant().runs().naming(config)?.into_iter().rev() {
        let record = RunRecord::decode(&entry.document)?;
        let start = started(workspace, record.run)?;
        if start.fingerprint()? == *fingerprint {
            return Ok(Some(TrainedRun {
                start,
                record,
                new: false,
            }));
        }
    }
    Ok(None)
}

fn started(workspace: &Workspace<'_>, run: RunId) -> Result<RunStart, TrainActError> {
    Ok(RunStart::decode(&workspace.store.read(&run.digest())?)?)
}

/// Records a completed run.
fn finish(
    workspace: &Workspace<'_>,
    start: RunStart,
    record: RunRecord,
) -> Result<Trained, TrainActError> {
    check_owner(workspace, record.run, &start)?;
    let document = record.encode()?;
    let runs = workspace.tenant();
    let added = runs
        .runs()
        .add(&record.run.digest(), &document, &workspace.act)?;
    Ok(Trained::Finished(Box::new(TrainedRun {
        start,
        record,
        new: added.new,
    })))
}

#[cfg(feature = "train")]
mod fit {
    use std::path::Path;

    use super::{JobInputs, TrainActError, Trained, finish};
    use crate::base::Device;
    use crate::lifecycle::Workspace;
    use crate::train::{self, Inputs, Job, Outcome, Plan};

    pub(super) fn start(
        workspace: &Workspace<'_>,
        inputs: &JobInputs,
        job: &Job,
    ) -> Result<Trained, TrainActError> {
        let outcome = train::start(job, &of(workspace, inputs), workspace.act.reporter)?;
        ended(workspace, outcome)
    }

    pub(super) fn resume(
        workspace: &Workspace<'_>,
        inputs: &JobInputs,
        device: Device,
        dir: &Path,
    ) -> Result<Trained, TrainActError> {
        let inputs = Inputs {
            device,
            ..of(workspace, inputs)
        };
        let outcome = train::resume(dir, &inputs, workspace.act.reporter)?;
        ended(workspace, outcome)
    }

    pub(super) fn plan(
        workspace: &Workspace<'_>,
        inputs: &JobInputs,
        job: &Job,
    ) -> Result<Plan, TrainActError> {
        Ok(train::plan(
            job,
            &of(workspace, inputs),
            workspace.act.reporter,
        )?)
    }

    fn of<'w>(workspace: &'w Workspace<'_>, inputs: &'w JobInputs) -> Inputs<'w> {
        Inputs {
            store: &workspace.store,
            base: &inputs.base.manifest,
            dataset: &inputs.dataset,
            from: inputs.from.as_ref(),
            tenants: &inputs.tenants,
            device: workspace.device,
            runs: &workspace.runs,
            tool: workspace.tool,
            machine: workspace.machine,
        }
    }

    fn ended(workspace: &Workspace<'_>, outcome: Outcome) -> Result<Trained, TrainActError> {
        match outcome {
            Outcome::Complete(finished) => {
                let (_, start) = finished.dir.start()?;
                finish(workspace, start, finished.record)
            }
            Outcome::Interrupted { run, why, .. } => Ok(Trained::Interrupted(run, why)),
        }
    }
}

#[cfg(not(feature = "train"))]
mod fit {
    use std::path::Path;

    use super::{JobInputs, TrainActError, Trained};
    use crate::base::Device;
    use crate::lifecycle::Workspace;
    use crate::train::{Job, Plan};

    pub(super) fn start(
        _: &Workspace<'_>,
        _: &JobInputs,
        _: &Job,
    ) -> Result<Trained, TrainActError> {
        Err(TrainActError::NoTraining)
    }

    pub(super) fn resume(
        _: &Workspace<'_>,
        _: &JobInputs,
        _: Device,
        _: &Path,
    ) -> Result<Trained, TrainActError> {
        Err(TrainActError::NoTraining)
    }

    pub(super) fn plan(_: &Workspace<'_>, _: &JobInputs, _: &Job) -> Result<Plan, TrainActError> {
        Err(TrainActError::NoTraining)
    }
}

/// What training a job would be like. Nothing is written.
pub fn plan_training(
    workspace: &Workspace<'_>,
    job: &Job,
    from: Option<&FromWhere>,
) -> Result<crate::train::Plan, TrainActError> {
    let mut inputs = job_inputs(workspace, job)?;
    inputs.from = from
        .map(|from| beginning(workspace, from, &inputs.base.manifest))
        .transpose()?;
    fit::plan(workspace, &inputs, job)
}

impl TrainedRun {
    /// What it trained, as what answers suites.
    pub fn subject(&self) -> Subject {
        Subject::Adapter {
            base: self.start.base,
            adapter: self.record.adapter,
            dataset: Some(self.start.dataset),
            run: Some(self.record.run.digest()),
        }
    }
}

/// `run 3f9a1c2b7d10: LoRA r 8, 6 epochs in 24 s, 310 examples/s`.
impl fmt::Display for TrainedRun {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let totals = &self.record.totals;
        let what = match &self.start.job.lora {
            Some(lora) => format!("LoRA r {}", lora.r),
            None => "every weight".to_owned(),
        };
        write!(
            f,
            "run {}: {what}, {} epochs in {:.0} s, {:.0} examples/s",
            self.record.run.short(),
            totals.epochs,
            totals.wall_seconds.get(),
            totals.examples_per_second.get()
        )
    }
}
