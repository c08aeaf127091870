//! Having a target outside answer a suite, once.

use super::evaluate::{EvaluateError, Evaluation, is_misjudged, record, reports_of};
use super::grade;
use super::workspace::Workspace;
use crate::eval::{Report, Subject, Suite, TargetFile, Task};

/// How a target did on a suite.
#[derive(Debug, Clone, PartialEq)]
pub struct Through {
    /// The evaluation; it has no report while answers are missing.
    pub evaluation: Evaluation,
    /// How many answers are missing.
    pub unanswered: u64,
    /// Why the first of them is.
    pub why: Option<String>,
}

impl From<Evaluation> for Through {
    /// What ran here leaves no answer out.
    fn from(evaluation: Evaluation) -> Self {
        Self {
            evaluation,
            unanswered: 0,
            why: None,
        }
    }
}

/// Has `file`'s target answer `suite` for `subject`, unless the registry has a report of exactly that.
///
/// `asked` is the suite as a strategy asks for it, or the suite itself; the report is about `suite`.
/// `subject` is [`Subject::Target`], or the version that the target serves. A report is stored and recorded when no
/// answer is missing; until then the answers are in a journal, and the same again asks only for the others.
pub fn evaluate_through(
    workspace: &Workspace<'_>,
    suite: &Suite,
    asked: &Suite,
    subject: &Subject,
    file: &TargetFile,
) -> Result<Through, EvaluateError> {
    let id = suite.id()?;
    let through = |report, new, unanswered, why| Through {
        evaluation: Evaluation {
            suite: id,
            subject: subject.clone(),
            cases: suite.cases().len() as u64,
            report,
            new,
        },
        unanswered,
        why,
    };
    let known = reports_of(workspace, &id, subject)?.into_iter();
    let same = |report: &Report| {
        let served = report.served.as_ref();
        served.is_some_and(|served| served.target == file.target && served.switched().is_none())
            && !is_misjudged(report)
    };
    if let Some(known) = known.into_iter().find(|(_, report)| same(report)) {
        return Ok(through(Some(known), false, 0, None));
    }
    grade::check(workspace, suite)?;
    if workspace.act.dry_run {
        return Ok(through(None, true, 0, None));
    }
    let answered = file.answer(asked, subject, &workspace.circumstances)?;
    if answered.unanswered > 0 {
        return Ok(through(None, true, answered.unanswered, answered.why));
    }
    let labels = match suite.task() {
        Task::Classification => suite.labels().into_iter().map(str::to_owned).collect(),
        Task::Generation(_) | Task::Scored(_) => Vec::new(),
    };
    let answers = answered.answers.clone();
    let graded = grade::grade(workspace, suite, subject, labels, answers)?;
    let report = graded.report.clone().served_by(answered.served.clone());
    let report_id = record(workspace, suite, &report)?;
    answered.settle()?;
    graded.settle()?;
    Ok(through(Some((report_id, report)), true, 0, None))
}
