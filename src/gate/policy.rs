//! What the gate asks for, checked.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::error::GateError;
use crate::digest::Digest;
use crate::document::{Decimal, canonical};
use crate::eval::{BaselineKind, SuiteId};
use crate::stats::{Question, StatsError};
use crate::store::Store;

const SCHEMA: &str = "retune.policy/1";

crate::typed_id!(
    /// Identifies a policy: the SHA-256 of its canonical document.
    PolicyId
);

/// The rules of one gate. Read with [`Policy::read`]; everything in it has been checked.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Policy {
    /// The suite that reports must be on, where the policy fixes it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) suite: Option<SuiteId>,
    pub(super) design: Design,
    pub(super) criteria: Vec<Criterion>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) first_version: Option<FirstVersion>,
    pub(super) on_inconclusive: OnInconclusive,
    pub(super) contamination: Contamination,
}

/// The error rates that the gate is designed for.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Design {
    /// P(PASS) when the true loss is the whole margin; one-sided.
    pub alpha: Decimal,
    /// P(PASS) to plan for when candidate and baseline are equally good.
    pub power: Decimal,
    /// The share of cases on which the arms are expected to differ; for planning only.
    pub discordance: Decimal,
    /// The largest share of cases with an error, in either arm, that still allows a verdict.
    pub max_error_rate: Decimal,
}

/// One thing that has to hold against the baseline version.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Criterion {
    /// Its name in the output.
    pub id: String,
    /// What is compared.
    pub metric: Metric,
    /// How.
    pub rule: Rule,
    /// By how much, as a share: 0.02 is two points.
    pub margin: Decimal,
    /// What follows when it does not hold.
    pub severity: Severity,
}

/// What a first version has to show, against baselines that need no training.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FirstVersion {
    /// The baselines; it has to hold against every one.
    pub against: Vec<BaselineKind>,
    /// How.
    pub rule: Rule,
    /// By how much, as a share.
    pub margin: Decimal,
}

/// What a criterion compares.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Metric {
    /// The share of cases whose predicted label is the right one.
    Accuracy,
}

/// How a criterion compares.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Rule {
    /// The candidate loses less than the margin.
    Noninferior,
    /// The candidate gains more than the margin.
    Superior,
}

/// What follows when a criterion does not hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// It decides the verdict.
    Block,
    /// It is said, loudly.
    Warn,
    /// It is shown.
    Info,
}

/// What may be made of INCONCLUSIVE. The verdict stays what it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum OnInconclusive {
    /// It stops whoever asks.
    Block,
    /// Who asks may say that it shall not stop them; it is never a PASS.
    Warn,
}

/// What to do with cases whose text the candidate was trained on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Contamination {
    /// One such case makes the verdict INVALID.
    Invalid,
    /// They are left out of both arms, and counted.
    Exclude,
    /// They stay in, and are counted.
    Report,
}

/// A criterion that no outcome on so few cases can meet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unreachable {
    /// The criterion.
    pub criterion: String,
    /// The fewest cases on which it can be met.
    pub needs: u64,
}

impl Policy {
    /// The suite that reports must be on, where the policy fixes it.
    pub fn suite(&self) -> Option<SuiteId> {
        self.suite
    }

    /// The error rates it is designed for.
    pub fn design(&self) -> &Design {
        &self.design
    }

    /// What has to hold against a version; at least one criterion blocks.
    pub fn criteria(&self) -> &[Criterion] {
        &self.criteria
    }

    /// What a first version has to show.
    pub fn first_version(&self) -> Option<&FirstVersion> {
        self.first_version.as_ref()
    }

    /// What may be made of INCONCLUSIVE.
    pub fn on_inconclusive(&self) -> OnInconclusive {
        self.on_inconclusive
    }

    /// What happens to cases the candidate was trained on.
    pub fn contamination(&self) -> Contamination {
        self.contamination
    }

    /// What has to hold: the criteria, or for a first version its one rule as a criterion.
    pub fn criteria_for(&self, first: bool) -> Vec<Criterion> {
        match &self.first_version {
            Some(rule) if first => vec![Criterion {
                id: "first-version".to_owned(),
                metric: Metric::Accuracy,
                rule: rule.rule,
                margin: rule.margin,
                severity: Severity::Block,
            }],
            None if first => Vec::new(),
            _ => self.criteria.clone(),
        }
    }

    /// The blocking criteria that no outcome on `cases` cases can meet.
    pub fn unreachable(&self, cases: u64, first: bool) -> Result<Vec<Unreachable>, StatsError> {
        let mut found = Vec::new();
        for criterion in self.criteria_for(first) {
            let needs = criterion.question(&self.design)?.minimum_cases();
            if criterion.severity == Severity::Block && cases < needs {
                found.push(Unreachable {
                    criterion: criterion.id,
                    needs,
                });
            }
        }
        Ok(found)
    }

    /// Its identity.
    pub fn id(&self) -> Result<PolicyId, GateError> {
        Ok(Digest::of(&self.document()?).into())
    }

    /// Puts the canonical document into the store.
    pub fn store(&self, store: &Store) -> Result<PolicyId, GateError> {
        Ok(store.put_bytes(&self.document()?)?.digest.into())
    }

