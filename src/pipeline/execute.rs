//! One walk over the stages: it plans in a dry run and acts otherwise.

use std::path::PathBuf;

use super::error::PipelineError;
use super::spec::Spec;
use super::stage::{Stage, State, Step};
use super::summary::{Score, Summary};
use crate::base::Source;
use crate::dataset::{Columns, Field, Options, SplitName};
use crate::document::{Faults, Source as Text};
use crate::eval::{Subject, Suites};
use crate::gate::{Evidence, EvidenceId, Policy, Verdict};
use crate::lifecycle::{
    self, AddedBase, AddedDataset, Baseline, Current, FloorAnswers, Promotion, Trained, Workspace,
    subject_of,
};
use crate::progress::grouped;
use crate::reference::{ModelRef, Selector};
use crate::registry::{Decision, Version};
use crate::train::{DatasetRef, Job};

/// How a pipeline ended.
#[derive(Debug, Clone, PartialEq)]
pub struct Outcome {
    /// Every stage that was reached, and in a plan those that wait.
    pub steps: Vec<Step>,
    /// How it ended.
    pub end: End,
}

/// The ways a pipeline ends.
#[derive(Debug, Clone, PartialEq)]
pub enum End {
    /// A plan: nothing was done.
    Planned,
    /// The alias points to the version that these inputs make.
    Complete(Box<Summary>),
    /// The gate did not pass.
    NotPassed(EvidenceId, Verdict, Box<Summary>),
    /// The registry refused to move the alias, for the reason given.
    Refused(String),
    /// Training was interrupted; the next run goes on from its checkpoint.
    Interrupted,
}

/// Walks through the stages of a pipeline. `watch` hears of each as soon as it is known.
///
/// With `workspace.act.dry_run` nothing is changed: the walk ends before the first stage that has work to do, and the rest waits.
pub fn execute(
    spec: &Spec,
    workspace: &Workspace<'_>,
    watch: &mut dyn FnMut(&Step),
) -> Result<Outcome, PipelineError> {
    let files = Files::read(spec)?;
    let mut walk = Walk {
        spec,
        workspace,
        files,
        watch,
        steps: Vec::new(),
    };
    let end = walk.stages()?;
    if end == End::Planned {
        walk.wait_for_the_rest();
    }
    Ok(Outcome {
        steps: walk.steps,
        end,
    })
}

/// The files that a pipeline file names, all read and checked before the first stage.
struct Files {
    job: Job,
    suites: Suites,
    policy: Policy,
}

impl Files {
    fn read(spec: &Spec) -> Result<Self, PipelineError> {
        let missing = spec.missing_files();
        if !missing.is_empty() {
            let missing = missing.into_iter().map(PathBuf::from).collect();
            return Err(PipelineError::Missing(missing));
        }
        let files = Self {
            job: Job::read(&spec.train)?,
            suites: Suites::read(&spec.suite)?,
            policy: Policy::read(&spec.gate)?,
        };
        files.policy.fits_floor(files.suites.floor.as_ref())?;
        files.agree(spec)?;
        Ok(files)
    }

    /// The job file stands alone too, so it names base and dataset again; they must be the pipeline's.
    fn agree(&self, spec: &Spec) -> Result<(), PipelineError> {
        let source = Text::read(&spec.train)?;
        let mut faults = Vec::new();
        if self.job.base.name != spec.base.name {
            let message = format!("the pipeline's base is {}", spec.base.name);
            faults.push(source.fault("base", message));
        }
        if !matches!(&self.job.dataset, DatasetRef::Named(name, _) if *name == spec.dataset.name) {
            let message = format!("the pipeline's dataset is {}", spec.dataset.name);
            faults.push(source.fault("dataset", message));
        }
        Ok(Faults::check(faults)?)
    }
}

struct Walk<'a> {
    spec: &'a Spec,
    workspace: &'a Workspace<'a>,
    files: Files,
    watch: &'a mut dyn FnMut(&Step),
    steps: Vec<Step>,
}

const STAGES: [Stage; 8] = [
    Stage::Dataset,
    Stage::Base,
    Stage::Train,
    Stage::Evaluate,
    Stage::Register,
    Stage::Gate,
    Stage::Promote,
    Stage::Pin,
];

