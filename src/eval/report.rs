//! Reports: every case's answer, and the metrics computed from them.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fmt;

use serde::{Deserialize, Serialize};

use super::error::EvalError;
use super::grader::{Grader, Hearing, Marker, Opinions};
use super::judge::Judged;
use super::scored::Scored;
use super::subject::Subject;
use super::suite::{Case, Suite, SuiteId, Task};
use super::target::Served;
use crate::digest::Digest;
use crate::document::{Decimal, canonical};
use crate::stats::{Metrics, StatsError};
use crate::store::Store;

const SCHEMA: &str = "retune.report/1";

/// What is measured of an answer that is no score of it.
pub(super) const MEASURED: [&str; 2] = ["latency_ms", "cost_usd"];

crate::typed_id!(
    /// Identifies a report: the SHA-256 of its canonical document.
    ReportId
);

/// How a subject did on a suite. Plain data as stored; whether it fits its suite is asked with [`Report::mismatches`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Report {
    /// The suite.
    pub suite: SuiteId,
    /// What answered.
    pub subject: Subject,
    /// The labels that the subject can answer, in its order; none where answers are texts.
    pub labels: Vec<String>,
    /// Every case of the suite, in the suite's order.
    pub cases: Vec<CaseResult>,
    /// What the cases sum to.
    pub metrics: ReportMetrics,
    /// Who gave the answers, where that was not a model on this machine.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub served: Option<Served>,
    /// Who judged the answers, where the suite has a judge.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub judged: Option<Judged>,
    /// The version of retune that made it.
    pub tool: String,
}

/// What came of one case: an answer or an error, never both and never neither.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CaseResult {
    /// The case.
    pub id: String,
    /// Which of several answers to the case this is, from 0.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub repeat: u32,
    /// The right label, or the target.
    pub expected: String,
    /// The subject's label or text.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub predicted: Option<String>,
    /// Whether the answer is the right label, or meets every demand of the suite's graders.
    pub correct: bool,
    /// Why there is no answer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
    /// What else was measured, by metric: what a grader said, `output_tokens`, `latency_ms`, `cost_usd`.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub measures: BTreeMap<String, Decimal>,
    /// By metric, why a grader's demand is not met, where the grader says so.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub notes: BTreeMap<String, String>,
}

fn is_zero(number: &u32) -> bool {
    *number == 0
}

/// Metrics over all cases; a case with an error counts as wrong.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ReportMetrics {
    /// The share of cases that are right.
    pub accuracy: Decimal,
    /// The mean F1 of the labels that are expected or predicted; of labels only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub macro_f1: Option<Decimal>,
    /// By label; of labels only.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub per_label: BTreeMap<String, LabelReport>,
    /// The mean score by the metric of each grader, over the cases that it is asked about; an error scores 0. Of texts only.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub scores: BTreeMap<String, Decimal>,
    /// The number of cases.
    pub n: u64,
    /// How many of them have an error.
    pub errors: u64,
}

/// Metrics of one label.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LabelReport {
    /// Of the cases predicted to have this label, the share that has it.
    pub precision: Decimal,
    /// Of the cases that have this label, the share predicted to have it.
    pub recall: Decimal,
    /// The harmonic mean of precision and recall.
    pub f1: Decimal,
    /// The number of cases that have this label.
    pub support: u64,
}

/// What a subject says to a case.
#[derive(Debug, Clone, PartialEq)]
pub enum Answer {
    /// A label.
    Label(String),
    /// A text, and what was measured while it came about.
    Text {
        /// The text.
        text: String,
        /// By metric, such as `output_tokens`.
        measures: BTreeMap<String, Decimal>,
    },
    /// No answer, and why.
    Error(String),
}

/// A way in which a report does not fit its suite or itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Mismatch {
    /// It is about another suite.
    Suite(SuiteId),
    /// A case of the suite is not in it.
    Missing(String),
    /// A case is in it that the suite does not have.
    Unknown(String),
    /// A case is in it more than once.
    Duplicate(String),
    /// The right label or target is not the suite's.
    Expected(String),
    /// The graders of the suite say something else.
    Graded(String),
    /// A case says two things at once, or nothing.
    Contradiction(String),
    /// The metrics do not follow from the cases.
    Metrics,
    /// Another model than the one asked for answered or judged, or several did.
    Model(String),
    /// The tool that scored the answers has no score for this one.
    Unscored(String),
}

