//! Graders: what is right about an answer, decided by a rule that is part of the suite.

mod rule;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

pub use rule::{Normalise, Rule};

use super::suite::Case;
use crate::document::Decimal;

/// One demand on an answer, under the name of a metric.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Grader {
    /// The metric that it measures.
    pub metric: String,
    /// What is demanded.
    pub rule: Rule,
    /// The version of the rule: another way to grade is another suite.
    pub version: u32,
}

/// What all graders of a case say to an answer.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Grades {
    /// Whether every demand is met.
    pub passed: bool,
    /// 1 or 0 by metric.
    pub scores: BTreeMap<String, Decimal>,
}

impl Grader {
    /// A grader of today's version.
    pub fn new(metric: impl Into<String>, rule: Rule) -> Self {
        Self {
            metric: metric.into(),
            version: rule.version(),
            rule,
        }
    }

    /// The target, but for outer blanks: what is asked where a suite asks for nothing else.
    pub fn exact_match() -> Self {
        let rule = Rule::Equals {
            normalise: vec![Normalise::Trim],
        };
        Self::new("exact_match", rule)
    }

    /// Whether this version of retune grades so.
    pub(super) fn is_known(&self) -> bool {
        self.version == self.rule.version()
    }
}

/// Asks every grader; without one nothing is right.
pub(super) fn grade(graders: &[Grader], case: &Case, output: &str) -> Grades {
    let mut grades = Grades {
        passed: !graders.is_empty(),
        scores: BTreeMap::new(),
    };
    for grader in graders {
        let right = grader.rule.holds(case, output);
        grades.passed &= right;
        let score = Decimal::new(f64::from(right)).unwrap_or_default();
        grades.scores.insert(grader.metric.clone(), score);
    }
    grades
}
