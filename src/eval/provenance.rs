//! Where a case comes from: what its row notes under `retune`.

use serde::{Deserialize, Serialize};

use crate::reference::ModelRef;
use crate::time::Timestamp;

/// The parts of a suite.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Split {
    /// Cases drawn from what is asked in use, on which versions are compared.
    Gate,
    /// Cases that people look at while they work.
    Dev,
    /// Cases that something failed on once, which every version has to pass.
    Floor,
}

/// `retune` in a row. It reaches neither the subject nor the graders, and is no part of the suite's identity.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Provenance {
    /// Where the case was found, such as `incident:INC-88`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source: Option<String>,
    /// The day on which it was added.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub added: Option<String>,
    /// Who added it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub added_by: Option<String>,
    /// Whether it was drawn without regard to how any version answers it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sampled: Option<bool>,
    /// The version that failed on it first.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub first_fail: Option<String>,
    /// What its text may be used for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub license: Option<String>,
}

/// Where sources begin that are never drawn without regard to the answer.
pub(super) const INCIDENT: &str = "incident";

/// A row, as far as it notes where it comes from.
#[derive(Deserialize)]
struct Noted {
    #[serde(default)]
    retune: Option<Provenance>,
}

impl Provenance {
    /// What a row notes; nothing where it notes nothing.
    pub(super) fn of(line: &str) -> Result<Self, serde_json::Error> {
        if !line.contains("\"retune\"") {
            return Ok(Self::default());
        }
        let noted: Noted = serde_json::from_str(line)?;
        Ok(noted.retune.unwrap_or_default())
    }

    /// Whether such a case may stand in this part of a suite.
    pub(super) fn check(&self, split: Split) -> Result<(), String> {
        let source = self.source.as_deref().unwrap_or_default();
        let chosen = self.sampled == Some(false) || source.starts_with(INCIDENT);
        match split {
            Split::Gate if chosen && self.sampled != Some(true) => {
                return Err(
                    "the case was not sampled (`retune.sampled`, `retune.source`): cases that are chosen because \
                     something failed on them bias the comparison; put it into the split `floor`"
                        .to_owned(),
                );
            }
            Split::Floor if self.sampled == Some(true) => {
                return Err(
                    "`retune.sampled` is true: a sampled case belongs in the split `gate`"
                        .to_owned(),
                );
            }
            Split::Gate | Split::Dev | Split::Floor => {}
        }
        if let Some(day) = &self.added
            && !is_day(day)
        {
            return Err(format!(
                "`retune.added`: {day:?} is not a day such as 2026-11-23"
            ));
        }
        match self.first_fail.as_deref().map(str::parse::<ModelRef>) {
            None => Ok(()),
            Some(Err(error)) => Err(format!("`retune.first_fail`: {error}")),
            Some(Ok(version)) if version.is_movable() => Err(format!(
                "`retune.first_fail`: {version} can move: name the version, MODEL@VERSION"
            )),
            Some(Ok(_)) => Ok(()),
        }
    }
}

fn is_day(text: &str) -> bool {
    text.len() == 10 && format!("{text}T00:00:00Z").parse::<Timestamp>().is_ok()
}
