//! Pipelines: a file that names data, base, job, suite, policy and alias; a plan; its execution.
//!
//! Success is a fact in the registry, never a marker beside it: each stage looks for its own result first,
//! so a second run does nothing and a failed one goes on where it stopped.

mod error;
mod execute;
mod spec;
mod stage;
mod summary;

pub use error::PipelineError;
pub use execute::{End, Outcome, check, execute};
pub use spec::{BaseSpec, DatasetSpec, Spec};
pub use stage::{Stage, State, Step};
pub use summary::{Score, Summary};
