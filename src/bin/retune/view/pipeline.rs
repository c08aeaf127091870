//! Views of pipelines.

use std::io::{self, Write};

use retune::gate::{Comparison, Verdict};
use retune::pipeline::{End, Outcome, Spec, State, Step, Summary};
use retune::progress::grouped;
use serde::Serialize;

use crate::ui::{BAD, BOLD, DIM, DOUBT, GOOD, View, styled};

/// What `pipeline check` found.
#[derive(Serialize)]
pub(crate) struct Checked {
    pipeline: String,
    file: String,
}

impl From<&Spec> for Checked {
    fn from(spec: &Spec) -> Self {
        Self {
            pipeline: spec.name.clone(),
            file: spec.file.display().to_string(),
        }
    }
}

impl View for Checked {
    const SCHEMA: &'static str = "retune.pipeline-check/1";

    fn human(&self, out: &mut dyn Write) -> io::Result<()> {
        writeln!(out, "{}: {}", self.file, styled(GOOD, "ok"))
    }
}

/// What a run would do.
#[derive(Serialize)]
pub(crate) struct Plan {
    pipeline: String,
    steps: Vec<Step>,
    nothing_to_do: bool,
}

impl From<(&Spec, &Outcome)> for Plan {
    fn from((spec, outcome): (&Spec, &Outcome)) -> Self {
        Self {
            pipeline: spec.name.clone(),
            steps: outcome.steps.clone(),
            nothing_to_do: is_unchanged(outcome),
        }
    }
}

impl View for Plan {
    const SCHEMA: &'static str = "retune.pipeline-plan/1";

    fn human(&self, out: &mut dyn Write) -> io::Result<()> {
        for step in &self.steps {
            writeln!(out, "{}", line(step))?;
        }
        if self.nothing_to_do {
            writeln!(out, "nothing to do")?;
        }
        Ok(())
    }
}

/// One stage on one line.
pub(crate) fn line(step: &Step) -> String {
    let mark = match step.state {
        State::Done => styled(GOOD, "done"),
        State::Unchanged => styled(DIM, "same"),
        State::Pending => styled(DOUBT, "todo"),
        State::Stopped => styled(BAD, "stop"),
    };
    format!("{mark}  {:<9} {}", step.stage, step.what)
}

/// What a run did.
#[derive(Serialize)]
pub(crate) struct Ran {
    pipeline: String,
    outcome: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    verdict: Option<Verdict>,
    #[serde(skip_serializing_if = "Option::is_none")]
    refusal: Option<String>,
    nothing_to_do: bool,
    steps: Vec<Step>,
    #[serde(skip_serializing_if = "Option::is_none")]
    summary: Option<Summary>,
}

impl From<(&Spec, &Outcome)> for Ran {
    fn from((spec, outcome): (&Spec, &Outcome)) -> Self {
        let mut ran = Self {
            pipeline: spec.name.clone(),
            outcome: "complete",
            verdict: None,
            refusal: None,
            nothing_to_do: is_unchanged(outcome),
            steps: outcome.steps.clone(),
            summary: None,
        };
        match &outcome.end {
            End::Planned => ran.outcome = "planned",
            End::Interrupted => ran.outcome = "interrupted",
            End::Complete(summary) => ran.summary = Some(Summary::clone(summary)),
            End::NotPassed(_, verdict, summary) => {
                ran.outcome = "not-passed";
                ran.verdict = Some(*verdict);
                ran.summary = Some(Summary::clone(summary));
            }
            End::Refused(why) => {
                ran.outcome = "refused";
                ran.refusal = Some(why.clone());
            }
        }
        ran
    }
}

fn is_unchanged(outcome: &Outcome) -> bool {
    matches!(outcome.end, End::Complete(_))
        && outcome
            .steps
            .iter()
            .all(|step| step.state == State::Unchanged)
}

impl View for Ran {
    const SCHEMA: &'static str = "retune.pipeline-run/1";

    fn human(&self, out: &mut dyn Write) -> io::Result<()> {
        match &self.summary {
            Some(summary) => self.summarise(summary, out),
            None if self.outcome == "planned" => writeln!(out, "dry run: nothing was changed"),
            None => Ok(()),
        }
    }
}

impl Ran {
    fn summarise(&self, summary: &Summary, out: &mut dyn Write) -> io::Result<()> {
        let this = summary
            .scores
            .first()
            .map_or("", |score| score.name.as_str());
        let target = format!("{}:{}", summary.model, summary.alias);
        let head = match self.verdict {
            Some(verdict) => format!(
                "{} {this} is not promoted to {target}",
                styled(BAD, verdict)
            ),
            None if self.nothing_to_do => format!(
                "{} {target} is {this}, made from exactly these inputs",
                styled(GOOD, "nothing to do:")
            ),
            None => format!("{} {target} is now {this}", styled(GOOD, "done:")),
        };
        writeln!(out, "\n{head}\n")?;
        let rows: Vec<String> = summary
            .rows
            .iter()
            .map(|(split, rows)| format!("{} {split}", grouped(*rows)))
            .collect();
        field(out, "trained", &summary.run.to_string())?;
        field(
            out,
            "base",
            &format!(
                "{}, {} parameters, frozen",
                summary.base,
                grouped(summary.base_parameters)
            ),
        )?;
        field(
            out,
            "data",
            &format!(
                "{}: {} rows{}",
                summary.dataset,
                rows.join(" + "),
                match summary.labels {
                    0 => String::new(),
                    labels => format!(", {labels} labels"),
                }
            ),
        )?;
        self.scores(summary, out)?;
        for reason in &summary.reasons {
            field(out, "note", reason)?;
        }
        if let Some(pinned) = &summary.pinned {
            field(out, "pinned", &format!("{pinned} in retune.lock"))?;
        }
        Ok(())
    }

    /// Accuracy of the version and of everything it was judged against, with the gate's numbers beside.
    fn scores(&self, summary: &Summary, out: &mut dyn Write) -> io::Result<()> {
        for (index, score) in summary.scores.iter().enumerate() {
            let label = if index == 0 { "accuracy" } else { "" };
            let judged = index
                .checked_sub(1)
                .and_then(|at| summary.comparisons.get(at));
            let numbers = judged
                .map(|comparison| format!("   {}", compared(comparison)))
                .unwrap_or_default();
            let text = format!("{:.3}  {}{numbers}", score.accuracy.get(), score.name);
            field(out, label, &text)?;
        }
        Ok(())
    }
}

fn compared(comparison: &Comparison) -> String {
    let numbers = &comparison.numbers;
    let points = |share: f64| share * 100.0;
    format!(
        "gate {}: {:+.1} points, at worst {:+.1}; had to exceed {:+.1}",
        styled(BOLD, comparison.verdict),
        points(numbers.difference.get()),
        points(numbers.lower.get()),
        points(numbers.boundary.get())
    )
}

fn field(out: &mut dyn Write, name: &str, text: &str) -> io::Result<()> {
    writeln!(out, "  {:<9} {text}", name)
}
