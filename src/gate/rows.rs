//! Two arms, case by case.

use std::collections::{BTreeSet, HashMap};

use super::policy::{Design, Metric};
use super::reason::Code;
use crate::eval::{Case, CaseResult, Report, Suite};
use crate::stats::{Clusters, MIN_CLUSTERS, StatsError};

/// Why a criterion has no numbers.
#[derive(Debug)]
pub(super) enum Trouble {
    /// The inputs do not allow it: INVALID.
    Reason(Code, String),
    /// A number cannot be computed.
    Stats(StatsError),
}

impl From<StatsError> for Trouble {
    fn from(error: StatsError) -> Self {
        Self::Stats(error)
    }
}

/// The answers of both arms to the same cases, in the suite's order, repeats beside each other.
#[derive(Clone)]
pub(super) struct Rows<'a> {
    pub(super) all: Vec<Row<'a>>,
    pub(super) repeats: u32,
}

/// One answer of each arm to one case.
#[derive(Clone, Copy)]
pub(super) struct Row<'a> {
    pub(super) case: &'a Case,
    pub(super) candidate: &'a CaseResult,
    pub(super) baseline: &'a CaseResult,
}

impl<'a> Rows<'a> {
    /// Pairs two reports that answer exactly the suite, without the cases that are left out.
    pub(super) fn pair(
        suite: &'a Suite,
        candidate: &'a Report,
        baseline: &'a Report,
        left_out: &BTreeSet<&str>,
    ) -> Self {
        let (left, repeats) = (left_out, candidate.repeats());
        if let Some(all) = Self::in_order(suite, candidate, baseline, left, repeats) {
            return Self { all, repeats };
        }
        let index = |report: &'a Report| -> HashMap<(&'a str, u32), &'a CaseResult> {
            let key = |result: &'a CaseResult| ((result.id.as_str(), result.repeat), result);
            report.cases.iter().map(key).collect()
        };
        let (of_candidate, of_baseline) = (index(candidate), index(baseline));
        let kept = suite.cases().iter();
        let kept = kept.filter(|case| !left_out.contains(case.id.as_str()));
        let row = |(case, repeat): (&'a Case, u32)| {
            let key = (case.id.as_str(), repeat);
            Some(Row {
                case,
                candidate: of_candidate.get(&key)?,
                baseline: of_baseline.get(&key)?,
            })
        };
        Self {
            all: kept
                .flat_map(|case| (0..repeats).map(move |repeat| (case, repeat)))
                .filter_map(row)
                .collect(),
            repeats,
        }
    }

    /// Reports keep the suite's order, so that nothing has to be looked up; `None` for one that does not.
    fn in_order(
        suite: &'a Suite,
        candidate: &'a Report,
        baseline: &'a Report,
        left_out: &BTreeSet<&str>,
        repeats: u32,
    ) -> Option<Vec<Row<'a>>> {
        let mut answers = candidate.cases.iter().zip(&baseline.cases);
        let mut all = Vec::with_capacity(candidate.cases.len());
        for case in suite.cases() {
            let kept = left_out.is_empty() || !left_out.contains(case.id.as_str());
            for repeat in 0..repeats {
                let (candidate, baseline) = answers.next()?;
                let here = |result: &CaseResult| result.id == case.id && result.repeat == repeat;
                if !here(candidate) || !here(baseline) {
                    return None;
                }
                if kept {
                    all.push(Row {
                        case,
                        candidate,
                        baseline,
                    });
                }
            }
        }
        Some(all)
    }

    /// The rows of some cases.
    pub(super) fn only(&self, of: impl Fn(&Case) -> bool) -> Self {
        Self {
            all: self
                .all
                .iter()
                .filter(|row| of(row.case))
                .copied()
                .collect(),
            repeats: self.repeats,
        }
    }

    /// The clusters of the rows: what the policy names, else the repeats of one case; `None` for independent rows.
    pub(super) fn clusters(&self, design: &Design) -> Result<Option<Clusters>, Trouble> {
        match &design.clusters {
            Some(key) => self
                .group(|row| row.case.value(key).unwrap_or_default())
                .map(Some),
            None if self.repeats > 1 => self.group(|row| row.case.id.as_str()).map(Some),
            None => Ok(None),
        }
    }

    fn group(&self, key: impl Fn(&Row<'a>) -> &'a str) -> Result<Clusters, Trouble> {
        let mut numbers: HashMap<&str, usize> = HashMap::new();
        let mut of = Vec::with_capacity(self.all.len());
        for row in &self.all {
            let next = numbers.len();
            of.push(*numbers.entry(key(row)).or_insert(next));
        }
        if numbers.len() < MIN_CLUSTERS {
            let text = format!(
                "the cases come in {} clusters; {MIN_CLUSTERS} are needed",
                numbers.len()
            );
            return Err(Trouble::Reason(Code::TooFewClusters, text));
        }
        Ok(Clusters::new(of, numbers.len())?)
    }

    /// The mean over the repeats of each case, and one row for each of them.
    pub(super) fn averaged(&self, values: &[f64]) -> (Self, Vec<f64>) {
        let size = self.repeats.max(1) as usize;
        let means = values
            .chunks(size)
            .map(|chunk| chunk.iter().sum::<f64>() / chunk.len() as f64);
        let first = Self {
            all: self.all.iter().step_by(size).copied().collect(),
            repeats: 1,
        };
        (first, means.collect())
    }
}

impl Row<'_> {
    /// Whether each arm has it right, as the gate counts: an error in either arm counts against the candidate.
    pub(super) fn right(&self, metric: &Metric) -> Result<(bool, bool), Trouble> {
        let (candidate, baseline) = (
            truth(self.candidate, metric)?,
            truth(self.baseline, metric)?,
        );
        let broken = self.baseline.error.is_some();
        Ok((candidate && !broken, baseline || broken))
    }

    /// A measure of both arms.
    pub(super) fn measures(&self, metric: &Metric) -> Result<(f64, f64), Trouble> {
        let of = |result: &CaseResult| {
            let found = result.measures.get(metric.as_str());
            found
                .map(|value| value.get())
                .ok_or_else(|| unmeasured(result, metric))
        };
        Ok((of(self.candidate)?, of(self.baseline)?))
    }
}

fn truth(result: &CaseResult, metric: &Metric) -> Result<bool, Trouble> {
    let measured = result.measures.get(metric.as_str());
    // A grader of texts may be called `exact_match`; elsewhere the name is another word for being right.
    if result.error.is_some() || metric.is_accuracy() && measured.is_none() {
        return Ok(result.correct);
    }
    match measured.map(|value| value.get()) {
        Some(1.0) => Ok(true),
        Some(0.0) => Ok(false),
        Some(other) => Err(Trouble::Reason(
            Code::Unmeasured,
            format!("{metric} of case {} is {other}, neither 0 nor 1", result.id),
        )),
        None => Err(unmeasured(result, metric)),
    }
}

fn unmeasured(result: &CaseResult, metric: &Metric) -> Trouble {
    let text = format!("{metric} was not measured on case {}", result.id);
    Trouble::Reason(Code::Unmeasured, text)
}
