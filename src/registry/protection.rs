//! Protection: who may move an alias, and whether it takes two people.
//!
//! It is a rule for people who mean well. Who acts is what their git says; who may write to the registry at
//! all is for the file system and the remote to decide.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use super::act::Act;
use super::error::RegistryError;
use super::layout;
use super::promote::Refusal;
use super::statement::{Statement, state, statements};
use super::tenant::{Added, Tenant};
use super::transaction::Step;
use super::version::Version;
use super::view::{View, damaged};
use crate::git::Identity;
use crate::name::{AliasName, ModelName, TenantName};
use crate::time::Timestamp;

/// Who may move an alias. The newest one about an alias counts.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Protection {
    /// Whose.
    pub tenant: TenantName,
    /// The model.
    pub model: ModelName,
    /// The alias.
    pub alias: AliasName,
    /// The mail addresses of those who may move it; empty: everybody.
    pub allow: BTreeSet<String>,
    /// Whether who promotes a version must be somebody else than who registered it.
    pub two_people: bool,
    /// Who said so.
    pub actor: Identity,
    /// When.
    pub at: Timestamp,
}

impl Statement for Protection {
    const NOUN: &'static str = "protection";
    const SCHEMA: &'static str = "retune.protection/1";
}

impl Protection {
    fn admits(&self, who: &Identity) -> bool {
        self.allow.is_empty() || self.allow.contains(who.email())
    }
}

/// What came of asking for a protection.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Protected {
    /// It counts from now on, or did already.
    Done(Added<Protection>),
    /// Only those who may move the alias can say who may.
    Refused(Refusal),
}

impl Tenant<'_> {
    /// Says who may move an alias. Only who may move it can change that. The same again changes nothing.
    pub fn protect(
        &self,
        model: &ModelName,
        alias: &AliasName,
        allow: BTreeSet<String>,
        two_people: bool,
        act: &Act<'_>,
    ) -> Result<Protected, RegistryError> {
        let record = Protection {
            tenant: self.name.clone(),
            model: model.clone(),
            alias: alias.clone(),
            allow,
            two_people,
            actor: act.by.clone(),
            at: act.at,
        };
        self.registry.transact(act, |view| {
            view.require_tenant(&self.name)?;
            self.require_model(view, model)?;
            if let Some(refusal) = self.not_admitted(view, model, alias, act)? {
                return Ok(Step::Nothing(Protected::Refused(refusal)));
            }
            let known = self.protection_at(view, model, alias)?;
            let said = |one: &Protection| (one.allow.clone(), one.two_people);
            if let Some(record) = known.filter(|known| said(known) == said(&record)) {
                let added = Added { record, new: false };
                return Ok(Step::Nothing(Protected::Done(added)));
            }
            let dir = layout::protections(&self.name, model, alias);
            let subject = format!("protect {model}:{alias} ({})", self.name);
            let transaction = state(view, &dir, &record, act, subject)?;
            let added = Added {
                record: record.clone(),
                new: true,
            };
            Ok(Step::Write(transaction, Protected::Done(added)))
        })
    }

    /// Who may move an alias; `None` when nobody said, so everybody may.
    pub(super) fn protection_at(
        &self,
        view: &View<'_>,
        model: &ModelName,
        alias: &AliasName,
    ) -> Result<Option<Protection>, RegistryError> {
        let dir = layout::protections(&self.name, model, alias);
        let all: Vec<Protection> = statements(view, &dir)?;
        let here = (&self.name, model, alias);
        if all
            .iter()
            .any(|one| (&one.tenant, &one.model, &one.alias) != here)
        {
            return Err(damaged(&dir, "it holds what is about another alias"));
        }
        Ok(all.into_iter().next())
    }

    /// Why who acts may not move an alias at all.
    pub(super) fn not_admitted(
        &self,
        view: &View<'_>,
        model: &ModelName,
        alias: &AliasName,
        act: &Act<'_>,
    ) -> Result<Option<Refusal>, RegistryError> {
        let protection = self.protection_at(view, model, alias)?;
        let closed = protection.filter(|protection| !protection.admits(act.by));
        Ok(closed.map(|protection| Refusal::NotAllowed {
            who: act.by.clone(),
            model: model.clone(),
            alias: alias.clone(),
            allowed: protection.allow.into_iter().collect(),
        }))
    }

    /// Why who acts may not promote this version: it takes somebody else than who registered it.
    pub(super) fn same_person(
        &self,
        view: &View<'_>,
        version: &Version,
        alias: &AliasName,
        act: &Act<'_>,
    ) -> Result<Option<Refusal>, RegistryError> {
        let model = &version.manifest.model;
        let protection = self.protection_at(view, model, alias)?;
        if !protection.is_some_and(|protection| protection.two_people) {
            return Ok(None);
        }
        let dir = layout::model_versions(&self.name, model);
        let path = format!("{dir}/{}.json", version.label);
        let proposer = view.author_of(&path, &version.id.short())?;
        let same = proposer.filter(|email| email == act.by.email());
        Ok(same.map(|_| Refusal::SamePerson {
            who: act.by.clone(),
            version: version.label.clone(),
            alias: alias.clone(),
        }))
    }
}
