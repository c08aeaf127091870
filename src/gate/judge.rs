//! From reports to a verdict.

use std::collections::{BTreeSet, HashMap};

use serde::{Deserialize, Serialize};

use super::lineage::Lineage;
use super::numbers::{Counts, Numbers};
use super::policy::{Contamination, Criterion, Design, Policy, Rule, Severity};
use super::reason::{Code, Reason};
use super::verdict::Verdict;
use crate::document::Decimal;
use crate::eval::{Report, Subject, Suite, SuiteId};
use crate::stats::{Pairs, StatsError};

/// How many case ids a reason names.
const NAMED: usize = 3;

/// The answer and what it rests on.
#[derive(Debug, Clone, PartialEq)]
pub struct Judgement {
    /// The worst that any reason or blocking criterion leads to.
    pub verdict: Verdict,
    /// One per baseline and criterion; empty when there was nothing to judge.
    pub comparisons: Vec<Comparison>,
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
    /// Its rule.
    pub rule: Rule,
    /// Its margin.
    pub margin: Decimal,
    /// What follows from it.
    pub severity: Severity,
    /// PASS, FAIL or INCONCLUSIVE.
    pub verdict: Verdict,
    /// What it rests on.
    pub numbers: Numbers,
}

/// Judges `candidate` against every one of `baselines`: one version, or for a first version the untrained ones.
///
/// Validity comes first: anything missing, unequal, contradictory, learned by heart or of unknown origin is INVALID,
/// and then nothing is compared. An error means that a number could not be computed; it is never an outcome.
pub fn judge(
    policy: &Policy,
    suite: &Suite,
    candidate: &Report,
    baselines: &[&Report],
    lineage: &Lineage,
) -> Result<Judgement, StatsError> {
    let Ok(id) = suite.id() else {
        let reason = Reason::new(Code::SuiteDiffers, "the suite has no identity");
        return Ok(Judgement::of(Vec::new(), vec![reason]));
    };
    let mut case = Judging {
        policy,
        suite,
        id,
        candidate,
        baselines,
        first: is_first_version(baselines),
        left_out: BTreeSet::new(),
        reasons: Vec::new(),
    };
    case.check_subjects();
    case.check_reports();
    case.check_lineage(lineage);
    case.check_size()?;
    if case
        .reasons
        .iter()
        .any(|reason| reason.code.verdict().is_some())
    {
        return Ok(Judgement::of(Vec::new(), case.reasons));
    }
    let comparisons = case.compare()?;
    Ok(Judgement::of(comparisons, case.reasons))
}

/// Whether the baselines are untrained ones, so that the rule for first versions applies.
pub(super) fn is_first_version(baselines: &[&Report]) -> bool {
    !baselines.is_empty()
        && baselines
            .iter()
            .all(|report| report.subject.baseline_kind().is_some())
}

impl Judgement {
    fn of(comparisons: Vec<Comparison>, mut reasons: Vec<Reason>) -> Self {
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
            reasons,
        }
    }
}

struct Judging<'a> {
    policy: &'a Policy,
    suite: &'a Suite,
    id: SuiteId,
    candidate: &'a Report,
    baselines: &'a [&'a Report],
    first: bool,
    left_out: BTreeSet<&'a str>,
    reasons: Vec<Reason>,
}

impl<'a> Judging<'a> {
    fn say(&mut self, code: Code, text: impl Into<String>) {
        self.reasons.push(Reason::new(code, text));
    }