impl Report {
    /// The report of these answers: for each case in the suite's order as many as the suite has repeats.
    pub fn new(
        suite: &Suite,
        subject: Subject,
        labels: Vec<String>,
        answers: Vec<Answer>,
    ) -> Result<Self, EvalError> {
        Self::graded(suite, subject, labels, answers, &Opinions::default())
    }

    /// The same, where graders have to look further than the answers: `opinions` is what they found.
    pub fn graded(
        suite: &Suite,
        subject: Subject,
        labels: Vec<String>,
        answers: Vec<Answer>,
        opinions: &Opinions,
    ) -> Result<Self, EvalError> {
        let repeats = suite.repeats();
        if answers.len() != suite.cases().len() * repeats as usize {
            return Err(EvalError::Answers {
                answers: answers.len(),
                cases: suite.cases().len(),
                suite: suite.name().to_string(),
            });
        }
        let marker = suite.marker()?;
        let labelled = *suite.task() == Task::Classification;
        let cases: Vec<CaseResult> = suite
            .asked()
            .zip(answers)
            .map(|((case, repeat), answer)| match labelled {
                true => CaseResult::labelled(case, answer),
                false => {
                    let hearing = Hearing::Fresh { opinions, repeat };
                    CaseResult::graded(&marker, case, repeat, answer, hearing)
                }
            })
            .collect();
        Ok(Self {
            suite: suite.id()?,
            subject,
            labels,
            metrics: ReportMetrics::of(suite, &cases)?,
            cases,
            served: None,
            judged: None,
            tool: env!("CARGO_PKG_VERSION").to_owned(),
        })
    }

    /// The report of answers that another tool scored: for each case in the suite's order as many as it has repeats.
    pub(super) fn scored(
        suite: &Suite,
        subject: Subject,
        cases: Vec<CaseResult>,
        served: Served,
    ) -> Result<Self, EvalError> {
        Ok(Self {
            suite: suite.id()?,
            subject,
            labels: Vec::new(),
            metrics: ReportMetrics::of(suite, &cases)?,
            cases,
            served: Some(served),
            judged: None,
            tool: env!("CARGO_PKG_VERSION").to_owned(),
        })
    }

    /// The same report, of answers that were given elsewhere.
    pub fn served_by(self, served: Served) -> Self {
        Self {
            served: Some(served),
            ..self
        }
    }

    /// The same report, of answers that were judged.
    pub fn judged_by(self, judged: Judged) -> Self {
        Self {
            judged: Some(judged),
            ..self
        }
    }

    /// Whether another model answered or judged than was asked for.
    pub fn is_switched(&self) -> bool {
        let judge = self.judged.as_ref().map(|judged| &judged.by);
        let mut asked = self.served.iter().chain(judge);
        asked.any(|served| served.switched().is_some())
    }

    /// Why its judge is not the suite's, or not the model that was asked for.
    fn misjudged(&self, suite: &Suite) -> Option<String> {
        match (suite.judge(), &self.judged) {
            (None, None) => None,
            (Some(_), None) => Some("nobody judged the answers".to_owned()),
            (Some(judge), Some(judged)) if judge.target == judged.by.target => {
                judged.by.switched().map(|why| format!("the judge: {why}"))
            }
            (_, Some(judged)) => Some(format!(
                "the {} judged, which is not the suite's judge",
                judged.by.target
            )),
        }
    }

    /// The canonical document that [`ReportId`] is the digest of.
    pub fn document(&self) -> Result<Vec<u8>, EvalError> {
        canonical::encode(SCHEMA, self).map_err(|source| EvalError::Encode {
            what: "report",
            source,
        })
    }

    /// Puts the document into the store.
    pub fn store(&self, store: &Store) -> Result<ReportId, EvalError> {
        Ok(store.put_bytes(&self.document()?)?.digest.into())
    }

