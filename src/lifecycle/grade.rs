//! From answers to a report, where graders look further than the answers: a base that embeds, a judge that is asked.

use super::evaluate::EvaluateError;
use super::workspace::Workspace;
use crate::base::BaseId;
use crate::eval::{
    Answer, Embedding, EvalError, JudgeFile, Opinions, Report, Subject, Suite, Verdicts,
};

/// A report, and what its judge said.
pub(super) struct Graded {
    pub(super) report: Report,
    verdicts: Option<Verdicts>,
}

impl Graded {
    /// To be called once the report is stored: what it rests on need not be kept twice.
    pub(super) fn settle(&self) -> Result<(), EvalError> {
        self.verdicts.as_ref().map_or(Ok(()), Verdicts::settle)
    }
}

/// Whether what graders look at beside the answers is there; asked before anything answers.
pub(super) fn check(workspace: &Workspace<'_>, suite: &Suite) -> Result<(), EvaluateError> {
    judge_of(suite)?;
    let Some(base) = suite.embeddings() else {
        return Ok(());
    };
    let known = workspace.tenant().bases().by_id(&base.digest())?;
    known.ok_or(EvaluateError::UnknownBase(*base))?;
    #[cfg(not(feature = "train"))]
    return Err(EvaluateError::NoEmbeddings(*base));
    #[cfg(feature = "train")]
    Ok(())
}

/// The report of `answers`, which are as many as the suite asks for, in its order.
pub(super) fn grade(
    workspace: &Workspace<'_>,
    suite: &Suite,
    subject: &Subject,
    labels: Vec<String>,
    answers: Vec<Answer>,
) -> Result<Graded, EvaluateError> {
    let mut opinions = Opinions::default();
    if let Some(base) = suite.embeddings() {
        opinions.compare(suite, &answers, |texts| embeddings(workspace, base, texts))?;
    }
    let verdicts = match judge_of(suite)? {
        None => None,
        Some(judge) => Some(judge.ask(suite, &answers, &mut opinions, &workspace.circumstances)?),
    };
    if let Some(verdicts) = verdicts.as_ref().filter(|verdicts| verdicts.unanswered > 0) {
        return Err(EvaluateError::Unjudged {
            missing: verdicts.unanswered,
            why: verdicts.why.clone().unwrap_or_default(),
        });
    }
    let report = Report::graded(suite, subject.clone(), labels, answers, &opinions)?;
    let report = match &verdicts {
        Some(verdicts) => report.judged_by(verdicts.judged.clone()),
        None => report,
    };
    Ok(Graded { report, verdicts })
}

fn judge_of(suite: &Suite) -> Result<Option<&JudgeFile>, EvaluateError> {
    match (suite.judge(), suite.judge_file()) {
        (None, _) => Ok(None),
        (Some(_), Some(file)) => Ok(Some(file)),
        (Some(judge), None) => Err(EvaluateError::NoJudge {
            suite: suite.name().to_string(),
            judge: Box::new(judge.target.clone()),
        }),
    }
}

#[cfg(feature = "train")]
fn embeddings(
    workspace: &Workspace<'_>,
    base: &BaseId,
    texts: &[&str],
) -> Result<Vec<Embedding>, EvaluateError> {
    let embedder = super::local::Embedder::open(workspace, base)?;
    embedder.embed_whole(workspace, "embedding what `similar` compares", texts)
}

#[cfg(not(feature = "train"))]
fn embeddings(
    _: &Workspace<'_>,
    base: &BaseId,
    _: &[&str],
) -> Result<Vec<Embedding>, EvaluateError> {
    Err(EvaluateError::NoEmbeddings(*base))
}
