//! Evaluation: a suite of cases, a subject that answers them, and the immutable report of how it went.
//!
//! A [`Suite`] is a YAML file that names a JSONL file of cases; its [`SuiteId`] binds every text, label and the
//! grader. A [`Subject`] is what answered: an adapter on its base, a baseline that costs nothing to train, or a
//! [`Target`] outside. A [`Report`] holds every case's answer and the metrics computed from them; it holds no time of
//! what ran here, so the same subject on the same suite gives the same [`ReportId`]. An answer that could not be had is an error in the report: it
//! stays in every denominator and the gate counts it. [`import`] takes over cases and results of other tools. A suite
//! can have a floor, a suite of its own: the cases that every version has to pass, because one failed on them once.

mod asserts;
mod baseline;
mod batches;
mod case_file;
mod embeddings;
mod error;
mod generation;
mod grader;
pub mod import;
mod incident;
mod judge;
#[cfg(feature = "train")]
mod local;
mod located;
mod parts;
mod provenance;
mod report;
mod scored;
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
pub use embeddings::{Embedding, cosine};
pub use error::EvalError;
pub use generation::{Generation, Settings};
pub use grader::{Grader, Grades, Likeness, Normalise, Opinions, Rule};
pub use incident::{AddedCase, Asked, Incident};
pub use judge::{Agreement, Judge, JudgeFile, Judged, Verdicts};
#[cfg(feature = "train")]
pub use local::Local;
pub use located::Located;
pub use parts::Suites;
pub use provenance::Provenance;
pub use report::{Answer, CaseResult, LabelReport, Mismatch, Report, ReportId, ReportMetrics};
pub use scored::Scored;
#[cfg(feature = "train")]
pub use speaker::Speaker;
pub use strategy::{
    Documents, Prompting, Retrieval, Shots, Strategy, StrategyFile, Vectors, WantedDocuments,
    WantedExamples,
};
pub use subject::{BaselineKind, ParseBaselineError, Subject};
pub use suite::{Case, Suite, SuiteId, Task};
pub use target::{Answered, Api, Circumstances, Limits, Prices, Served, Target, TargetFile, Terms};
