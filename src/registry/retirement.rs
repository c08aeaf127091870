//! Retirement of a base: its maker ends it on a day, and everything trained on it has to be trained anew.

use serde::{Deserialize, Serialize};

use super::act::Act;
use super::error::RegistryError;
use super::layout;
use super::record::Record;
use super::root::parse_names;
use super::statement::{Statement, state, statements};
use super::tenant::{Added, Tenant};
use super::transaction::Step;
use super::view::{View, damaged};
use crate::digest::Digest;
use crate::git::Identity;
use crate::name::{BaseName, TenantName};
use crate::time::Timestamp;

/// That a base ends. The newest one about a base under its name counts.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Retirement {
    /// Whose record of the base.
    pub tenant: TenantName,
    /// The name it is kept under.
    pub name: BaseName,
    /// Its identity.
    pub base: Digest,
    /// The last day.
    pub on: Timestamp,
    /// Who said so.
    pub actor: Identity,
    /// When.
    pub at: Timestamp,
    /// Why, in their words.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

impl Statement for Retirement {
    const NOUN: &'static str = "retirement";
    const SCHEMA: &'static str = "retune.retirement/1";
}

impl Tenant<'_> {
    /// Says that a base ends on a day. The same again changes nothing; another day counts from now on.
    pub fn retire(
        &self,
        base: &Record<BaseName>,
        on: Timestamp,
        reason: Option<&str>,
        act: &Act<'_>,
    ) -> Result<Added<Retirement>, RegistryError> {
        let record = Retirement {
            tenant: self.name.clone(),
            name: base.name.clone(),
            base: base.id,
            on,
            actor: act.by.clone(),
            at: act.at,
            reason: reason.map(str::to_owned),
        };
        self.registry.transact(act, |view| {
            view.require_tenant(&self.name)?;
            let known = self.retirement_under(view, &base.name, &base.id)?;
            let same = |known: &Retirement| known.on == on && known.reason == record.reason;
            if let Some(known) = known.filter(same) {
                return Ok(Step::Nothing(Added {
                    record: known,
                    new: false,
                }));
            }
            let dir = layout::retirements(&self.name, &base.name);
            let subject = format!("retire base {}@{} ({})", base.name, base.label, self.name);
            let transaction = state(view, &dir, &record, act, subject)?;
            let record = record.clone();
            Ok(Step::Write(transaction, Added { record, new: true }))
        })
    }

    /// When a base ends, under whichever of its names it ends first; `None` when nobody said.
    pub fn retirement(&self, base: &Digest) -> Result<Option<Retirement>, RegistryError> {
        let view = self.view()?;
        let mut found = Vec::new();
        for name in parse_names::<BaseName>(&view, &layout::names(&self.name, "bases"))? {
            found.extend(self.retirement_under(&view, &name, base)?);
        }
        Ok(found.into_iter().min_by_key(|retirement| retirement.on))
    }

    /// What counts about a base under one name.
    fn retirement_under(
        &self,
        view: &View<'_>,
        name: &BaseName,
        base: &Digest,
    ) -> Result<Option<Retirement>, RegistryError> {
        let all = self.retirements(view, name)?;
        Ok(all.into_iter().find(|one| one.base == *base))
    }

    /// Everything that was said about the bases of a name, the newest first.
    pub(super) fn retirements(
        &self,
        view: &View<'_>,
        name: &BaseName,
    ) -> Result<Vec<Retirement>, RegistryError> {
        let dir = layout::retirements(&self.name, name);
        let all: Vec<Retirement> = statements(view, &dir)?;
        if all
            .iter()
            .any(|one| one.name != *name || one.tenant != self.name)
        {
            return Err(damaged(&dir, "it holds what is about another base"));
        }
        Ok(all)
    }
}
