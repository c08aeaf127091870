//! Policy files as people write them: `gate.yaml`.

use std::path::Path;

use serde::Deserialize;

use super::error::GateError;
use super::policy::{
    Contamination, Criterion, Design, FirstVersion, Metric, OnInconclusive, Policy, Rule, Severity,
};
use crate::document::{Decimal, Fault, Faults, Source};
use crate::eval::{BaselineKind, SuiteId};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawPolicy {
    version: u32,
    #[serde(default)]
    suite: Option<String>,
    #[serde(default)]
    design: RawDesign,
    criteria: Vec<RawCriterion>,
    #[serde(default)]
    first_version: Option<RawFirstVersion>,
    #[serde(default = "block")]
    on_inconclusive: OnInconclusive,
    #[serde(default)]
    contamination: RawContamination,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, default)]
struct RawDesign {
    alpha: f64,
    power: f64,
    discordance: f64,
    errors: RawErrors,
}

#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields)]
struct RawErrors {
    max_rate: f64,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawCriterion {
    id: String,
    metric: Metric,
    kind: RawKind,
    rule: Rule,
    #[serde(default)]
    margin: Option<f64>,
    #[serde(default = "blocking")]
    severity: Severity,
}

#[derive(Deserialize)]
#[serde(rename_all = "lowercase")]
enum RawKind {
    Binary,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawFirstVersion {
    against: OneOrMany,
    rule: Rule,
    #[serde(default)]
    margin: Option<f64>,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum OneOrMany {
    One(BaselineKind),
    Many(Vec<BaselineKind>),
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawContamination {
    exact: Contamination,
}

impl Default for RawDesign {
    fn default() -> Self {
        Self {
            alpha: 0.05,
            power: 0.8,
            discordance: 0.10,
            errors: RawErrors::default(),
        }
    }
}

impl Default for RawContamination {
    fn default() -> Self {
        Self {
            exact: Contamination::Invalid,
        }
    }
}

fn block() -> OnInconclusive {
    OnInconclusive::Block
}

fn blocking() -> Severity {
    Severity::Block
}

impl Policy {
    /// Reads `gate.yaml`. Everything wrong is reported at once, with its line.
    pub fn read(path: &Path) -> Result<Self, GateError> {
        Source::read(path)
            .and_then(|source| parse(&source))
            .map_err(GateError::Policy)
    }

    /// Like [`Policy::read`], from text that was read by other means, such as from a git object.
    pub fn parse(source: &Source) -> Result<Self, GateError> {
        parse(source).map_err(GateError::Policy)
    }
}

fn parse(source: &Source) -> Result<Policy, Faults> {
    let raw: RawPolicy = source.parse()?;
    let mut reader = Reader {
        source,
        faults: Vec::new(),
    };
    if raw.version != 1 {
        reader.fault("version", "this version of retune reads version 1");
    }
    let policy = reader.policy(&raw);
    for (key, message) in policy.iter().flat_map(Policy::faults) {
        reader.fault(&key, message);
    }
    Faults::check(reader.faults)?;
    policy.ok_or_else(|| source.fault("", "cannot be read").into())
}

/// Turns raw values into checked ones; collects what is wrong, and gives `None` where a value is missing.
struct Reader<'a> {
    source: &'a Source,
    faults: Vec<Fault>,
}

impl Reader<'_> {
    fn fault(&mut self, key: &str, message: impl Into<String>) {
        self.faults.push(self.source.fault(key, message));
    }

    fn policy(&mut self, raw: &RawPolicy) -> Option<Policy> {
        let suite = raw.suite.as_deref().map(|text| self.suite(text));
        let design = self.design(&raw.design);
        let criteria: Vec<_> = raw
            .criteria
            .iter()
            .enumerate()
            .map(|(index, raw)| self.criterion(index, raw))
            .collect();
        let first_version = raw
            .first_version
            .as_ref()
            .map(|raw| self.first_version(raw));
        Some(Policy {
            suite: transpose(suite)?,
            design: design?,
            criteria: criteria.into_iter().collect::<Option<_>>()?,
            first_version: transpose(first_version)?,
            on_inconclusive: raw.on_inconclusive,
            contamination: raw.contamination.exact,
        })
    }

    fn design(&mut self, raw: &RawDesign) -> Option<Design> {
        let alpha = self.number("design.alpha", raw.alpha);
        let power = self.number("design.power", raw.power);
        let discordance = self.number("design.discordance", raw.discordance);
        let max_error_rate = self.number("design.errors.max_rate", raw.errors.max_rate);
        Some(Design {
            alpha: alpha?,
            power: power?,
            discordance: discordance?,
            max_error_rate: max_error_rate?,
        })
    }

    fn criterion(&mut self, index: usize, raw: &RawCriterion) -> Option<Criterion> {
        // The only kind there is; naming it is how a criterion of another kind is refused.
        let RawKind::Binary = raw.kind;
        Some(Criterion {
            id: raw.id.clone(),
            metric: raw.metric,
            rule: raw.rule,
            margin: self.margin(&format!("criteria[{index}]"), raw.margin)?,
            severity: raw.severity,
        })
    }

    fn first_version(&mut self, raw: &RawFirstVersion) -> Option<FirstVersion> {
        Some(FirstVersion {
            against: match &raw.against {
                OneOrMany::One(kind) => vec![*kind],
                OneOrMany::Many(kinds) => kinds.clone(),
            },
            rule: raw.rule,
            margin: self.margin("first_version", raw.margin)?,
        })
    }

    /// `sha256:…`, or `name@sha256:…` where the name is for people.
    fn suite(&mut self, text: &str) -> Option<SuiteId> {
        let digest = text.rsplit_once('@').map_or(text, |(_, digest)| digest);
        match digest.parse() {
            Ok(id) => Some(id),
            Err(error) => {
                self.fault("suite", error.to_string());
                None
            }
        }
    }

    fn margin(&mut self, parent: &str, margin: Option<f64>) -> Option<Decimal> {
        let key = format!("{parent}.margin");
        if margin.is_none() {
            self.fault(
                &key,
                "missing: say how much may be lost, or has to be gained; 0.02 is two points",
            );
        }
        margin.and_then(|margin| self.number(&key, margin))
    }

    fn number(&mut self, key: &str, value: f64) -> Option<Decimal> {
        let number = Decimal::new(value).ok();
        if number.is_none() {
            self.fault(key, "not a finite number");
        }
        number
    }
}

/// An absent value is fine; a present one that could not be read is not.
fn transpose<T>(value: Option<Option<T>>) -> Option<Option<T>> {
    match value {
        None => Some(None),
        Some(inner) => inner.map(Some),
    }
}
