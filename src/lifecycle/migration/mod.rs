//! Migrations: a planned move of aliases from one version to another, step by step, that can be gone on with
//! after any crash and taken back as a whole.
//!
//! Where it stands is read off the aliases every time; nothing else has to be kept in step with them.

mod plan;

use super::evaluate::EvaluateError;
use super::judge::JudgeError;
use super::policy::PolicyError;
use super::promote::{PromoteError, Promotion, promote};
use super::retrain::Making;
use super::train::TrainActError;
use super::workspace::Workspace;
use crate::digest::Digest;
use crate::document::Faults;
use crate::name::{AliasName, ModelName};
use crate::reference::{ModelRef, Selector, VersionLabel};
use crate::registry::{Decision, MigrationState, Refusal, RegistryError, Target, Tenant, Version};
use crate::time::Timestamp;
use crate::train::{RunId, Stop};

pub use plan::{
    Migration, MigrationAsk, MigrationPlan, MigrationStep, plan_migration, plan_retraining,
};

const DAY: i64 = 24 * 3600;

/// Where a step stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum StepState {
    /// The alias points to the new version, since then.
    Done(Timestamp),
    /// It can be taken.
    Ready,
    /// The step before has to soak until then.
    Soaking(Timestamp),
    /// The step before has not been taken, or there is no version yet.
    Waiting,
    /// The alias points to neither version.
    Gone(VersionLabel),
}

/// Where a migration stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MigrationStatus {
    /// What the registry says; `None` when it was never begun.
    pub recorded: Option<MigrationState>,
    /// The version that the aliases move to; `None` while it has to be trained.
    pub to: Option<VersionLabel>,
    /// Each step.
    pub steps: Vec<(MigrationStep, StepState)>,
}

/// What applying or aborting a migration came to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum MigrationOutcome {
    /// Everything that can be done by now is done.
    Stands(MigrationStatus),
    /// The gate or the registry does not let an alias move.
    Stopped(AliasName, Box<Promotion>),
    /// An alias must not go back.
    Refused(AliasName, Refusal),
    /// Training stopped; applied again, it goes on from its checkpoint.
    Interrupted(RunId, Stop),
}

