//! Views of evaluation.

use std::collections::BTreeMap;
use std::io::{self, Write};

use retune::document::Decimal;
use retune::eval::{
    Agreement, CaseResult, Judged, LabelReport, ReportMetrics, Served, Subject, Suite, Task,
};
use retune::lifecycle::{Evaluation, Through};
use retune::progress::grouped;
use serde::Serialize;

use crate::ui::{BAD, BOLD, DIM, View, styled};

/// How many of the worst labels are shown to people.
const WORST: usize = 5;
/// How many of the cases that went wrong are shown to people, and how many characters of each text.
const WRONG: usize = 3;
const SHOWN: usize = 60;

/// One error in so many cases is the most that leaves a report evidence.
const FEW: u64 = 200;

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
    /// Who gave the answers, where that was not a model on this machine.
    #[serde(skip_serializing_if = "Option::is_none")]
    served: Option<Served>,
    /// Who judged the answers, and how well.
    #[serde(skip_serializing_if = "Option::is_none")]
    judged: Option<JudgedView>,
    /// How many answers are missing, so that there is no report yet.
    #[serde(skip_serializing_if = "is_zero")]
    unanswered: u64,
    /// Why the first of them is.
    #[serde(skip_serializing_if = "Option::is_none")]
    why: Option<String>,
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
            served: report.and_then(|(_, report)| report.served.clone()),
            judged: report.and_then(|(_, report)| report.judged.as_ref().map(JudgedView::of)),
            unanswered: 0,
            why: None,
            wrong: match (suite.task(), report) {
                (Task::Generation(_), Some((_, report))) => wrong(&report.cases),
                _ => Vec::new(),
            },
        }
    }
}

impl Evaluated {
    /// What came of asking a target.
    pub(crate) fn through(suite: &Suite, through: &Through) -> Self {
        Self {
            unanswered: through.unanswered,
            why: through.why.clone(),
            ..Self::new(suite, &through.evaluation)
        }
    }

    /// Whether a judgement can be made from it: nothing is missing, and what was asked for answered.
    pub(crate) fn is_evidence(&self) -> bool {
        let silent = |metrics: &ReportMetrics| metrics.errors * FEW > metrics.n;
        self.unanswered == 0
            && !self.metrics.as_ref().is_some_and(silent)
            && self.switched().is_none()
    }

    fn switched(&self) -> Option<String> {
        let judge = self.judged.as_ref();
        let judge = judge.and_then(|judged| judged.by.switched());
        let served = self.served.as_ref().and_then(Served::switched);
        served.or(judge.map(|why| format!("the judge: {why}")))
    }
}

/// A judge, with what follows from its calibration.
#[derive(Serialize)]
struct JudgedView {
    by: Served,
    agreement: BTreeMap<String, AgreementView>,
}

#[derive(Serialize)]
struct AgreementView {
    cases: u64,
    undecided: u64,
    kappa: Option<Decimal>,
    sensitivity: Option<Decimal>,
    specificity: Option<Decimal>,
}

impl JudgedView {
    fn of(judged: &Judged) -> Self {
        let view = |(metric, agreement): (&String, &Agreement)| {
            (metric.clone(), AgreementView::of(agreement))
        };
        Self {
            by: judged.by.clone(),
            agreement: judged.agreement.iter().map(view).collect(),
        }
    }
}

impl AgreementView {
    fn of(agreement: &Agreement) -> Self {
        let share = |(hits, of): (u64, u64)| Decimal::new(hits as f64 / of as f64).ok();
        let raters = agreement.raters();
        Self {
            cases: raters.n(),
            undecided: agreement.undecided,
            kappa: raters.kappa().and_then(|kappa| Decimal::new(kappa).ok()),
            sensitivity: share(agreement.passes()),
            specificity: share(agreement.fails()),
        }
    }

    fn told(&self) -> String {
        let number = |value: Option<Decimal>| match value {
            Some(value) => format!("{:.2}", value.get()),
            None => "unknown".to_owned(),
        };
        format!(
            "kappa {} on {} calibration cases, sensitivity {}, specificity {}",
            number(self.kappa),
            grouped(self.cases),
            number(self.sensitivity),
            number(self.specificity)
        )
    }
}

fn is_zero(number: &u64) -> bool {
    *number == 0
}

impl View for Evaluated {
    const SCHEMA: &'static str = "retune.eval/1";

    fn human(&self, out: &mut dyn Write) -> io::Result<()> {
        let cases = grouped(self.cases);
        if self.unanswered > 0 {
            let missing = format!("{} answers are missing", grouped(self.unanswered));
            writeln!(out, "{}: there is no report yet", styled(BAD, missing))?;
            writeln!(out, "  subject   {}", self.subject)?;
            writeln!(out, "  suite     {}, {cases} cases", self.suite_name)?;
            writeln!(
                out,
                "  first     {}",
                self.why.as_deref().unwrap_or("unknown")
            )?;
            return writeln!(out, "the same command asks only for what is missing");
        }
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
        if let Some(served) = &self.served {
            writeln!(out, "  answers   from the {}", served.target)?;
            if served.cached > 0 {
                let kept = grouped(served.cached);
                writeln!(out, "  cached    {kept} answers, which have no latency")?;
            }
        }
        if let Some(judged) = &self.judged {
            writeln!(out, "  judge     {}", judged.by.target)?;
            for (metric, agreement) in &judged.agreement {
                writeln!(out, "  {metric:<9} {}", agreement.told())?;
            }
            if judged.agreement.is_empty() {
                writeln!(
                    out,
                    "            without calibration cases: no evidence for the gate"
                )?;
            }
        }
        if let Some(why) = self.switched() {
            writeln!(out, "  INVALID   {}", styled(BAD, why))?;
        }
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
