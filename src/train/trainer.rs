//! The loop: steps, evaluations, checkpoints, and an adapter at the end.

use std::path::Path;
use std::time::Duration;

use super::adapt;
use super::checkpoint::{Checkpoint, EvaluationState, Moment, Position, Shape, State};
use super::error::TrainError;
use super::evaluate::evaluate;
use super::from::{Beginning, FromAdapter};
use super::job::{Evaluation, Job, Metric, Rhythm};
use super::machine::Machine;
use super::metrics::{Line, MetricsLog, Scores};
use super::optimizer::{AdamW, Rule, accumulate, clip};
use super::plan::Plan;
use super::prepare::{Prepared, prepare};
use super::record::{Best, End, RunRecord, Totals};
use super::run::{RunDir, Stop};
use super::schedule::Schedule;
use super::start::{RunId, RunStart};
use super::streams::Streams;
use super::whole;
use crate::base::network::{DropoutKey, Parameter};
use crate::base::{BaseManifest, Device};
use crate::dataset::DatasetManifest;
use crate::digest::Digest;
use crate::document::Decimal;
use crate::fsio::{self, Lock};
use crate::name::TenantName;
use crate::progress::{Event, Reporter, Unit};
use crate::store::Store;

/// What a run is made from, and where it happens.
pub struct Inputs<'a> {
    /// Holds dataset and base; gets the adapter and the run's documents.
    pub store: &'a Store,
    /// The frozen model that the job names.
    pub base: &'a BaseManifest,
    /// The examples that the job names.
    pub dataset: &'a DatasetManifest,
    /// The adapter to go on from, if any.
    pub from: Option<&'a Beginning>,
    /// What the model is trained on.
    pub device: Device,
    /// Whose the examples are; none: nobody's in particular.
    pub tenants: &'a [TenantName],
    /// The directory that all runs are in.
    pub runs: &'a Path,
    /// The version of this tool.
    pub tool: &'a str,
    /// Clock and meters.
    pub machine: &'a Machine<'a>,
}

impl Inputs<'_> {
    fn arithmetic(&self, job: &Job) -> Option<String> {
        let class = &self.machine.class;
        class.arithmetic(job, &self.base.model, self.device)
    }
}

/// How a call ended.
#[derive(Debug, Clone, PartialEq)]
pub enum Outcome {
    /// The run is over.
    Complete(Box<Finished>),
    /// The run can be gone on with; a checkpoint was written.
    Interrupted {
        /// Why it stopped.
        why: Stop,
        /// The run.
        run: RunId,
        /// Where it is.
        dir: RunDir,
        /// Optimiser steps taken.
        step: u64,
        /// Of how many.
        steps: u64,
    },
}

/// A completed run.
#[derive(Debug, Clone, PartialEq)]
pub struct Finished {
    /// The run.
    pub run: RunId,
    /// Where it is.
    pub dir: RunDir,
    /// What came of it.
    pub record: RunRecord,
    /// The digest of the record's bytes, by which the store has it.
    pub document: Digest,
}

/// What the job would do. Nothing is written.
pub fn plan(job: &Job, inputs: &Inputs<'_>, reporter: &dyn Reporter) -> Result<Plan, TrainError> {
    Ok(prepare(job, inputs, reporter)?.plan)
}

/// Trains a job as a new run. Everything about job and data that can be wrong is found before the run exists.
pub fn start(
    job: &Job,
    inputs: &Inputs<'_>,
    reporter: &dyn Reporter,
) -> Result<Outcome, TrainError> {
    for warning in job.warnings() {
        reporter.report(&Event::Warning(&warning));
    }
    let prepared = prepare(job, inputs, reporter)?;
    let start = RunStart {
        job: job.clone(),
        job_digest: job.digest()?,
        dataset: inputs.dataset.id()?,
        tenants: Some(inputs.tenants.to_vec()),
        base: inputs.base.id(),
        from: inputs.from.map(|beginning| beginning.from),
        device: inputs.device,
        tool: inputs.tool.to_owned(),
        machine: inputs.machine.class.clone(),
        arithmetic: inputs.arithmetic(job),
        streams: Streams::of(job.seed),
        started_at: (inputs.machine.now)(),
    };
    let document = start.encode()?;
    let run = RunId::from(inputs.store.put_bytes(&document)?.digest);
    let dir = RunDir::of(inputs.runs, run);
    dir.create(run, &document)?;
    let _lock = dir.lock(run)?;
    Trainer::new(run, dir, start, prepared, inputs, reporter)?.run()
}

