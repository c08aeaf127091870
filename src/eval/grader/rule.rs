//! What can be demanded of an answer.

use serde::{Deserialize, Serialize};
use unicode_normalization::UnicodeNormalization;

use crate::eval::suite::Case;

/// A demand on an answer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "kebab-case", deny_unknown_fields)]
pub enum Rule {
    /// It is the target.
    Equals {
        /// What is done to both before they are compared, in this order.
        normalise: Vec<Normalise>,
    },
}

/// What is taken out of a comparison.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Normalise {
    /// Outer blanks.
    Trim,
    /// Capitals: both sides in lower case.
    Casefold,
    /// Two spellings of one character: both sides in Unicode's NFC.
    Nfc,
}

impl Rule {
    /// The number of the way in which this version of retune decides.
    pub(super) fn version(&self) -> u32 {
        match self {
            Self::Equals { .. } => 1,
        }
    }

    pub(super) fn holds(&self, case: &Case, output: &str) -> bool {
        match self {
            Self::Equals { normalise } => {
                normalised(output, normalise) == normalised(&case.label, normalise)
            }
        }
    }
}

fn normalised(text: &str, steps: &[Normalise]) -> String {
    let mut text = text.to_owned();
    for step in steps {
        text = match step {
            Normalise::Trim => text.trim().to_owned(),
            Normalise::Casefold => text.to_lowercase(),
            Normalise::Nfc => text.nfc().collect(),
        };
    }
    text
}
