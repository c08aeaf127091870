//! What the protections of an alias add up to: who may move it, and whose signature each move needs.
//!
//! A protection that names signers is signed, and so is what changes it: by a signer of the one before. Each names the
//! one before it and the last move that it has behind it, so their order and what they hold for are in the documents,
//! not in anybody's clock or in the order in which a remote hands them out.

use std::collections::{BTreeMap, BTreeSet};

use super::act::Act;
use super::chain::ChainError;
use super::error::RegistryError;
use super::event::{Event, EventId};
use super::layout;
use super::promote::Refusal;
use super::protection::Protection;
use super::statement::statements;
use super::tenant::Tenant;
use super::view::{View, damaged};
use crate::digest::Digest;
use crate::name::{AliasName, ModelName};
use crate::signature::Signature;

/// The protections of one alias.
#[derive(Debug, Default)]
pub(super) struct Guard {
    /// The signed ones, each following the one before.
    signed: Vec<(Digest, Protection)>,
    /// The newest one since, which nobody had to sign.
    open: Option<Protection>,
    /// What was said since and does not count, and why.
    pub(super) stray: Option<String>,
}

impl Tenant<'_> {
    /// What was said about who may move an alias.
    pub(super) fn guard(
        &self,
        view: &View<'_>,
        model: &ModelName,
        alias: &AliasName,
    ) -> Result<Guard, RegistryError> {
        let dir = layout::protections(&self.name, model, alias);
        let mut all: Vec<Protection> = statements(view, &dir)?;
        let here = (&self.name, model, alias);
        if all
            .iter()
            .any(|one| (&one.tenant, &one.model, &one.alias) != here)
        {
            return Err(damaged(&dir, "it holds what is about another alias"));
        }
        all.reverse();
        Guard::fold(all).map_err(|why| damaged(&dir, why))
    }
}

impl Guard {
    /// Puts protections together that came in in this order.
    ///
    /// The signed ones are a chain by what they name, in whatever order they came in; two that rightly follow the same
    /// one are two answers, and neither counts. What breaks the rules changes nothing, and is told until a signed one
    /// comes in after it.
    fn fold(oldest_first: Vec<Protection>) -> Result<Self, String> {
        let mut guard = Self::default();
        let mut all = Vec::new();
        for one in oldest_first {
            all.push((one.id().map_err(|error| error.to_string())?, one));
        }
        while let Some(next) = guard.next(&all)? {
            guard.signed.push(next);
        }
        let is_signed = |id: &Digest| guard.signed.iter().any(|(signed, _)| signed == id);
        let last = all.iter().rposition(|(id, _)| is_signed(id));
        for (id, one) in all.split_off(last.map_or(0, |last| last + 1)) {
            match guard.takes(&one) {
                Ok(()) => guard.open = Some(one),
                Err(why) => guard.stray = Some(format!("protection {id}: {why}")),
            }
        }
        Ok(guard)
    }

    /// The signed protection that follows the last one.
    fn next(&self, all: &[(Digest, Protection)]) -> Result<Option<(Digest, Protection)>, String> {
        let signed = |one: &Protection| one.signature.is_some() && self.takes(one).is_ok();
        let next: Vec<_> = all.iter().filter(|(_, one)| signed(one)).collect();
        match next[..] {
            [] => Ok(None),
            [only] => Ok(Some(only.clone())),
            [(one, _), (other, _), ..] => Err(format!(
                "protections {one} and {other} are both signed and follow the same one"
            )),
        }
    }

    /// Whether a protection may be the next one; why not.
    fn takes(&self, next: &Protection) -> Result<(), String> {
        let in_charge = self.in_charge();
        let Some(signature) = &next.signature else {
            return match in_charge.is_some() || !next.signers.is_empty() {
                true => Err("it is not signed".to_owned()),
                false => Ok(()),
            };
        };
        if next.prev != self.head() {
            return Err("it does not follow the signed one before it".to_owned());
        }
        if in_charge.is_some_and(|before| !before.admits(&next.actor)) {
            return Err(format!("{} may not change it", next.actor));
        }
        let signers = &in_charge.unwrap_or(next).signers;
        let message = next.message().map_err(|error| error.to_string())?;
        signature
            .check(&message, next.actor.email(), signers)
            .map_err(|why| why.to_string())
    }

    /// Who may move the alias now; `None` when nobody said.
    pub(super) fn counts(&self) -> Option<&Protection> {
        let last = self.signed.last().map(|(_, last)| last);
        self.open.as_ref().or(last)
    }

