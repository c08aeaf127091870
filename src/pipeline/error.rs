//! What can go wrong in a pipeline.

use std::path::PathBuf;

use crate::base::SourceError;
use crate::dataset::ColumnsError;
use crate::document::Faults;
use crate::eval::EvalError;
use crate::gate::GateError;
use crate::lifecycle::{
    BaseActError, DatasetActError, EvaluateError, JudgeError, PinActError, PolicyError,
    PromoteError, TrainActError,
};
use crate::registry::RegistryError;
use crate::train::TrainError;

/// Why a pipeline could not be planned or run.
#[derive(Debug, thiserror::Error)]
pub enum PipelineError {
    /// A file that people wrote has faults.
    #[error(transparent)]
    Faults(#[from] Faults),
    /// Files that the pipeline names are not there.
    #[error("the pipeline reads what is not there: {}", listed(.0))]
    Missing(Vec<PathBuf>),
    /// The dataset's columns.
    #[error(transparent)]
    Columns(#[from] ColumnsError),
    /// The base's source.
    #[error(transparent)]
    Source(#[from] SourceError),
    /// Adding the dataset.
    #[error(transparent)]
    Dataset(#[from] DatasetActError),
    /// Adding the base.
    #[error(transparent)]
    Base(#[from] BaseActError),
    /// The job.
    #[error(transparent)]
    Job(#[from] TrainError),
    /// Training.
    #[error(transparent)]
    Train(#[from] TrainActError),
    /// The suite or a report.
    #[error(transparent)]
    Eval(#[from] EvalError),
    /// Evaluating.
    #[error(transparent)]
    Evaluate(#[from] EvaluateError),
    /// The policy or the evidence.
    #[error(transparent)]
    Gate(#[from] GateError),
    /// Judging.
    #[error(transparent)]
    Judge(#[from] JudgeError),
    /// The policy is not the project's.
    #[error(transparent)]
    Policy(#[from] PolicyError),
    /// The registry.
    #[error(transparent)]
    Registry(#[from] RegistryError),
    /// Promoting.
    #[error(transparent)]
    Promote(#[from] PromoteError),
    /// Pinning.
    #[error(transparent)]
    Pin(#[from] PinActError),
}

fn listed(paths: &[PathBuf]) -> String {
    let names: Vec<String> = paths
        .iter()
        .map(|path| path.display().to_string())
        .collect();
    names.join(", ")
}
