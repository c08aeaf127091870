//! Suites whose answers another tool scored: how it did is part of the suite's identity.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// Who asked and scored, and how. Nothing here can be asked or graded again.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Scored {
    /// The tool, such as `lm-eval`.
    pub tool: String,
    /// Its version, where the log says it: another version may score in another way.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<String>,
    /// The metric that is 1 where a case is right.
    pub right: String,
    /// What else the log says about asking and scoring, such as `filter` or `task_version`.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub terms: BTreeMap<String, String>,
    /// How many answers each case has.
    pub repeats: u32,
}
