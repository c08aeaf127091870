//! Views of runs.

use std::io::{self, Write};

use retune::lifecycle::TrainedRun;
use retune::progress::{bytes, grouped};
use retune::train::{
    Job, Plan, PlannedModule, RunRecord, RunStart, RunState, RunSummary, Sample, TokenAccount,
};
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
        if plan.test_leaked > 0 {
            let rows = grouped(plan.test_leaked);
            writeln!(
                out,
                "  test        {rows} rows that ask what training rows ask"
            )?;
        }
        if let Some(adapter) = plan.from {
            writeln!(out, "  goes on     from adapter {adapter}")?;
        }
        if !plan.labels.is_empty() {
            writeln!(out, "  labels      {}", plan.labels.len())?;
        }
        if let Some(template) = plan.chat_template {
            writeln!(out, "  template    {template}")?;
        }
        trained(out, plan)?;
        modules(out, &plan.modules)?;
        writeln!(
            out,
            "  steps       {} ({} an epoch)",
            grouped(plan.steps),
            grouped(plan.steps_per_epoch)
        )?;
        write!(out, "  memory      about {}", bytes(plan.memory.total()))?;
        match plan.max_memory {
            Some(limit) => writeln!(out, " of {} allowed", bytes(limit))?,
            None => writeln!(out)?,
        }
        for sample in &plan.samples {
            show(out, sample)?;
        }
        Ok(())
    }
}

fn trained(out: &mut dyn Write, plan: &Plan) -> io::Result<()> {
    let trainable = grouped(plan.trainable_parameters);
    if plan.every_weight {
        return writeln!(out, "  trained     every weight, {trainable} parameters");
    }
    writeln!(
        out,
        "  trained     {trainable} of {} parameters ({:.2} %) in {} modules{}",
        grouped(plan.base_parameters + plan.trainable_parameters),
        plan.trainable_share() * 100.0,
        plan.adapted_modules,
        match plan.labels.is_empty() {
            true => "",
            false => " and the head",
        }
    )
}

/// Modules of one kind, in all layers, on one line.
fn modules(out: &mut dyn Write, modules: &[PlannedModule]) -> io::Result<()> {
    let mut kinds: Vec<(String, String, usize)> = Vec::new();
    for module in modules {
        let parts = module.path.split('.').map(|part| {
            let numbered = part.bytes().all(|byte| byte.is_ascii_digit());
            if numbered { "*" } else { part }
        });
        let path = parts.collect::<Vec<_>>().join(".");
        let shape = format!("{} → {}, r {}", module.inputs, module.outputs, module.r);
        match kinds
            .iter_mut()
            .find(|kind| (&kind.0, &kind.1) == (&path, &shape))
        {
            Some(kind) => kind.2 += 1,
            None => kinds.push((path, shape, 1)),
        }
    }
    for (path, shape, count) in kinds {
        writeln!(out, "              {count} × {path} ({shape})")?;
    }
    Ok(())
}

/// A row as the model sees it. What is learned stands in ⟦brackets⟧, in colour where there is colour.
fn show(out: &mut dyn Write, sample: &Sample) -> io::Result<()> {
    let tokens: usize = sample.parts.iter().map(|part| part.tokens).sum();
    let learned = sample.parts.iter().filter(|part| part.learned);
    let learned: usize = learned.map(|part| part.tokens).sum();
    write!(out, "\nline {}: {tokens} tokens", sample.line)?;
    match &sample.label {
        Some(label) => writeln!(out, ", label {}", styled(GOOD, label))?,
        None => writeln!(out, ", {learned} learned in {}", styled(GOOD, "⟦⟧"))?,
    }
    for part in &sample.parts {
        match part.learned {
            true => write!(out, "{}", styled(GOOD, format!("⟦{}⟧", part.text)))?,
            false => write!(out, "{}", styled(DIM, &part.text))?,
        }
    }
    writeln!(out)
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
    for (rows, what) in [
        (account.repeated, "repeated"),
        (account.conflicting, "that contradict an earlier one"),
        (account.leaked, "that ask what training rows ask"),
    ] {
        if rows > 0 {
            write!(out, "; {} {what}", grouped(rows))?;
        }
    }
    if let Some(learned) = &account.learned {
        write!(
            out,
            "; {} learned ({:.1} %), {:.1} % of rows with their end, {} with BOS",
            grouped(learned.tokens),
            account.learned_share().get() * 100.0,
            account.ended_share().get() * 100.0,
            grouped(learned.begun)
        )?;
        if learned.parted > 0 {
            write!(out, ", {} encoded in parts", grouped(learned.parted))?;
        }
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
        if let Some(from) = start.from {
            writeln!(out, "  went on     from adapter {}", from.adapter)?;
        }
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
        if !start.device.is_cpu() {
            writeln!(out, "  device      {}", start.device)?;
        }
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
                "  best        {} on the validation split, step {}",
                best.scores, best.step
            )?;
        }
        let what = match start.job.lora {
            Some(_) => "adapter",
            None => "model",
        };
        writeln!(out, "  {what:<11} {}", record.adapter)
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
