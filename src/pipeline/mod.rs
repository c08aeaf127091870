//! Pipelines: a file that names data, base, job, suite, policy and alias.

mod spec;
mod stage;

pub use spec::{BaseSpec, DatasetSpec, Spec};
pub use stage::{Stage, State, Step};
