//! The part of a target that reports are about.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::digest::Digest;
use crate::document::Decimal;

/// What answers from outside, as far as it can change an answer or its cost.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case", deny_unknown_fields)]
pub enum Target {
    /// An OpenAI-compatible HTTP endpoint.
    Endpoint {
        /// Its address, without the part that names the call, such as `http://127.0.0.1:8000/v1`.
        url: String,
        /// Which call it is asked with.
        api: Api,
        /// The model asked for.
        model: String,
        /// The model id that its replies have to name, where that is another.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        answers_as: Option<String>,
        /// Further fields of every request: a JSON object as text, keys sorted.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        body: Option<String>,
        /// What its tokens cost.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        prices: Option<Prices>,
    },
    /// A program: JSON in, JSON out.
    Command {
        /// The program and its arguments.
        argv: Vec<String>,
    },
    /// Outputs from elsewhere.
    Outputs {
        /// The file's bytes.
        outputs: Digest,
    },
    /// The log of another tool, which also scored the answers.
    Log {
        /// The tool.
        tool: String,
        /// Its version, where the log says it.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        version: Option<String>,
        /// The model, or the arm of a table, as the log calls it.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        model: Option<String>,
        /// The files' bytes.
        files: Vec<Digest>,
    },
}

/// The calls of OpenAI's interface that give texts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Api {
    /// `POST /chat/completions`: the model's own chat template is used.
    Chat,
    /// `POST /completions`: the prompt reaches the model as it stands.
    Completions,
}

/// US dollars for a million tokens.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Prices {
    /// Of the prompt.
    pub prompt: Decimal,
    /// Of the answer.
    pub output: Decimal,
}

impl Target {
    /// The model id that every reply has to name; `None` where nobody said.
    pub fn expected_model(&self) -> Option<&str> {
        match self {
            Self::Endpoint {
                model, answers_as, ..
            } => Some(answers_as.as_ref().unwrap_or(model)),
            Self::Command { .. } | Self::Outputs { .. } | Self::Log { .. } => None,
        }
    }

    /// Whether another tool scored the answers, too.
    pub fn is_log(&self) -> bool {
        matches!(self, Self::Log { .. })
    }
}

impl Target {
    /// The same without what it costs, which changes no answer.
    pub(in crate::eval) fn unpriced(&self) -> Self {
        let mut target = self.clone();
        if let Self::Endpoint { prices, .. } = &mut target {
            *prices = None;
        }
        target
    }
}

impl Prices {
    /// What one answer costs in US dollars.
    pub(super) fn cost(&self, prompt: u64, output: u64) -> f64 {
        (self.prompt.get() * prompt as f64 + self.output.get() * output as f64) / 1e6
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Endpoint { url, model, .. } => write!(f, "model {model} at {url}"),
            Self::Command { argv } => write!(f, "program {}", argv.join(" ")),
            Self::Outputs { outputs } => write!(f, "recorded outputs {}", outputs.short()),
            Self::Log {
                tool,
                version,
                model,
                files,
            } => {
                let words = [Some(tool), version.as_ref()].into_iter().flatten();
                let words: Vec<&str> = words.map(String::as_str).collect();
                let files: Vec<String> = files.iter().map(Digest::short).collect();
                write!(f, "{} log {}", words.join(" "), files.join(" and "))?;
                let model = model.iter();
                model
                    .into_iter()
                    .try_for_each(|model| write!(f, " of {model}"))
            }
        }
    }
}
