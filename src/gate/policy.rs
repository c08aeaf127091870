//! What the gate asks for, checked.

use std::collections::BTreeMap;
use std::fmt;

use serde::{Deserialize, Serialize};

use super::error::GateError;
use crate::digest::Digest;
use crate::document::{Decimal, canonical};
use crate::eval::{BaselineKind, Suite, SuiteId};
use crate::reference::ModelRef;
use crate::stats::{self, MAX_LOOKS, Question, StatsError};
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
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) anchor: Option<Anchor>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) slices: Option<Slices>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) floor: Option<FloorRule>,
    pub(super) on_inconclusive: OnInconclusive,
    pub(super) contamination: Contamination,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) near: Option<Near>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) overrides: Option<Overrides>,
}

/// The error rates that the gate is designed for.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Design {
    /// P(PASS) when the true loss is the whole margin; one-sided.
    pub alpha: Decimal,
    /// P(PASS) to plan for when candidate and baseline are equally good.
    pub power: Decimal,
    /// The share of cases on which the arms are expected to differ; for planning only.
    pub discordance: Decimal,
    /// Whether plans take that share from earlier decisions on the suite, where there are some.
    #[serde(default, skip_serializing_if = "is_false")]
    pub discordance_auto: bool,
    /// The largest share of cases with an error, in either arm, that still allows a verdict.
    pub max_error_rate: Decimal,
    /// What more errors lead to.
    #[serde(default, skip_serializing_if = "ErrorPolicy::is_invalid")]
    pub errors: ErrorPolicy,
    /// What cases that belong together share: `label` or `metadata.<key>`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub clusters: Option<String>,
    /// How many answers per case both reports must have.
    #[serde(default = "one", skip_serializing_if = "is_one")]
    pub repeats: u32,
    /// How often growing data may be looked at; each look has its own, smaller alpha.
    #[serde(default = "one", skip_serializing_if = "is_one")]
    pub looks: u32,
    /// What judging on the same suite again and again may cost.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reuse: Option<Reuse>,
}

/// What errors beyond the allowed share lead to. Whatever is said, none is left out.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ErrorPolicy {
    /// INVALID: evidence is missing.
    #[default]
    Invalid,
    /// Any number of them counts against the candidate.
    CountAsWrong,
}

impl ErrorPolicy {
    fn is_invalid(&self) -> bool {
        *self == Self::Invalid
    }
}

/// The alpha that all decisions on one suite share.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Reuse {
    /// The probability of any false PASS among all decisions.
    pub spend: Decimal,
    /// Among how many decisions it is shared equally, after which the suite is spent; without it decision i gets
    /// 6/(π² i²) of it, for ever.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub decisions: Option<u32>,
}

/// A version that promotions never move, so that many small losses cannot add up.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Anchor {
    /// The version: `model@version`.
    pub version: String,
    /// How much worse than it the candidate may be, as a share.
    pub margin: Decimal,
}

/// Parts of the suite that must not be harmed.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Slices {
    /// What cases are grouped by: `label` or `metadata.<key>`.
    pub by: Vec<String>,
    /// P(any slice is called harmed) when none is; Holm's correction keeps it.
    pub alpha: Decimal,
    /// A drop that slices should be large enough to show; for planning and remarks.
    pub detect: Decimal,
    /// The fewest cases of a slice that is tested; without it, the fewest on which harm could be shown at all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub min_n: Option<u64>,
    /// Slices with a margin of their own.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub required: Vec<Required>,
}

/// A slice on which non-inferiority has to be shown by itself.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Required {
    /// What its cases have: `label` or `metadata.<key>`, and the value.
    #[serde(rename = "where")]
    pub is: BTreeMap<String, String>,
    /// How much may be lost there, as a share.
    pub margin: Decimal,
}

/// How the cases are judged that every version has to pass.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FloorRule {
    /// What happens to a case that is not passed.
    pub confirm: Confirm,
}

/// When a case that is not passed fails, where answers are drawn and so can differ.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Confirm {
    /// How often it is asked again.
    pub repeats: u32,
    /// It fails when so many of these answers are not right.
    pub fail_if: u32,
}

