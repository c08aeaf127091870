//! The part of a migration that makes the version: train, evaluate, register, judge, and only then may an alias move.
//!
//! Each of it is done once, whatever happens in between: a run is found again by what it was asked, a version and a
//! report by what they are of. Which version a migration made is in the registry before any alias moves.

use std::path::Path;

use serde::{Deserialize, Serialize};

use super::base::find_base;
use super::dataset::find_dataset;
use super::evaluate::{evaluate, subject_of};
use super::floor::evaluate_floor;
use super::judge::{Baseline, judge, waiver_of};
use super::migration::{Migration, MigrationError, MigrationOutcome, StepState};
use super::policy::policy_of;
use super::promote::Promotion;
use super::register::version_of;
use super::train::{Trained, train};
use super::workspace::Workspace;
use crate::digest::Digest;
use crate::eval::{Suite, Suites};
use crate::gate::Verdict;
use crate::registry::{MigrationState, Target, Version};
use crate::train::{DatasetRef, Job, TrainError};

/// How the version of a migration is made: files as they were reviewed, and the data and the base of that day.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Retraining {
    /// The job file, seen from the project.
    pub job: String,
    /// The digest of what it asks for.
    pub config: Digest,
    /// The version of the dataset that the job names, or the dataset's id where the job names that.
    pub dataset: String,
    /// The version of the base that the job names.
    pub base: String,
    /// The suite file that the version is judged on, seen from the project.
    pub suite: String,
    /// The digest of the suite with its cases.
    pub cases: Digest,
}

/// How far a version is made.
pub(super) enum Making {
    /// It is registered, and judged against everything that it is to follow.
    Judged,
    /// It would be made, and this is a dry run.
    Planned,
    /// It ended otherwise.
    Ended(Box<MigrationOutcome>),
}

impl Retraining {
    /// What the job and the suite ask for now, on the newest data and base that they mean.
    pub(super) fn plan(
        workspace: &Workspace<'_>,
        job: &Path,
        suite: &Path,
    ) -> Result<Self, MigrationError> {
        let asked = Job::read(&workspace.root.join(job))?;
        let base = find_base(workspace, &asked.base.name, asked.base.version.as_deref())
            .map_err(super::TrainActError::from)?;
        let dataset = match &asked.dataset {
            DatasetRef::Named(name, version) => {
                let known = find_dataset(workspace, name, version.as_deref());
                known
                    .map_err(super::TrainActError::from)?
                    .record
                    .label
                    .to_string()
            }
            DatasetRef::Id(id) => id.to_string(),
        };
        let cases = Suite::read(&workspace.root.join(suite)).and_then(|suite| suite.id());
        let mut planned = Self {
            job: job.display().to_string(),
            config: Digest::of(&[]),
            dataset,
            base: base.record.label.to_string(),
            suite: suite.display().to_string(),
            cases: cases.map_err(super::EvaluateError::from)?.digest(),
        };
        planned.config = digest(&planned.fix(asked))?;
        Ok(planned)
    }

    /// The job, with data and base as they were planned.
    fn fix(&self, mut job: Job) -> Job {
        if let DatasetRef::Named(_, version) = &mut job.dataset {
            *version = Some(self.dataset.clone());
        }
        job.base.version = Some(self.base.clone());
        job
    }

    fn read_job(&self, workspace: &Workspace<'_>) -> Result<Job, MigrationError> {
        let job = self.fix(Job::read(&workspace.root.join(&self.job))?);
        unchanged(&self.job, digest(&job)?, self.config)?;
        Ok(job)
    }

    fn read_suites(&self, workspace: &Workspace<'_>) -> Result<Suites, MigrationError> {
        let suites = Suites::read(&workspace.root.join(&self.suite));
        let suites = suites.map_err(super::EvaluateError::from)?;
        let cases = suites.suite.id().map_err(super::EvaluateError::from)?;
        unchanged(&self.suite, cases.digest(), self.cases)?;
        Ok(suites)
    }
}

impl Migration {
    /// Trains the version, has it answer the suite, registers it and judges it against everything that it is to follow.
    pub(super) fn make(
        &self,
        workspace: &Workspace<'_>,
        retraining: &Retraining,
    ) -> Result<Making, MigrationError> {
        let suites = retraining.read_suites(workspace)?;
        let status = self.status(workspace)?;
        if status.to.is_none() {
            let job = retraining.read_job(workspace)?;
            let run = match train(workspace, &job, None)? {
                Trained::Finished(run) => *run,
                Trained::Planned => return Ok(Making::Planned),
                Trained::Interrupted(run, why) => {
                    let outcome = MigrationOutcome::Interrupted(run, why);
                    return Ok(Making::Ended(Box::new(outcome)));
                }
            };
            let version = version_of(workspace, &self.plan.model, &run, None)?;
            evaluate(workspace, &suites.suite, &subject_of(&version))?;
            let (tenant, act) = (self.tenant(workspace)?, &workspace.act);
            tenant.register(&version.manifest, &workspace.store, act)?;
            self.record(
                workspace,
                MigrationState::Begun,
                Some(Target::from(&version)),
            )?;
        }
        let Some(made) = self.status(workspace)?.to else {
            return Ok(Making::Planned);
        };
        let version = self.tenant(workspace)?.resolve(&self.version(&made))?;
        self.judge_all(workspace, &suites, &version)
    }

    /// Judges the version against where each alias comes from, unless it has moved already.
    fn judge_all(
        &self,
        workspace: &Workspace<'_>,
        suites: &Suites,
        version: &Version,
    ) -> Result<Making, MigrationError> {
        let policy = policy_of(workspace, &self.plan.model)?.policy;
        if let (Some(floor), Some(rule)) = (&suites.floor, policy.floor()) {
            let answers =
                evaluate_floor(workspace, floor, &subject_of(version), rule.confirm.repeats)?;
            if answers.first.evaluation.report.is_none() {
                return Ok(Making::Planned);
            }
        }
        for (step, state) in self.status(workspace)?.steps {
            if matches!(state, StepState::Done(_)) {
                continue;
            }
            let from = self.tenant(workspace)?.resolve(&self.version(&step.from))?;
            let mut answered = true;
            for subject in [subject_of(&from), subject_of(version)] {
                answered &= evaluate(workspace, &suites.suite, &subject)?
                    .report
                    .is_some();
            }
            if !answered {
                return Ok(Making::Planned);
            }
            let against = [Baseline::Version(Box::new(from))];
            let checked = judge(workspace, &policy, suites, version, &against, None)?;
            let verdict = checked.evidence.verdict;
            let waived = || waiver_of(workspace, version, checked.id, &checked.evidence);
            if verdict != Verdict::Pass && waived()?.is_none() {
                let promotion = Promotion::NotPassed(version.clone(), checked.id, verdict);
                let outcome = MigrationOutcome::Stopped(step.alias, Box::new(promotion));
                return Ok(Making::Ended(Box::new(outcome)));
            }
        }
        Ok(Making::Judged)
    }
}

fn digest(job: &Job) -> Result<Digest, MigrationError> {
    let digest = job.digest().map_err(TrainError::from);
    Ok(digest.map_err(super::TrainActError::from)?)
}

fn unchanged(file: &str, found: Digest, planned: Digest) -> Result<(), MigrationError> {
    if found == planned {
        return Ok(());
    }
    Err(MigrationError::Changed {
        file: file.to_owned(),
        found,
        planned,
    })
}
