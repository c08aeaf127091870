//! Evaluation: a suite of cases, a subject that answers them, and the immutable report of how it went.
//!
//! A [`Suite`] is a YAML file that names a JSONL file of cases; its [`SuiteId`] binds every text, label and the
//! grader. A [`Subject`] is what answered: an adapter on its base, a baseline that costs nothing to train, or a
//! [`Target`] outside. A [`Report`] holds every case's answer and the metrics computed from them; it holds no time of
//! what ran here, so the same subject on the same suite gives the same [`ReportId`]. An answer that could not be had is an error in the report: it
//! stays in every denominator and the gate counts it. A suite can have a floor, a suite of its own: the cases that every
//! version has to pass, because one failed on them once.

mod asserts;
mod baseline;
mod batches;
mod error;
mod floor;
mod generation;
mod grader;
mod incident;
#[cfg(feature = "train")]
mod local;
mod provenance;
mod report;
#[cfg(feature = "train")]
mod speaker;
mod strategy;
mod subject;
mod suite;
mod suite_file;
mod suite_rows;
mod target;
mod template;
#[cfg(test)]
mod tests;

pub use baseline::{Centroids, majority};
pub use batches::{Packed, pack};
pub use error::EvalError;
pub use floor::Suites;
pub use generation::{Generation, Settings};
pub use grader::{Grader, Grades, Likeness, Normalise, Rule};
pub use incident::{AddedCase, Asked, Incident};
#[cfg(feature = "train")]
pub use local::Local;
pub use provenance::Provenance;
pub use report::{Answer, CaseResult, LabelReport, Mismatch, Report, ReportId, ReportMetrics};
#[cfg(feature = "train")]
pub use speaker::Speaker;
pub use strategy::{
    Documents, Prompting, Retrieval, Shots, Strategy, StrategyFile, WantedExamples,
};
pub use subject::{BaselineKind, ParseBaselineError, Subject};
pub use suite::{Case, Suite, SuiteId, Task};
pub use suite_file::Located;
pub use target::{Answered, Api, Circumstances, Limits, Prices, Served, Target, TargetFile, Terms};
