//! Migrations in the registry: that one was begun, completed or aborted, with the plan as it was reviewed.

use serde::{Deserialize, Serialize};

use super::act::Act;
use super::error::RegistryError;
use super::event::Target;
use super::layout;
use super::statement::{Statement, state, statements};
use super::tenant::{Added, Tenant};
use super::transaction::Step;
use super::view::{View, damaged};
use crate::digest::Digest;
use crate::git::Identity;
use crate::name::{ModelName, TenantName};
use crate::time::Timestamp;

/// How a migration stands. The newest one about a plan counts.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MigrationRecord {
    /// Whose.
    pub tenant: TenantName,
    /// The model.
    pub model: ModelName,
    /// The plan's identity: the digest of its text.
    pub id: Digest,
    /// The plan's text.
    pub plan: String,
    /// How it stands.
    pub state: MigrationState,
    /// The version that it made, where the plan does not name one. It is made once.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub made: Option<Target>,
    /// Who made it so.
    pub actor: Identity,
    /// When.
    pub at: Timestamp,
}

/// How a migration stands. It ends once.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum MigrationState {
    /// Its steps are being taken.
    Begun,
    /// All of them were taken.
    Completed,
    /// It was given up.
    Aborted,
}

impl MigrationState {
    /// `begun`, `completed` or `aborted`.
    pub fn word(self) -> &'static str {
        match self {
            Self::Begun => "begun",
            Self::Completed => "completed",
            Self::Aborted => "aborted",
        }
    }
}

impl Statement for MigrationRecord {
    const NOUN: &'static str = "migration";
    const SCHEMA: &'static str = "retune.migration/1";
}

impl Tenant<'_> {
    /// Records how a migration stands, and which version it made. One that ended stays as it ended, and the version stays
    /// the first one: the answer is how it is.
    pub fn record_migration(
        &self,
        model: &ModelName,
        plan: &str,
        to: MigrationState,
        made: Option<Target>,
        act: &Act<'_>,
    ) -> Result<Added<MigrationRecord>, RegistryError> {
        let record = MigrationRecord {
            tenant: self.name.clone(),
            model: model.clone(),
            id: Digest::of(plan.as_bytes()),
            plan: plan.to_owned(),
            state: to,
            made,
            actor: act.by.clone(),
            at: act.at,
        };
        self.registry.transact(act, |view| {
            view.require_tenant(&self.name)?;
            self.require_model(view, model)?;
            let known = self.migration_at(view, model, &record.id)?;
            let mut record = record.clone();
            if let Some(known) = known {
                let tells = record.made.is_some() && known.made.is_none();
                if known.state != MigrationState::Begun || known.state == to && !tells {
                    let added = Added {
                        record: known,
                        new: false,
                    };
                    return Ok(Step::Nothing(added));
                }
                record.made = known.made.or(record.made);
            }
            if let Some(made) = &record.made {
                self.version_at(view, model, &made.manifest)?;
            }
            let dir = layout::migrations(&self.name, model, &record.id);
            let subject = format!(
                "migration {} of {model} {} ({})",
                record.id.short(),
                to.word(),
                self.name
            );
            let transaction = state(view, &dir, &record, act, subject)?;
            Ok(Step::Write(transaction, Added { record, new: true }))
        })
    }

    /// How a migration stands; `None` when it was never begun.
    pub fn migration(
        &self,
        model: &ModelName,
        plan: &str,
    ) -> Result<Option<MigrationRecord>, RegistryError> {
        let view = self.view()?;
        self.require_model(&view, model)?;
        self.migration_at(&view, model, &Digest::of(plan.as_bytes()))
    }

    fn migration_at(
        &self,
        view: &View<'_>,
        model: &ModelName,
        id: &Digest,
    ) -> Result<Option<MigrationRecord>, RegistryError> {
        let all = self.migration_records(view, &layout::migrations(&self.name, model, id))?;
        Ok(all.into_iter().find(|record| record.id == *id))
    }

    /// Everything that was said in the folder of a migration, the newest first.
    pub(super) fn migration_records(
        &self,
        view: &View<'_>,
        dir: &str,
    ) -> Result<Vec<MigrationRecord>, RegistryError> {
        let all: Vec<MigrationRecord> = statements(view, dir)?;
        let sound = |record: &MigrationRecord| {
            record.tenant == self.name && record.id == Digest::of(record.plan.as_bytes())
        };
        match all.iter().all(sound) {
            true => Ok(all),
            false => Err(damaged(dir, "it holds what is about another migration")),
        }
    }
}
