//! Cases on which the arms differ, for people to look at.

use serde::Serialize;

use super::error::GateError;
use super::evidence::Evidence;
use super::rows::Rows;
use crate::eval::{Report, Suite};
use crate::store::Store;

/// One case that improved or regressed against the first baseline.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Changed {
    /// Which way.
    pub change: Change,
    /// The case.
    pub id: String,
    /// What was asked.
    pub text: String,
    /// The right label.
    pub expected: String,
    /// The baseline's label, or its error.
    pub baseline: String,
    /// The candidate's label, or its error.
    pub candidate: String,
}

/// Which way a case changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Change {
    /// Right before, wrong now.
    Regressed,
    /// Wrong before, right now.
    Improved,
}

/// The cases whose label became wrong or right, from the stored reports: regressed ones first, each in the suite's order.
pub fn changed(store: &Store, evidence: &Evidence) -> Result<Vec<Changed>, GateError> {
    let suite = Suite::load(store, &evidence.suite)?;
    let candidate = Report::load(store, &evidence.candidate.report)?;
    let Some(first) = evidence.baselines.first() else {
        return Ok(Vec::new());
    };
    let baseline = Report::load(store, &first.report)?;
    let rows = Rows::pair(&suite, &candidate, &baseline, &Default::default());
    let said = |result: &crate::eval::CaseResult| {
        let error = result.error.as_deref().unwrap_or("no answer");
        let label = result.predicted.clone();
        label.unwrap_or_else(|| format!("error: {error}"))
    };
    let mut found = Vec::new();
    for row in &rows.all {
        let change = match (row.baseline.correct, row.candidate.correct) {
            (true, false) => Change::Regressed,
            (false, true) => Change::Improved,
            _ => continue,
        };
        found.push(Changed {
            change,
            id: row.case.id.clone(),
            text: row.case.text.clone(),
            expected: row.case.label.clone(),
            baseline: said(row.baseline),
            candidate: said(row.candidate),
        });
    }
    found.sort_by_key(|changed| changed.change);
    Ok(found)
}
