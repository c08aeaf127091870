//! Views of runs.

use std::io::{self, Write};

use retune::lifecycle::TrainedRun;
use retune::progress::{bytes, grouped};
use retune::train::{Job, Plan, RunRecord, RunStart, RunState, RunSummary, TokenAccount};
use serde::Serialize;

use crate::ui::{BOLD, DIM, DOUBT, GOOD, View, styled};

/// What training a job would be like.
#[derive(Serialize)]
pub(crate) struct Planned {
    job: String,
    #[serde(flatten)]
    plan: Plan,
}

impl From<(&Job, Plan)> for Planned {
    fn from((job, plan): (&Job, Plan)) -> Self {
        Self {
            job: job.name.clone(),
            plan,
        }
    }
}

impl View for Planned {
    const SCHEMA: &'static str = "retune.train-plan/1";

    fn human(&self, out: &mut dyn Write) -> io::Result<()> {
        let plan = &self.plan;
        writeln!(
            out,
            "{} (dry run: nothing is trained)",
            styled(BOLD, &self.job)
        )?;
        account(out, "train", &plan.train)?;
        if let Some(validation) = &plan.validation {
            account(out, "validation", validation)?;
        }
        writeln!(out, "  labels      {}", plan.labels.len())?;
        writeln!(
            out,
            "  trained     {} of {} parameters ({:.2} %) in {} modules and the head",
            grouped(plan.trainable_parameters),
            grouped(plan.base_parameters + plan.trainable_parameters),
            plan.trainable_share() * 100.0,
            plan.adapted_modules
        )?;
        writeln!(
            out,
            "  steps       {} ({} an epoch)",
            grouped(plan.steps),
            grouped(plan.steps_per_epoch)
        )?;
        writeln!(out, "  memory      about {}", bytes(plan.memory.total()))
    }
}

fn account(out: &mut dyn Write, split: &str, account: &TokenAccount) -> io::Result<()> {
    write!(
        out,
        "  {split:<11} {} rows, {} tokens, the longest has {}",
        grouped(account.kept),
        grouped(account.tokens),
        account.longest
    )?;
    if account.dropped > 0 {
        write!(out, "; {} dropped", grouped(account.dropped))?;
    }
    if account.truncated > 0 {
        write!(out, "; {} truncated", grouped(account.truncated))?;
    }
    if account.unknown > 0 {
        write!(
            out,
            "; {:.2} % unknown tokens",
            account.unknown_share().get() * 100.0
        )?;
    }
    writeln!(out)
}

/// A completed run.
#[derive(Serialize)]
pub(crate) struct Shown<'a> {
    new: bool,
    start: &'a RunStart,
    record: &'a RunRecord,
}

impl<'a> From<&'a TrainedRun> for Shown<'a> {
    fn from(run: &'a TrainedRun) -> Self {
        Self {
            new: run.new,
            start: &run.start,
            record: &run.record,
        }
    }
}

impl View for Shown<'_> {
    const SCHEMA: &'static str = "retune.run-show/1";

    fn human(&self, out: &mut dyn Write) -> io::Result<()> {
        let (start, record) = (self.start, self.record);
        let totals = &record.totals;
        writeln!(
            out,
            "run {} of {}",
            styled(BOLD, record.run.short()),
            start.job.name
        )?;
        writeln!(
            out,
            "  base        {} {}",
            start.job.base.name,
            start.base.short()
        )?;
        writeln!(out, "  dataset     {}", start.dataset.short())?;
        writeln!(
            out,
            "  job         {}, seed {}",
            record.job.short(),
            start.job.seed
        )?;
        writeln!(
            out,
            "  machine     {}, retune {}",
            start.machine, start.tool
        )?;
        writeln!(out, "  began       {}", start.started_at)?;
        writeln!(
            out,
            "  trained     {} steps, {} epochs, {} examples, {} tokens in {:.1} s",
            grouped(totals.steps),
            totals.epochs,
            grouped(totals.examples),
            grouped(totals.tokens),
            totals.wall_seconds.get()
        )?;
        writeln!(
            out,
            "  speed       {:.0} examples/s, {:.0} tokens/s",
            totals.examples_per_second.get(),
            totals.tokens_per_second.get()
        )?;
        if let Some(peak) = totals.peak_memory_bytes {
            writeln!(out, "  memory      {} at most", bytes(peak))?;
        }
        writeln!(out, "  loss        {:.4}", record.final_loss.get())?;
        if let Some(best) = &record.best {
            writeln!(
                out,
                "  best        accuracy {:.4}, macro-F1 {:.4} on the validation split, step {}",
                best.scores.accuracy.get(),
                best.scores.macro_f1.get(),
                best.step
            )?;
        }
        writeln!(out, "  adapter     {}", record.adapter)
    }
}

/// Runs, the newest first.
#[derive(Serialize)]
pub(crate) struct List {
    runs: Vec<Line>,
}

#[derive(Serialize)]
struct Line {
    run: String,
    job: String,
    state: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    step: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    steps: Option<u64>,
    began: String,
}

impl From<&[RunSummary]> for List {
    fn from(runs: &[RunSummary]) -> Self {
        Self {
            runs: runs.iter().map(Line::from).collect(),
        }
    }
}

impl From<&RunSummary> for Line {
    fn from(run: &RunSummary) -> Self {
        let (state, step, steps) = match &run.state {
            RunState::Running(at) => ("running", at.map(|at| at.step), at.map(|at| at.steps)),
            RunState::Interrupted(at) => {
                ("interrupted", at.map(|at| at.step), at.map(|at| at.steps))
            }
            RunState::Complete(record) => (
                "complete",
                Some(record.totals.steps),
                Some(record.totals.steps),
            ),
        };
        Self {
            run: run.id.short(),
            job: run.start.job.name.clone(),
            state,
            step,
            steps,
            began: run.start.started_at.to_string(),
        }
    }
}

impl View for List {
    const SCHEMA: &'static str = "retune.run-list/1";

    fn human(&self, out: &mut dyn Write) -> io::Result<()> {
        if self.runs.is_empty() {
            return writeln!(out, "no runs yet");
        }
        for run in &self.runs {
            let style = match run.state {
                "complete" => GOOD,
                "running" => DIM,
                _ => DOUBT,
            };
            let at = match (run.step, run.steps) {
                (Some(step), Some(steps)) => format!("step {step}/{steps}"),
                _ => "no checkpoint yet".to_owned(),
            };
            writeln!(
                out,
                "{}  {}  {}  {at}  {}",
                run.run,
                run.began,
                styled(style, format!("{:<11}", run.state)),
                run.job
            )?;
        }
        Ok(())
    }
}
