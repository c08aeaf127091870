//! Rollback: an alias moves back to where it was. No evidence is needed, and no network.

use std::collections::BTreeSet;

use super::act::Act;
use super::bytes::{check_bytes, check_every_byte};
use super::chain::Chain;
use super::error::RegistryError;
use super::event::{Event, EventId, EventKind, Target};
use super::promote::{Decision, Refusal};
use super::tenant::Tenant;
use super::transaction::{Step, Transaction};
use super::version::Version;
use super::view::reason;
use crate::name::{AliasName, ModelName};
use crate::reference::VersionLabel;
use crate::store::Store;

impl Tenant<'_> {
    /// Moves an alias back to the version before the current one, or to `to`, where it has been before.
    ///
    /// The version's bytes must be in the store. When two people moved the alias at once, this settles it:
    /// back to the last version both agreed on, or to `to`, which one side had chosen.
    pub fn rollback(
        &self,
        model: &ModelName,
        alias: &AliasName,
        to: Option<&Version>,
        reason: Option<&str>,
        store: &Store,
        act: &Act<'_>,
    ) -> Result<Decision, RegistryError> {
        let refused = |refusal| Ok(Step::Nothing(Decision::Refused(refusal)));
        self.registry.transact(act, |view| {
            view.require_tenant(&self.name)?;
            self.require_model(view, model)?;
            let chain = self.chain(view, model, alias)?;
            let target = match to {
                Some(version) => Target::from(version),
                None => match nearest(&chain) {
                    Some(target) => target,
                    None => {
                        return refused(Refusal::NothingEarlier {
                            model: model.clone(),
                            alias: alias.clone(),
                        });
                    }
                },
            };
            if chain.fork.is_none() && chain.current() == Some(&target) {
                return Ok(Step::Nothing(Decision::Unchanged(target)));
            }
            if !reachable(&chain, &target) {
                return refused(Refusal::NeverThere {
                    model: model.clone(),
                    alias: alias.clone(),
                    version: target.version,
                });
            }
            if let Some(refusal) = self.not_admitted(view, model, alias, act)? {
                return refused(refusal);
            }
            check_bytes(&self.version_at(view, model, &target.manifest)?, store)?;
            let subject = format!(
                "{} {model}:{alias} to {} ({})",
                if chain.fork.is_some() {
                    "settle"
                } else {
                    "roll back"
                },
                target.version,
                self.name
            );
            let event = self.event(EventKind::Rollback, model, alias, &chain, target, act);
            let event = Event {
                reason: reason.map(str::to_owned),
                ..event
            };
            let event = match &chain.fork {
                Some(ends) => settling(event, ends),
                None => event,
            };
            self.moved(view, Transaction::new(subject), event, act)
        })
    }

    /// Proves that every alias of the tenant can be rolled back: re-reads every byte of where it would go.
    pub fn rollback_readiness(&self, store: &Store) -> Result<Vec<Readiness>, RegistryError> {
        let view = self.view()?;
        let mut sound = BTreeSet::new();
        let mut found = Vec::new();
        for model in self.models()? {
            for alias in self.alias_names(&view, &model)? {
                let chain = self.chain(&view, &model, &alias)?;
                let to = nearest(&chain);
                let faults = match &to {
                    Some(target) => {
                        let version = self.version_at(&view, &model, &target.manifest)?;
                        check_every_byte(&version, store, &mut sound)
                    }
                    None => Vec::new(),
                };
                let faults = faults.into_iter().map(|error| reason(&error));
                found.push(Readiness {
                    model: model.clone(),
                    alias,
                    to: to.map(|target| target.version),
                    faults: faults.collect(),
                });
            }
        }
        Ok(found)
    }
}

/// Whether an alias can be rolled back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Readiness {
    /// The model.
    pub model: ModelName,
    /// The alias.
    pub alias: AliasName,
    /// Where it would go; `None`: it was nowhere before.
    pub to: Option<VersionLabel>,
    /// What of that version is missing or changed.
    pub faults: Vec<String>,
}

fn nearest(chain: &Chain) -> Option<Target> {
    match chain.fork {
        Some(_) => chain.current().cloned(),
        None => chain.earlier().pop(),
    }
}

/// Whether a rollback may go there: the alias has been there, or one side of a fork moved it there.
fn reachable(chain: &Chain, target: &Target) -> bool {
    match &chain.fork {
        None => chain.held(target),
        Some(ends) => {
            chain.current() == Some(target) || ends.iter().any(|(_, event)| event.to == *target)
        }
    }
}

/// Makes the event continue the longest side and name the ends of the others.
fn settling(event: Event, ends: &[(EventId, Event)]) -> Event {
    let longest = ends.iter().max_by_key(|(id, end)| (end.seq, *id));
    let prev = longest.map(|(id, _)| *id);
    let others = ends.iter().map(|(id, _)| *id);
    Event {
        kind: EventKind::Settle,
        seq: longest.map_or(0, |(_, end)| end.seq) + 1,
        settles: others.filter(|id| Some(*id) != prev).collect(),
        prev,
        ..event
    }
}
