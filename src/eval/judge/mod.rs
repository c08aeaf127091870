//! A judge: a pinned model that says whether answers meet a rubric, or are better than others, measured against people.
//!
//! [`Judge`] is the part that suites are about; [`JudgeFile`] also has what it takes to ask it. Each answer is a
//! question of its own, and so is each calibration case, which people have judged before: how well the judge agrees with
//! them is measured each time it judges, and stands in the report as [`Judged`].

mod ask;
mod calibration;
mod file;
mod question;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

pub use ask::Verdicts;
pub use calibration::Agreement;
pub use file::JudgeFile;
pub(super) use file::RawJudge;

use super::target::{Served, Target};
use crate::digest::Digest;

/// Who judges, as far as it can change a verdict: part of a suite's identity.
///
/// How it is asked belongs to the version of the grader.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Judge {
    /// The endpoint and the model that has to answer.
    pub target: Target,
    /// The most tokens of a verdict.
    pub max_tokens: u32,
    /// The file of the calibration cases; without it the gate takes no verdict for evidence.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub calibration: Option<Digest>,
    /// The file of the answers that `pairwise` compares with.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub against: Option<Digest>,
}

/// Who judged a report's answers, and how well.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Judged {
    /// What was asked, and which models answered.
    pub by: Served,
    /// By metric, how its verdicts on the calibration cases compare with people's.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub agreement: BTreeMap<String, Agreement>,
}