    fn document(&self) -> Result<Vec<u8>, GateError> {
        canonical::encode(SCHEMA, self).map_err(|source| GateError::Encode {
            what: "policy",
            source,
        })
    }

    /// Reads a policy from the store; every byte and every rule for policies is checked.
    pub fn load(store: &Store, id: &PolicyId) -> Result<Self, GateError> {
        let digest: Digest = id.digest();
        let bytes = store.read(&digest)?;
        let policy: Self =
            canonical::decode(SCHEMA, &bytes).map_err(|source| GateError::Document {
                what: "policy",
                digest,
                source,
            })?;
        match policy.faults().into_iter().next() {
            None => Ok(policy),
            Some((key, message)) => Err(GateError::StoredPolicy {
                policy: digest,
                why: format!("{key}: {message}"),
            }),
        }
    }

    /// Everything wrong with it: key paths of the policy file and messages.
    pub(super) fn faults(&self) -> Vec<(String, String)> {
        let mut faults = self.design.faults();
        if !self.criteria.iter().any(|c| c.severity == Severity::Block) {
            faults.push((
                "criteria".to_owned(),
                "no criterion blocks, so everything would pass: give one `severity: block`"
                    .to_owned(),
            ));
        }
        for (index, criterion) in self.criteria.iter().enumerate() {
            let key = |name: &str| format!("criteria[{index}].{name}");
            if !is_id(&criterion.id) {
                faults.push((
                    key("id"),
                    "use 1 to 64 of a-z, A-Z, 0-9, '.', '_' and '-'".to_owned(),
                ));
            }
            if self.criteria[..index]
                .iter()
                .any(|other| other.id == criterion.id)
            {
                faults.push((key("id"), format!("{:?} is there twice", criterion.id)));
            }
            if let Some(message) = margin_fault(criterion.rule, criterion.margin) {
                faults.push((key("margin"), message));
            }
        }
        faults.extend(self.first_version.iter().flat_map(FirstVersion::faults));
        faults
    }
}

impl Design {
    fn faults(&self) -> Vec<(String, String)> {
        // A non-positive or NaN-like value fails every comparison, so each check states what is good.
        let checks = [
            (
                "alpha",
                self.alpha,
                0.0 < self.alpha.get() && self.alpha.get() < 0.5,
                "above 0 and below 0.5",
            ),
            (
                "power",
                self.power,
                0.5 <= self.power.get() && self.power.get() < 1.0,
                "0.5 or more and below 1",
            ),
            (
                "discordance",
                self.discordance,
                0.0 < self.discordance.get() && self.discordance.get() <= 1.0,
                "above 0 and at most 1",
            ),
            (
                "errors.max_rate",
                self.max_error_rate,
                0.0 <= self.max_error_rate.get() && self.max_error_rate.get() < 1.0,
                "0 or more and below 1",
            ),
        ];
        checks
            .into_iter()
            .filter(|(_, _, good, _)| !good)
            .map(|(key, value, _, range)| {
                (format!("design.{key}"), format!("{value} is not {range}"))
            })
            .collect()
    }
}

impl FirstVersion {
    fn faults(&self) -> Vec<(String, String)> {
        let mut faults = Vec::new();
        if self.against.is_empty() {
            faults.push((
                "first_version.against".to_owned(),
                "name at least one of nearest-centroid and majority".to_owned(),
            ));
        }
        let twice = |(index, kind): (usize, &BaselineKind)| self.against[..index].contains(kind);
        if self.against.iter().enumerate().any(twice) {
            faults.push((
                "first_version.against".to_owned(),
                "a baseline is there twice".to_owned(),
            ));
        }
        if let Some(message) = margin_fault(self.rule, self.margin) {
            faults.push(("first_version.margin".to_owned(), message));
        }
        faults
    }
}

impl Criterion {
    /// The statistical question that it asks.
    pub fn question(&self, design: &Design) -> Result<Question, StatsError> {
        let margin = self.margin.get();
        let boundary = match self.rule {
            Rule::Noninferior => -margin,
            Rule::Superior => margin,
        };
        Question::new(boundary, design.alpha.get())
    }
}

fn is_id(id: &str) -> bool {
    let plain = |c: u8| c.is_ascii_alphanumeric() || matches!(c, b'.' | b'_' | b'-');
    (1..=64).contains(&id.len()) && id.bytes().all(plain)
}

/// A non-inferiority margin of 0 would be superiority; above one half nothing is protected.
fn margin_fault(rule: Rule, margin: Decimal) -> Option<String> {
    let value = margin.get();
    match rule {
        Rule::Noninferior if !(value > 0.0 && value <= 0.5) => Some(format!(
            "{margin} is not above 0 and at most 0.5: write a share, 0.02 for two points"
        )),
        Rule::Superior if !(0.0..=0.5).contains(&value) => Some(format!(
            "{margin} is not from 0 to 0.5: write a share, 0.02 for two points"
        )),
        _ => None,
    }
}

impl fmt::Display for Unreachable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "criterion {} needs at least {} cases",
            self.criterion, self.needs
        )
    }
}

impl fmt::Display for Rule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Noninferior => "noninferior",
            Self::Superior => "superior",
        })
    }
}

impl fmt::Display for Metric {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Accuracy => f.write_str("accuracy"),
        }
    }
}
