//! The file that people review: made of what they ask, and read again.

use std::path::Path;

use serde::{Deserialize, Serialize};

use super::{MigrationError, pointed};
use crate::digest::Digest;
use crate::document::{Faults, Source, to_yaml};
use crate::lifecycle::retrain::Retraining;
use crate::lifecycle::workspace::Workspace;
use crate::name::{AliasName, ModelName, TenantName};
use crate::reference::{ModelRef, VersionLabel};
use crate::registry::{Tenant, Version};
use crate::time::Timestamp;

/// A migration as people review it. Its identity is the digest of its text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Migration {
    /// What stands in the file.
    pub plan: MigrationPlan,
    /// The file's text.
    pub text: String,
}

/// What stands in a migration file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MigrationPlan {
    /// The file's version: 1.
    pub version: u64,
    /// Whose.
    pub tenant: TenantName,
    /// The model.
    pub model: ModelName,
    /// The version that the aliases move to, where there is one already.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub to: Option<VersionLabel>,
    /// The training that makes the version, where there is none yet.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retrain: Option<Retraining>,
    /// Why, or what triggered it.
    pub reason: String,
    /// The last day for it, as a time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub deadline: Option<Timestamp>,
    /// The aliases, in the order in which they move.
    pub steps: Vec<MigrationStep>,
    /// Pins of this repository that follow one of the aliases. For people; nothing rests on it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub consumers: Vec<String>,
}

/// One alias moves.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MigrationStep {
    /// The alias.
    pub alias: AliasName,
    /// Where it must point before, and where an abort takes it back to.
    pub from: VersionLabel,
    /// How many days it stays there before the next step.
    #[serde(default)]
    pub soak_days: u32,
}

/// What people ask of a migration.
#[derive(Debug, Clone)]
pub struct MigrationAsk<'a> {
    /// The aliases in order, and how many days each soaks before the next one moves.
    pub steps: &'a [(AliasName, u32)],
    /// Why, or what triggered it.
    pub reason: &'a str,
    /// The last day for it.
    pub deadline: Option<Timestamp>,
    /// Pins that follow one of the aliases.
    pub consumers: Vec<String>,
}

/// Plans the move of some aliases to a version: each from where it points now.
pub fn plan_migration(
    workspace: &Workspace<'_>,
    to: &ModelRef,
    ask: MigrationAsk<'_>,
) -> Result<Migration, MigrationError> {
    let tenant = workspace.tenant_of(to)?;
    let version = tenant.resolve(to)?;
    let steps = planned(&tenant, &to.model, &ask, Some(&version))?;
    Migration::of(ask.plan(&tenant, &to.model, steps, Some(version.label), None))
}

/// Plans the move of some aliases to a version that a job is to make, judged on a suite before anything moves. Data
/// and base are the newest ones of now.
pub fn plan_retraining(
    workspace: &Workspace<'_>,
    model: (Option<&TenantName>, &ModelName),
    files: (&Path, &Path),
    ask: MigrationAsk<'_>,
) -> Result<Migration, MigrationError> {
    let (named, model) = model;
    let what = || format!("model {model}");
    let tenant = workspace
        .registry
        .tenant_for(&workspace.tenant, named, what)?;
    let steps = planned(&tenant, model, &ask, None)?;
    let retraining = Retraining::plan(workspace, files.0, files.1)?;
    Migration::of(ask.plan(&tenant, model, steps, None, Some(retraining)))
}

fn planned(
    tenant: &Tenant<'_>,
    model: &ModelName,
    ask: &MigrationAsk<'_>,
    to: Option<&Version>,
) -> Result<Vec<MigrationStep>, MigrationError> {
    let mut steps = Vec::new();
    for (alias, soak_days) in ask.steps {
        let now = pointed(tenant, model, alias)?.0;
        if to.is_some_and(|to| to.id == now.id) {
            let why = format!("{model}:{alias} is {} already", now.label);
            return Err(MigrationError::Nothing(why));
        }
        steps.push(MigrationStep {
            alias: alias.clone(),
            from: now.label,
            soak_days: *soak_days,
        });
    }
    Ok(steps)
}

impl MigrationAsk<'_> {
    fn plan(
        self,
        tenant: &Tenant<'_>,
        model: &ModelName,
        steps: Vec<MigrationStep>,
        to: Option<VersionLabel>,
        retrain: Option<Retraining>,
    ) -> MigrationPlan {
        MigrationPlan {
            version: 1,
            tenant: tenant.name().clone(),
            model: model.clone(),
            to,
            retrain,
            reason: self.reason.to_owned(),
            deadline: self.deadline,
            steps,
            consumers: self.consumers,
        }
    }
}

impl Migration {
    fn of(plan: MigrationPlan) -> Result<Self, MigrationError> {
        let text = to_yaml(&plan).map_err(|error| MigrationError::Unwritable(error.to_string()))?;
        Self::parse(&Source::new(Path::new("migration.yaml"), text)).map_err(Into::into)
    }

    /// Reads a migration file. Every fault is reported.
    pub fn read(path: &Path) -> Result<Self, Faults> {
        Self::parse(&Source::read(path)?)
    }

    /// Reads the text of a migration file.
    pub fn parse(source: &Source) -> Result<Self, Faults> {
        let plan: MigrationPlan = source.parse()?;
        let mut faults = Vec::new();
        if plan.version != 1 {
            let message = format!(
                "{} is not a version this tool reads; it reads 1",
                plan.version
            );
            faults.push(source.fault("version", message));
        }
        if plan.to.is_some() == plan.retrain.is_some() {
            let message = "expected `to`, a version, or `retrain`, how one is made";
            faults.push(source.fault("to", message));
        }
        if plan.steps.is_empty() {
            faults.push(source.fault("steps", "at least one alias has to move"));
        }
        for (index, step) in plan.steps.iter().enumerate() {
            let before = &plan.steps[..index];
            if before.iter().any(|other| other.alias == step.alias) {
                let message = format!("{} moves twice", step.alias);
                faults.push(source.fault(&format!("steps[{index}].alias"), message));
            }
            if plan.to.as_ref().is_some_and(|to| to.matches(&step.from)) {
                let message = "it moves to where it is";
                faults.push(source.fault(&format!("steps[{index}].from"), message));
            }
        }
        Faults::check(faults)?;
        Ok(Self {
            plan,
            text: source.text().to_owned(),
        })
    }

    /// The first digits of its identity.
    pub fn id(&self) -> String {
        Digest::of(self.text.as_bytes()).short()
    }
}