impl Default for Confirm {
    fn default() -> Self {
        Self {
            repeats: 3,
            fail_if: 2,
        }
    }
}

/// What to do with cases that are nearly a text the candidate was trained on.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Near {
    /// The share of common character sequences from which two texts are nearly the same.
    pub jaccard: Decimal,
    /// What follows.
    pub action: Contamination,
}

/// Which verdicts people may override, and how.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Overrides {
    /// The verdicts.
    pub allow: Vec<Waivable>,
    /// How many people besides the one who waives have to approve.
    pub approvers: u32,
    /// The most days a waiver may hold.
    pub expires_days: u32,
}

/// What can be waived.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Waivable {
    /// FAIL.
    Fail,
    /// INCONCLUSIVE.
    Inconclusive,
    /// INVALID for contamination and nothing else; needs two approvers.
    Contamination,
    /// INVALID for a spent budget and nothing else; needs two approvers.
    Budget,
}

/// What is asked when.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Occasion {
    /// Which of the policy's looks this is, from 1.
    pub look: Option<u32>,
    /// Which decision on the suite this is, from 1.
    pub decision: Option<u32>,
}

fn one() -> u32 {
    1
}

fn is_false(truth: &bool) -> bool {
    !truth
}

fn is_one(number: &u32) -> bool {
    *number == 1
}

/// One thing that has to hold against the baseline version.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Criterion {
    /// Its name in the output.
    pub id: String,
    /// What is compared.
    pub metric: Metric,
    /// What kind of number the metric is.
    #[serde(default, skip_serializing_if = "Kind::is_binary")]
    pub kind: Kind,
    /// How.
    pub rule: Rule,
    /// By how much: a share (0.02 is two points), on the metric's scale for graded scores; the least share for
    /// `absolute`; the largest ratio for quantiles and means. Absent for `must_pass` and `report`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub margin: Option<Decimal>,
    /// What follows when it does not hold.
    pub severity: Severity,
    /// The least kappa of a judge and people, where the metric is a judge's; 0.6 without it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub min_kappa: Option<Decimal>,
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

/// What a criterion compares: `accuracy` (also `exact_match`) is whether the label is right; any other name is looked
/// up among the measures of each case.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Metric(String);

impl Metric {
    /// The metric of this name.
    pub fn new(name: impl Into<String>) -> Self {
        Self(name.into())
    }

    /// Whether it is whether the label is right.
    pub fn is_accuracy(&self) -> bool {
        matches!(self.0.as_str(), "accuracy" | "exact_match")
    }

    /// Its name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// What kind of number a metric is, which decides the statistic.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
#[serde(tag = "is", rename_all = "lowercase", deny_unknown_fields)]
pub enum Kind {
    /// Right or wrong: Tango's score test, McNemar, Clopper-Pearson.
    #[default]
    Binary,
    /// A score in a range: Student's t on paired differences.
    Graded {
        /// The lowest score.
        low: Decimal,
        /// The highest score.
        high: Decimal,
    },
    /// A quantile of a positive number, such as the 95th percentile of the latency: the ratio of the quantiles.
    Quantile {
        /// Which quantile.
        q: Decimal,
    },
    /// The mean of a positive number, such as the cost: the ratio of the paired means.
    Mean,
}

impl Kind {
    /// Whether it is right or wrong.
    pub fn is_binary(&self) -> bool {
        matches!(self, Self::Binary)
    }
}

/// How a criterion compares.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Rule {
    /// The candidate loses less than the margin.
    Noninferior,
    /// The candidate gains more than the margin.
    Superior,
    /// The candidate is right on at least this share, whatever the baseline does.
    Absolute,
    /// The candidate is right on every case.
    MustPass,
    /// Nothing: the numbers are shown.
    Report,
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