impl Walk<'_> {
    fn stages(&mut self) -> Result<End, PipelineError> {
        let spec = self.spec;
        lifecycle::adopt_policy(self.workspace, &spec.model, &spec.gate, &self.files.policy)?;
        let dataset = self.dataset()?;
        let base = self.base()?;
        if self.planning() && (dataset.new || base.new) {
            return Ok(End::Planned);
        }
        let run = match self.train()? {
            Trained::Finished(run) => *run,
            Trained::Planned => return Ok(End::Planned),
            Trained::Interrupted(..) => return Ok(End::Interrupted),
        };
        let mut summary = Summary::new(self.spec, &dataset, &base, &run);
        let version = lifecycle::version_of(self.workspace, &self.spec.model, &run, None)?;
        let current = lifecycle::current(self.workspace, &self.spec.model, &self.spec.promote)?;
        match current.filter(|current| current.version.id == version.id) {
            Some(current) => self.is_current(&version, &current, &mut summary)?,
            None => {
                if let Some(end) = self.introduce(&version, &mut summary)? {
                    return Ok(end);
                }
            }
        }
        self.pin(&version, &mut summary)?;
        Ok(End::Complete(Box::new(summary)))
    }

    /// The alias points to this version already: nothing is judged again.
    fn is_current(
        &mut self,
        version: &Version,
        current: &Current,
        summary: &mut Summary,
    ) -> Result<(), PipelineError> {
        self.evaluate(version, &[], summary)?;
        self.note(Stage::Register, false, version.to_string());
        if let Some(id) = &current.evidence {
            let evidence = Evidence::load(&self.workspace.store, id)?;
            summary.take(&self.workspace.store, &evidence)?;
            let what = format!("{}, when it was promoted", evidence.verdict);
            self.note(Stage::Gate, false, what);
        }
        let what = format!("{}:{} is this version", self.spec.model, self.spec.promote);
        self.note(Stage::Promote, false, what);
        Ok(())
    }

    /// Evaluates, registers, judges and promotes a version. `Some` is where it ended instead.
    fn introduce(
        &mut self,
        version: &Version,
        summary: &mut Summary,
    ) -> Result<Option<End>, PipelineError> {
        let baselines = self.baselines()?;
        let answered = self.evaluate(version, &baselines, summary)?;
        let added = self.workspace.tenant().register(
            &version.manifest,
            &self.workspace.store,
            &self.workspace.act,
        )?;
        self.note(Stage::Register, added.new, version.to_string());
        if self.planning() && (added.new || !answered) {
            return Ok(Some(End::Planned));
        }
        let checked = lifecycle::judge(
            self.workspace,
            &self.files.policy,
            &self.files.suites,
            version,
            &baselines,
            None,
        )?;
        summary.take(&self.workspace.store, &checked.evidence)?;
        let names: Vec<String> = baselines.iter().map(Baseline::name).collect();
        let verdict = checked.evidence.verdict;
        let what = format!("{verdict} against {}", names.join(" and "));
        if verdict != Verdict::Pass {
            self.push(Stage::Gate, State::Stopped, what);
            return Ok(Some(End::NotPassed(
                checked.id,
                verdict,
                Box::new(summary.clone()),
            )));
        }
        self.note(Stage::Gate, checked.new, what);
        self.promote(version)
    }

    fn planning(&self) -> bool {
        self.workspace.act.dry_run
    }

    /// Notes what came of a stage.
    fn note(&mut self, stage: Stage, new: bool, what: impl Into<String>) {
        let state = match (new, self.planning()) {
            (false, _) => State::Unchanged,
            (true, false) => State::Done,
            (true, true) => State::Pending,
        };
        self.push(stage, state, what);
    }

    fn push(&mut self, stage: Stage, state: State, what: impl Into<String>) {
        let step = Step {
            stage,
            state,
            what: what.into(),
        };
        (self.watch)(&step);
        self.steps.push(step);
    }

    fn wait_for_the_rest(&mut self) {
        let spec = self.spec;
        for stage in STAGES {
            if self.steps.iter().any(|step| step.stage == stage) {
                continue;
            }
            let what = match stage {
                Stage::Train => {
                    format!("train {} as {} says", spec.base.name, spec.train.display())
                }
                Stage::Evaluate => format!(
                    "answer the {} cases of {}",
                    grouped(self.files.suites.suite.cases().len() as u64),
                    self.files.suites.suite.name()
                ),
                Stage::Register => format!("register a version of {}", spec.model),
                Stage::Gate => format!("judge it by {}", spec.gate.display()),
                Stage::Promote => format!("on PASS, move {}:{} to it", spec.model, spec.promote),
                Stage::Pin if spec.pin => format!("pin it as {}", spec.model),
                Stage::Dataset | Stage::Base | Stage::Pin => continue,
            };
            self.push(stage, State::Pending, what);
        }
    }

    fn dataset(&mut self) -> Result<AddedDataset, PipelineError> {
        let spec = &self.spec.dataset;
        let splits = [
            (SplitName::Train, Some(&spec.train)),
            (SplitName::Validation, spec.validation.as_ref()),
            (SplitName::Test, Some(&spec.test)),
        ];
        let files: Vec<_> = splits
            .into_iter()
            .filter_map(|(split, path)| Some((split, path?.clone())))
            .collect();
        let chosen = [(Field::Text, &spec.text), (Field::Label, &spec.label)];
        let chosen = chosen
            .into_iter()
            .filter_map(|(field, name)| Some((field, name.clone()?)));
        let options = Options {
            columns: Columns::new(chosen)?,
            ..Options::default()
        };
        let added = lifecycle::add_dataset(self.workspace, &spec.name, &files, &options)?;
        let manifest = &added.dataset.manifest;
        let what = format!(
            "{}@{}: {} rows{}",
            spec.name,
            added.dataset.record.label,
            grouped(manifest.rows()),
            labelled(manifest.labels.len())
        );
        self.note(Stage::Dataset, added.new, what);
        Ok(added)
    }

    fn base(&mut self) -> Result<AddedBase, PipelineError> {
        let spec = &self.spec.base;
        let source = match (&spec.source, &spec.revision) {
            (Some(repo), Some(revision)) => Some(Source::new(repo, revision)?),
            _ => None,
        };
        let added = lifecycle::add_base(self.workspace, &spec.name, &spec.path, source)?;
        let manifest = &added.base.manifest;
        let what = format!(
            "{}@{}: {}, {} parameters",
            spec.name,
            added.base.record.label,
            manifest.model.model_type,
            grouped(manifest.model.parameters)
        );
        self.note(Stage::Base, added.new, what);
        Ok(added)
    }

    fn train(&mut self) -> Result<Trained, PipelineError> {
        let trained = lifecycle::train(self.workspace, &self.files.job, None)?;
        match &trained {
            Trained::Finished(run) => {
                let what = run.to_string();
                self.note(Stage::Train, run.new, what);
            }
            Trained::Interrupted(run, _) => {
                let what = format!(
                    "run {} was interrupted; run this again to go on",
                    run.short()
                );
                self.push(Stage::Train, State::Stopped, what);
            }
            Trained::Planned => {}
        }
        Ok(trained)
    }

    /// What the version is judged against: what the alias points to, else what needs no training.
    fn baselines(&self) -> Result<Vec<Baseline>, PipelineError> {
        let current = lifecycle::current(self.workspace, &self.spec.model, &self.spec.promote)?;
        if let Some(current) = current {
            return Ok(vec![Baseline::Version(Box::new(current.version))]);
        }
        let first = self.files.policy.first_version();
        let kinds = first.map(|first| first.against.clone()).unwrap_or_default();
        Ok(kinds.into_iter().map(Baseline::Untrained).collect())
    }

    /// Has the version and its baselines answer the suite. `false`: in a plan, an answer is missing.
    fn evaluate(
        &mut self,
        version: &Version,
        baselines: &[Baseline],
        summary: &mut Summary,
    ) -> Result<bool, PipelineError> {
        let suite = &self.files.suites.suite;
        let evaluate = |subject: Subject| lifecycle::evaluate(self.workspace, suite, &subject);
        let mut new = false;
        for baseline in baselines {
            new |= evaluate(baseline.subject(version))?.new;
        }
        let own = evaluate(subject_of(version))?;
        new |= own.new;
        let floor = self.floor(version)?;
        new |= floor.as_ref().is_some_and(FloorAnswers::is_new);
        let cases = grouped(own.cases);
        let what = match &own.report {
            Some((_, report)) => {
                let score = Score::of(version.to_string(), report);
                let floor = floor.as_ref().map_or_else(String::new, passed);
                let what = format!("{cases} cases of {}: {score}{floor}", suite.name());
                summary.scores.push(score);
                what
            }
            None => format!("answer the {cases} cases of {}", suite.name()),
        };
        self.note(Stage::Evaluate, new, what);
        Ok(!self.planning() || !new)
    }

    /// Has the version answer the suite's floor, where it has one.
    fn floor(&self, version: &Version) -> Result<Option<FloorAnswers>, PipelineError> {
        let (Some(floor), Some(rule)) = (&self.files.suites.floor, self.files.policy.floor())
        else {
            return Ok(None);
        };
        let repeats = rule.confirm.repeats;
        let subject = subject_of(version);
        let answers = lifecycle::evaluate_floor(self.workspace, floor, &subject, repeats)?;
        Ok(Some(answers))
    }

    /// Moves the alias. `Some` when the registry refused.
    fn promote(&mut self, version: &Version) -> Result<Option<End>, PipelineError> {
        let spec = self.spec;
        let reference = self.reference(version);
        let reason = format!("pipeline {}", spec.name);
        let promotion = lifecycle::promote(
            self.workspace,
            &reference,
            &spec.promote,
            None,
            Some(&reason),
        )?;
        let refusal = match promotion {
            Promotion::Decided(_, Decision::Refused(refusal)) => refusal.to_string(),
            Promotion::NotPassed(_, evidence, verdict) => {
                format!("evidence {evidence} says {verdict}")
            }
            Promotion::OtherPolicy(other) => other.to_string(),
            Promotion::NoEvidence(_) => "nobody judged it".to_owned(),
            Promotion::Decided(_, decision) => {
                let new = matches!(decision, Decision::Moved(..));
                self.note(
                    Stage::Promote,
                    new,
                    format!("{}:{} is {version}", spec.model, spec.promote),
                );
                return Ok(None);
            }
        };
        self.push(Stage::Promote, State::Stopped, refusal.clone());
        Ok(Some(End::Refused(refusal)))
    }

    fn pin(&mut self, version: &Version, summary: &mut Summary) -> Result<(), PipelineError> {
        if !self.spec.pin {
            return Ok(());
        }
        let reference = self.reference(version);
        let follow = Some(&self.spec.promote);
        let change = lifecycle::pin(self.workspace, &self.spec.model, &reference, follow)?;
        let what = format!("{reference} in retune.lock");
        summary.pinned = Some(reference.to_string());
        self.note(Stage::Pin, change.is_change(), what);
        Ok(())
    }

    fn reference(&self, version: &Version) -> ModelRef {
        ModelRef {
            tenant: Some(self.workspace.tenant.clone()),
            model: self.spec.model.clone(),
            selector: Selector::Version(version.label.clone()),
        }
    }
}

/// Reads everything that a pipeline names and whether it fits together.
pub fn check(spec: &Spec) -> Result<(), PipelineError> {
    Files::read(spec).map(drop)
}

/// `, 13 labels`, where there are some.
fn labelled(labels: usize) -> String {
    match labels {
        0 => String::new(),
        labels => format!(", {labels} labels"),
    }
}

/// How many cases of the floor were passed at once.
fn passed(floor: &FloorAnswers) -> String {
    let evaluation = &floor.first.evaluation;
    let Some((_, report)) = &evaluation.report else {
        return String::new();
    };
    let missed = report.missed().len() as u64;
    let (right, cases) = (evaluation.cases - missed, evaluation.cases);
    format!("; floor: {} of {} passed", grouped(right), grouped(cases))
}