    /// A trained candidate, against one version or exactly the untrained baselines that the policy names.
    fn check_subjects(&mut self) {
        if self.candidate.subject.baseline_kind().is_some() {
            self.say(
                Code::NotACandidate,
                format!(
                    "the candidate is the {}, not a trained adapter",
                    self.candidate.subject
                ),
            );
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
            let fair = subject.dataset() == candidate.dataset()
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
    }

    fn check_report(&mut self, arm: &str, report: &Report) {
        use crate::eval::Mismatch;
        let mismatches = report.mismatches(self.suite, &self.id);
        let code = |mismatch: &Mismatch| match mismatch {
            Mismatch::Suite(_) => Code::SuiteDiffers,
            Mismatch::Missing(_)
            | Mismatch::Unknown(_)
            | Mismatch::Duplicate(_)
            | Mismatch::Expected(_) => Code::CasesDiffer,
            Mismatch::Contradiction(_) | Mismatch::Metrics => Code::ReportInconsistent,
        };
        for kind in [
            Code::SuiteDiffers,
            Code::CasesDiffer,
            Code::ReportInconsistent,
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
        if errors / n > allowed.get() {
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

    /// What it was trained on is known, and holds none of the suite's texts.
    fn check_lineage(&mut self, lineage: &Lineage) {
        let overlap = match lineage {
            Lineage::Unknown { why } => {
                self.say(
                    Code::LineageUnknown,
                    format!("it is not known what the candidate was trained on: {why}"),
                );
                return;
            }
            Lineage::Traced { dataset, .. }
                if self.candidate.subject.dataset() != Some(*dataset) =>
            {
                self.say(
                    Code::LineageUnknown,
                    format!("the suite was compared with dataset {dataset}, which the candidate does not name"),
                );
                return;
            }
            Lineage::Traced { overlap, .. } if overlap.is_empty() => return,
            Lineage::Traced { overlap, .. } => overlap,
        };
        let seen: BTreeSet<&str> = overlap.iter().map(String::as_str).collect();
        let known: BTreeSet<&'a str> = self
            .suite
            .cases()
            .iter()
            .map(|case| case.id.as_str())
            .filter(|id| seen.contains(id))
            .collect();
        let what = format!(
            "{} of {} cases are in the candidate's training data: {}",
            overlap.len(),
            self.suite.cases().len(),
            listed(overlap)
        );
        match self.policy.contamination() {
            _ if known.len() != seen.len() => {
                self.say(
                    Code::CasesDiffer,
                    "the overlap names cases that the suite does not have",
                );
            }
            Contamination::Invalid => self.say(Code::Contaminated, what),
            Contamination::Exclude => {
                self.left_out = known;
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
        for unreachable in self.policy.unreachable(cases, self.first)? {
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
            let counts = self.count(baseline);
            self.check_constant(&counts, &baseline.subject);
            for criterion in &criteria {
                let numbers = Numbers::of(&counts, criterion, &self.policy.design)?;
                let verdict = decide(&counts.pairs()?, criterion, &self.policy.design)?;
                self.explain(criterion, &baseline.subject, verdict, &numbers);
                comparisons.push(Comparison {
                    baseline: baseline.subject.clone(),
                    criterion: criterion.id.clone(),
                    rule: criterion.rule,
                    margin: criterion.margin,
                    severity: criterion.severity,
                    verdict,
                    numbers,
                });
            }
        }
        Ok(comparisons)
    }

    /// Counts both arms. A case with an error in either counts against the candidate: it is a regression unless the
    /// baseline is known to have it wrong.
    fn count(&self, baseline: &Report) -> Counts {
        let of_baseline: HashMap<&str, (bool, bool)> = baseline
            .cases
            .iter()
            .map(|case| (case.id.as_str(), (case.correct, case.error.is_some())))
            .collect();
        let mut counts = Counts::default();
        for case in &self.candidate.cases {
            if self.left_out.contains(case.id.as_str()) {
                continue;
            }
            let (right, errored) = of_baseline
                .get(case.id.as_str())
                .copied()
                .unwrap_or((false, true));
            counts.add(case.correct && !errored, right || errored);
        }
        counts
    }

    fn check_constant(&mut self, counts: &Counts, baseline: &Subject) {
        if counts.candidate_right == 0 && counts.baseline_right == 0 {
            let text = format!(
                "the candidate and the {baseline} have every case wrong: the labels do not fit the suite"
            );
            self.say(Code::NothingRight, text);
        } else if counts.candidate_right == counts.n && counts.baseline_right == counts.n {
            let text = format!(
                "the candidate and the {baseline} have every case right: the suite cannot tell them apart"
            );
            self.say(Code::Saturated, text);
        }
    }

    fn explain(
        &mut self,
        criterion: &Criterion,
        baseline: &Subject,
        verdict: Verdict,
        numbers: &Numbers,
    ) {
        let counts = format!(
            "{} improved, {} regressed of {}",
            numbers.improved, numbers.regressed, numbers.n
        );
        let what = format!(
            "criterion {} against the {baseline}: {counts}",
            criterion.id
        );
        let harmful = numbers.harm_p < self.policy.design.alpha;
        let remark = match verdict {
            Verdict::Pass if harmful => Some((
                Code::SmallRegression,
                format!(
                    "{what}: worse (p = {}), by less than the margin",
                    numbers.harm_p
                ),
            )),
            Verdict::Pass => None,
            Verdict::Fail => Some((
                Code::Harm,
                format!("{what}: worse (p = {})", numbers.harm_p),
            )),
            Verdict::Inconclusive | Verdict::Invalid => {
                let advice = self.advice(criterion, numbers);
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
    fn advice(&self, criterion: &Criterion, numbers: &Numbers) -> String {
        let design = &self.policy.design;
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
        let points = |share: f64| format!("{:.1} points", 100.0 * share);
        match (numbers.passing_margin(criterion.rule), criterion.rule) {
            (Some(margin), Rule::Noninferior) => {
                format!(
                    "{cases}; these cases would pass with a margin of {}",
                    points(margin)
                )
            }
            (Some(margin), Rule::Superior) => {
                format!(
                    "{cases}; these cases show a gain of {} at least",
                    points(margin)
                )
            }
            (None, _) => cases,
        }
    }
}

/// PASS when the rule is shown, else FAIL when harm is shown, else INCONCLUSIVE.
fn decide(pairs: &Pairs, criterion: &Criterion, design: &Design) -> Result<Verdict, StatsError> {
    let question = criterion.question(design)?;
    Ok(if question.passes(pairs) {
        Verdict::Pass
    } else if crate::stats::harm_p(pairs) < design.alpha.get() {
        Verdict::Fail
    } else {
        Verdict::Inconclusive
    })
}

/// The first few, and how many more.
fn listed(items: &[String]) -> String {
    let named = items[..items.len().min(NAMED)].join(", ");
    match items.len().saturating_sub(NAMED) {
        0 => named,
        more => format!("{named} and {more} more"),
    }
}