    /// The same, planned with another discordance.
    pub fn with_discordance(mut self, discordance: Decimal) -> Self {
        self.design.discordance = discordance;
        self
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

    /// The version that promotions never move.
    pub fn anchor(&self) -> Option<&Anchor> {
        self.anchor.as_ref()
    }

    /// Parts of the suite that must not be harmed.
    pub fn slices(&self) -> Option<&Slices> {
        self.slices.as_ref()
    }

    /// How the cases are judged that every version has to pass.
    pub fn floor(&self) -> Option<&FloorRule> {
        self.floor.as_ref()
    }

    /// Whether the policy asks for a floor exactly where the suite has one.
    ///
    /// Where it does not ask, nobody who promotes by it would miss the floor, so that is an error and not a habit.
    pub fn fits_floor(&self, floor: Option<&Suite>) -> Result<(), GateError> {
        match (&self.floor, floor) {
            (Some(_), None) => Err(GateError::NoFloor),
            (None, Some(floor)) => Err(GateError::NoFloorRule {
                cases: floor.cases().len(),
            }),
            _ => Ok(()),
        }
    }

    /// What happens to cases that are nearly a text the candidate was trained on.
    pub fn near(&self) -> Option<&Near> {
        self.near.as_ref()
    }

    /// Which verdicts may be overridden.
    pub fn overrides(&self) -> Option<&Overrides> {
        self.overrides.as_ref()
    }

    /// Whether so many decisions have been made that no more are allowed.
    pub fn is_spent(&self, occasion: Occasion) -> bool {
        let limit = self.design.reuse.and_then(|reuse| reuse.decisions);
        limit.is_some_and(|limit| occasion.decision.unwrap_or(1) > limit)
    }

    /// The design with the alpha of this occasion: a share of the budget where the suite is reused, the look's own
    /// where there are several.
    pub fn design_for(&self, occasion: Occasion) -> Result<Design, StatsError> {
        let mut design = self.design.clone();
        if let Some(reuse) = design.reuse {
            design.alpha = decimal(reuse.share(occasion.decision.unwrap_or(1)))?;
        }
        if design.looks > 1 {
            design.alpha = decimal(self.at_look(design.alpha, occasion)?)?;
        }
        Ok(design)
    }

    /// The level of the slices' family on this occasion.
    pub(super) fn slice_alpha(&self, occasion: Occasion) -> Result<f64, StatsError> {
        match &self.slices {
            Some(slices) => self.at_look(slices.alpha, occasion),
            None => Ok(0.0),
        }
    }

    fn at_look(&self, alpha: Decimal, occasion: Occasion) -> Result<f64, StatsError> {
        let levels = stats::look_levels(self.design.looks, alpha.get())?;
        let look = occasion.look.unwrap_or(self.design.looks) as usize;
        let level = look.checked_sub(1).and_then(|index| levels.get(index));
        level.copied().ok_or(StatsError::Range {
            what: "the look",
            value: look as f64,
            range: "1 to the policy's looks",
        })
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
                metric: Metric::new("accuracy"),
                kind: Kind::Binary,
                rule: rule.rule,
                margin: Some(rule.margin),
                severity: Severity::Block,
                min_kappa: None,
            }],
            None if first => Vec::new(),
            _ => self.criteria.clone(),
        }
    }

    /// The blocking criteria that no outcome on `cases` cases can meet.
    pub fn unreachable(
        &self,
        cases: u64,
        first: bool,
        occasion: Occasion,
    ) -> Result<Vec<Unreachable>, StatsError> {
        let design = self.design_for(occasion)?;
        let mut found = Vec::new();
        for criterion in self.criteria_for(first) {
            let needs = criterion.minimum_cases(&design)?;
            if criterion.severity == Severity::Block && cases < needs {
                found.push(Unreachable {
                    criterion: criterion.id,
                    needs,
                });
            }
        }
        if let Some(anchor) = self.anchor.as_ref().filter(|_| !first) {
            let needs = Question::new(-anchor.margin.get(), design.alpha.get())?.minimum_cases();
            if cases < needs {
                found.push(Unreachable {
                    criterion: "anchor".to_owned(),
                    needs,
                });
            }
        }
        Ok(found)
    }

    /// The canonical document that [`PolicyId`] is the digest of.
    pub fn document(&self) -> Result<Vec<u8>, GateError> {
        canonical::encode(SCHEMA, self).map_err(|source| GateError::Encode {
            what: "policy",
            source,
        })
    }

    /// Its identity.
    pub fn id(&self) -> Result<PolicyId, GateError> {
        Ok(Digest::of(&self.document()?).into())
    }

    /// Puts the canonical document into the store.
    pub fn store(&self, store: &Store) -> Result<PolicyId, GateError> {
        Ok(store.put_bytes(&self.document()?)?.digest.into())
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
            faults.extend(
                criterion
                    .faults()
                    .into_iter()
                    .map(|(name, message)| (key(name), message)),
            );
        }
        faults.extend(self.anchor.iter().flat_map(Anchor::faults));
        faults.extend(self.slices.iter().flat_map(Slices::faults));
        faults.extend(self.floor.iter().flat_map(FloorRule::faults));
        faults.extend(self.overrides.iter().flat_map(Overrides::faults));
        if let Some(near) = &self.near
            && !(0.7..1.0).contains(&near.jaccard.get())
        {
            faults.push((
                "contamination.near.jaccard".to_owned(),
                format!("{} is not 0.7 or more and below 1", near.jaccard),
            ));
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
        let mut faults: Vec<(String, String)> = checks
            .into_iter()
            .filter(|(_, _, good, _)| !good)
            .map(|(key, value, _, range)| {
                (format!("design.{key}"), format!("{value} is not {range}"))
            })
            .collect();
        if let Some(message) = self.clusters.as_deref().and_then(key_fault) {
            faults.push(("design.clusters".to_owned(), message));
        }
        for (key, value, most) in [
            ("repeats", self.repeats, 100),
            ("looks", self.looks, MAX_LOOKS),
        ] {
            if !(1..=most).contains(&value) {
                faults.push((
                    format!("design.{key}"),
                    format!("{value} is not from 1 to {most}"),
                ));
            }
        }
        if let Some(reuse) = &self.reuse {
            let spend = reuse.spend.get();
            if !(spend > 0.0 && spend < 0.5) {
                faults.push((
                    "design.reuse.spend".to_owned(),
                    format!("{} is not above 0 and below 0.5", reuse.spend),
                ));
            }
            if reuse.decisions == Some(0) {
                faults.push((
                    "design.reuse.decisions".to_owned(),
                    "0 decisions decide nothing".to_owned(),
                ));
            }
        }
        faults
    }
}

