//! The acts of the lifecycle: one function per verb, over store and registry together.
//!
//! Each act is idempotent: it looks in the registry for its own result first, and says whether it did
//! something. The command line and `pipeline` call the same acts.

mod base;
mod collect;
#[cfg(feature = "train")]
mod compare;
mod current;
mod dataset;
mod deadline;
mod difference;
mod doctor;
mod evaluate;
mod export;
mod floor;
mod grade;
mod import;
mod init;
mod judge;
mod lineage;
#[cfg(feature = "train")]
mod local;
mod migration;
mod needs;
mod pin;
mod policy;
mod promote;
mod register;
mod retrain;
mod through;
mod train;
mod transfer;
mod workspace;

pub use base::{AddedBase, BaseActError, KnownBase, add_base, find_base};
pub use collect::{CollectError, MissingObject, missing_objects, roots};
pub use current::{Current, current};
pub use dataset::{AddedDataset, DatasetActError, KnownDataset, add_dataset, find_dataset};
pub use deadline::{Cause, Deadline, Standing, deadlines, standings};
pub use difference::{Change, Difference, DifferenceError, Norms, difference};
pub use doctor::{Ailment, AilmentKind, DoctorError, examine};
pub use evaluate::{
    EvaluateError, Evaluation, evaluate, evaluate_asking, prompted, report_of, subject_of,
};
pub use export::{Drift, ExportError, ExportForm, Exported, export};
pub use floor::{FloorAnswers, ask_floor, draws, evaluate_floor, recorded_suites};
pub use import::import_results;
pub use init::{InitError, Initialised, init};
pub use judge::{Baseline, Checked, JudgeError, judge, seen_discordance, waiver_of};
pub use lineage::{Lineage, Node, NodeKind, lineage};
pub use migration::{
    Migration, MigrationAsk, MigrationError, MigrationOutcome, MigrationPlan, MigrationStatus,
    MigrationStep, StepState, plan_migration, plan_retraining,
};
pub use needs::{Scope, Thing, ThingError};
pub use pin::{PinActError, PinChange, pin, pin_answers, update_pins};
pub use policy::{PolicyError, ProjectPolicy, adopt_policy, policy_of};
pub use promote::{OtherPolicy, PromoteError, Promotion, promote};
pub use register::{register, version_of};
pub use retrain::Retraining;
pub use through::{Through, evaluate_through};
pub use train::{
    FromWhere, JobInputs, TrainActError, Trained, TrainedRun, find_trained, job_inputs,
    plan_training, resume, train,
};
pub use transfer::{RemoteReport, TransferError, Transferred, inspect_remote, pull, push};
pub use workspace::Workspace;