/// Goes on with a run from its newest checkpoint. Job, dataset, base and tool version must be those it began with.
pub fn resume(
    dir: &Path,
    inputs: &Inputs<'_>,
    reporter: &dyn Reporter,
) -> Result<Outcome, TrainError> {
    let dir = RunDir::open(dir)?;
    let (run, start) = dir.start()?;
    let _lock: Lock = dir.lock(run)?;
    if dir.record()?.is_some() {
        return Err(TrainError::Complete(run));
    }
    check_unchanged(run, &start, inputs)?;
    dir.clean()?;
    let prepared = prepare(&start.job, inputs, reporter)?;
    Trainer::new(run, dir, start, prepared, inputs, reporter)?.run()
}

fn check_unchanged(run: RunId, start: &RunStart, inputs: &Inputs<'_>) -> Result<(), TrainError> {
    let adapter = |from: Option<FromAdapter>| match from {
        Some(from) => from.adapter.to_string(),
        None => "none".to_owned(),
    };
    let arithmetic = |own: Option<String>| own.unwrap_or("products without tiles".to_owned());
    let pairs = [
        (
            "starting adapter",
            adapter(start.from),
            adapter(inputs.from.map(|beginning| beginning.from)),
        ),
        (
            "device",
            start.device.to_string(),
            inputs.device.to_string(),
        ),
        (
            "processor",
            arithmetic(start.arithmetic.clone()),
            arithmetic(inputs.arithmetic(&start.job)),
        ),
        (
            "dataset",
            start.dataset.to_string(),
            inputs.dataset.id()?.to_string(),
        ),
        ("base", start.base.to_string(), inputs.base.id().to_string()),
        ("tool version", start.tool.clone(), inputs.tool.to_owned()),
    ];
    match pairs.into_iter().find(|(_, was, now)| was != now) {
        Some((what, was, now)) => Err(TrainError::Changed {
            run,
            what,
            was,
            now,
        }),
        None => Ok(()),
    }
}

struct Trainer<'a> {
    run: RunId,
    dir: RunDir,
    start: RunStart,
    inputs: &'a Inputs<'a>,
    reporter: &'a dyn Reporter,
    prepared: Prepared,
    schedule: Schedule,
    shapes: Vec<Shape>,
    /// By how much each tensor's rate differs from the job's.
    factors: Vec<f64>,
    optimizer: AdamW,
    best: Option<Vec<Vec<f32>>>,
    state: State,
    log: MetricsLog,
    /// The newest checkpoint.
    saved: Option<Moment>,
    /// The batches of the current epoch.
    batches: (u64, Vec<Vec<usize>>),
    /// Tokens and seconds of this session, for the speed that is shown.
    speed: (u64, f64),
    /// When this session began.
    began: Duration,
}

impl<'a> Trainer<'a> {
    /// A trainer at the run's newest checkpoint, or at its beginning.
    fn new(
        run: RunId,
        dir: RunDir,
        start: RunStart,
        prepared: Prepared,
        inputs: &'a Inputs<'a>,
        reporter: &'a dyn Reporter,
    ) -> Result<Self, TrainError> {
        let shapes = shapes(prepared.model.parameters());
        let found = Checkpoint::newest(&dir.checkpoints(), &shapes)?;
        let saved = found.as_ref().map(|found| found.state.moment());
        let fresh = || fresh(run, &start, &prepared);
        let checkpoint = found.unwrap_or_else(fresh);
        let steps = prepared.plan.steps;
        if checkpoint.state.run != run || checkpoint.state.steps != steps {
            return Err(TrainError::Contradiction(
                "its newest checkpoint belongs to another run".to_owned(),
            ));
        }
        let log = MetricsLog::open(&dir.metrics(), checkpoint.state.metrics_length)?;
        let mut trainer = Self {
            factors: factors(&start.job, &shapes),
            schedule: Schedule::new(&start.job.lr_scheduler, steps),
            optimizer: AdamW::new(
                rule(&start.job),
                checkpoint.state.position.step,
                checkpoint.first,
                checkpoint.second,
            ),
            best: checkpoint.best,
            state: checkpoint.state,
            batches: (0, prepared.order.epoch(0)),
            speed: (0, 0.0),
            began: (inputs.machine.elapsed)(),
            run,
            dir,
            start,
            inputs,
            reporter,
            prepared,
            shapes,
            log,
            saved,
        };
        trainer.prepared.model.set_weights(&checkpoint.weights)?;
        trainer.open_epoch();
        Ok(trainer)
    }

