//! Whether there is anything to judge: subjects, reports, lineage, sizes and the floor.

use std::collections::BTreeSet;

use super::Judging;
use crate::eval::{Report, Subject, Suite, SuiteId};
use crate::gate::floor::{self, FloorTrial, Missed};
use crate::gate::lineage::Lineage;
use crate::gate::policy::{Contamination, ErrorPolicy};
use crate::gate::reason::Code;
use crate::stats::StatsError;

/// How many case ids a reason names.
const NAMED: usize = 3;

impl<'a> Judging<'a> {
    /// A trained candidate, against one version or exactly the untrained baselines that the policy names.
    pub(super) fn check_subjects(&mut self) {
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
    pub(super) fn check_reports(&mut self) {
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
    pub(super) fn check_floor(&mut self, trial: Option<FloorTrial<'_>>) {
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
    pub(super) fn judge_floor(&mut self, trial: Option<FloorTrial<'_>>) -> Vec<Missed> {
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
    pub(super) fn check_lineage(&mut self, lineage: &Lineage) {
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
    pub(super) fn check_size(&mut self) -> Result<(), StatsError> {
        let cases = (self.suite.cases().len() - self.left_out.len()) as u64;
        for unreachable in self.policy.unreachable(cases, self.first, self.occasion)? {
            self.say(
                Code::TooFewCases,
                format!("{unreachable}; there are {cases}"),
            );
        }
        Ok(())
    }
}

/// The first few, and how many more.
fn listed(items: &[String]) -> String {
    let named = items[..items.len().min(NAMED)].join(", ");
    match items.len().saturating_sub(NAMED) {
        0 => named,
        more => format!("{named} and {more} more"),
    }
}
