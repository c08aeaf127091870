//! Having a subject answer a suite, once.

use super::grade;
use super::workspace::Workspace;
use crate::adapter::AdapterError;
use crate::base::{BaseError, BaseId, CheckpointError};
use crate::dataset::{self, DatasetError, DatasetId, Example, SplitName};
use crate::digest::Digest;
use crate::eval::{
    self, Answer, Documents, EvalError, Prompting, Report, ReportId, Strategy, StrategyFile,
    Subject, Suite, SuiteId, Target, Task as SuiteTask, Vectors,
};
use crate::registry::{RegistryError, ReportEntry, Version};
use crate::store::{StoreError, TreeId};

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
    #[error("dataset {0} has no training rows with answers")]
    NoLabels(DatasetId),
    /// The adapter's files.
    #[error(transparent)]
    Adapter(#[from] AdapterError),
    /// The base's files.
    #[error(transparent)]
    Checkpoint(#[from] CheckpointError),
    /// The base's tokenizer.
    #[cfg(feature = "train")]
    #[error(transparent)]
    Tokenizer(#[from] crate::base::TokenizerError),
    /// The adapter was trained on another base than its version says.
    #[error("adapter {adapter} was trained on base {named}, not on {base}")]
    OtherBase {
        /// The adapter.
        adapter: TreeId,
        /// What its own record says.
        named: BaseId,
        /// What it was to be run on.
        base: BaseId,
    },
    /// The adapter was trained with another tokenizer than the base has.
    #[error("adapter {adapter} was trained with tokenizer {named}; the base has {base}")]
    OtherTokenizer {
        /// The adapter.
        adapter: TreeId,
        /// What its own record says.
        named: Digest,
        /// What the base has.
        base: Digest,
    },
    /// A prompt cannot be made for the base.
    #[error(transparent)]
    Train(#[from] crate::train::TrainError),
    /// What answers cannot answer such a suite.
    #[error("suite {suite} asks for {asked}; the {subject} answers with {answered}")]
    OtherTask {
        /// The suite.
        suite: String,
        /// What it asks for.
        asked: &'static str,
        /// What was to answer.
        subject: Box<Subject>,
        /// What it gives.
        answered: &'static str,
    },
    /// A grader looks at a measure that nobody takes here.
    #[error("suite {suite} has a grader of {measure}, which is not measured of the {subject}")]
    Unmeasured {
        /// The suite.
        suite: String,
        /// The measure.
        measure: &'static str,
        /// What was to answer.
        subject: Box<Subject>,
    },
    /// Conversations need a template.
    #[error(
        "suite {suite} has conversations, and neither the adapter nor base {base} has a chat template"
    )]
    NoTemplate {
        /// The suite.
        suite: String,
        /// The base.
        base: BaseId,
    },
    /// The suite has a judge, and only its name and digest are known.
    #[error(
        "suite {suite} is judged by the {judge}; the recorded suite does not say how to ask it"
    )]
    NoJudge {
        /// The suite.
        suite: String,
        /// The judge.
        judge: Box<Target>,
    },
    /// The judge did not answer everything.
    #[error("{missing} verdicts of the judge are missing: {why}")]
    Unjudged {
        /// How many.
        missing: u64,
        /// Why the first of them is.
        why: String,
    },
    /// Models run only in builds with the feature `train`.
    #[cfg(not(feature = "train"))]
    #[error("this build of retune cannot run models, which the {0} needs")]
    NoModels(Box<Subject>),
    /// So do bases that embed what graders compare, or passages.
    #[cfg(not(feature = "train"))]
    #[error("this build of retune cannot run models: base {0} is to embed texts")]
    NoEmbeddings(BaseId),
}

/// What classifiers answer with.
pub(super) const LABELS: &str = "labels";
/// What language models answer with.
#[cfg_attr(not(feature = "train"), allow(dead_code))]
pub(super) const TEXTS: &str = "texts";

impl EvaluateError {
    pub(super) fn other_task(suite: &Suite, subject: &Subject, answered: &'static str) -> Self {
        Self::OtherTask {
            suite: suite.name().to_string(),
            asked: match suite.task() {
                SuiteTask::Classification => LABELS,
                SuiteTask::Generation(_) => TEXTS,
                SuiteTask::Scored(_) => "what another tool scores",
            },
            subject: Box::new(subject.clone()),
            answered,
        }
    }

    /// Whether stored bytes are missing, changed or contradict each other.
    pub fn is_integrity(&self) -> bool {
        match self {
            Self::Eval(error) => error.is_integrity(),
            Self::Store(error) => error.is_integrity(),
            Self::Dataset(error) => error.is_integrity(),
            Self::Base(error) => error.is_integrity(),
            Self::Adapter(AdapterError::Store(error)) => error.is_integrity(),
            Self::OtherBase { .. } | Self::OtherTokenizer { .. } => true,
            _ => false,
        }
    }

