//! Deprecation: a version is to be replaced by another one, by a day. The version itself never changes.

use serde::{Deserialize, Serialize};

use super::act::Act;
use super::error::RegistryError;
use super::event::Target;
use super::layout;
use super::statement::{Statement, state, statements};
use super::tenant::{Added, Tenant};
use super::transaction::Step;
use super::version::Version;
use super::view::{View, damaged};
use crate::git::Identity;
use crate::name::{ModelName, TenantName};
use crate::time::Timestamp;

/// That a version is to be replaced. The newest one about a version counts.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Deprecation {
    /// Whose.
    pub tenant: TenantName,
    /// The model.
    pub model: ModelName,
    /// What is to be replaced.
    pub version: Target,
    /// By what.
    pub replacement: Target,
    /// Until when it can be used.
    pub until: Timestamp,
    /// Who said so.
    pub actor: Identity,
    /// When.
    pub at: Timestamp,
    /// Why, in their words.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

impl Statement for Deprecation {
    const NOUN: &'static str = "deprecation";
    const SCHEMA: &'static str = "retune.deprecation/1";
}

impl Deprecation {
    /// Whether the version cannot be used any more.
    pub fn is_over(&self, now: Timestamp) -> bool {
        now > self.until
    }

    fn says_the_same(&self, other: &Self) -> bool {
        let said = |one: &Self| (one.replacement.clone(), one.until, one.reason.clone());
        said(self) == said(other)
    }
}

impl Tenant<'_> {
    /// Says that a version is to be replaced by another one of the model until a day. The same again changes
    /// nothing; another replacement or day counts from now on.
    ///
    /// # Errors
    /// A replacement that is the version itself, or is deprecated too.
    pub fn deprecate(
        &self,
        version: &Version,
        replacement: &Version,
        until: Timestamp,
        reason: Option<&str>,
        act: &Act<'_>,
    ) -> Result<Added<Deprecation>, RegistryError> {
        let model = &version.manifest.model;
        let refuse = |why: String| RegistryError::Replacement {
            version: version.to_string(),
            why,
        };
        if replacement.manifest.model != *model {
            return Err(refuse(format!("{replacement} is another model")));
        }
        if replacement.id == version.id {
            return Err(refuse("it cannot replace itself".to_owned()));
        }
        let record = Deprecation {
            tenant: self.name.clone(),
            model: model.clone(),
            version: version.into(),
            replacement: replacement.into(),
            until,
            actor: act.by.clone(),
            at: act.at,
            reason: reason.map(str::to_owned),
        };
        self.registry.transact(act, |view| {
            view.require_tenant(&self.name)?;
            self.version_at(view, model, &version.id)?;
            self.version_at(view, model, &replacement.id)?;
            if self.deprecation_at(view, replacement)?.is_some() {
                return Err(refuse(format!("{replacement} is deprecated itself")));
            }
            let known = self.deprecation_at(view, version)?;
            if let Some(known) = known.filter(|known| known.says_the_same(&record)) {
                return Ok(Step::Nothing(Added {
                    record: known,
                    new: false,
                }));
            }
            let dir = layout::deprecations(&self.name, model, &version.label);
            let subject = format!("deprecate {version} ({})", self.name);
            let transaction = state(view, &dir, &record, act, subject)?;
            let record = record.clone();
            Ok(Step::Write(transaction, Added { record, new: true }))
        })
    }

    /// What counts about the end of a version; `None` when it is not deprecated.
    pub fn deprecation(&self, version: &Version) -> Result<Option<Deprecation>, RegistryError> {
        self.deprecation_at(&self.view()?, version)
    }

    pub(super) fn deprecation_at(
        &self,
        view: &View<'_>,
        version: &Version,
    ) -> Result<Option<Deprecation>, RegistryError> {
        let dir = layout::deprecations(&self.name, &version.manifest.model, &version.label);
        let all: Vec<Deprecation> = statements(view, &dir)?;
        let target = Target::from(version);
        if all
            .iter()
            .any(|one| one.version != target || one.tenant != self.name)
        {
            return Err(damaged(&dir, "it holds what is about another version"));
        }
        Ok(all.into_iter().next())
    }
}
