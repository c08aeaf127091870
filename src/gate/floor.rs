//! The floor: cases that the candidate has to pass whatever the comparison with the baseline says.
//!
//! They are a suite of their own and never enter the paired statistics: they were chosen because a version failed on
//! them, so that on them that version looks worse, and any other one better, than they are in use.

use serde::{Deserialize, Serialize};

use super::error::GateError;
use super::evidence::Evidence;
use super::policy::FloorRule;
use crate::eval::{CaseResult, Report, ReportId, Subject, Suite, SuiteId};
use crate::store::Store;

/// How much of an expected or given answer a reason tells.
const TOLD: usize = 60;

/// The candidate's answers to a floor.
#[derive(Clone, Copy)]
pub struct FloorTrial<'a> {
    /// The floor.
    pub suite: &'a Suite,
    /// The candidate's report on it.
    pub report: &'a Report,
    /// Its report on the cases that it missed, asked again.
    pub again: Option<&'a Report>,
}

/// What a judgement says about the floor.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FloorResult {
    /// The floor.
    pub suite: SuiteId,
    /// The candidate's answers.
    pub report: ReportId,
    /// Its answers to the cases that it missed, asked again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub again: Option<ReportId>,
    /// How many cases there are.
    pub cases: u64,
    /// Those that were not passed at once, in the floor's order.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub missed: Vec<Missed>,
}

/// A case of the floor that was not passed at once.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Missed {
    /// The case.
    pub id: String,
    /// How often it was asked again.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub asked: u32,
    /// How many of these answers were not right.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub wrong: u32,
    /// Whether it fails the gate.
    pub fails: bool,
}

fn is_zero(number: &u32) -> bool {
    *number == 0
}

/// The cases that were not passed at once. What was not asked again fails.
pub(super) fn missed(trial: &FloorTrial<'_>, rule: &FloorRule) -> Vec<Missed> {
    let of = |id: &str| {
        let answers = trial.again.iter().flat_map(|again| &again.cases);
        let (mut asked, mut wrong) = (0, 0);
        for answer in answers.filter(|answer| answer.id == id) {
            asked += 1;
            wrong += u32::from(!answer.correct);
        }
        Missed {
            id: id.to_owned(),
            asked,
            wrong,
            fails: asked == 0 || wrong >= rule.confirm.fail_if,
        }
    };
    trial.report.missed().into_iter().map(of).collect()
}

impl FloorTrial<'_> {
    /// The suite that asks again what was missed; `None` where nothing is asked again.
    pub(super) fn asked_again(&self, rule: &FloorRule) -> Option<Suite> {
        self.suite
            .again(&self.report.missed(), rule.confirm.repeats)
    }

    /// Whether it is the floor of this suite, answered by this subject.
    pub(super) fn is_of(&self, suite: &Suite, subject: &Subject) -> Result<(), String> {
        if Suite::floor_name(suite.name()).as_ref() != Some(self.suite.name()) {
            return Err(format!(
                "{} is not the floor of suite {}",
                self.suite.name(),
                suite.name()
            ));
        }
        let reports = [Some(self.report), self.again];
        match reports
            .into_iter()
            .flatten()
            .find(|report| report.subject != *subject)
        {
            Some(other) => Err(format!("the floor was answered by the {}", other.subject)),
            None => Ok(()),
        }
    }

    /// A missed case with what was said, for people.
    pub(super) fn told(&self, missed: &Missed) -> String {
        let answer = self.report.cases.iter().find(|case| case.id == missed.id);
        let said = answer.map_or_else(|| "no answer".to_owned(), said);
        let wanted = answer
            .map(|answer| answer.expected.as_str())
            .unwrap_or_default();
        let again = match missed.asked {
            0 => String::new(),
            asked => format!("; wrong {} of {asked} times when asked again", missed.wrong),
        };
        match wanted.is_empty() {
            true => format!("{} ({said}{again})", missed.id),
            false => format!(
                "{} ({said} instead of {}{again})",
                missed.id,
                quoted(wanted)
            ),
        }
    }
}

fn said(answer: &CaseResult) -> String {
    match (&answer.predicted, &answer.error) {
        (Some(text), _) => quoted(text),
        (None, Some(why)) => format!("error: {}", shortened(why)),
        (None, None) => "no answer".to_owned(),
    }
}

fn quoted(text: &str) -> String {
    format!("{:?}", shortened(text))
}

fn shortened(text: &str) -> String {
    let mut chars = text.chars();
    let beginning: String = chars.by_ref().take(TOLD).collect();
    match chars.next() {
        Some(_) => format!("{beginning}…"),
        None => beginning,
    }
}

/// A missed case with all that was asked and said, for people.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct MissedCase {
    /// The case, and whether it fails.
    #[serde(flatten)]
    pub missed: Missed,
    /// What was asked.
    pub text: String,
    /// The right label or target.
    pub expected: String,
    /// The candidate's answer, or its error.
    pub candidate: String,
}

/// The cases of the floor that were not passed at once, from the stored report: those that fail first.
pub fn missed_cases(store: &Store, evidence: &Evidence) -> Result<Vec<MissedCase>, GateError> {
    let Some(floor) = evidence
        .floor
        .as_ref()
        .filter(|floor| !floor.missed.is_empty())
    else {
        return Ok(Vec::new());
    };
    let suite = Suite::load(store, &floor.suite)?;
    let report = Report::load(store, &floor.report)?;
    let of = |missed: &Missed| {
        let case = suite.cases().iter().find(|case| case.id == missed.id);
        let answer = report.cases.iter().find(|answer| answer.id == missed.id);
        let candidate = answer.map_or_else(String::new, |answer| {
            match (&answer.predicted, &answer.error) {
                (Some(text), _) => text.clone(),
                (None, why) => format!("error: {}", why.as_deref().unwrap_or("no answer")),
            }
        });
        MissedCase {
            missed: missed.clone(),
            text: case.map(|case| case.text.clone()).unwrap_or_default(),
            expected: case.map(|case| case.label.clone()).unwrap_or_default(),
            candidate,
        }
    };
    let mut cases: Vec<MissedCase> = floor.missed.iter().map(of).collect();
    cases.sort_by_key(|case| !case.missed.fails);
    Ok(cases)
}
