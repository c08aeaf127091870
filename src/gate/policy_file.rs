//! Policy files as people write them: `gate.yaml`.

use std::collections::BTreeMap;
use std::path::Path;

use serde::Deserialize;

use super::error::GateError;
use super::policy::{
    Anchor, Confirm, Contamination, Criterion, Design, ErrorPolicy, FirstVersion, FloorRule, Kind,
    Metric, Near, OnInconclusive, Overrides, Policy, Required, Reuse, Rule, Severity, Slices,
    Waivable,
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
    #[serde(default)]
    anchor: Option<RawAnchor>,
    #[serde(default)]
    slices: Option<RawSlices>,
    #[serde(default)]
    floor: Option<RawFloor>,
    #[serde(default)]
    overrides: Option<RawOverrides>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, default)]
struct RawDesign {
    alpha: f64,
    alpha_slices: f64,
    power: f64,
    discordance: RawDiscordance,
    errors: RawErrors,
    clusters: Option<String>,
    repeats: u32,
    looks: u32,
    reuse: Option<RawReuse>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawReuse {
    spend: f64,
    #[serde(default)]
    decisions: Option<u32>,
    // Naming what happens after the last decision is allowed; another answer is not.
    #[serde(default, rename = "on_exhausted")]
    _on_exhausted: Option<RawExhausted>,
}

#[derive(Deserialize)]
#[serde(rename_all = "lowercase")]
enum RawExhausted {
    Invalid,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawAnchor {
    #[serde(rename = "ref")]
    version: String,
    #[serde(default)]
    margin: Option<f64>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawSlices {
    #[serde(default)]
    by: Vec<String>,
    #[serde(default = "tenth")]
    detect: f64,
    #[serde(default)]
    min_n: Option<RawMinimum>,
    // There is one rule and one correction; naming them is how another is refused.
    #[serde(default, rename = "rule")]
    _rule: Option<RawSliceRule>,
    #[serde(default, rename = "correction")]
    _correction: Option<RawCorrection>,
    #[serde(default)]
    required: Vec<RawRequired>,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum RawMinimum {
    Cases(u64),
    Word(String),
}

#[derive(Deserialize)]
#[serde(rename_all = "snake_case")]
enum RawSliceRule {
    NoHarm,
}

#[derive(Deserialize)]
#[serde(rename_all = "lowercase")]
enum RawCorrection {
    Holm,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawRequired {
    #[serde(rename = "where")]
    is: BTreeMap<String, String>,
    #[serde(default, rename = "rule")]
    _rule: Option<RawRequiredRule>,
    #[serde(default)]
    margin: Option<f64>,
}

#[derive(Deserialize)]
#[serde(rename_all = "lowercase")]
enum RawRequiredRule {
    Noninferior,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawFloor {
    #[serde(default)]
    confirm: Option<RawConfirm>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawConfirm {
    repeats: u32,
    fail_if: u32,
}

impl RawFloor {
    fn rule(&self) -> FloorRule {
        let confirm = self.confirm.as_ref().map(|confirm| Confirm {
            repeats: confirm.repeats,
            fail_if: confirm.fail_if,
        });
        FloorRule {
            confirm: confirm.unwrap_or_default(),
        }
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawOverrides {
    allow: Vec<Waivable>,
    #[serde(default = "one")]
    approvers: u32,
    #[serde(default = "fortnight")]
    expires: String,
}

fn tenth() -> f64 {
    0.1
}

fn one() -> u32 {
    1
}

fn fortnight() -> String {
    "14d".to_owned()
}

#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields)]
struct RawErrors {
    max_rate: Option<f64>,
    #[serde(default)]
    policy: ErrorPolicy,
}

/// On how many cases the arms are expected to differ where nothing else is known.
const DISCORDANCE: f64 = 0.10;

#[derive(Deserialize)]
#[serde(untagged)]
enum RawDiscordance {
    Share(f64),
    Word(String),
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
    #[serde(default)]
    min: Option<f64>,
    #[serde(default)]
    ratio: Option<f64>,
    #[serde(default)]
    range: Option<[f64; 2]>,
    #[serde(default)]
    q: Option<f64>,
    #[serde(default = "blocking")]
    severity: Severity,
    #[serde(default)]
    judge: Option<RawTrust>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawTrust {
    min_kappa: f64,
}

#[derive(Deserialize)]
#[serde(rename_all = "lowercase")]
enum RawKind {
    Binary,
    Graded,
    Quantile,
    Mean,
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
    #[serde(default = "invalid")]
    exact: Contamination,
    #[serde(default)]
    near: Option<RawNear>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawNear {
    // There is one method; naming it is how another is refused.
    #[serde(default, rename = "method")]
    _method: Option<RawMethod>,
    jaccard: f64,
    action: Contamination,
}

#[derive(Deserialize)]
#[serde(rename_all = "lowercase")]
enum RawMethod {
    Minhash,
}

fn invalid() -> Contamination {
    Contamination::Invalid
}

impl Default for RawDesign {
    fn default() -> Self {
        Self {
            alpha: 0.05,
            alpha_slices: 0.05,
            power: 0.8,
            discordance: RawDiscordance::Share(DISCORDANCE),
            errors: RawErrors::default(),
            clusters: None,
            repeats: 1,
            looks: 1,
            reuse: None,
        }
    }
}

impl Default for RawContamination {
    fn default() -> Self {
        Self {
            exact: Contamination::Invalid,
            near: None,
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
        let anchor = raw.anchor.as_ref().map(|raw| self.anchor(raw));
        let slices = raw.slices.as_ref();
        let slices = slices.map(|slices| self.slices(slices, raw.design.alpha_slices));
        let near = raw.contamination.near.as_ref().map(|raw| self.near(raw));
        let overrides = raw.overrides.as_ref().map(|raw| self.overrides(raw));
        Some(Policy {
            suite: transpose(suite)?,
            design: design?,
            criteria: criteria.into_iter().collect::<Option<_>>()?,
            first_version: transpose(first_version)?,
            anchor: transpose(anchor)?,
            slices: transpose(slices)?,
            floor: raw.floor.as_ref().map(RawFloor::rule),
            on_inconclusive: raw.on_inconclusive,
            contamination: raw.contamination.exact,
            near: transpose(near)?,
            overrides: transpose(overrides)?,
        })
    }

    fn anchor(&mut self, raw: &RawAnchor) -> Option<Anchor> {
        Some(Anchor {
            version: raw.version.clone(),
            margin: self.margin("anchor", raw.margin)?,
        })
    }

    fn slices(&mut self, raw: &RawSlices, alpha: f64) -> Option<Slices> {
        let alpha = self.number("design.alpha_slices", alpha);
        let detect = self.number("slices.detect", raw.detect);
        let min_n = match &raw.min_n {
            None => None,
            Some(RawMinimum::Cases(cases)) => Some(*cases),
            Some(RawMinimum::Word(word)) => {
                if word != "auto" {
                    self.fault("slices.min_n", "write a number of cases, or auto");
                }
                None
            }
        };
        let required: Vec<_> = raw
            .required
            .iter()
            .enumerate()
            .map(|(index, raw)| {
                let margin = self.margin(&format!("slices.required[{index}]"), raw.margin)?;
                let is = raw.is.clone();
                Some(Required { is, margin })
            })
            .collect();
        Some(Slices {
            by: raw.by.clone(),
            alpha: alpha?,
            detect: detect?,
            min_n,
            required: required.into_iter().collect::<Option<_>>()?,
        })
    }

    fn near(&mut self, raw: &RawNear) -> Option<Near> {
        Some(Near {
            jaccard: self.number("contamination.near.jaccard", raw.jaccard)?,
            action: raw.action,
        })
    }

    fn overrides(&mut self, raw: &RawOverrides) -> Option<Overrides> {
        let days = raw
            .expires
            .strip_suffix('d')
            .and_then(|days| days.parse().ok());
        if days.is_none() {
            self.fault("overrides.expires", "write days, such as 14d");
        }
        Some(Overrides {
            allow: raw.allow.clone(),
            approvers: raw.approvers,
            expires_days: days?,
        })
    }

    fn design(&mut self, raw: &RawDesign) -> Option<Design> {
        let alpha = self.number("design.alpha", raw.alpha);
        let power = self.number("design.power", raw.power);
        let discordance = self.discordance(&raw.discordance);
        let max_error_rate = raw.errors.max_rate.unwrap_or_default();
        let max_error_rate = self.number("design.errors.max_rate", max_error_rate);
        if raw.errors.max_rate.is_some() && raw.errors.policy == ErrorPolicy::CountAsWrong {
            let message = "means nothing with `policy: count_as_wrong`, where every error counts";
            self.fault("design.errors.max_rate", message);
        }
        let reuse = raw.reuse.as_ref().map(|raw| {
            let decisions = raw.decisions;
            self.number("design.reuse.spend", raw.spend)
                .map(|spend| Reuse { spend, decisions })
        });
        Some(Design {
            alpha: alpha?,
            power: power?,
            discordance: discordance?,
            discordance_auto: matches!(raw.discordance, RawDiscordance::Word(_)),
            max_error_rate: max_error_rate?,
            errors: raw.errors.policy,
            clusters: raw.clusters.clone(),
            repeats: raw.repeats,
            looks: raw.looks,
            reuse: transpose(reuse)?,
        })
    }

    fn discordance(&mut self, raw: &RawDiscordance) -> Option<Decimal> {
        match raw {
            RawDiscordance::Share(share) => self.number("design.discordance", *share),
            RawDiscordance::Word(word) => {
                if word != "auto" {
                    self.fault("design.discordance", "write a share such as 0.10, or auto");
                }
                self.number("design.discordance", DISCORDANCE)
            }
        }
    }

    fn criterion(&mut self, index: usize, raw: &RawCriterion) -> Option<Criterion> {
        let at = |name: &str| format!("criteria[{index}].{name}");
        let kind = self.kind(index, raw);
        let mut criterion = Criterion {
            id: raw.id.clone(),
            metric: raw.metric.clone(),
            kind: kind?,
            rule: raw.rule,
            margin: None,
            severity: raw.severity,
            min_kappa: None,
        };
        if let Some(trust) = &raw.judge {
            criterion.min_kappa = Some(self.number(&at("judge.min_kappa"), trust.min_kappa)?);
        }
        let wanted = criterion.margin_key();
        for (name, value) in [
            ("margin", raw.margin),
            ("min", raw.min),
            ("ratio", raw.ratio),
        ] {
            match (wanted == Some(name), value) {
                (true, Some(value)) => criterion.margin = Some(self.number(&at(name), value)?),
                (true, None) => {
                    self.fault(&at(name), missing(name));
                    return None;
                }
                (false, Some(_)) => self.fault(
                    &at(name),
                    match wanted {
                        Some(other) => format!("not for this rule and kind, which have `{other}`"),
                        None => format!("the rule {} has none", raw.rule),
                    },
                ),
                (false, None) => {}
            }
        }
        Some(criterion)
    }

    fn kind(&mut self, index: usize, raw: &RawCriterion) -> Option<Kind> {
        let at = |name: &str| format!("criteria[{index}].{name}");
        if raw.range.is_some() && !matches!(raw.kind, RawKind::Graded) {
            self.fault(&at("range"), "only for kind graded");
        }
        if raw.q.is_some() && !matches!(raw.kind, RawKind::Quantile) {
            self.fault(&at("q"), "only for kind quantile");
        }
        match (&raw.kind, raw.range, raw.q) {
            (RawKind::Binary, ..) => Some(Kind::Binary),
            (RawKind::Mean, ..) => Some(Kind::Mean),
            (RawKind::Graded, Some([low, high]), _) => {
                let low = self.number(&at("range"), low);
                let high = self.number(&at("range"), high);
                Some(Kind::Graded {
                    low: low?,
                    high: high?,
                })
            }
            (RawKind::Graded, None, _) => {
                let message = "missing: the lowest and the highest score, such as [0, 1]";
                self.fault(&at("range"), message);
                None
            }
            (RawKind::Quantile, _, Some(q)) => Some(Kind::Quantile {
                q: self.number(&at("q"), q)?,
            }),
            (RawKind::Quantile, _, None) => {
                self.fault(&at("q"), "missing: which quantile, such as 0.95");
                None
            }
        }
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
            self.fault(&key, missing("margin"));
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

fn missing(name: &str) -> &'static str {
    match name {
        "min" => "missing: say which share has to be right at least; 0.99 is 99 of 100",
        "ratio" => "missing: say which ratio is allowed at most; 1.10 is ten percent more",
        _ => "missing: say how much may be lost, or has to be gained; 0.02 is two points",
    }
}

/// An absent value is fine; a present one that could not be read is not.
fn transpose<T>(value: Option<Option<T>>) -> Option<Option<T>> {
    match value {
        None => Some(None),
        Some(inner) => inner.map(Some),
    }
}