    /// Trains until the end or until someone asks to stop. What is due follows from the state alone, so a resumed run
    /// does what an uninterrupted one does.
    fn run(mut self) -> Result<Outcome, TrainError> {
        self.reporter.report(&Event::Started {
            what: "training",
            total: Some(self.state.steps),
            unit: Unit::Items,
        });
        self.advanced("");
        loop {
            if self.evaluation_due() && !self.evaluate()? {
                return self.interrupt(Stop::Asked);
            }
            if let Some(end) = self.end() {
                self.save()?;
                let finished = self.finish(end)?;
                return Ok(Outcome::Complete(Box::new(finished)));
            }
            if self.reporter.interrupted() {
                return self.interrupt(Stop::Asked);
            }
            if self.is_out_of_time() {
                return self.interrupt(Stop::OutOfTime);
            }
            self.check_memory()?;
            if self.checkpoint_due() {
                self.save()?;
            }
            self.step()?;
        }
    }

    fn is_out_of_time(&self) -> bool {
        let used = self.elapsed().saturating_sub(self.began).as_secs();
        let limit = self.start.job.limits.max_seconds;
        limit.is_some_and(|limit| used >= limit)
    }

    /// Gives up, with a checkpoint, when more memory is held than the job allows.
    fn check_memory(&mut self) -> Result<(), TrainError> {
        let held = (self.inputs.machine.peak_memory)();
        let (Some(held), Some(limit)) = (held, self.start.job.limits.max_memory) else {
            return Ok(());
        };
        if held <= limit {
            return Ok(());
        }
        self.save()?;
        let step = self.state.position.step;
        Err(TrainError::OutOfMemory { step, held, limit })
    }

    fn interrupt(mut self, why: Stop) -> Result<Outcome, TrainError> {
        self.save()?;
        self.reporter.report(&Event::Finished);
        Ok(Outcome::Interrupted {
            why,
            run: self.run,
            dir: self.dir,
            step: self.state.position.step,
            steps: self.state.steps,
        })
    }

    fn end(&self) -> Option<End> {
        let patience = self.evaluation().and_then(|e| e.early_stopping_patience);
        if self.state.position.step >= self.state.steps {
            Some(End::Completed)
        } else if patience.is_some_and(|patience| self.state.evaluation.without_gain >= patience) {
            Some(End::StoppedEarly)
        } else {
            None
        }
    }

    fn evaluation(&self) -> Option<&Evaluation> {
        self.prepared.evaluation.as_ref()
    }

    fn checkpoint_due(&self) -> bool {
        let step = self.state.position.step;
        step > 0 && step.is_multiple_of(self.start.job.checkpoint.every_steps)
    }

    fn evaluation_due(&self) -> bool {
        let Position { step, batch, .. } = self.state.position;
        let Some(evaluation) = self.evaluation() else {
            return false;
        };
        if step == 0 || self.state.evaluation.at == Some(step) {
            return false;
        }
        let rhythm = match evaluation.every {
            Rhythm::Epoch => batch == 0,
            Rhythm::Steps(steps) => step.is_multiple_of(steps),
        };
        rhythm || step >= self.state.steps
    }

