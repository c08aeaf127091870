//! How texts are asked for and graded: all of it part of the suite's identity.

use serde::{Deserialize, Serialize};

use super::grader::Grader;
use super::judge::Judge;
use crate::base::BaseId;
use crate::document::Decimal;

/// How texts are generated and graded.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Generation {
    /// How they are generated.
    pub settings: Settings,
    /// What is demanded of every answer; all of it has to hold.
    pub graders: Vec<Grader>,
    /// How many answers each case gets, each drawn anew.
    pub repeats: u32,
    /// The base whose embeddings `similar` graders compare.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub embeddings: Option<BaseId>,
    /// Who says whether answers meet rubrics.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub judge: Option<Box<Judge>>,
}

/// How texts are generated, whatever answers.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Settings {
    /// At most so many new tokens; an answer that needs more is cut off there.
    pub max_tokens: u32,
    /// Divides the logits; 0 takes the most probable token every time.
    pub temperature: Decimal,
    /// Only the most probable tokens that together have this probability are drawn from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub top_p: Option<Decimal>,
    /// Only so many of the most probable tokens are drawn from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub top_k: Option<u32>,
    /// Where draws begin.
    pub seed: u64,
    /// An answer ends before the first of these texts.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub stop: Vec<String>,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            max_tokens: 256,
            temperature: Decimal::default(),
            top_p: None,
            top_k: None,
            seed: 0,
            stop: Vec::new(),
        }
    }
}

impl Settings {
    /// The part of a text before the first stop text; `None` when there is none in it.
    pub fn before_stop<'t>(&self, text: &'t str) -> Option<&'t str> {
        let ends = self.stop.iter().filter_map(|stop| text.find(stop.as_str()));
        ends.min().map(|end| &text[..end])
    }
}
