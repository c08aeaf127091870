//! From reports to a verdict.

mod compare;
mod explain;
mod validity;

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use super::floor::{FloorTrial, Missed};
use super::judged::Trust;
use super::lineage::Lineage;
use super::numbers::Numbers;
use super::policy::{Design, Kind, Occasion, Policy, Rule, Severity};
use super::reason::{Code, Reason};
use super::slices::SliceResult;
use super::verdict::Verdict;
use crate::document::Decimal;
use crate::eval::{Report, Subject, Suite, SuiteId};
use crate::stats::StatsError;

/// The answer and what it rests on.
#[derive(Debug, Clone, PartialEq)]
pub struct Judgement {
    /// The worst that any reason or blocking criterion leads to.
    pub verdict: Verdict,
    /// One per baseline and criterion; empty when there was nothing to judge.
    pub comparisons: Vec<Comparison>,
    /// One per slice and criterion, where the policy asks for slices.
    pub slices: Vec<SliceResult>,
    /// The cases of the floor that the candidate did not pass at once.
    pub missed: Vec<Missed>,
    /// Why, the gravest first; remarks last.
    pub reasons: Vec<Reason>,
}

/// One criterion against one baseline.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Comparison {
    /// What the candidate was compared with.
    pub baseline: Subject,
    /// The criterion.
    pub criterion: String,
    /// Whether the baseline is the policy's anchor.
    #[serde(default, skip_serializing_if = "is_false")]
    pub anchor: bool,
    /// The required slice that this is about; absent for the whole suite.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub slice: Option<String>,
    /// What kind of number is compared.
    #[serde(default, skip_serializing_if = "Kind::is_binary")]
    pub kind: Kind,
    /// Its rule.
    pub rule: Rule,
    /// Its margin, least share or largest ratio.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub margin: Option<Decimal>,
    /// What follows from it.
    pub severity: Severity,
    /// What a judge's verdicts are worth, where the criterion rests on them; the boundary takes account of it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub judge: Option<Trust>,
    /// PASS, FAIL or INCONCLUSIVE.
    pub verdict: Verdict,
    /// What it rests on.
    pub numbers: Numbers,
}

impl Comparison {
    /// Whether it compares right and wrong of two arms.
    pub(super) fn is_paired(&self) -> bool {
        self.kind.is_binary() && matches!(self.rule, Rule::Noninferior | Rule::Superior)
    }
}

fn is_false(truth: &bool) -> bool {
    !truth
}

/// What is compared with what.
#[derive(Clone, Copy)]
pub struct Trial<'a> {
    /// The suite.
    pub suite: &'a Suite,
    /// What wants to be promoted.
    pub candidate: &'a Report,
    /// One version, or for a first version the untrained baselines.
    pub baselines: &'a [&'a Report],
    /// The version that promotions never move, where the policy names one.
    pub anchor: Option<&'a Report>,
    /// What the candidate was trained on.
    pub lineage: &'a Lineage,
    /// The candidate's answers to the suite's floor, where it has one.
    pub floor: Option<FloorTrial<'a>>,
    /// Which look and which decision this is.
    pub occasion: Occasion,
}

/// Judges `candidate` against every one of `baselines`: one version, or for a first version the untrained ones.
///
/// Validity comes first: anything missing, unequal, contradictory, learned by heart or of unknown origin is INVALID,
/// and then nothing is compared. An error means that a number could not be computed; it is never an outcome.
pub fn judge(policy: &Policy, trial: Trial<'_>) -> Result<Judgement, StatsError> {
    let Ok(id) = trial.suite.id() else {
        let reason = Reason::new(Code::SuiteDiffers, "the suite has no identity");
        return Ok(Judgement::nothing(vec![reason]));
    };
    let occasion = trial.occasion;
    let which_look = policy.design.looks > 1 && occasion.look.is_none();
    let mut case = Judging {
        policy,
        design: policy.design_for(occasion)?,
        suite: trial.suite,
        id,
        candidate: trial.candidate,
        baselines: trial.baselines,
        anchor: trial.anchor,
        occasion,
        first: is_first_version(trial.baselines),
        left_out: BTreeSet::new(),
        reasons: Vec::new(),
    };
    if which_look {
        let text = format!(
            "the policy has {} looks: say which one",
            policy.design.looks
        );
        case.say(Code::WhichLook, text);
    }
    if policy.is_spent(occasion) {
        case.say(
            Code::BudgetSpent,
            "the suite has been used for as many decisions as the policy allows: a new one is needed",
        );
    }
    case.check_subjects();
    case.check_reports();
    case.check_lineage(trial.lineage);
    case.check_size()?;
    case.check_floor(trial.floor);
    if case.is_invalid() {
        return Ok(Judgement::nothing(case.reasons));
    }
    let comparisons = case.compare()?;
    let slices = case.compare_slices()?;
    let missed = case.judge_floor(trial.floor);
    if case.is_invalid() {
        return Ok(Judgement::nothing(case.reasons));
    }
    Ok(Judgement::of(comparisons, slices, missed, case.reasons))
}

/// Whether the baselines are untrained ones, so that the rule for first versions applies.
pub(super) fn is_first_version(baselines: &[&Report]) -> bool {
    !baselines.is_empty()
        && baselines
            .iter()
            .all(|report| report.subject.baseline_kind().is_some())
}

impl Judgement {
    fn nothing(reasons: Vec<Reason>) -> Self {
        Self::of(Vec::new(), Vec::new(), Vec::new(), reasons)
    }

    fn of(
        comparisons: Vec<Comparison>,
        slices: Vec<SliceResult>,
        missed: Vec<Missed>,
        mut reasons: Vec<Reason>,
    ) -> Self {
        reasons.sort_by_key(|reason| std::cmp::Reverse(reason.code.verdict()));
        let from_reasons = reasons.iter().filter_map(|reason| reason.code.verdict());
        let blocking = comparisons.iter().filter(|c| c.severity == Severity::Block);
        // No blocking comparison and no reason is nothing to judge, never a pass.
        let verdict = from_reasons
            .chain(blocking.map(|comparison| comparison.verdict))
            .max()
            .unwrap_or(Verdict::Invalid);
        Self {
            verdict,
            comparisons,
            slices,
            missed,
            reasons,
        }
    }
}

/// One judging, and what has been found so far.
struct Judging<'a> {
    policy: &'a Policy,
    /// The policy's, with the alpha of this occasion.
    design: Design,
    suite: &'a Suite,
    id: SuiteId,
    candidate: &'a Report,
    baselines: &'a [&'a Report],
    anchor: Option<&'a Report>,
    occasion: Occasion,
    first: bool,
    left_out: BTreeSet<&'a str>,
    reasons: Vec<Reason>,
}

impl<'a> Judging<'a> {
    fn say(&mut self, code: Code, text: impl Into<String>) {
        self.reasons.push(Reason::new(code, text));
    }

    fn is_invalid(&self) -> bool {
        let verdicts = self.reasons.iter().map(|reason| reason.code.verdict());
        verdicts.max().flatten() == Some(Verdict::Invalid)
    }
}
