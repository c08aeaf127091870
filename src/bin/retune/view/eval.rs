//! Views of evaluation.

use std::io::{self, Write};

use retune::eval::{CaseResult, LabelReport, ReportMetrics, Subject, Suite, Task};
use retune::lifecycle::Evaluation;
use retune::progress::grouped;
use serde::Serialize;

use crate::ui::{BAD, BOLD, DIM, View, styled};

/// How many of the worst labels are shown to people.
const WORST: usize = 5;
/// How many of the cases that went wrong are shown to people, and how many characters of each text.
const WRONG: usize = 3;
const SHOWN: usize = 60;

/// How a subject did on a suite.
#[derive(Serialize)]
pub(crate) struct Evaluated {
    suite: String,
    suite_name: String,
    subject: Subject,
    cases: u64,
    new: bool,
    report: Option<String>,
    metrics: Option<ReportMetrics>,
    /// The first cases of a generative suite that went wrong: for people, who find all of them in the report.
    #[serde(skip)]
    wrong: Vec<String>,
}

impl Evaluated {
    pub(crate) fn new(suite: &Suite, evaluation: &Evaluation) -> Self {
        let report = evaluation.report.as_ref();
        Self {
            suite: evaluation.suite.to_string(),
            suite_name: suite.name().to_string(),
            subject: evaluation.subject.clone(),
            cases: evaluation.cases,
            new: evaluation.new,
            report: report.map(|(id, _)| id.to_string()),
            metrics: report.map(|(_, report)| report.metrics.clone()),
            wrong: match (suite.task(), report) {
                (Task::Generation(_), Some((_, report))) => wrong(&report.cases),
                _ => Vec::new(),
            },
        }
    }
}

impl View for Evaluated {
    const SCHEMA: &'static str = "retune.eval/1";

    fn human(&self, out: &mut dyn Write) -> io::Result<()> {
        let cases = grouped(self.cases);
        let (Some(metrics), Some(report)) = (&self.metrics, &self.report) else {
            writeln!(out, "would evaluate the {}", self.subject)?;
            return writeln!(out, "  suite     {}, {cases} cases", self.suite_name);
        };
        let accuracy = styled(BOLD, format!("{:.1} %", 100.0 * metrics.accuracy.get()));
        match metrics.macro_f1 {
            Some(macro_f1) => {
                let macro_f1 = macro_f1.get();
                writeln!(out, "accuracy {accuracy}, macro F1 {macro_f1:.3}")?;
            }
            None => writeln!(out, "{accuracy} right")?,
        }
        writeln!(out, "  subject   {}", self.subject)?;
        writeln!(out, "  suite     {}, {cases} cases", self.suite_name)?;
        if metrics.errors > 0 {
            let errors = format!("{} cases without an answer", grouped(metrics.errors));
            writeln!(out, "  errors    {}", styled(BAD, errors))?;
        }
        for (index, (label, f1)) in worst(metrics).into_iter().enumerate() {
            let head = if index == 0 { "weakest" } else { "" };
            writeln!(out, "  {head:<9} {label}: F1 {f1}")?;
        }
        for (metric, score) in &metrics.scores {
            writeln!(out, "  {metric:<9} {:.3}", score.get())?;
        }
        for (index, case) in self.wrong.iter().enumerate() {
            let head = if index == 0 { "wrong" } else { "" };
            writeln!(out, "  {head:<9} {case}")?;
        }
        let found = if self.new { "" } else { " (there already)" };
        writeln!(out, "  report    {report}{}", styled(DIM, found))
    }
}

/// The first cases with a wrong answer, each on one line.
fn wrong(cases: &[CaseResult]) -> Vec<String> {
    let wrong = cases.iter().filter(|case| !case.correct).take(WRONG);
    let line = |case: &CaseResult| match (&case.predicted, &case.error) {
        (Some(said), _) => format!(
            "{}: {} instead of {}",
            case.id,
            shown(said),
            shown(&case.expected)
        ),
        (None, why) => format!("{}: error: {}", case.id, why.as_deref().unwrap_or("none")),
    };
    wrong.map(line).collect()
}

/// The beginning of a text, quoted, on one line.
fn shown(text: &str) -> String {
    let mut chars = text.chars();
    let beginning: String = chars.by_ref().take(SHOWN).collect();
    let more = if chars.next().is_some() { "…" } else { "" };
    format!("{beginning:?}{more}")
}

/// The labels with the lowest F1 below 1, the worst first.
fn worst(metrics: &ReportMetrics) -> Vec<(&str, String)> {
    let mut labels: Vec<(&String, &LabelReport)> = metrics.per_label.iter().collect();
    labels.retain(|(_, of)| of.f1.get() < 1.0);
    labels.sort_by(|a, b| a.1.f1.get().total_cmp(&b.1.f1.get()));
    let say = |of: &LabelReport| format!("{:.3} of {} cases", of.f1.get(), of.support);
    labels
        .into_iter()
        .take(WORST)
        .map(|(label, of)| (label.as_str(), say(of)))
        .collect()
}
