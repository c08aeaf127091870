//! Views of evaluation.

use std::collections::BTreeMap;
use std::io::{self, Write};

use retune::document::Decimal;
use retune::eval::{
    Agreement, CaseResult, Judged, LabelReport, Mismatch, ReportMetrics, Served, Subject, Suite,
    Task,
};
use retune::lifecycle::{Evaluation, FloorAnswers, Through};
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
    /// Of a suite that another tool scored, how many cases it has no score for.
    #[serde(skip_serializing_if = "is_zero")]
    unscored: u64,
    /// Whether the report would be recorded, and is not.
    #[serde(skip_serializing_if = "is_false")]
    dry_run: bool,
    /// How it did on the suite's floor.
    #[serde(skip_serializing_if = "Option::is_none")]
    floor: Option<Box<Floor>>,
    /// Of cases to look at, each that went wrong.
    #[serde(skip_serializing_if = "Option::is_none")]
    missed: Option<Vec<CaseResult>>,
    /// The first cases of a generative suite that went wrong, or all of those to look at: for people.
    #[serde(skip)]
    wrong: Vec<String>,
}

/// How a subject did on the cases that every version has to pass.
#[derive(Serialize)]
struct Floor {
    #[serde(flatten)]
    first: Evaluated,
    /// The cases that it missed.
    missed: Vec<String>,
    /// How it did on these, asked again.
    #[serde(skip_serializing_if = "Option::is_none")]
    again: Option<Evaluated>,
    /// What it said to them, for people.
    #[serde(skip)]
    told: Vec<String>,
}

impl Evaluated {
    /// What came of asking.
    pub(crate) fn new(suite: &Suite, through: &Through) -> Self {
        let evaluation = &through.evaluation;
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
            unanswered: through.unanswered,
            why: through.why.clone(),
            unscored: 0,
            dry_run: false,
            floor: None,
            missed: None,
            wrong: match (suite.task(), report) {
                (Task::Generation(_) | Task::Scored(_), Some((_, report))) => {
                    wrong(&report.cases, WRONG)
                }
                _ => Vec::new(),
            },
        }
    }
}

impl Evaluated {
    /// What came of asking cases to look at, with each that went wrong.
    pub(crate) fn in_full(suite: &Suite, through: &Through) -> Self {
        let report = through.evaluation.report.as_ref();
        let cases = report.map_or(&[][..], |(_, report)| &report.cases);
        let missed = cases.iter().filter(|case| !case.correct);
        Self {
            missed: Some(missed.cloned().collect()),
            wrong: wrong(cases, usize::MAX),
            ..Self::new(suite, through)
        }
    }

    /// The same, with what came of asking the suite's floor.
    pub(crate) fn with_floor(self, floor: &Suite, answers: &FloorAnswers) -> Self {
        let report = answers.first.evaluation.report.as_ref();
        let missed = report.map_or_else(Vec::new, |(_, report)| {
            report.missed().into_iter().map(str::to_owned).collect()
        });
        let floor = Floor {
            first: Self::new(floor, &answers.first),
            missed,
            again: answers.again.as_ref().map(|again| Self::new(floor, again)),
            told: report.map_or_else(Vec::new, |(_, report)| wrong(&report.cases, WRONG)),
        };
        Self {
            floor: Some(Box::new(floor)),
            ..self
        }
    }

    /// What was taken over from another tool.
    pub(crate) fn imported(suite: &Suite, evaluation: Evaluation, dry_run: bool) -> Self {
        let report = evaluation.report.as_ref();
        let mismatches = report.map(|(_, report)| report.mismatches(suite, &evaluation.suite));
        let unscored = |mismatch: &&Mismatch| matches!(mismatch, Mismatch::Unscored(_));
        Self {
            unscored: mismatches.iter().flatten().filter(unscored).count() as u64,
            dry_run,
            ..Self::new(suite, &evaluation.into())
        }
    }

    /// Whether a judgement can be made from it: nothing is missing, and what was asked for answered.
    pub(crate) fn is_evidence(&self) -> bool {
        let silent = |metrics: &ReportMetrics| metrics.errors * FEW > metrics.n;
        let floor = self.floor.as_ref();
        self.unanswered + self.unscored == 0
            && !self.metrics.as_ref().is_some_and(silent)
            && self.switched().is_none()
            && floor.is_none_or(|floor| {
                floor.first.is_evidence() && floor.again.as_ref().is_none_or(Self::is_evidence)
            })
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

fn is_false(truth: &bool) -> bool {
    !truth
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
        if self.unscored > 0 {
            let unscored = format!("{} cases without a score", grouped(self.unscored));
            writeln!(out, "  INVALID   {}", styled(BAD, unscored))?;
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
        let found = match (self.new, self.dry_run) {
            (false, _) => " (there already)",
            (true, true) => " (would be recorded)",
            (true, false) => "",
        };
        writeln!(out, "  report    {report}{}", styled(DIM, found))?;
        self.floor.as_ref().map_or(Ok(()), |floor| floor.human(out))
    }
}

impl Floor {
    fn human(&self, out: &mut dyn Write) -> io::Result<()> {
        let cases = grouped(self.first.cases);
        let asked = [Some(&self.first), self.again.as_ref()];
        let unanswered: u64 = asked.iter().flatten().map(|asked| asked.unanswered).sum();
        if unanswered > 0 {
            let missing = format!("{} answers are missing", grouped(unanswered));
            writeln!(out, "  floor     {}", styled(BAD, missing))?;
            return writeln!(out, "the same command asks only for what is missing");
        }
        let Some(report) = &self.first.report else {
            return writeln!(out, "  floor     {cases} cases, not asked yet");
        };
        match self.missed.len() {
            0 => writeln!(out, "  floor     all {cases} cases passed")?,
            missed => {
                let missed = format!("{} of {cases} cases missed", grouped(missed as u64));
                writeln!(out, "  floor     {}", styled(BAD, missed))?;
            }
        }
        for case in &self.told {
            writeln!(out, "            {case}")?;
        }
        if let Some(metrics) = self.again.as_ref().and_then(|again| again.metrics.as_ref()) {
            let right = (metrics.accuracy.get() * metrics.n as f64).round() as u64;
            let (right, n) = (grouped(right), grouped(metrics.n));
            writeln!(out, "            asked again: {right} of {n} answers right")?;
        }
        writeln!(out, "            report {report}")
    }
}

/// The first cases with a wrong answer, each on one line.
fn wrong(cases: &[CaseResult], most: usize) -> Vec<String> {
    let wrong = cases.iter().filter(|case| !case.correct).take(most);
    let line = |case: &CaseResult| match (&case.predicted, &case.error) {
        (None, None) => format!("{}: no output was recorded", case.id),
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