impl Reuse {
    /// The alpha of decision number `decision`, from 1.
    pub fn share(&self, decision: u32) -> f64 {
        let spend = self.spend.get();
        match self.decisions {
            Some(decisions) => spend / f64::from(decisions.max(1)),
            // Σ 1/i² = π²/6: all shares together are the whole.
            None => {
                let i = f64::from(decision.max(1));
                spend * 6.0 / (std::f64::consts::PI.powi(2) * i * i)
            }
        }
    }
}

impl Anchor {
    fn faults(&self) -> Vec<(String, String)> {
        let mut faults = Vec::new();
        match self.version.parse::<ModelRef>() {
            Err(error) => faults.push(("anchor.ref".to_owned(), error.to_string())),
            Ok(reference) if reference.is_movable() => faults.push((
                "anchor.ref".to_owned(),
                format!("{reference} can move: an anchor is a version, MODEL@VERSION"),
            )),
            Ok(_) => {}
        }
        if let Some(message) = margin_fault(Rule::Noninferior, self.margin) {
            faults.push(("anchor.margin".to_owned(), message));
        }
        faults
    }
}

impl Slices {
    fn faults(&self) -> Vec<(String, String)> {
        let mut faults = Vec::new();
        let mut fault =
            |key: &str, message: String| faults.push((format!("slices.{key}"), message));
        if self.by.is_empty() && self.required.is_empty() {
            fault(
                "by",
                "name at least one key, or a required slice".to_owned(),
            );
        }
        for (index, by) in self.by.iter().enumerate() {
            if let Some(message) = key_fault(by) {
                fault(&format!("by[{index}]"), message);
            }
            if self.by[..index].contains(by) {
                fault(&format!("by[{index}]"), format!("{by} is there twice"));
            }
        }
        if !(self.alpha.get() > 0.0 && self.alpha.get() < 0.5) {
            fault(
                "alpha",
                format!("{} is not above 0 and below 0.5", self.alpha),
            );
        }
        if !(self.detect.get() > 0.0 && self.detect.get() <= 1.0) {
            fault(
                "detect",
                format!("{} is not above 0 and at most 1", self.detect),
            );
        }
        for (index, required) in self.required.iter().enumerate() {
            let at = |key: &str| format!("required[{index}].{key}");
            if required.is.is_empty() {
                fault(
                    &at("where"),
                    "name at least one key and its value".to_owned(),
                );
            }
            for message in required.is.keys().filter_map(|key| key_fault(key)) {
                fault(&at("where"), message);
            }
            if let Some(message) = margin_fault(Rule::Noninferior, required.margin) {
                fault(&at("margin"), message);
            }
        }
        faults
    }
}

