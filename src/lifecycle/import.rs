//! Taking over what another tool measured, once.

use super::evaluate::{EvaluateError, Evaluation, record, reports_of};
use super::workspace::Workspace;
use crate::digest::Digest;
use crate::eval::import::Results;
use crate::eval::{Report, Subject, Suite};
use crate::name::SuiteName;

/// Records what `subject` did on the cases of another tool, unless the registry has a report of exactly this log.
///
/// The report is about `subject`: a registered version only where the caller says that it is what the log calls its
/// model. The scores are taken as they stand, and every judgement on them says so. A dry run tells the report that would
/// be recorded.
pub fn import_results(
    workspace: &Workspace<'_>,
    results: &Results,
    name: SuiteName,
    subject: Subject,
) -> Result<(Suite, Evaluation), EvaluateError> {
    let (suite, report) = results.report(name, subject)?;
    let id = suite.id()?;
    let same = |found: &Report| found.served == report.served && found.cases == report.cases;
    let known = reports_of(workspace, &id, &report.subject)?;
    let known = known.into_iter().find(|(_, found)| same(found));
    let new = known.is_none();
    let stored = match known {
        Some(known) => known,
        None if workspace.act.dry_run => (Digest::of(&report.document()?).into(), report),
        None => (record(workspace, &suite, &report)?, report),
    };
    let evaluation = Evaluation {
        suite: id,
        subject: stored.1.subject.clone(),
        cases: suite.cases().len() as u64,
        report: Some(stored),
        new,
    };
    Ok((suite, evaluation))
}