    /// Reads a report from the store; every byte is checked.
    pub fn load(store: &Store, id: &ReportId) -> Result<Self, EvalError> {
        let digest: Digest = id.digest();
        let bytes = store.read(&digest)?;
        canonical::decode(SCHEMA, &bytes).map_err(|source| EvalError::Document {
            what: "report",
            digest,
            source,
        })
    }

    /// The cases that have an answer which is not right, or none.
    pub fn missed(&self) -> BTreeSet<&str> {
        let wrong = self.cases.iter().filter(|case| !case.correct);
        wrong.map(|case| case.id.as_str()).collect()
    }

    /// How many answers each case has; at least 1.
    pub fn repeats(&self) -> u32 {
        1 + self.cases.iter().map(|case| case.repeat).max().unwrap_or(0)
    }

    /// Everything in which the report does not fit `suite`, whose identity is `id`, or itself.
    pub fn mismatches(&self, suite: &Suite, id: &SuiteId) -> Vec<Mismatch> {
        let mut found = Vec::new();
        let marker = suite.marker();
        if self.suite != *id {
            found.push(Mismatch::Suite(self.suite));
        }
        let mut results: HashMap<(&str, u32), &CaseResult> = HashMap::new();
        for result in &self.cases {
            if results
                .insert((&result.id, result.repeat), result)
                .is_some()
            {
                found.push(Mismatch::Duplicate(result.id.clone()));
            }
            if !result.is_consistent(suite) {
                found.push(Mismatch::Contradiction(result.id.clone()));
            }
            if result.is_unscored(suite) {
                found.push(Mismatch::Unscored(result.id.clone()));
            }
        }
        // A wild repeat number must not make this loop long: each number up to it has to be there.
        let repeats = self.repeats().min(self.cases.len().max(1) as u32);
        let answers = suite.cases().iter();
        for (case, repeat) in answers.flat_map(|case| (0..repeats).map(move |r| (case, r))) {
            match results.remove(&(case.id.as_str(), repeat)) {
                None => found.push(Mismatch::Missing(case.id.clone())),
                Some(result) if result.expected != case.label => {
                    found.push(Mismatch::Expected(case.id.clone()));
                }
                Some(result) if !result.is_graded_by(suite, marker.as_ref().ok(), case) => {
                    found.push(Mismatch::Graded(case.id.clone()));
                }
                Some(_) => {}
            }
        }
        let mut unknown: Vec<&str> = results.into_keys().map(|(id, _)| id).collect();
        unknown.sort_unstable();
        found.extend(
            unknown
                .into_iter()
                .map(|id| Mismatch::Unknown(id.to_owned())),
        );
        if let Some(why) = self.served.as_ref().and_then(Served::switched) {
            found.push(Mismatch::Model(why));
        }
        found.extend(self.misjudged(suite).map(Mismatch::Model));
        if ReportMetrics::of(suite, &self.cases).ok().as_ref() != Some(&self.metrics) {
            found.push(Mismatch::Metrics);
        }
        found
    }
}

impl CaseResult {
    fn labelled(case: &Case, answer: Answer) -> Self {
        let said = Said::of(answer);
        let correct = said.text.as_ref() == Ok(&case.label);
        Self::of(case, 0, said, correct)
    }

    /// A grader that cannot say anything leaves the case without an answer.
    fn graded(
        marker: &Marker<'_>,
        case: &Case,
        repeat: u32,
        answer: Answer,
        hearing: Hearing<'_>,
    ) -> Self {
        let said = Said::of(answer);
        let grades = match &said.text {
            Ok(text) => marker.grade(case, text, &said.measures, hearing),
            Err(why) => Err(why.clone()),
        };
        match grades {
            Ok(grades) => {
                let mut result = Self::of(case, repeat, said, grades.passed);
                result.measures.extend(grades.scores);
                result.notes = grades.notes;
                result
            }
            Err(why) => {
                let text = Err(why);
                Self::of(case, repeat, Said { text, ..said }, false)
            }
        }
    }