impl FloorRule {
    fn faults(&self) -> Vec<(String, String)> {
        let Confirm { repeats, fail_if } = self.confirm;
        let checks = [("repeats", repeats, 100), ("fail_if", fail_if, repeats)];
        let wrong = checks
            .into_iter()
            .filter(|(_, value, most)| !(1..=(*most).max(1)).contains(value));
        let fault = |(key, value, most): (&str, u32, u32)| {
            let message = format!("{value} is not from 1 to {}", most.max(1));
            (format!("floor.confirm.{key}"), message)
        };
        wrong.map(fault).collect()
    }
}

impl Overrides {
    fn faults(&self) -> Vec<(String, String)> {
        let invalid = |what: &Waivable| matches!(what, Waivable::Contamination | Waivable::Budget);
        let mut faults = Vec::new();
        if self.allow.iter().any(invalid) && self.approvers < 2 {
            faults.push((
                "overrides.approvers".to_owned(),
                "waiving INVALID needs at least 2 approvers".to_owned(),
            ));
        }
        if !(1..=366).contains(&self.expires_days) {
            faults.push((
                "overrides.expires".to_owned(),
                "write 1d to 366d".to_owned(),
            ));
        }
        faults
    }
}

/// What cases can be grouped by.
fn key_fault(key: &str) -> Option<String> {
    let known = key == "label"
        || key
            .strip_prefix("metadata.")
            .is_some_and(|key| !key.is_empty());
    (!known).then(|| format!("{key:?} is neither `label` nor `metadata.<key>`"))
}

fn decimal(value: f64) -> Result<Decimal, StatsError> {
    Decimal::new(value).map_err(|_| StatsError::Range {
        what: "alpha",
        value,
        range: "the finite numbers",
    })
}

impl FirstVersion {
    fn faults(&self) -> Vec<(String, String)> {
        let mut faults = Vec::new();
        if self.against.is_empty() {
            faults.push((
                "first_version.against".to_owned(),
                "name at least one of nearest-centroid, majority and zero-shot".to_owned(),
            ));
        }
        let twice = |(index, kind): (usize, &BaselineKind)| self.against[..index].contains(kind);
        if self.against.iter().enumerate().any(twice) {
            faults.push((
                "first_version.against".to_owned(),
                "a baseline is there twice".to_owned(),
            ));
        }
        if !matches!(self.rule, Rule::Noninferior | Rule::Superior) {
            faults.push((
                "first_version.rule".to_owned(),
                "use superior or noninferior".to_owned(),
            ));
        }
        if let Some(message) = margin_fault(self.rule, self.margin) {
            faults.push(("first_version.margin".to_owned(), message));
        }
        faults
    }
}

impl Criterion {
    /// The statistical question that a comparison of right and wrong asks.
    pub fn question(&self, design: &Design) -> Result<Question, StatsError> {
        let margin = self.limit();
        let boundary = match self.rule {
            Rule::Superior => margin,
            _ => -margin,
        };
        Question::new(boundary, design.alpha.get())
    }

    /// Whether it compares right and wrong of two arms.
    pub fn is_paired(&self) -> bool {
        self.kind.is_binary() && matches!(self.rule, Rule::Noninferior | Rule::Superior)
    }

