//! Having a subject answer a suite, once.

use super::workspace::Workspace;
use crate::base::{BaseError, BaseId};
use crate::dataset::{self, DatasetError, DatasetId, Example, SplitName};
use crate::eval::{self, Answer, EvalError, Report, ReportId, Subject, Suite, SuiteId};
use crate::registry::{RegistryError, ReportEntry, Version};
use crate::store::StoreError;

/// How a subject did on a suite, and whether it was found or made.
#[derive(Debug, Clone, PartialEq)]
pub struct Evaluation {
    /// The suite.
    pub suite: SuiteId,
    /// What answered.
    pub subject: Subject,
    /// The number of cases.
    pub cases: u64,
    /// The report; `None` when it would have to be made and this is a dry run.
    pub report: Option<(ReportId, Report)>,
    /// Whether the subject had to answer, rather than a report being there.
    pub new: bool,
}

/// Why a subject could not be evaluated.
#[derive(Debug, thiserror::Error)]
pub enum EvaluateError {
    /// The suite or the report.
    #[error(transparent)]
    Eval(#[from] EvalError),
    /// The registry.
    #[error(transparent)]
    Registry(#[from] RegistryError),
    /// The store.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The dataset that the subject learned from.
    #[error(transparent)]
    Dataset(#[from] DatasetError),
    /// The base that the subject stands on.
    #[error(transparent)]
    Base(#[from] BaseError),
    /// The registry has no such base.
    #[error("the registry has no base {0}")]
    UnknownBase(BaseId),
    /// The dataset has no labels to learn.
    #[error("dataset {0} has no labelled training rows")]
    NoLabels(DatasetId),
    /// Models run only in builds with the feature `train`.
    #[error("this build of retune cannot run models, which the {0} needs")]
    NoModels(Subject),
}

/// Evaluates `subject` on `suite`, unless the registry already has a report of exactly these two.
///
/// The suite and the report are stored and recorded; with a dry run nothing is, and nothing answers.
pub fn evaluate(
    workspace: &Workspace<'_>,
    suite: &Suite,
    subject: &Subject,
) -> Result<Evaluation, EvaluateError> {
    let id = suite.id()?;
    let evaluation = |report, new| Evaluation {
        suite: id,
        subject: subject.clone(),
        cases: suite.cases().len() as u64,
        report,
        new,
    };
    if let Some(known) = report_of(workspace, &id, subject)? {
        return Ok(evaluation(Some(known), false));
    }
    if workspace.act.dry_run {
        return Ok(evaluation(None, true));
    }
    let (labels, answers) = answer(workspace, suite, subject)?;
    let report = Report::new(suite, subject.clone(), labels, answers)?;
    let report_id = record(workspace, suite, &report)?;
    Ok(evaluation(Some((report_id, report)), true))
}

/// The newest report of a subject on a suite whose bytes are in the store.
pub fn report_of(
    workspace: &Workspace<'_>,
    suite: &SuiteId,
    subject: &Subject,
) -> Result<Option<(ReportId, Report)>, EvaluateError> {
    let entries = workspace
        .tenant()
        .reports()
        .of(&suite.digest(), &subject.digest()?)?;
    let mut stored = entries
        .iter()
        .filter(|entry| workspace.store.contains(&entry.report));
    match stored.next() {
        Some(entry) => {
            let id = ReportId::from(entry.report);
            Ok(Some((id, Report::load(&workspace.store, &id)?)))
        }
        None => Ok(None),
    }
}

/// A registered version as what answers.
pub fn subject_of(version: &Version) -> Subject {
    let manifest = &version.manifest;
    Subject::Adapter {
        base: manifest.base.tree.digest().into(),
        adapter: manifest.adapter.tree,
        dataset: Some(manifest.dataset.id.into()),
        run: Some(manifest.run.id),
    }
}

fn record(
    workspace: &Workspace<'_>,
    suite: &Suite,
    report: &Report,
) -> Result<ReportId, EvaluateError> {
    let suite_id = suite.store(&workspace.store)?;
    let id = report.store(&workspace.store)?;
    let tenant = workspace.tenant();
    tenant
        .suites()
        .add(suite.name(), &suite.document()?, &workspace.act)?;
    let entry = ReportEntry {
        report: id.digest(),
        suite: suite_id.digest(),
        subject: report.subject.digest()?,
    };
    tenant.reports().add(&entry, &workspace.act)?;
    Ok(id)
}

/// The labels a subject can say, and what it says to each case.
fn answer(
    workspace: &Workspace<'_>,
    suite: &Suite,
    subject: &Subject,
) -> Result<(Vec<String>, Vec<Answer>), EvaluateError> {
    match subject {
        Subject::Majority { dataset } => majority(workspace, suite, dataset),
        Subject::Adapter { .. } | Subject::Centroid { .. } => {
            Err(EvaluateError::NoModels(subject.clone()))
        }
    }
}

fn majority(
    workspace: &Workspace<'_>,
    suite: &Suite,
    id: &DatasetId,
) -> Result<(Vec<String>, Vec<Answer>), EvaluateError> {
    let manifest = dataset::load(&workspace.store, id)?;
    let rows = dataset::examples(&workspace.store, &manifest, SplitName::Train)?;
    let label = eval::majority(rows.iter().filter_map(Example::label))
        .ok_or(EvaluateError::NoLabels(*id))?;
    let answers = suite
        .cases()
        .iter()
        .map(|_| Answer::Label(label.to_owned()));
    Ok((manifest.labels, answers.collect()))
}
