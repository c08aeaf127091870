//! What came of asking a target.

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::declared::Target;
use crate::document::Decimal;
use crate::eval::error::EvalError;
use crate::eval::report::Answer;
use crate::fsio;

/// Who gave the answers of a report, where that was not a model on this machine.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Served {
    /// What was asked.
    pub target: Target,
    /// The model ids that the replies named, and how many did; `(none)` for those that named none.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub answered_by: BTreeMap<String, u64>,
    /// How many answers were kept from earlier evaluations; they have no latency.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub cached: u64,
}

fn is_zero(number: &u64) -> bool {
    *number == 0
}

/// What stands for a reply that names no model.
pub(super) const NAMELESS: &str = "(none)";

impl Served {
    /// What is wrong with the models that answered: another than was asked for, or several.
    pub fn switched(&self) -> Option<String> {
        let named = || {
            let named = self.answered_by.iter();
            let named = named.map(|(model, count)| format!("{model} ({count})"));
            named.collect::<Vec<_>>().join(", ")
        };
        match self.target.expected_model() {
            Some(expected) if self.answered_by.keys().any(|model| model != expected) => Some(
                format!("{expected} was to answer; the replies name {}", named()),
            ),
            None if self.answered_by.len() > 1 => {
                Some(format!("several models answered: {}", named()))
            }
            _ => None,
        }
    }
}

/// The answers of a target to a suite.
#[derive(Debug)]
pub struct Answered {
    /// As many as the suite asks for, in its order.
    pub answers: Vec<Answer>,
    /// Who gave them.
    pub served: Served,
    /// How many are missing because calls failed in a way that may pass, or because a limit was reached.
    pub unanswered: u64,
    /// Why the first of them is.
    pub why: Option<String>,
    /// Where the answers are kept until nothing is missing.
    pub(super) journal: Option<PathBuf>,
}

impl Answered {
    /// Removes the journal: the answers are in a stored report now.
    pub fn settle(&self) -> Result<(), EvalError> {
        if let Some(journal) = &self.journal {
            fsio::remove_file(journal)?;
        }
        Ok(())
    }
}

/// One answer as a target gave it, before anybody graded it.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Said {
    /// The text; absent where there is an error.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) text: Option<String>,
    /// Why there is no text, where asking again would not help.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) error: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) model: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) prompt_tokens: Option<u64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) output_tokens: Option<u64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) complete: Option<bool>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) cost_usd: Option<f64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) latency_ms: Option<f64>,
    /// How often the call was made.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) attempts: Option<u64>,
}

impl Said {
    pub(super) fn refused(why: impl Into<String>) -> Self {
        Self {
            error: Some(why.into()),
            ..Self::default()
        }
    }

    /// The same from the cache: how long it took then says nothing about now.
    pub(super) fn cached(self) -> Self {
        Self {
            latency_ms: None,
            attempts: None,
            ..self
        }
    }

    pub(super) fn answer(&self) -> Answer {
        let Some(text) = &self.text else {
            let why = self.error.as_deref().unwrap_or("it has no text");
            return Answer::Error(why.to_owned());
        };
        let count = |count: Option<u64>| count.map(|count| count as f64);
        let measures = [
            ("prompt_tokens", count(self.prompt_tokens)),
            ("output_tokens", count(self.output_tokens)),
            ("complete", self.complete.map(f64::from)),
            ("cost_usd", self.cost_usd),
            ("latency_ms", self.latency_ms),
            ("attempts", count(self.attempts)),
        ];
        let measures = measures
            .into_iter()
            .filter_map(|(name, value)| Some((name.to_owned(), Decimal::new(value?).ok()?)));
        Answer::Text {
            text: text.clone(),
            measures: measures.collect(),
        }
    }
}