    fn of(case: &Case, repeat: u32, said: Said, correct: bool) -> Self {
        let (predicted, error) = match said.text {
            Ok(text) => (Some(text), None),
            Err(why) => (None, Some(why)),
        };
        Self {
            id: case.id.clone(),
            expected: case.label.clone(),
            correct,
            predicted,
            error,
            repeat,
            measures: said.measures,
            notes: BTreeMap::new(),
        }
    }

    /// Whether the tool that scored has left this answer out.
    fn is_unscored(&self, suite: &Suite) -> bool {
        match suite.task() {
            Task::Scored(scored) => {
                self.error.is_none() && !self.measures.contains_key(&scored.right)
            }
            Task::Classification | Task::Generation(_) => false,
        }
    }

    /// Whether a score of 1 says so. An error is never right.
    pub(super) fn is_right_by(&self, scored: &Scored) -> bool {
        let score = self.measures.get(&scored.right);
        self.error.is_none() && score.is_some_and(|score| score.get() == 1.0)
    }

    fn is_consistent(&self, suite: &Suite) -> bool {
        if let Task::Scored(scored) = suite.task() {
            let both = self.predicted.is_some() && self.error.is_some();
            return !both && self.correct == self.is_right_by(scored);
        }
        let labelled = *suite.task() == Task::Classification;
        self.predicted.is_some() != self.error.is_some()
            && (!self.correct || self.error.is_none())
            && (!labelled || self.correct == (self.predicted.as_ref() == Some(&self.expected)))
    }

    /// Whether grading the stored answer again gives what is stored. Labels and what another tool scored have no graders.
    fn is_graded_by(&self, suite: &Suite, marker: Option<&Marker<'_>>, case: &Case) -> bool {
        let Some(output) = &self.predicted else {
            return true;
        };
        if !matches!(suite.task(), Task::Generation(_)) {
            return true;
        }
        let grades = marker.and_then(|marker| {
            let grades = marker.grade(case, output, &self.measures, Hearing::Stored);
            grades.ok()
        });
        grades.is_some_and(|grades| {
            let stored = |(metric, score)| self.measures.get(metric) == Some(score);
            grades.passed == self.correct && grades.scores.iter().all(stored)
        })
    }
}

impl Answer {
    /// What graders read; `None` where there is no answer.
    pub(super) fn text(&self) -> Option<&str> {
        match self {
            Self::Label(text) | Self::Text { text, .. } => Some(text),
            Self::Error(_) => None,
        }
    }
}

/// An answer taken apart.
struct Said {
    text: Result<String, String>,
    measures: BTreeMap<String, Decimal>,
}

impl Said {
    fn of(answer: Answer) -> Self {
        let (text, measures) = match answer {
            Answer::Label(label) => (Ok(label), BTreeMap::new()),
            Answer::Text { text, measures } => (Ok(text), measures),
            Answer::Error(why) => (Err(why), BTreeMap::new()),
        };
        Self { text, measures }
    }
}

impl ReportMetrics {
    fn of(suite: &Suite, cases: &[CaseResult]) -> Result<Self, EvalError> {
        match suite.task() {
            Task::Classification => Self::of_labels(cases),
            Task::Generation(generation) => Self::of_texts(suite, &generation.graders, cases),
            Task::Scored(_) => Self::of_scores(cases),
        }
    }

