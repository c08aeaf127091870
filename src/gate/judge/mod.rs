//! From reports to a verdict.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use super::floor::{self, FloorTrial, Missed};
use super::judged::{self, Calibrated, Trust};
use super::lineage::Lineage;
use super::measure;
use super::numbers::Numbers;
use super::policy::{
    Contamination, Criterion, Design, ErrorPolicy, Kind, Occasion, Policy, Rule, Severity,
};
use super::reason::{Code, Reason};
use super::rows::{Rows, Trouble};
use super::slices::{self, SliceResult};
use super::verdict::Verdict;
use crate::document::Decimal;
use crate::eval::{Report, Subject, Suite, SuiteId};
use crate::stats::StatsError;

/// How many case ids a reason names.
const NAMED: usize = 3;

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

    /// A trained candidate, against one version or exactly the untrained baselines that the policy names.
    fn check_subjects(&mut self) {
        if !matches!(self.candidate.subject, Subject::Adapter { .. }) {
            self.say(
                Code::NotACandidate,
                format!(
                    "the candidate is the {}, not a trained adapter",
                    self.candidate.subject
                ),
            );
        }
        let log = |report: &'a Report| {
            let served = report.served.as_ref();
            served
                .map(|served| &served.target)
                .filter(|target| target.is_log())
        };
        let own = log(self.candidate);
        if own.is_some() && self.baselines.iter().any(|baseline| log(baseline) == own) {
            let text =
                "the reports of candidate and baseline are of the same answers in the same log";
            self.say(Code::WrongBaseline, text);
        }
        if !self.first {
            if self.baselines.len() != 1 {
                let text = format!(
                    "{} baselines; a version is judged against one",
                    self.baselines.len()
                );
                self.say(Code::WrongBaseline, text);
            }
            return;
        }
        let Some(rule) = self.policy.first_version() else {
            self.say(Code::NoRule, "the policy has no `first_version`");
            return;
        };
        let mut given = BTreeSet::new();
        for report in self.baselines {
            let subject = &report.subject;
            let candidate = &self.candidate.subject;
            // The bare base has learned from no dataset.
            let learned = subject.dataset();
            let fair = learned.is_none_or(|dataset| candidate.dataset() == Some(dataset))
                && subject
                    .base()
                    .is_none_or(|base| candidate.base() == Some(base));
            if !fair {
                let text =
                    format!("the {subject} was not built from the candidate's base and dataset");
                self.say(Code::WrongBaseline, text);
            }
            if let Some(kind) = subject.baseline_kind() {
                if !given.insert(kind) {
                    self.say(
                        Code::WrongBaseline,
                        format!("the baseline {kind} is there twice"),
                    );
                }
                if !rule.against.contains(&kind) {
                    self.say(
                        Code::WrongBaseline,
                        format!("the policy does not ask for {kind}"),
                    );
                }
            }
        }
        for kind in &rule.against {
            if !given.contains(kind) {
                self.say(
                    Code::WrongBaseline,
                    format!("the policy also asks for {kind}"),
                );
            }
        }
    }

    /// Every report answers exactly this suite, is consistent and has few enough errors.
    fn check_reports(&mut self) {
        if let Some(fixed) = self.policy.suite()
            && fixed != self.id
        {
            let text = format!(
                "the policy fixes suite {fixed}; the candidate was evaluated on {}",
                self.id
            );
            self.say(Code::SuiteDiffers, text);
        }
        self.check_report("candidate", self.candidate);
        for report in self.baselines {
            self.check_report("baseline", report);
        }
        match (self.anchor, self.policy.anchor()) {
            (Some(report), Some(_)) => self.check_report("anchor", report),
            (None, Some(anchor)) if !self.first => {
                let text = format!("there is no report of the anchor {}", anchor.version);
                self.say(Code::NoAnchor, text);
            }
            _ => {}
        }
    }

    fn check_report(&mut self, arm: &str, report: &Report) {
        let id = self.id;
        self.check_answers(arm, report, (self.suite, &id));
        if let Some(served) = &report.served {
            let how = if served.target.is_log() {
                ", which scored them"
            } else {
                ""
            };
            let text = format!("the {arm}'s answers came from the {}{how}", served.target);
            self.say(Code::AnsweredElsewhere, text);
        }
        if report.repeats() != self.policy.design.repeats {
            let text = format!(
                "the {arm} has {} answers per case; the policy wants {}",
                report.repeats(),
                self.policy.design.repeats
            );
            self.say(Code::RepeatsDiffer, text);
        }
    }

    /// Whether a report answers exactly a suite, is consistent and has few enough errors.
    fn check_answers(&mut self, arm: &str, report: &Report, (suite, id): (&Suite, &SuiteId)) {
        use crate::eval::Mismatch;
        let mismatches = report.mismatches(suite, id);
        let code = |mismatch: &Mismatch| match mismatch {
            Mismatch::Suite(_) => Code::SuiteDiffers,
            Mismatch::Missing(_)
            | Mismatch::Unknown(_)
            | Mismatch::Duplicate(_)
            | Mismatch::Expected(_) => Code::CasesDiffer,
            Mismatch::Model(_) => Code::ModelSwitched,
            Mismatch::Unscored(_) => Code::Unmeasured,
            Mismatch::Contradiction(_) | Mismatch::Graded(_) | Mismatch::Metrics => {
                Code::ReportInconsistent
            }
        };
        for kind in [
            Code::SuiteDiffers,
            Code::CasesDiffer,
            Code::ReportInconsistent,
            Code::ModelSwitched,
            Code::Unmeasured,
        ] {
            let of_kind: Vec<String> = mismatches
                .iter()
                .filter(|mismatch| code(mismatch) == kind)
                .map(ToString::to_string)
                .collect();
            if !of_kind.is_empty() {
                self.say(kind, format!("the {arm}'s report: {}", listed(&of_kind)));
            }
        }
        let errors = report
            .cases
            .iter()
            .filter(|case| case.error.is_some())
            .count();
        let (errors, n) = (errors as f64, report.cases.len().max(1) as f64);
        let allowed = self.policy.design.max_error_rate;
        let counted = self.policy.design.errors == ErrorPolicy::CountAsWrong;
        if errors / n > allowed.get() && !counted {
            let text = format!(
                "{errors} of {n} cases of the {arm} have an error; the policy allows a share of {allowed}"
            );
            self.say(Code::TooManyErrors, text);
        } else if errors > 0.0 {
            let text = format!(
                "{errors} of {n} cases of the {arm} have an error; each counts against the candidate"
            );
            self.say(Code::ErrorsCounted, text);
        }
    }

    /// The policy asks for a floor where there is one, and the candidate's answers to it are there and sound.
    fn check_floor(&mut self, trial: Option<FloorTrial<'_>>) {
        let (trial, rule) = match (trial, self.policy.floor()) {
            (None, None) => return,
            (Some(trial), Some(rule)) => (trial, rule),
            (Some(trial), None) => {
                let text = format!(
                    "the suite has a floor (cases: {}), and the policy has no `floor`",
                    trial.suite.cases().len()
                );
                return self.say(Code::NoFloorRule, text);
            }
            (None, Some(_)) => {
                let text =
                    "the policy has a `floor`, and there are no answers of the candidate to one";
                return self.say(Code::FloorMissing, text);
            }
        };
        if let Err(text) = trial.is_of(self.suite, &self.candidate.subject) {
            return self.say(Code::FloorMissing, text);
        }
        let Ok(id) = trial.suite.id() else {
            return self.say(Code::FloorMissing, "the floor has no identity");
        };
        self.check_answers("floor", trial.report, (trial.suite, &id));
        let Some(again) = trial.again else { return };
        let asked = trial.asked_again(rule);
        match asked.as_ref().map(|suite| (suite, suite.id())) {
            Some((suite, Ok(id))) if again.repeats() == rule.confirm.repeats => {
                self.check_answers("repeated floor", again, (suite, &id));
            }
            _ => {
                let text = "what was asked again are not the cases that the candidate missed, as often as the policy says";
                self.say(Code::FloorMissing, text);
            }
        }
    }

    /// Which cases of the floor are missed, and which of them fail.
    fn judge_floor(&mut self, trial: Option<FloorTrial<'_>>) -> Vec<Missed> {
        let (Some(trial), Some(rule)) = (trial, self.policy.floor()) else {
            return Vec::new();
        };
        let missed = floor::missed(&trial, rule);
        for (code, fails, what) in [
            (Code::FloorFailed, true, "not passed"),
            (Code::FloorUnsteady, false, "passed only when asked again"),
        ] {
            let cases = missed.iter().filter(|missed| missed.fails == fails);
            let named: Vec<String> = cases.map(|missed| trial.told(missed)).collect();
            if !named.is_empty() {
                let text = format!(
                    "{} of {} cases of the floor {what}: {}",
                    named.len(),
                    trial.suite.cases().len(),
                    listed(&named)
                );
                self.say(code, text);
            }
        }
        missed
    }

    /// What it was trained on is known, and holds none of the suite's texts.
    fn check_lineage(&mut self, lineage: &Lineage) {
        self.check_texts();
        match lineage {
            Lineage::Unknown { why } => {
                self.say(
                    Code::LineageUnknown,
                    format!("it is not known what the candidate was trained on: {why}"),
                );
            }
            Lineage::Traced { dataset, .. }
                if self.candidate.subject.dataset() != Some(*dataset) =>
            {
                self.say(
                    Code::LineageUnknown,
                    format!("the suite was compared with dataset {dataset}, which the candidate does not name"),
                );
            }
            Lineage::Traced { overlap, near, .. } => {
                self.check_overlap(overlap, "are in", self.policy.contamination());
                let action = self.policy.near().map(|near| near.action);
                // Without a rule for them nothing looks for near texts; if evidence names some, they count.
                let action = action.unwrap_or(Contamination::Invalid);
                self.check_overlap(near, "are nearly texts of", action);
            }
        }
    }

    /// Whether anybody could tell that a case was learned from: a table of scores may have no texts.
    fn check_texts(&mut self) {
        let cases = self.suite.cases();
        let silent = cases.iter().filter(|case| case.text.is_empty()).count();
        if silent == 0 {
            return;
        }
        let text = format!(
            "{silent} of {} cases have no text, so nobody can tell whether the candidate was trained on them",
            cases.len()
        );
        match self.policy.contamination() {
            Contamination::Report => self.say(Code::TextsUnknown, text),
            Contamination::Invalid | Contamination::Exclude => {
                self.say(Code::LineageUnknown, text);
            }
        }
    }

    /// Cases that were learned from, and what follows.
    fn check_overlap(&mut self, overlap: &[String], how: &str, action: Contamination) {
        if overlap.is_empty() {
            return;
        }
        let seen: BTreeSet<&str> = overlap.iter().map(String::as_str).collect();
        let known: BTreeSet<&'a str> = self
            .suite
            .cases()
            .iter()
            .map(|case| case.id.as_str())
            .filter(|id| seen.contains(id))
            .collect();
        let what = format!(
            "{} of {} cases {how} the candidate's training data: {}",
            overlap.len(),
            self.suite.cases().len(),
            listed(overlap)
        );
        match action {
            _ if known.len() != seen.len() => {
                self.say(
                    Code::CasesDiffer,
                    "the overlap names cases that the suite does not have",
                );
            }
            Contamination::Invalid => self.say(Code::Contaminated, what),
            Contamination::Exclude => {
                self.left_out.extend(known);
                self.say(
                    Code::ContaminatedExcluded,
                    format!("{what}; left out of both arms"),
                );
            }
            Contamination::Report => self.say(Code::ContaminatedIncluded, what),
        }
    }

    /// A PASS has to be possible on the cases that are left.
    fn check_size(&mut self) -> Result<(), StatsError> {
        let cases = (self.suite.cases().len() - self.left_out.len()) as u64;
        for unreachable in self.policy.unreachable(cases, self.first, self.occasion)? {
            self.say(
                Code::TooFewCases,
                format!("{unreachable}; there are {cases}"),
            );
        }
        Ok(())
    }

    fn compare(&mut self) -> Result<Vec<Comparison>, StatsError> {
        let criteria = self.policy.criteria_for(self.first);
        let mut comparisons = Vec::new();
        for baseline in self.baselines {
            let rows = Rows::pair(self.suite, self.candidate, baseline, &self.left_out);
            for criterion in &criteria {
                comparisons.extend(self.apply(criterion, &rows, baseline, None)?);
            }
            if !self.first {
                comparisons.extend(self.compare_required(&rows, baseline)?);
            }
        }
        if let (Some(report), Some(anchor), false) = (self.anchor, self.policy.anchor(), self.first)
        {
            let rows = Rows::pair(self.suite, self.candidate, report, &self.left_out);
            for criterion in criteria.iter().filter(|criterion| is_core(criterion)) {
                let own = Criterion {
                    rule: Rule::Noninferior,
                    margin: Some(anchor.margin),
                    ..criterion.clone()
                };
                let compared = self.apply(&own, &rows, report, None)?;
                comparisons.extend(compared.map(|comparison| Comparison {
                    anchor: true,
                    ..comparison
                }));
            }
        }
        Ok(comparisons)
    }

    /// Non-inferiority on each required slice. No correction: every one has to hold.
    fn compare_required(
        &mut self,
        rows: &Rows<'a>,
        baseline: &Report,
    ) -> Result<Vec<Comparison>, StatsError> {
        let mut comparisons = Vec::new();
        let required = self
            .policy
            .slices()
            .map(|slices| slices.required.as_slice());
        for slice in required.unwrap_or_default() {
            let part = rows.only(|case| slices::has(case, &slice.is));
            let name = slices::named(&slice.is);
            for criterion in self.policy.criteria().iter().filter(|c| is_core(c)) {
                let own = Criterion {
                    rule: Rule::Noninferior,
                    margin: Some(slice.margin),
                    ..criterion.clone()
                };
                let needs = own.minimum_cases(&self.design)?;
                if (part.all.len() as u64) < needs {
                    let text = format!(
                        "the required slice {name} has {} cases; with its margin it needs {needs}",
                        part.all.len()
                    );
                    self.say(Code::SliceMissing, text);
                    continue;
                }
                comparisons.extend(self.apply(&own, &part, baseline, Some(name.clone()))?);
            }
        }
        Ok(comparisons)
    }

    /// One criterion on some rows; `None` when they do not allow it, which is then a reason.
    fn apply(
        &mut self,
        criterion: &Criterion,
        rows: &Rows<'_>,
        baseline: &Report,
        slice: Option<String>,
    ) -> Result<Option<Comparison>, StatsError> {
        let arms = [self.candidate, baseline];
        let trusted = judged::trust(self.suite, arms, criterion, &self.design);
        let Some(trusted) = self.heard(trusted, &criterion.id)? else {
            return Ok(None);
        };
        let asked = trusted.as_ref().map(|judge| judge.corrected(criterion));
        let asked = asked.transpose()?;
        let asked = asked.as_ref().unwrap_or(criterion);
        let measured = measure::measure(asked, rows, &self.design);
        let Some((verdict, numbers)) = self.heard(measured, &criterion.id)? else {
            return Ok(None);
        };
        let verdict = match &trusted {
            Some(judge) => judge.softened(criterion, verdict, &numbers),
            None => verdict,
        };
        if slice.is_none() && criterion.is_paired() {
            self.check_constant(&numbers, &baseline.subject);
        }
        let what = Measured {
            criterion: asked,
            baseline: &baseline.subject,
            slice: slice.as_deref(),
            verdict,
            numbers: &numbers,
            judge: trusted.as_ref(),
        };
        self.explain(&what);
        Ok(Some(Comparison {
            baseline: baseline.subject.clone(),
            judge: trusted.map(|judge| judge.trust),
            criterion: criterion.id.clone(),
            anchor: false,
            slice,
            kind: criterion.kind,
            rule: criterion.rule,
            margin: criterion.margin,
            severity: criterion.severity,
            verdict,
            numbers,
        }))
    }

    /// Inputs that do not allow a measurement are a reason, not an error.
    fn heard<T>(
        &mut self,
        measured: Result<T, Trouble>,
        criterion: &str,
    ) -> Result<Option<T>, StatsError> {
        match measured {
            Ok(value) => Ok(Some(value)),
            Err(Trouble::Stats(error)) => Err(error),
            Err(Trouble::Reason(code, text)) => {
                self.say(code, format!("criterion {criterion}: {text}"));
                Ok(None)
            }
        }
    }

    /// Harm in any slice, against the one version that the candidate is to replace.
    fn compare_slices(&mut self) -> Result<Vec<SliceResult>, StatsError> {
        let (Some(slices), false, [baseline]) = (self.policy.slices(), self.first, self.baselines)
        else {
            return Ok(Vec::new());
        };
        let mut missing = Vec::new();
        for key in slices.by.iter().chain(&self.design.clusters) {
            if self
                .suite
                .cases()
                .iter()
                .all(|case| case.value(key).is_none())
            {
                missing.push(format!("no case of the suite has {key}"));
            }
        }
        if !missing.is_empty() {
            for text in missing {
                self.say(Code::SliceMissing, text);
            }
            return Ok(Vec::new());
        }
        let alpha = self.policy.slice_alpha(self.occasion)?;
        let rows = Rows::pair(self.suite, self.candidate, baseline, &self.left_out);
        let criteria: Vec<&Criterion> = self
            .policy
            .criteria()
            .iter()
            .filter(|criterion| is_core(criterion))
            .collect();
        let measured = slices::measure(slices, &criteria, &rows, &self.design, alpha);
        let Some(found) = self.heard(measured, "slices")? else {
            return Ok(Vec::new());
        };
        self.explain_slices(&found, alpha);
        Ok(found)
    }

    fn explain_slices(&mut self, found: &[SliceResult], alpha: f64) {
        for slice in found.iter().filter(|slice| slice.harmed) {
            let p = slice.adjusted_p.map_or(0.0, Decimal::get);
            let text = format!(
                "slice {} of criterion {}: {} improved, {} regressed of {}: worse (p = {p} after Holm's correction)",
                slice.slice, slice.criterion, slice.improved, slice.regressed, slice.n
            );
            self.say(Code::SliceHarm, text);
        }
        let Some(slices) = self.policy.slices() else {
            return;
        };
        let untested = found.iter().filter(|slice| slice.harm_p.is_none()).count();
        let enough = slices::enough(slices, found.len(), &self.design, alpha);
        let shows = |slice: &&SliceResult| slice.n >= enough && slice.harm_p.is_some();
        let coarse = found.len() - found.iter().filter(shows).count();
        if coarse > 0 {
            let text = format!(
                "{coarse} of {} slices have too few cases to show a drop of {:.1} points, which takes {enough}; {untested} of them too few to be tested at all",
                found.len(),
                100.0 * slices.detect.get()
            );
            self.say(Code::SlicesCoarse, text);
        }
    }

    fn check_constant(&mut self, numbers: &Numbers, baseline: &Subject) {
        let both = (numbers.candidate_right, numbers.baseline_right);
        if both == (Some(0), Some(0)) {
            let text = format!(
                "the candidate and the {baseline} have every case wrong: the labels do not fit the suite"
            );
            self.say(Code::NothingRight, text);
        } else if both == (Some(numbers.n), Some(numbers.n)) {
            let text = format!(
                "the candidate and the {baseline} have every case right: the suite cannot tell them apart"
            );
            self.say(Code::Saturated, text);
        }
    }

    fn explain(&mut self, measured: &Measured<'_>) {
        let Measured {
            criterion,
            baseline,
            numbers,
            verdict,
            ..
        } = *measured;
        let what = match measured.slice {
            Some(slice) => format!(
                "criterion {} on {slice} against the {baseline}",
                criterion.id
            ),
            None => format!("criterion {} against the {baseline}", criterion.id),
        };
        let what = format!("{what}: {}", seen(criterion, numbers));
        let harmful = numbers.is_harmful(self.design.alpha.get());
        let remark = match verdict {
            _ if criterion.rule == Rule::Report => None,
            Verdict::Pass if harmful => Some((
                Code::SmallRegression,
                format!("{what}: worse{}, by less than the margin", p_value(numbers)),
            )),
            Verdict::Pass => None,
            Verdict::Fail => Some((
                Code::Harm,
                format!("{what}: {}{}", failing(criterion), p_value(numbers)),
            )),
            Verdict::Inconclusive | Verdict::Invalid => {
                let advice = self.advice(measured);
                Some((
                    Code::Undecided,
                    format!("{what}: not enough to decide; {advice}"),
                ))
            }
        };
        match remark {
            Some((code, text))
                if criterion.severity != Severity::Block && code.verdict().is_some() =>
            {
                self.say(Code::NotHeld, text);
            }
            Some((code, text)) => self.say(code, text),
            None => {}
        }
    }

    /// What would decide: more cases, or another margin.
    fn advice(&self, measured: &Measured<'_>) -> String {
        let Measured {
            criterion, numbers, ..
        } = *measured;
        // Of a judge's verdicts the margin is a part of the policy's.
        let part = measured.judge.map_or(1.0, |judge| judge.trust.factor.get());
        let design = &self.design;
        let cases = match numbers.needed_cases(criterion, design) {
            Some(needed) if needed > numbers.n => {
                let more = needed - numbers.n;
                format!(
                    "{more} more cases ({needed} in all) would pass with probability {}",
                    design.power
                )
            }
            Some(_) => "so many cases usually suffice for an equally good candidate".to_owned(),
            None => "no number of cases would pass if the difference is the one seen".to_owned(),
        };
        let advice = numbers.passing_margin(criterion).map(|margin| {
            let points = format!("{:.1} points", 100.0 * margin);
            match (criterion.kind, criterion.rule) {
                (Kind::Quantile { .. } | Kind::Mean, _) => {
                    format!("these cases would pass with a ratio of {margin:.3}")
                }
                (Kind::Graded { .. }, Rule::Noninferior) => {
                    let margin = margin / part;
                    format!("these cases would pass with a margin of {margin:.3}")
                }
                (_, Rule::Noninferior) => {
                    let points = 100.0 * margin / part;
                    format!("these cases would pass with a margin of {points:.1} points")
                }
                (_, Rule::Absolute) => format!("these cases show {:.1} % at least", 100.0 * margin),
                (Kind::Graded { .. }, _) => {
                    format!("these cases show a gain of {margin:.3} at least")
                }
                _ => format!("these cases show a gain of {points} at least"),
            }
        });
        match advice {
            Some(advice) => format!("{cases}; {advice}"),
            None => cases,
        }
    }
}