    /// One optimiser step: passes over up to `gradient_accumulation_steps` micro-batches, as one mean over their rows.
    fn step(&mut self) -> Result<(), TrainError> {
        let began = self.elapsed();
        let step = self.state.position.step;
        let from = self.state.position.batch;
        let batches = &self.batches.1;
        let to = batches
            .len()
            .min(from + self.start.job.gradient_accumulation_steps);
        let rows: usize = batches[from..to].iter().map(Vec::len).sum();
        // One mean over everything that the step learns, however it is cut into passes.
        let train = &self.prepared.train;
        let goals: usize = batches[from..to].iter().map(|b| train.goals_of(b)).sum();
        let mut sum: Option<Vec<Vec<f32>>> = None;
        let (mut loss, mut tokens) = (0.0, 0);
        for rows_of_batch in &batches[from..to] {
            let scale = 1.0 / goals as f32;
            let output = self
                .prepared
                .model
                .train_step(&train.batch(rows_of_batch), scale, self.dropout())
                .map_err(|source| TrainError::Step { step, source })?;
            loss += output.loss_sum;
            tokens += train.tokens_of(rows_of_batch);
            match &mut sum {
                Some(sum) => accumulate(sum, &output.gradients),
                None => sum = Some(output.gradients),
            }
            self.state.position.passes += 1;
        }
        let loss = loss / goals as f64;
        let mut gradients = sum.unwrap_or_default();
        let grad_norm = self.update(&mut gradients)?;
        let position = &mut self.state.position;
        position.step += 1;
        position.batch = to;
        position.examples += rows as u64;
        position.tokens += tokens;
        if position.batch == self.batches.1.len() {
            position.epoch += 1;
            position.batch = 0;
            self.open_epoch();
        }
        let seconds = (self.elapsed() - began).as_secs_f64();
        self.stepped(loss, grad_norm, rows, tokens, seconds)
    }

    fn dropout(&self) -> Option<DropoutKey> {
        let dropout = self.start.job.lora.as_ref()?.dropout.get();
        (dropout > 0.0).then_some(DropoutKey {
            seed: self.start.streams.dropout,
            step: self.state.position.passes,
        })
    }

    /// Moves the weights; returns the length of the gradient before clipping.
    fn update(&mut self, gradients: &mut [Vec<f32>]) -> Result<f64, TrainError> {
        let step = self.state.position.step;
        let norm = clip(gradients, self.start.job.max_grad_norm.get());
        let rate = self.rate(step);
        let rates: Vec<f64> = self.factors.iter().map(|factor| rate * factor).collect();
        let optimizer = &mut self.optimizer;
        self.prepared
            .model
            .update_weights(|weights| optimizer.step(&rates, weights, gradients))
            .map_err(|source| TrainError::Step { step, source })?;
        Ok(norm)
    }

    fn rate(&self, step: u64) -> f64 {
        self.start.job.optimizer.learning_rate.get() * self.schedule.factor(step)
    }

    /// Records a step that was taken, and looks whether the loss is still sound.
    fn stepped(
        &mut self,
        loss: f64,
        grad_norm: f64,
        rows: usize,
        tokens: u64,
        seconds: f64,
    ) -> Result<(), TrainError> {
        let Position { step, epoch, .. } = self.state.position;
        let learning_rate = self.rate(step - 1);
        self.state.last_loss = Decimal::new(loss).ok();
        self.state.training_seconds = plus(self.state.training_seconds, seconds);
        self.speed = (self.speed.0 + tokens, self.speed.1 + seconds);
        self.log.write(&Line::Step {
            step,
            epoch,
            loss,
            learning_rate,
            grad_norm,
            rows: rows as u64,
            tokens,
            seconds: thousandths(seconds),
        })?;
        let speed = self.speed.0 as f64 / self.speed.1.max(1e-9);
        self.advanced(&format!(
            "loss {loss:.4} · lr {learning_rate:.1e} · {speed:.0} tok/s"
        ));
        self.watch(step, loss)
    }

    fn watch(&mut self, step: u64, loss: f64) -> Result<(), TrainError> {
        let watchdog = &self.start.job.watchdog;
        let Some(limit) = watchdog.max_loss.map(Decimal::get) else {
            return Ok(());
        };
        self.state.high_losses = if loss > limit {
            self.state.high_losses + 1
        } else {
            0
        };
        if self.state.high_losses < watchdog.patience {
            return Ok(());
        }
        Err(TrainError::Diverged {
            step,
            loss,
            limit,
            patience: watchdog.patience,
        })
    }

