//! Views of evaluation.

use std::io::{self, Write};

use retune::eval::{LabelReport, ReportMetrics, Subject, Suite};
use retune::lifecycle::Evaluation;
use retune::progress::grouped;
use serde::Serialize;

use crate::ui::{BAD, BOLD, DIM, View, styled};

/// How many of the worst labels are shown to people.
const WORST: usize = 5;

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
        let macro_f1 = metrics.macro_f1.get();
        writeln!(out, "accuracy {accuracy}, macro F1 {macro_f1:.3}")?;
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
        let found = if self.new { "" } else { " (there already)" };
        writeln!(out, "  report    {report}{}", styled(DIM, found))
    }
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