    /// Whether the asker has to ask for something else.
    pub fn is_usage(&self) -> bool {
        match self {
            Self::Eval(error) => error.is_usage(),
            Self::UnknownBase(_)
            | Self::NoLabels(_)
            | Self::OtherTask { .. }
            | Self::Unmeasured { .. }
            | Self::NoJudge { .. }
            | Self::NoTemplate { .. } => true,
            Self::Train(error) => error.is_usage(),
            #[cfg(not(feature = "train"))]
            Self::NoModels(_) | Self::NoEmbeddings(_) => true,
            _ => false,
        }
    }
}

/// Evaluates `subject` on `suite`, unless the registry already has a report of exactly these two.
///
/// The suite and the report are stored and recorded; with a dry run nothing is, and nothing answers.
pub fn evaluate(
    workspace: &Workspace<'_>,
    suite: &Suite,
    subject: &Subject,
) -> Result<Evaluation, EvaluateError> {
    evaluate_asking(workspace, suite, suite, subject)
}

/// The same, where the subject is asked in another way than the suite asks: `asked` has its cases, with more before
/// their questions. The report is about `suite`.
pub fn evaluate_asking(
    workspace: &Workspace<'_>,
    suite: &Suite,
    asked: &Suite,
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
    let known = report_of(workspace, &id, subject)?;
    if let Some(known) = known.filter(|(_, report)| !is_misjudged(report)) {
        return Ok(evaluation(Some(known), false));
    }
    suite.check_askable()?;
    if let Some(measure) = suite.needs().first() {
        return Err(EvaluateError::Unmeasured {
            suite: suite.name().to_string(),
            measure,
            subject: Box::new(subject.clone()),
        });
    }
    grade::check(workspace, suite)?;
    if workspace.act.dry_run {
        return Ok(evaluation(None, true));
    }
    let (labels, answers) = answer(workspace, asked, subject)?;
    let graded = grade::grade(workspace, suite, subject, labels, answers)?;
    let report_id = record(workspace, suite, &graded.report)?;
    graded.settle()?;
    Ok(evaluation(Some((report_id, graded.report)), true))
}

/// The report of a subject on a suite that a judgement is made from; its bytes are in the store.
pub fn report_of(
    workspace: &Workspace<'_>,
    suite: &SuiteId,
    subject: &Subject,
) -> Result<Option<(ReportId, Report)>, EvaluateError> {
    let mut reports = reports_of(workspace, suite, subject)?;
    // Reports of one day have no order among themselves: what was measured from outside says more than what ran here,
    // a report in which another model answered says least, and one with fewer errors says more.
    reports.sort_by_key(|(_, report)| {
        let errors = report.metrics.errors;
        (report.is_switched(), report.served.is_none(), errors)
    });
    Ok(reports.into_iter().next())
}

/// The id of that report; it is read only where there are several to choose from.
pub(super) fn report_id_of(
    workspace: &Workspace<'_>,
    suite: &SuiteId,
    subject: &Subject,
) -> Result<Option<ReportId>, EvaluateError> {
    let tenant = workspace.tenant();
    let entries = tenant.reports().of(&suite.digest(), &subject.digest()?)?;
    let stored = |entry: &&ReportEntry| workspace.store.contains(&entry.report);
    let mut stored = entries.iter().filter(stored);
    match (stored.next(), stored.next()) {
        (Some(only), None) => Ok(Some(only.report.into())),
        _ => Ok(report_of(workspace, suite, subject)?.map(|(id, _)| id)),
    }
}

/// Whether another model judged than was asked for: judging again may help.
pub(super) fn is_misjudged(report: &Report) -> bool {
    let judged = report.judged.as_ref();
    judged.is_some_and(|judged| judged.by.switched().is_some())
}

