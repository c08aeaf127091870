//! Training: a job file, the order of the data, the optimiser, the loop, checkpoints, and the record of a run.
//!
//! A run lives in `<runs>/<first 12 hex of its id>/` (see [`RunDir`]). It can be killed at any moment and resumed: the same job on
//! the same data and base gives the same bytes, interrupted or not. Everything random comes from named streams of one
//! seed ([`Streams`]), every sum has one order, and no time goes into the adapter.
//!
//! Only the loop needs the feature `train`; job files, schedules, checkpoints and records are read without it.

// The loop is what uses most of it.
#![cfg_attr(not(feature = "train"), allow(dead_code))]

mod error;
mod foreign;
mod from;
mod job;
mod job_file;
mod machine;
mod record;
mod start;
mod tokens;

// Compiled and tested without the feature; only the loop uses all of them.
#[cfg_attr(not(feature = "train"), allow(dead_code))]
mod checkpoint;
#[cfg_attr(not(feature = "train"), allow(dead_code))]
mod metrics;
#[cfg_attr(not(feature = "train"), allow(dead_code))]
mod optimizer;
#[cfg_attr(not(feature = "train"), allow(dead_code))]
mod order;
#[cfg_attr(not(feature = "train"), allow(dead_code))]
mod plan;
#[cfg_attr(not(feature = "train"), allow(dead_code))]
mod run;
#[cfg_attr(not(feature = "train"), allow(dead_code))]
mod schedule;
#[cfg_attr(not(feature = "train"), allow(dead_code))]
mod streams;

#[cfg(feature = "train")]
mod adapt;
#[cfg(feature = "train")]
mod encode;
#[cfg(feature = "train")]
mod evaluate;
#[cfg(feature = "train")]
mod prepare;
#[cfg(feature = "train")]
mod read;
#[cfg(feature = "train")]
mod rows;
#[cfg(feature = "train")]
mod trainer;
#[cfg(feature = "train")]
mod whole;

#[cfg(test)]
mod tests;

#[cfg(feature = "train")]
pub use encode::{PromptEncoder, RowFault};
pub use error::TrainError;
pub use from::{Beginning, FromAdapter};
pub use job::{
    BaseRef, CheckpointPlan, Compute, DatasetRef, Evaluation, Job, JobInit, JobLora, JobOptimizer,
    JobSchedule, JobTemplate, JobText, Length, Limits, Metric, OnOverlong, Rhythm, ScheduleName,
    Targets, Task, TrainOn, TrainOnEos, Warmup, Watchdog,
};
pub use machine::{Machine, MachineClass};
pub use metrics::Scores;
pub use optimizer::{AdamW, Rule, clip};
pub use plan::{Memory, Plan, PlannedModule, Sample, SamplePart};
pub use record::{Best, End, RunRecord, Totals};
pub use run::{Progress, RunDir, RunState, RunSummary, Stop, find_run, runs};
pub use schedule::Schedule;
pub use start::{RunId, RunStart};
pub use streams::Streams;
pub use tokens::{LearnedAccount, TokenAccount};
#[cfg(feature = "train")]
pub use trainer::{Finished, Inputs, Outcome, plan, resume, start};