    fn of_texts(
        suite: &Suite,
        graders: &[Grader],
        cases: &[CaseResult],
    ) -> Result<Self, EvalError> {
        if cases.is_empty() {
            return Err(EvalError::Metrics(StatsError::Empty));
        }
        let own: HashMap<&str, &[Grader]> = suite
            .cases()
            .iter()
            .map(|case| (case.id.as_str(), case.graders.as_slice()))
            .collect();
        let mut sums: BTreeMap<&str, (f64, u64)> = BTreeMap::new();
        for case in cases {
            let own = own.get(case.id.as_str()).copied().unwrap_or_default();
            let asked: BTreeSet<&str> = graders
                .iter()
                .chain(own)
                .map(|grader| grader.metric.as_str())
                .collect();
            for metric in asked {
                let found = case.measures.get(metric).filter(|_| case.error.is_none());
                let (sum, count) = sums.entry(metric).or_default();
                *sum += found.map_or(0.0, |score| score.get());
                *count += 1;
            }
        }
        let mean = |(metric, (sum, count)): (&str, (f64, u64))| {
            Ok((metric.to_owned(), decimal(sum / count as f64)?))
        };
        let right = cases.iter().filter(|case| case.correct).count();
        Ok(Self {
            accuracy: decimal(right as f64 / cases.len() as f64)?,
            macro_f1: None,
            per_label: BTreeMap::new(),
            scores: sums
                .into_iter()
                .map(mean)
                .collect::<Result<_, EvalError>>()?,
            n: cases.len() as u64,
            errors: errors(cases),
        })
    }

    /// The mean of each score over the answers that have it; an error scores 0.
    fn of_scores(cases: &[CaseResult]) -> Result<Self, EvalError> {
        if cases.is_empty() {
            return Err(EvalError::Metrics(StatsError::Empty));
        }
        let mut sums: BTreeMap<&str, (f64, u64)> = BTreeMap::new();
        for (metric, score) in cases.iter().flat_map(|case| &case.measures) {
            if !MEASURED.contains(&metric.as_str()) {
                let (sum, count) = sums.entry(metric).or_default();
                *sum += score.get();
                *count += 1;
            }
        }
        let (errors, n) = (errors(cases), cases.len() as u64);
        let mean = |(metric, (sum, count)): (&str, (f64, u64))| {
            Ok((metric.to_owned(), decimal(sum / (count + errors) as f64)?))
        };
        let right = cases.iter().filter(|case| case.correct).count();
        Ok(Self {
            accuracy: decimal(right as f64 / n as f64)?,
            macro_f1: None,
            per_label: BTreeMap::new(),
            scores: sums
                .into_iter()
                .map(mean)
                .collect::<Result<_, EvalError>>()?,
            n,
            errors,
        })
    }

    fn of_labels(cases: &[CaseResult]) -> Result<Self, EvalError> {
        let metrics = Metrics::of(
            cases
                .iter()
                .map(|case| (case.expected.as_str(), case.predicted.as_deref())),
        )?;
        let per_label = metrics
            .per_label
            .into_iter()
            .map(|(label, of)| {
                let report = LabelReport {
                    precision: decimal(of.precision)?,
                    recall: decimal(of.recall)?,
                    f1: decimal(of.f1)?,
                    support: of.support,
                };
                Ok((label, report))
            })
            .collect::<Result<_, EvalError>>()?;
        Ok(Self {
            accuracy: decimal(metrics.accuracy)?,
            macro_f1: Some(decimal(metrics.macro_f1)?),
            per_label,
            scores: BTreeMap::new(),
            n: cases.len() as u64,
            errors: errors(cases),
        })
    }
}

fn errors(cases: &[CaseResult]) -> u64 {
    cases.iter().filter(|case| case.error.is_some()).count() as u64
}

fn decimal(value: f64) -> Result<Decimal, EvalError> {
    Decimal::new(value).map_err(|_| {
        EvalError::Metrics(StatsError::Range {
            what: "a metric",
            value,
            range: "the finite numbers",
        })
    })
}

impl fmt::Display for Mismatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Suite(id) => write!(f, "it is about suite {id}"),
            Self::Missing(id) => write!(f, "case {id} is missing"),
            Self::Unknown(id) => write!(f, "case {id} is not in the suite"),
            Self::Duplicate(id) => write!(f, "case {id} is there more than once"),
            Self::Expected(id) => write!(f, "the right label of case {id} is not the suite's"),
            Self::Graded(id) => {
                write!(f, "the suite grades the answer to case {id} in another way")
            }
            Self::Contradiction(id) => write!(f, "case {id} contradicts itself"),
            Self::Model(why) => f.write_str(why),
            Self::Unscored(id) => write!(f, "case {id} has no score"),
            Self::Metrics => f.write_str("its metrics do not follow from its cases"),
        }
    }
}
