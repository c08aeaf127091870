//! Protection: who may move an alias, whether it takes two people, and whose signature it takes.
//!
//! Without signers it is a rule for people who mean well: who acts is what their git says. With signers every move is
//! signed, and so is every change of the protection; what is not does not count, wherever it came from.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use super::act::Act;
use super::error::RegistryError;
use super::event::EventId;
use super::guard::Guard;
use super::layout;
use super::promote::Refusal;
use super::statement::{Statement, state};
use super::tenant::{Added, Tenant};
use super::transaction::Step;
use super::version::Version;
use super::view::View;
use crate::digest::Digest;
use crate::document::canonical::{self, CanonicalError};
use crate::git::Identity;
use crate::name::{AliasName, ModelName, TenantName};
use crate::signature::{Signature, Signer};
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
    /// Those of whom one signs every move; empty: no move is signed.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub signers: BTreeSet<Signer>,
    /// The signed protection before this one, where this one is signed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub prev: Option<Digest>,
    /// The last move that this one does not hold for, where it is signed; none: it holds for every move.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub after: Option<EventId>,
    /// Who said so.
    pub actor: Identity,
    /// When.
    pub at: Timestamp,
    /// The signature of who said so over the document without this, where it takes one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub signature: Option<Signature>,
}

impl Statement for Protection {
    const NOUN: &'static str = "protection";
    const SCHEMA: &'static str = "retune.protection/1";
}

impl Protection {
    pub(super) fn admits(&self, who: &Identity) -> bool {
        self.allow.is_empty() || self.allow.contains(who.email())
    }

    pub(super) fn id(&self) -> Result<Digest, CanonicalError> {
        canonical::encode(Self::SCHEMA, self).map(|bytes| Digest::of(&bytes))
    }

    /// The bytes that are signed: the document without its signature.
    pub(super) fn message(&self) -> Result<Vec<u8>, CanonicalError> {
        let unsigned = Self {
            signature: None,
            ..self.clone()
        };
        canonical::encode(Self::SCHEMA, &unsigned)
    }

    fn says_the_same(&self, other: &Self) -> bool {
        let said = |one: &Self| (one.allow.clone(), one.two_people, one.signers.clone());
        said(self) == said(other)
    }
}

/// What came of asking for a protection.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Protected {
    /// It counts from now on, or did already.
    Done(Box<Added<Protection>>),
    /// Only those who may move the alias can say who may.
    Refused(Refusal),
}

impl Tenant<'_> {
    /// Says who may move an alias. Only who may move it can change that. The same again changes nothing; without
    /// `signers` they stay as they are.
    ///
    /// A protection that names signers is signed by one of them; what changes it, by a signer of the one before.
    pub fn protect(
        &self,
        model: &ModelName,
        alias: &AliasName,
        allow: BTreeSet<String>,
        two_people: bool,
        signers: Option<BTreeSet<Signer>>,
        act: &Act<'_>,
    ) -> Result<Protected, RegistryError> {
        let asked = Protection {
            tenant: self.name.clone(),
            model: model.clone(),
            alias: alias.clone(),
            allow,
            two_people,
            signers: BTreeSet::new(),
            prev: None,
            after: None,
            actor: act.by.clone(),
            at: act.at,
            signature: None,
        };
        self.registry.transact(act, |view| {
            view.require_tenant(&self.name)?;
            self.require_model(view, model)?;
            if let Some(refusal) = self.not_admitted(view, model, alias, act)? {
                return Ok(Step::Nothing(Protected::Refused(refusal)));
            }
            let guard = self.guard(view, model, alias)?;
            let kept = || guard.in_charge().map(|known| known.signers.clone());
            let asked = Protection {
                signers: signers.clone().or_else(kept).unwrap_or_default(),
                ..asked.clone()
            };
            let known = guard
                .counts()
                .filter(|known| guard.stray.is_none() && known.says_the_same(&asked));
            if let Some(known) = known {
                let record = known.clone();
                let added = Added { record, new: false };
                return Ok(Step::Nothing(Protected::Done(Box::new(added))));
            }
            let record = match self.sealed(view, &guard, asked, act)? {
                Ok(record) => record,
                Err(refusal) => return Ok(Step::Nothing(Protected::Refused(refusal))),
            };
            let dir = layout::protections(&self.name, model, alias);
            let subject = format!("protect {model}:{alias} ({})", self.name);
            let transaction = state(view, &dir, &record, act, subject)?;
            let added = Added { record, new: true };
            Ok(Step::Write(transaction, Protected::Done(Box::new(added))))
        })
    }

    /// A protection with its place and its signature, where it takes one: it names signers, or changes one that does.
    fn sealed(
        &self,
        view: &View<'_>,
        guard: &Guard,
        asked: Protection,
        act: &Act<'_>,
    ) -> Result<Result<Protection, Refusal>, RegistryError> {
        if asked.signers.is_empty() && guard.in_charge().is_none() {
            return Ok(Ok(asked));
        }
        let (model, alias) = (&asked.model, &asked.alias);
        let chain = self.chain(view, model, alias)?;
        if let Some(fork) = chain.fork.as_ref().and(chain.forked(model, alias)) {
            // It would have a side behind it that nobody chose.
            return Err(fork);
        }
        let asked = Protection {
            prev: guard.head(),
            after: chain.head(),
            ..asked
        };
        let message = asked.message().map_err(|source| RegistryError::Refused {
            what: Protection::NOUN,
            source,
        })?;
        let signature = guard.in_charge().unwrap_or(&asked).sign(&message, act)?;
        Ok(signature.map(|signature| Protection {
            signature: Some(signature),
            ..asked
        }))
    }

    /// Who may move an alias; `None` when nobody said, so everybody may.
    fn protection_at(
        &self,
        view: &View<'_>,
        model: &ModelName,
        alias: &AliasName,
    ) -> Result<Option<Protection>, RegistryError> {
        let guard = self.guard(view, model, alias)?;
        Ok(guard.counts().cloned())
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
