//! Cases that people have judged, and how well a judge agrees with them.

use std::collections::BTreeMap;
use std::path::Path;

use serde::de::IgnoredAny;
use serde::{Deserialize, Serialize};

use crate::dataset::Message;
use crate::document::{Fault, Faults};
use crate::eval::case_file::shorten;
use crate::eval::grader::{Grader, Rule};
use crate::eval::suite::{Case, Suite};
use crate::stats::Raters;

/// How a judge's verdicts on calibration cases compare with people's. No verdict counts as one that disagrees.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Agreement {
    /// Passed by people and by the judge.
    pub both_pass: u64,
    /// Passed by people only.
    pub only_people_pass: u64,
    /// Passed by the judge only.
    pub only_judge_passes: u64,
    /// Failed by people and by the judge.
    pub both_fail: u64,
    /// How many of the disagreements are no verdict: it could not be read, or was another one in another order.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub undecided: u64,
}

fn is_zero(number: &u64) -> bool {
    *number == 0
}

/// One calibration case.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Row {
    pub(super) metric: String,
    pub(super) rubric: String,
    pub(super) case: Case,
    pub(super) output: String,
    /// What it is compared with, where the metric is of pairs.
    pub(super) other: Option<String>,
    /// What people said: it meets the rubric, or is the better one.
    pub(super) pass: bool,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawRow {
    metric: Option<String>,
    rubric: Option<String>,
    prompt: Option<String>,
    messages: Option<Vec<Message>>,
    target: Option<String>,
    output: String,
    other: Option<String>,
    pass: bool,
    // Notes for people.
    #[serde(rename = "id")]
    _id: Option<IgnoredAny>,
    #[serde(rename = "metadata")]
    _metadata: Option<IgnoredAny>,
}

impl Agreement {
    /// Counts one more case; `judge` is `None` where it gave no verdict.
    pub(super) fn add(&mut self, people: bool, judge: Option<bool>) {
        self.undecided += u64::from(judge.is_none());
        let slot = match (people, judge.unwrap_or(!people)) {
            (true, true) => &mut self.both_pass,
            (true, false) => &mut self.only_people_pass,
            (false, true) => &mut self.only_judge_passes,
            (false, false) => &mut self.both_fail,
        };
        *slot += 1;
    }

    /// People as the first rater, the judge as the second.
    pub fn raters(&self) -> Raters {
        Raters {
            both: self.both_pass,
            only_first: self.only_people_pass,
            only_second: self.only_judge_passes,
            neither: self.both_fail,
        }
    }

    /// How many of the cases that people passed the judge passes too, and how many those are.
    pub fn passes(&self) -> (u64, u64) {
        (self.both_pass, self.both_pass + self.only_people_pass)
    }

    /// How many of the cases that people failed the judge fails too, and how many those are.
    pub fn fails(&self) -> (u64, u64) {
        (self.both_fail, self.both_fail + self.only_judge_passes)
    }
}

/// The judged metrics, each with a rule that it is measured by.
type Metrics<'a> = BTreeMap<&'a str, &'a Rule>;

/// Reads the JSONL of calibration cases for the judged graders of a suite. Every fault comes with its line.
pub(super) fn read(path: &Path, bytes: &[u8], suite: &Suite) -> Result<Vec<Row>, Faults> {
    let judged = suite.cases().iter().flat_map(|case| suite.graders_of(case));
    let judged = judged.filter(|grader| grader.is_judged());
    let metrics: Metrics<'_> = judged
        .map(|grader| (grader.metric.as_str(), &grader.rule))
        .collect();
    let at = |line: Option<usize>, message: String| Fault {
        file: path.to_owned(),
        line,
        key: String::new(),
        message,
    };
    let (mut rows, mut faults) = (Vec::new(), Vec::new());
    for (index, line) in bytes.split(|byte| *byte == b'\n').enumerate() {
        if line.trim_ascii().is_empty() {
            continue;
        }
        let raw = serde_json::from_slice::<RawRow>(line).map_err(|error| error.to_string());
        match raw.and_then(|raw| raw.row(&metrics, suite.graders())) {
            Ok(row) => rows.push(row),
            Err(why) => faults.push(at(Some(index + 1), why)),
        }
    }
    if faults.is_empty() {
        let lacking = metrics.keys().flat_map(|metric| lacking(metric, &rows));
        faults.extend(lacking.map(|why| at(None, why)));
    }
    Faults::check(shorten(path, faults))?;
    Ok(rows)
}

/// A judge that is never seen to pass, or never to fail, has shown nothing.
fn lacking(metric: &str, rows: &[Row]) -> Vec<String> {
    let mut seen: BTreeMap<bool, u64> = BTreeMap::new();
    for row in rows.iter().filter(|row| row.metric == metric) {
        *seen.entry(row.pass).or_default() += 1;
    }
    let wanted = [(true, "passed"), (false, "failed")].into_iter();
    let missing = wanted.filter(|(pass, _)| !seen.contains_key(pass));
    missing
        .map(|(_, how)| format!("metric {metric} has no case that people {how}"))
        .collect()
}

impl RawRow {
    fn row(self, metrics: &Metrics<'_>, of_all: &[Grader]) -> Result<Row, String> {
        let known = || metrics.keys().copied().collect::<Vec<_>>().join(", ");
        let mut one = metrics.keys();
        let metric = match (&self.metric, one.next(), one.next()) {
            (Some(metric), ..) if metrics.contains_key(metric.as_str()) => metric.clone(),
            (Some(metric), ..) => {
                return Err(format!(
                    "no judged metric is called {metric:?}: {}",
                    known()
                ));
            }
            (None, Some(only), None) => (*only).to_owned(),
            (None, ..) => return Err(format!("which `metric`? {}", known())),
        };
        let (text, messages) = match (self.prompt, self.messages) {
            (Some(prompt), None) => (prompt, Vec::new()),
            (None, Some(messages)) if !messages.is_empty() => (String::new(), messages),
            _ => return Err("either `prompt` or `messages` has to be there".to_owned()),
        };
        let pairs = matches!(metrics.get(metric.as_str()), Some(Rule::Pairwise { .. }));
        if pairs != self.other.is_some() {
            return Err(match pairs {
                true => {
                    format!("{metric} compares: say `other`, the answer that people compared with")
                }
                false => format!("`other` means nothing for {metric}, which compares nothing"),
            });
        }
        let label = self.target.unwrap_or_default();
        let general = of_all.iter().find(|grader| grader.metric == metric);
        let general = general.map(|grader| match &grader.rule {
            Rule::LlmRubric {
                value: Some(rubric),
            }
            | Rule::Pairwise { value: rubric } => rubric.clone(),
            _ => label.clone(),
        });
        let rubric = self
            .rubric
            .or(general)
            .filter(|rubric| !rubric.trim().is_empty());
        Ok(Row {
            rubric: rubric.ok_or("say `rubric`: the suite has none for all of its cases")?,
            metric,
            case: Case {
                text,
                messages,
                label,
                ..Case::default()
            },
            output: self.output,
            other: self.other,
            pass: self.pass,
        })
    }
}