/// All reports of a subject on a suite whose bytes are in the store, the newest day first.
pub(super) fn reports_of(
    workspace: &Workspace<'_>,
    suite: &SuiteId,
    subject: &Subject,
) -> Result<Vec<(ReportId, Report)>, EvaluateError> {
    let entries = workspace
        .tenant()
        .reports()
        .of(&suite.digest(), &subject.digest()?)?;
    let stored = entries
        .iter()
        .filter(|entry| workspace.store.contains(&entry.report));
    let load = |entry: &ReportEntry| {
        let id = ReportId::from(entry.report);
        Ok((id, Report::load(&workspace.store, &id)?))
    };
    stored.map(load).collect()
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

pub(super) fn record(
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

#[cfg(feature = "train")]
fn vectors_of(
    workspace: &Workspace<'_>,
    base: &BaseId,
    documents: &Documents,
    suite: &Suite,
) -> Result<Vectors, EvaluateError> {
    let embedder = super::local::Embedder::open(workspace, base)?;
    let passages: Vec<&str> = documents.passages().iter().map(String::as_str).collect();
    let passages = embedder.embed_whole(workspace, "embedding the passages", &passages)?;
    // Of a question that is longer than the base reads, the beginning counts.
    let questions: Vec<&str> = suite
        .cases()
        .iter()
        .map(|case| case.text.as_str())
        .collect();
    let questions = embedder.embed(workspace, "embedding the questions", &questions)?;
    Ok(Vectors::new(documents, passages, suite, questions)?)
}

#[cfg(not(feature = "train"))]
fn vectors_of(
    _: &Workspace<'_>,
    base: &BaseId,
    _: &Documents,
    _: &Suite,
) -> Result<Vectors, EvaluateError> {
    Err(EvaluateError::NoEmbeddings(*base))
}

/// The labels a subject can say, and what it says to each case.
fn answer(
    workspace: &Workspace<'_>,
    suite: &Suite,
    subject: &Subject,
) -> Result<(Vec<String>, Vec<Answer>), EvaluateError> {
    match subject {
        Subject::Majority { dataset } => majority(workspace, suite, dataset),
        Subject::Prompted { by, .. } => answer(workspace, suite, by),
        Subject::Target { target } => {
            Err(EvalError::NotAsked(format!("its file is needed to ask the {target} again")).into())
        }
        Subject::Named { .. } => {
            Err(EvalError::NotAsked(format!("the {subject} is known by its name alone")).into())
        }
        #[cfg(feature = "train")]
        Subject::Adapter {
            base, adapter, run, ..
        } => super::local::adapter(workspace, suite, subject, base, adapter, run.as_ref()),
        #[cfg(feature = "train")]
        Subject::Base { base } => super::local::base(workspace, suite, subject, base),
        Subject::Centroid { .. } if *suite.task() != SuiteTask::Classification => {
            Err(EvaluateError::other_task(suite, subject, LABELS))
        }
        #[cfg(feature = "train")]
        Subject::Centroid { base, dataset } => {
            super::local::centroid(workspace, suite, base, dataset)
        }
        #[cfg(not(feature = "train"))]
        Subject::Adapter { .. } | Subject::Base { .. } | Subject::Centroid { .. } => {
            Err(EvaluateError::NoModels(Box::new(subject.clone())))
        }
    }
}

/// A strategy with its dataset and its base known, and the suite as it asks for it.
pub fn prompted(
    workspace: &Workspace<'_>,
    suite: &Suite,
    file: &StrategyFile,
    dataset: Option<DatasetId>,
    base: Option<BaseId>,
) -> Result<(Strategy, Suite), EvaluateError> {
    let strategy = file.strategy(dataset, base);
    let rows = match &strategy.examples {
        None => Vec::new(),
        Some(shots) => {
            let manifest = dataset::load(&workspace.store, &shots.dataset)?;
            dataset::examples(&workspace.store, &manifest, SplitName::Train)?
        }
    };
    let documents = file.documents.as_ref().map(|wanted| &wanted.documents);
    let vectors = documents.zip(base);
    let vectors = vectors.map(|(documents, base)| vectors_of(workspace, &base, documents, suite));
    let vectors = vectors.transpose()?;
    let prompting = Prompting {
        strategy: &strategy,
        rows: &rows,
        documents,
        vectors: vectors.as_ref(),
    };
    let asked = prompting.apply(suite)?;
    Ok((strategy, asked))
}

fn majority(
    workspace: &Workspace<'_>,
    suite: &Suite,
    id: &DatasetId,
) -> Result<(Vec<String>, Vec<Answer>), EvaluateError> {
    let manifest = dataset::load(&workspace.store, id)?;
    let rows = dataset::examples(&workspace.store, &manifest, SplitName::Train)?;
    let answers: Vec<&str> = match suite.task() {
        SuiteTask::Classification => rows.iter().filter_map(Example::label).collect(),
        SuiteTask::Generation(_) | SuiteTask::Scored(_) => {
            rows.iter().map(Example::output).collect()
        }
    };
    let answers = answers.into_iter().filter(|answer| !answer.is_empty());
    let answer = eval::majority(answers).ok_or(EvaluateError::NoLabels(*id))?;
    let count = suite.cases().len() * suite.repeats() as usize;
    let answers = vec![Answer::Label(answer.to_owned()); count];
    Ok((manifest.labels, answers))
}