    /// Looks at the validation split; `false` when someone asked to stop before all of it was seen.
    fn evaluate(&mut self) -> Result<bool, TrainError> {
        let (Some(rows), Some(evaluation)) =
            (&self.prepared.validation, self.prepared.evaluation.clone())
        else {
            return Ok(true);
        };
        let began = self.elapsed();
        self.advanced("evaluating");
        let labels = &self.prepared.plan.labels;
        let metric = evaluation.metric;
        let found = evaluate(&self.prepared.model, rows, labels, metric, self.reporter)?;
        let Some(scores) = found else {
            return Ok(false);
        };
        let seconds = (self.elapsed() - began).as_secs_f64();
        self.state.evaluating_seconds = plus(self.state.evaluating_seconds, seconds);
        self.evaluated(scores, &evaluation, seconds)?;
        Ok(true)
    }

    fn evaluated(
        &mut self,
        scores: Scores,
        evaluation: &Evaluation,
        seconds: f64,
    ) -> Result<(), TrainError> {
        let Position { step, epoch, .. } = self.state.position;
        let known = self.state.evaluation.best.map(|best| best.scores);
        let gain = known.is_none_or(|known| is_better(evaluation.metric, &scores, &known));
        let state = &mut self.state.evaluation;
        state.at = Some(step);
        state.last = Some(scores);
        state.without_gain += 1;
        if gain {
            state.without_gain = 0;
            state.best = Some(Best { step, scores });
            self.best = evaluation
                .load_best
                .then(|| self.prepared.model.weights().to_vec());
        }
        self.log.write(&Line::Evaluation {
            step,
            epoch,
            loss: scores.loss.get(),
            exact_match: scores.exact_match.map(Decimal::get),
            accuracy: scores.accuracy.map(Decimal::get),
            macro_f1: scores.macro_f1.map(Decimal::get),
            best: gain,
            seconds: thousandths(seconds),
        })?;
        self.log.flush()?;
        self.reporter.report(&Event::Note(&format!(
            "step {step}: validation {scores}{}",
            if gain { ", the best so far" } else { "" }
        )));
        Ok(())
    }

    /// Writes a checkpoint, unless there is one of this moment.
    fn save(&mut self) -> Result<(), TrainError> {
        let moment = Some(self.state.moment());
        if self.saved == moment {
            return Ok(());
        }
        self.state.metrics_length = self.log.sync()?;
        let (first, second) = self.optimizer.moments();
        let checkpoint = Checkpoint {
            state: self.state.clone(),
            weights: self.prepared.model.weights().to_vec(),
            first: first.to_vec(),
            second: second.to_vec(),
            best: self.best.clone(),
        };
        let keep = self.start.job.checkpoint.keep;
        checkpoint.write(&self.dir.checkpoints(), &self.shapes, keep)?;
        self.saved = moment;
        Ok(())
    }

    /// Writes adapter and record.
    fn finish(mut self, end: End) -> Result<Finished, TrainError> {
        self.log.sync()?;
        let mut adapter_step = self.state.position.step;
        if let (Some(weights), Some(best)) = (&self.best, &self.state.evaluation.best) {
            self.prepared.model.set_weights(weights)?;
            adapter_step = best.step;
        }
        let tree = match self.start.job.spec() {
            Some(spec) => adapt::export(
                &self.prepared,
                &self.start,
                &spec,
                self.inputs,
                &self.dir.adapter(),
            )?,
            None => whole::export(&self.prepared, &self.start, self.inputs, &self.dir.model())?,
        };
        let record = RunRecord {
            run: self.run,
            job: self.start.job_digest,
            end,
            from: self.start.from,
            adapter: tree.id(),
            files: tree.entries().to_vec(),
            final_loss: self.state.last_loss.unwrap_or_default(),
            last: self.state.evaluation.last,
            best: self.state.evaluation.best,
            adapter_step,
            totals: self.totals(),
            train: self.prepared.plan.train,
            validation: self.prepared.plan.validation,
            test_leaked: self.prepared.plan.test_leaked,
            finished_at: (self.inputs.machine.now)(),
        };
        let bytes = record.encode()?;
        let document = self.inputs.store.put_bytes(&bytes)?.digest;
        fsio::write_atomic(&self.dir.record_file(), &bytes)?;
        self.reporter.report(&Event::Finished);
        Ok(Finished {
            run: self.run,
            dir: self.dir,
            record,
            document,
        })
    }