/// Why a migration could not be planned, read, applied or aborted.
#[derive(Debug, thiserror::Error)]
pub enum MigrationError {
    /// The registry.
    #[error(transparent)]
    Registry(#[from] RegistryError),
    /// The gate.
    #[error(transparent)]
    Promote(#[from] PromoteError),
    /// The file.
    #[error(transparent)]
    File(#[from] Faults),
    /// It cannot be written.
    #[error("the plan cannot be written: {0}")]
    Unwritable(String),
    /// Its preconditions are gone.
    #[error("{model}:{alias} is {now}; the migration takes it from {from} to {to}")]
    Gone {
        /// The model.
        model: ModelName,
        /// The alias.
        alias: AliasName,
        /// Where it points.
        now: VersionLabel,
        /// Where the plan has it.
        from: VersionLabel,
        /// Where the plan wants it.
        to: String,
    },
    /// Training the version.
    #[error(transparent)]
    Train(#[from] TrainActError),
    /// Evaluating the version.
    #[error(transparent)]
    Evaluate(#[from] EvaluateError),
    /// Judging the version.
    #[error(transparent)]
    Judge(#[from] JudgeError),
    /// There is no telling which policy decides.
    #[error(transparent)]
    Policy(#[from] PolicyError),
    /// A file is not what was reviewed.
    #[error("{file} is {found} now; the migration was planned with {planned}")]
    Changed {
        /// The file.
        file: String,
        /// What it is.
        found: Digest,
        /// What it was.
        planned: Digest,
    },
    /// It has ended.
    #[error("the migration {id} was {} already", state.word())]
    Ended {
        /// The plan's identity.
        id: String,
        /// How it ended.
        state: MigrationState,
    },
    /// There is nothing to migrate.
    #[error("{0}")]
    Nothing(String),
}

impl MigrationStatus {
    /// Whether every step was taken.
    pub fn is_complete(&self) -> bool {
        let done = |(_, state): &(_, StepState)| matches!(state, StepState::Done(_));
        self.steps.iter().all(done)
    }
}

impl Migration {
    /// Where it stands.
    pub fn status(&self, workspace: &Workspace<'_>) -> Result<MigrationStatus, MigrationError> {
        let tenant = self.tenant(workspace)?;
        let recorded = tenant.migration(&self.plan.model, &self.text)?;
        let made = recorded.as_ref().and_then(|record| record.made.as_ref());
        let made = made.map(|target| target.version.clone());
        let to = self.plan.to.clone().or(made);
        let mut steps = Vec::new();
        let mut before: Option<(Timestamp, u32)> = None;
        let mut open = to.is_some();
        for step in &self.plan.steps {
            let state = self.step(&tenant, step, to.as_ref(), open, before, workspace.act.at)?;
            before = match state {
                StepState::Done(since) => Some((since, step.soak_days)),
                _ => None,
            };
            open &= before.is_some();
            steps.push((step.clone(), state));
        }
        Ok(MigrationStatus {
            recorded: recorded.map(|record| record.state),
            to,
            steps,
        })
    }

    fn step(
        &self,
        tenant: &Tenant<'_>,
        step: &MigrationStep,
        to: Option<&VersionLabel>,
        open: bool,
        before: Option<(Timestamp, u32)>,
        now: Timestamp,
    ) -> Result<StepState, MigrationError> {
        let (version, since) = pointed(tenant, &self.plan.model, &step.alias)?;
        if to.is_some_and(|to| to.matches(&version.label)) {
            return Ok(StepState::Done(since));
        }
        if !step.from.matches(&version.label) {
            return Ok(StepState::Gone(version.label));
        }
        let soaked =
            before.map(|(since, days)| Timestamp::from_unix(since.unix() + i64::from(days) * DAY));
        Ok(match soaked {
            _ if !open => StepState::Waiting,
            Some(until) if until > now => StepState::Soaking(until),
            _ => StepState::Ready,
        })
    }

    /// Takes every step that can be taken by now, each on its own evidence. Run again, it goes on.
    pub fn apply(&self, workspace: &Workspace<'_>) -> Result<MigrationOutcome, MigrationError> {
        let status = self.status(workspace)?;
        if let Some(state @ MigrationState::Aborted) = status.recorded {
            return Err(self.ended(state));
        }
        if let Some(MigrationState::Completed) = status.recorded {
            return Ok(MigrationOutcome::Stands(status));
        }
        // A step whose precondition is gone is refused before anything else moves.
        for (step, state) in &status.steps {
            if let StepState::Gone(now) = state {
                return Err(self.gone(step, now));
            }
        }
        self.record(workspace, MigrationState::Begun, None)?;
        if let Some(retraining) = &self.plan.retrain {
            match self.make(workspace, retraining)? {
                Making::Judged => {}
                Making::Planned => return Ok(MigrationOutcome::Stands(self.status(workspace)?)),
                Making::Ended(outcome) => return Ok(*outcome),
            }
        }
        for step in &self.plan.steps {
            let status = self.status(workspace)?;
            if let Some(state @ MigrationState::Aborted) = status.recorded {
                return Err(self.ended(state));
            }
            let state = status.steps.iter().find(|(other, _)| other == step);
            match state.map(|(_, state)| state) {
                Some(StepState::Ready) => {}
                Some(StepState::Gone(now)) => return Err(self.gone(step, now)),
                _ => continue,
            }
            let Some(to) = &status.to else {
                continue;
            };
            let promotion = self.take(workspace, step, to)?;
            let Promotion::Decided(_, Decision::Moved(..) | Decision::Unchanged(_)) = &promotion
            else {
                let promotion = Box::new(promotion);
                return Ok(MigrationOutcome::Stopped(step.alias.clone(), promotion));
            };
            if workspace.act.dry_run {
                break;
            }
        }
        if self.status(workspace)?.is_complete() {
            self.record(workspace, MigrationState::Completed, None)?;
        }
        Ok(MigrationOutcome::Stands(self.status(workspace)?))
    }

    fn take(
        &self,
        workspace: &Workspace<'_>,
        step: &MigrationStep,
        to: &VersionLabel,
    ) -> Result<Promotion, MigrationError> {
        let reference = self.version(to);
        let reason = self.reason();
        Ok(promote(
            workspace,
            &reference,
            &step.alias,
            None,
            Some(&reason),
        )?)
    }

    /// Takes every alias that this migration moved back to where it was, the last one first. An alias that
    /// somebody else moved since stays where it is. Run again, it goes on.
    pub fn abort(&self, workspace: &Workspace<'_>) -> Result<MigrationOutcome, MigrationError> {
        let status = self.status(workspace)?;
        if let Some(state @ MigrationState::Completed) = status.recorded {
            return Err(self.ended(state));
        }
        // From here on nobody goes on with it.
        self.record(workspace, MigrationState::Aborted, None)?;
        let tenant = self.tenant(workspace)?;
        let model = &self.plan.model;
        for step in self.plan.steps.iter().rev() {
            let Some(to) = &status.to else {
                break;
            };
            if !self.moved(&tenant, step, to)? {
                continue;
            }
            let back = tenant.resolve(&self.version(&step.from))?;
            let (reason, store) = (self.reason(), &workspace.store);
            let decision = tenant.rollback(
                model,
                &step.alias,
                Some(&back),
                Some(&reason),
                store,
                &workspace.act,
            )?;
            if let Decision::Refused(refusal) = decision {
                return Ok(MigrationOutcome::Refused(step.alias.clone(), refusal));
            }
        }
        Ok(MigrationOutcome::Stands(self.status(workspace)?))
    }

    /// Whether the last move of an alias was this migration's step.
    fn moved(
        &self,
        tenant: &Tenant<'_>,
        step: &MigrationStep,
        to: &VersionLabel,
    ) -> Result<bool, MigrationError> {
        let chain = tenant.history(&self.plan.model, &step.alias)?;
        if let Some(fork) = chain.forked(&self.plan.model, &step.alias) {
            return Err(fork.into());
        }
        let ours = |(_, event): &(_, crate::registry::Event)| {
            to.matches(&event.to.version) && event.reason.as_deref() == Some(self.reason().as_str())
        };
        Ok(chain.links.last().is_some_and(ours))
    }

    pub(super) fn record(
        &self,
        workspace: &Workspace<'_>,
        state: MigrationState,
        made: Option<Target>,
    ) -> Result<(), MigrationError> {
        let tenant = self.tenant(workspace)?;
        let (model, act) = (&self.plan.model, &workspace.act);
        let added = tenant.record_migration(model, &self.text, state, made, act)?;
        match added.record.state {
            found if found == state => Ok(()),
            // Somebody ended it while this was at work.
            found => Err(self.ended(found)),
        }
    }

    pub(super) fn tenant<'w>(
        &self,
        workspace: &'w Workspace<'_>,
    ) -> Result<Tenant<'w>, RegistryError> {
        let what = || format!("model {}", self.plan.model);
        let (registry, own) = (&workspace.registry, &workspace.tenant);
        registry.tenant_for(own, Some(&self.plan.tenant), what)
    }

    pub(super) fn version(&self, label: &VersionLabel) -> ModelRef {
        ModelRef {
            tenant: Some(self.plan.tenant.clone()),
            model: self.plan.model.clone(),
            selector: Selector::Version(label.clone()),
        }
    }

    /// What the log says about each of its moves.
    fn reason(&self) -> String {
        format!("migration {}: {}", self.id(), self.plan.reason)
    }

    fn gone(&self, step: &MigrationStep, now: &VersionLabel) -> MigrationError {
        MigrationError::Gone {
            model: self.plan.model.clone(),
            alias: step.alias.clone(),
            now: now.clone(),
            from: step.from.clone(),
            to: match &self.plan.to {
                Some(to) => to.to_string(),
                None => "what retraining makes".to_owned(),
            },
        }
    }

    fn ended(&self, state: MigrationState) -> MigrationError {
        MigrationError::Ended {
            id: self.id(),
            state,
        }
    }
}

/// The version that an alias points to, and since when. Pointing nowhere is an error: nothing could be taken
/// back there.
fn pointed(
    tenant: &Tenant<'_>,
    model: &ModelName,
    alias: &AliasName,
) -> Result<(Version, Timestamp), RegistryError> {
    let version = tenant.resolve(&ModelRef {
        tenant: None,
        model: model.clone(),
        selector: Selector::Alias(alias.clone()),
    })?;
    let chain = tenant.history(model, alias)?;
    let since = chain
        .links
        .last()
        .map_or(version.manifest.created, |(_, event)| event.at);
    Ok((version, since))
}