/// A criterion as it was asked, and what came of it.
struct Measured<'a> {
    criterion: &'a Criterion,
    baseline: &'a Subject,
    slice: Option<&'a str>,
    verdict: Verdict,
    numbers: &'a Numbers,
    judge: Option<&'a Calibrated>,
}

/// Criteria on which slices and the anchor are judged: right and wrong against the baseline, and blocking.
fn is_core(criterion: &Criterion) -> bool {
    criterion.is_paired() && criterion.severity == Severity::Block
}

fn seen(criterion: &Criterion, numbers: &Numbers) -> String {
    match (criterion.kind, criterion.rule, numbers.candidate_right) {
        (Kind::Binary, Rule::Absolute | Rule::MustPass, Some(right)) => {
            format!("{right} right of {}", numbers.n)
        }
        (Kind::Quantile { .. } | Kind::Mean, ..) => format!(
            "ratio {:.3} (at most {:.3}) on {}",
            numbers.difference.get(),
            numbers.upper.get(),
            numbers.n
        ),
        _ => format!(
            "{} improved, {} regressed of {}",
            numbers.improved, numbers.regressed, numbers.n
        ),
    }
}

fn failing(criterion: &Criterion) -> &'static str {
    match (criterion.kind, criterion.rule) {
        (_, Rule::Absolute) => "less than the least share",
        (_, Rule::MustPass) => "every case has to be right",
        (Kind::Quantile { .. } | Kind::Mean, _) => "more than the ratio allows",
        _ => "worse",
    }
}

fn p_value(numbers: &Numbers) -> String {
    let text = numbers.harm_p.map(|p| format!(" (p = {p})"));
    text.unwrap_or_default()
}

/// The first few, and how many more.
fn listed(items: &[String]) -> String {
    let named = items[..items.len().min(NAMED)].join(", ");
    match items.len().saturating_sub(NAMED) {
        0 => named,
        more => format!("{named} and {more} more"),
    }
}