    /// The margin, least share or largest ratio; 0 where there is none.
    pub fn limit(&self) -> f64 {
        self.margin.map_or(0.0, Decimal::get)
    }

    /// The fewest cases on which it can be met.
    pub fn minimum_cases(&self, design: &Design) -> Result<u64, StatsError> {
        Ok(match (self.kind, self.rule) {
            (Kind::Binary, Rule::Noninferior | Rule::Superior) => {
                self.question(design)?.minimum_cases()
            }
            (Kind::Binary, Rule::Absolute) => (design.alpha.get().ln() / self.limit().ln())
                .ceil()
                .max(1.0) as u64,
            (Kind::Mean, _) => 2,
            _ => 1,
        })
    }

    fn faults(&self) -> Vec<(&'static str, String)> {
        let mut faults = Vec::new();
        if self.metric.as_str().is_empty() {
            faults.push(("metric", "name what is compared".to_owned()));
        }
        if let Some(least) = self.min_kappa
            && !(least.get() > 0.0 && least.get() < 1.0)
        {
            let message = format!("{least} is not above 0 and below 1");
            faults.push(("judge.min_kappa", message));
        }
        if self.metric.is_accuracy() && !self.kind.is_binary() {
            faults.push(("kind", format!("{} is binary", self.metric)));
        }
        match self.kind {
            Kind::Graded { low, high } if low.get() >= high.get() => faults.push((
                "range",
                format!("{low} is not below {high}: write [lowest, highest]"),
            )),
            Kind::Quantile { q } if !(q.get() > 0.0 && q.get() < 1.0) => {
                faults.push(("q", format!("{q} is not above 0 and below 1")));
            }
            _ => {}
        }
        let asks = match self.kind {
            Kind::Binary => "noninferior, superior, absolute, must_pass or report",
            Kind::Graded { .. } => "noninferior, superior or report",
            Kind::Quantile { .. } | Kind::Mean => "noninferior or report",
        };
        if !asks.contains(self.rule.as_str()) {
            let message = format!("{} is not for this kind: use {asks}", self.rule);
            faults.push(("rule", message));
            return faults;
        }
        if let Some((key, message)) = self.margin.and_then(|margin| self.margin_fault(margin)) {
            faults.push((key, message));
        }
        faults
    }

    fn margin_fault(&self, margin: Decimal) -> Option<(&'static str, String)> {
        let value = margin.get();
        match (self.kind, self.rule) {
            (Kind::Binary, Rule::Absolute) => (!(value > 0.0 && value < 1.0)).then(|| {
                let message = format!(
                    "{margin} is not above 0 and below 1; for every case right use must_pass"
                );
                ("min", message)
            }),
            (Kind::Binary, _) => margin_fault(self.rule, margin).map(|text| ("margin", text)),
            (Kind::Graded { low, high }, _) => {
                let reach = high.get() - low.get();
                let good =
                    value < reach && (value > 0.0 || self.rule == Rule::Superior && value == 0.0);
                (!good).then(|| {
                    (
                        "margin",
                        format!("{margin} is not above 0 and below the range of the scores"),
                    )
                })
            }
            (Kind::Quantile { .. } | Kind::Mean, _) => {
                (!(1.0..=10.0).contains(&value)).then(|| {
                    (
                        "ratio",
                        format!("{margin} is not from 1 to 10: 1.10 allows ten percent more"),
                    )
                })
            }
        }
    }

    /// The key under which the policy file has the margin.
    pub(super) fn margin_key(&self) -> Option<&'static str> {
        match (self.kind, self.rule) {
            (_, Rule::MustPass | Rule::Report) => None,
            (_, Rule::Absolute) => Some("min"),
            (Kind::Quantile { .. } | Kind::Mean, _) => Some("ratio"),
            _ => Some("margin"),
        }
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

impl Rule {
    /// As policy files spell it.
    pub fn as_str(&self) -> &'static str {
        match self {
            Self::Noninferior => "noninferior",
            Self::Superior => "superior",
            Self::Absolute => "absolute",
            Self::MustPass => "must_pass",
            Self::Report => "report",
        }
    }
}

impl fmt::Display for Rule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl fmt::Display for Metric {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}
