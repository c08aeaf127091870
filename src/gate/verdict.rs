//! The gate's answer.

use std::fmt;

use serde::{Deserialize, Serialize};

/// The answer, from good to bad. No default and no conversion to `bool`: every use says which answers it accepts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum Verdict {
    /// The rule is shown to hold.
    Pass,
    /// Neither the rule nor harm is shown: too few cases for this margin.
    Inconclusive,
    /// Harm is shown.
    Fail,
    /// There is nothing that could be judged.
    Invalid,
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Pass => "PASS",
            Self::Inconclusive => "INCONCLUSIVE",
            Self::Fail => "FAIL",
            Self::Invalid => "INVALID",
        })
    }
}
