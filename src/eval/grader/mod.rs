//! Graders: what is right about an answer, decided by rules that are part of the suite.
//!
//! Home of the crate `jsonschema`.

mod command;
mod opinions;
mod overlap;
mod ready;
mod rule;
mod similar;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

pub use opinions::Opinions;
pub(super) use ready::{Hearing, Marker, Tool};
pub(super) use rule::Said;
pub use rule::{Likeness, Normalise, Rule};

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
    /// Whether the opposite is demanded.
    #[serde(default, skip_serializing_if = "is_false")]
    pub not: bool,
    /// How much it counts where a case passes by its mean score; 0 is measured and demands nothing. Absent for 1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub weight: Option<Decimal>,
}

fn is_false(truth: &bool) -> bool {
    !truth
}

/// What all graders of a case say to an answer.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Grades {
    /// Whether every demand is met, or the mean score is high enough.
    pub passed: bool,
    /// By metric, from 0 to 1; where that is more than right or wrong, `<metric>.pass` is 1 or 0.
    pub scores: BTreeMap<String, Decimal>,
    /// By metric, why a demand is not met, where a grader says so.
    pub notes: BTreeMap<String, String>,
}

impl Grader {
    /// A grader of today's version.
    pub fn new(metric: impl Into<String>, rule: Rule) -> Self {
        Self {
            metric: metric.into(),
            version: rule.version(),
            rule,
            not: false,
            weight: None,
        }
    }

    /// The target, but for outer blanks: what is asked where a suite asks for nothing else.
    pub fn exact_match() -> Self {
        let rule = Rule::Equals {
            value: None,
            normalise: vec![Normalise::Trim],
        };
        Self::new("exact_match", rule)
    }

    /// Whether the stored answer alone decides: a program may say something else today, and a base is not always there.
    pub fn is_replayable(&self) -> bool {
        self.rule.is_replayable()
    }

    /// The measure of an answer that it looks at, where that is not the text: `latency_ms` or `cost_usd`.
    pub fn measure(&self) -> Option<&'static str> {
        self.rule.measure()
    }

    /// Whether this version of retune grades so.
    pub(super) fn is_known(&self) -> bool {
        self.version == self.rule.version()
    }

    /// Whether the suite's judge is asked.
    pub fn is_judged(&self) -> bool {
        matches!(self.rule, Rule::LlmRubric { .. } | Rule::Pairwise { .. })
    }

    /// Whether a case can fail by it.
    pub fn is_demand(&self) -> bool {
        self.weight() > 0.0
    }

    fn weight(&self) -> f64 {
        self.weight.map_or(1.0, Decimal::get)
    }
}
