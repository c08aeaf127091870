//! Aliases: movable names of versions, such as `production`.

use super::chain::Chain;
use super::error::RegistryError;
use super::event::{Event, EventId, Target};
use super::layout;
use super::tenant::Tenant;
use super::view::{View, damaged};
use crate::name::{AliasName, ModelName};

/// An alias and its history.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Alias {
    /// The name.
    pub name: AliasName,
    /// Every agreed move, in order.
    pub chain: Chain,
}

impl Tenant<'_> {
    /// The aliases of a model, sorted by name, each with its whole history.
    pub fn aliases(&self, model: &ModelName) -> Result<Vec<Alias>, RegistryError> {
        let view = self.view()?;
        self.require_model(&view, model)?;
        let load = |name: AliasName| {
            let chain = self.chain(&view, model, &name)?;
            Ok(Alias { name, chain })
        };
        self.alias_names(&view, model)?
            .into_iter()
            .map(load)
            .collect()
    }

    /// The history of an alias; empty when it never pointed anywhere.
    pub fn history(&self, model: &ModelName, alias: &AliasName) -> Result<Chain, RegistryError> {
        let view = self.view()?;
        self.require_model(&view, model)?;
        self.chain(&view, model, alias)
    }

    /// Where an alias points; an error when nowhere, when its history forked, or when a signature is missing.
    pub(super) fn alias_target(
        &self,
        view: &View<'_>,
        model: &ModelName,
        alias: &AliasName,
    ) -> Result<Target, RegistryError> {
        let chain = self.chain(view, model, alias)?;
        if let Some(fork) = chain.forked(model, alias) {
            return Err(fork);
        }
        match chain.current() {
            Some(target) => Ok(target.clone()),
            None => Err(RegistryError::NotFound {
                what: format!("alias {model}:{alias}"),
                known: self
                    .alias_names(view, model)?
                    .iter()
                    .map(ToString::to_string)
                    .collect(),
            }),
        }
    }

    /// Folds an alias's events, and checks that its pointer says the same.
    pub(super) fn chain(
        &self,
        view: &View<'_>,
        model: &ModelName,
        alias: &AliasName,
    ) -> Result<Chain, RegistryError> {
        let mut events = self.events(view, model)?;
        events.retain(|(_, event)| event.alias == *alias);
        let guard = self.guard(view, model, alias)?;
        let folded = guard.refused(&events);
        let folded = folded.and_then(|refused| Chain::fold(events, &refused));
        let mut chain = folded
            .map_err(|error| damaged(&layout::events(&self.name, model), error.to_string()))?;
        if chain.fork.is_some() {
            return Ok(chain);
        }
        chain.unsigned = guard.stray;
        let path = pointer_path(self, model, alias);
        let expected = chain.links.last().map(|(id, event)| pointer(id, event));
        if view.read(&path)? == expected.map(String::into_bytes) {
            return Ok(chain);
        }
        Err(damaged(
            &path,
            "it is not what the alias's events add up to",
        ))
    }

    /// Every alias that has a pointer, sorted.
    pub(super) fn alias_names(
        &self,
        view: &View<'_>,
        model: &ModelName,
    ) -> Result<Vec<AliasName>, RegistryError> {
        let dir = layout::aliases(&self.name, model);
        let parse = |file: String| {
            let name = file
                .strip_suffix(".yaml")
                .and_then(|stem| stem.parse().ok());
            name.ok_or_else(|| damaged(&format!("{dir}/{file}"), "it does not belong here"))
        };
        view.files(&dir)?.into_iter().map(parse).collect()
    }
}

pub(super) fn pointer_path(tenant: &Tenant<'_>, model: &ModelName, alias: &AliasName) -> String {
    format!("{}/{alias}.yaml", layout::aliases(&tenant.name, model))
}

/// The one text that an alias pointer has after an event.
pub(super) fn pointer(id: &EventId, event: &Event) -> String {
    format!(
        "# Moved by `retune model promote` and `retune model rollback`; an edit by hand is refused.\n\
         schema: retune.alias/1\n\
         version: {}\n\
         manifest: {}\n\
         seq: {}\n\
         event: {id}\n",
        event.to.version, event.to.manifest, event.seq
    )
}

impl Chain {
    /// The error that a history is which forked, or in which something is not signed that has to be; `None` while
    /// everybody agrees.
    pub fn forked(&self, model: &ModelName, alias: &AliasName) -> Option<RegistryError> {
        let (model, alias) = (model.clone(), alias.clone());
        let agreed = self.current().map(|target| target.version.clone());
        if let Some(why) = self.unsigned.clone() {
            return Some(RegistryError::Unsigned {
                model,
                alias,
                agreed,
                why,
            });
        }
        let ends = self.fork.as_ref()?;
        let sides = ends.iter().map(|(_, event)| event.to.version.clone());
        Some(RegistryError::Forked {
            model,
            alias,
            agreed,
            sides: sides.collect(),
        })
    }
}