    fn totals(&self) -> Totals {
        let Position {
            epoch,
            step,
            examples,
            tokens,
            ..
        } = self.state.position;
        let seconds = self.state.training_seconds.get();
        let speed = |count: u64| {
            let speed = count as f64 / seconds.max(1e-3);
            Decimal::new((speed * 10.0).round() / 10.0).unwrap_or_default()
        };
        Totals {
            steps: step,
            epochs: epoch,
            examples,
            tokens,
            wall_seconds: plus(
                self.state.training_seconds,
                self.state.evaluating_seconds.get(),
            ),
            tokens_per_second: speed(tokens),
            examples_per_second: speed(examples),
            peak_memory_bytes: (self.inputs.machine.peak_memory)(),
        }
    }

    fn open_epoch(&mut self) {
        let epoch = self.state.position.epoch;
        if self.batches.0 != epoch {
            self.batches = (epoch, self.prepared.order.epoch(epoch));
        }
    }

    fn advanced(&self, note: &str) {
        self.reporter.report(&Event::Advanced {
            done: self.state.position.step,
            note,
        });
    }

    fn elapsed(&self) -> Duration {
        (self.inputs.machine.elapsed)()
    }
}

/// The beginning of a run.
fn fresh(run: RunId, start: &RunStart, prepared: &Prepared) -> Checkpoint {
    let weights = prepared.model.weights().to_vec();
    let zeros: Vec<Vec<f32>> = weights.iter().map(|w| vec![0.0; w.len()]).collect();
    Checkpoint {
        state: State {
            run,
            streams: start.streams,
            steps: prepared.plan.steps,
            position: Position::default(),
            metrics_length: 0,
            evaluation: EvaluationState::default(),
            last_loss: None,
            high_losses: 0,
            training_seconds: Decimal::default(),
            evaluating_seconds: Decimal::default(),
        },
        weights,
        first: zeros.clone(),
        second: zeros,
        best: None,
    }
}

fn rule(job: &Job) -> Rule {
    Rule {
        betas: job.optimizer.betas.map(Decimal::get),
        eps: job.optimizer.eps.get(),
        weight_decay: job.optimizer.weight_decay.get(),
    }
}

/// LoRA+ gives the second factor of every pair a larger rate, and so, as in PEFT, every tensor of one dimension.
fn factors(job: &Job, shapes: &[Shape]) -> Vec<f64> {
    let ratio = job.optimizer.loraplus_lr_ratio.map_or(1.0, Decimal::get);
    let factor = |(name, shape): &Shape| match name.contains("lora_B") || shape.len() == 1 {
        true => ratio,
        false => 1.0,
    };
    shapes.iter().map(factor).collect()
}

fn shapes(parameters: &[Parameter]) -> Vec<Shape> {
    let shape = |p: &Parameter| (p.name.clone(), p.shape.clone());
    parameters.iter().map(shape).collect()
}

fn is_better(metric: Metric, new: &Scores, old: &Scores) -> bool {
    match metric {
        Metric::Accuracy => new.accuracy > old.accuracy,
        Metric::MacroF1 => new.macro_f1 > old.macro_f1,
        Metric::ExactMatch => new.exact_match > old.exact_match,
        Metric::Loss => new.loss < old.loss,
    }
}

fn plus(sum: Decimal, seconds: f64) -> Decimal {
    Decimal::new(thousandths(sum.get() + seconds)).unwrap_or(sum)
}

fn thousandths(seconds: f64) -> f64 {
    (seconds * 1000.0).round() / 1000.0
}