    /// The protection whose signers have to sign now.
    pub(super) fn in_charge(&self) -> Option<&Protection> {
        let last = self.signed.last().map(|(_, last)| last);
        last.filter(|last| !last.signers.is_empty())
    }

    /// The last signed protection.
    pub(super) fn head(&self) -> Option<Digest> {
        self.signed.last().map(|(id, _)| *id)
    }

    /// The moves that lack a signature that counts, and why.
    ///
    /// A signed protection holds for every move that it does not have behind it: the last move when it was made, and
    /// all that led there.
    pub(super) fn refused(
        &self,
        events: &[(EventId, Event)],
    ) -> Result<BTreeMap<EventId, String>, ChainError> {
        let graph: BTreeMap<EventId, &Event> =
            events.iter().map(|(id, event)| (*id, event)).collect();
        let mut held = Vec::new();
        for (_, protection) in &self.signed {
            held.push((protection, behind(protection.after, &graph)?));
        }
        let mut refused = BTreeMap::new();
        for (id, event) in events {
            let holds = held.iter().rev().find(|(_, behind)| !behind.contains(id));
            let why = match holds {
                Some((protection, _)) => protection.refuses(*id, event),
                None => unasked(event),
            };
            if let Some(why) = why {
                refused.insert(*id, format!("event {id}: {why}"));
            }
        }
        Ok(refused)
    }

    /// The event with the signature that the alias takes, or why it must not move.
    pub(super) fn sign(
        &self,
        event: Event,
        act: &Act<'_>,
    ) -> Result<Result<Event, Refusal>, RegistryError> {
        let Some(protection) = self.in_charge() else {
            return Ok(Ok(event));
        };
        let message = event.message().map_err(|source| RegistryError::Refused {
            what: "event",
            source,
        })?;
        let signature = protection.sign(&message, act)?;
        Ok(signature.map(|signature| Event {
            signature: Some(signature),
            ..event
        }))
    }
}

/// A move and everything that led to it.
fn behind(
    last: Option<EventId>,
    events: &BTreeMap<EventId, &Event>,
) -> Result<BTreeSet<EventId>, ChainError> {
    let mut found = BTreeSet::new();
    let mut open: Vec<EventId> = last.into_iter().collect();
    while let Some(id) = open.pop() {
        let event = events.get(&id).ok_or(ChainError::Missing(id))?;
        if found.insert(id) {
            open.extend(event.settles.iter().chain(&event.prev));
        }
    }
    Ok(found)
}

/// Nobody signs what need not be signed: then the protection that asked for it is gone.
fn unasked(event: &Event) -> Option<String> {
    let signed = event.signature.is_some();
    signed.then(|| "it is signed, and the protection that asked for it is not there".to_owned())
}

impl Protection {
    /// Why a move does not count under this protection.
    fn refuses(&self, id: EventId, event: &Event) -> Option<String> {
        if self.signers.is_empty() {
            return unasked(event);
        }
        let Some(signature) = &event.signature else {
            return Some("it is not signed".to_owned());
        };
        if !self.admits(&event.actor) {
            return Some(format!("{} may not move it", event.actor));
        }
        let (Ok((written, _)), Ok(message)) = (event.encode(), event.message()) else {
            return Some("it cannot be written again".to_owned());
        };
        if written != id {
            return Some("it is not spelled as it was when it was signed".to_owned());
        }
        let checked = signature.check(&message, event.actor.email(), &self.signers);
        checked.err().map(|why| why.to_string())
    }

    /// A signature by who acts, if this protection admits it.
    pub(super) fn sign(
        &self,
        message: &[u8],
        act: &Act<'_>,
    ) -> Result<Result<Signature, Refusal>, RegistryError> {
        let (who, model, alias) = (act.by.clone(), self.model.clone(), self.alias.clone());
        let signers: BTreeSet<String> = self
            .signers
            .iter()
            .map(|signer| signer.email().to_owned())
            .collect();
        if !signers.contains(who.email()) {
            let signers = signers.into_iter().collect();
            return Ok(Err(Refusal::NoSigner {
                who,
                model,
                alias,
                signers,
            }));
        }
        let Some(key) = act.key else {
            return Ok(Err(Refusal::NoKey { who, model, alias }));
        };
        let signature = key.sign(message)?;
        let checked = signature.check(message, who.email(), &self.signers);
        Ok(match checked {
            Ok(()) => Ok(signature),
            Err(why) => Err(Refusal::OtherKey { model, alias, why }),
        })
    }
}
