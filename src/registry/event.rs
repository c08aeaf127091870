//! Events: what happened to an alias. Each names the one before, so none can be taken out or changed unseen.

use serde::{Deserialize, Serialize};

use super::error::RegistryError;
use super::layout;
use super::tenant::Tenant;
use super::version::{Version, VersionId};
use super::view::{View, damaged, decode};
use crate::digest::Digest;
use crate::document::canonical::{self, CanonicalError};
use crate::git::Identity;
use crate::name::{AliasName, ModelName, TenantName};
use crate::reference::VersionLabel;
use crate::signature::Signature;
use crate::time::Timestamp;

const SCHEMA: &str = "retune.event/1";

crate::typed_id!(
    /// Identifies an event: the digest of its document.
    EventId
);

/// An alias moved.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Event {
    /// Whose.
    pub tenant: TenantName,
    /// The model.
    pub model: ModelName,
    /// The alias.
    pub alias: AliasName,
    /// What was done.
    pub kind: EventKind,
    /// Counts the events of the alias, from 1.
    pub seq: u64,
    /// The event before; none for the first.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub prev: Option<EventId>,
    /// The ends of the other branches, when this event settles a fork.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub settles: Vec<EventId>,
    /// Where the alias pointed before.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from: Option<Target>,
    /// Where it points now.
    pub to: Target,
    /// The evidence that a promotion rests on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub evidence: Option<Digest>,
    /// The waiver, where the evidence does not say PASS.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub waiver: Option<Digest>,
    /// Who did it.
    pub actor: Identity,
    /// When.
    pub at: Timestamp,
    /// Why, in their words.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// The signature of who did it over the document without this, where the alias takes one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub signature: Option<Signature>,
}

/// What an event did.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum EventKind {
    /// Moved forward on evidence.
    Promote,
    /// Moved back to a version that was there before.
    Rollback,
    /// Chose one side where two people had moved it at once.
    Settle,
}

/// A version that an alias points to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Target {
    /// As people write it.
    pub version: VersionLabel,
    /// Its identity.
    pub manifest: VersionId,
}

impl From<&Version> for Target {
    fn from(version: &Version) -> Self {
        Self {
            version: version.label.clone(),
            manifest: version.id,
        }
    }
}

impl EventKind {
    /// `promote`, `rollback` or `settle`.
    pub fn word(self) -> &'static str {
        match self {
            Self::Promote => "promote",
            Self::Rollback => "rollback",
            Self::Settle => "settle",
        }
    }
}

impl Event {
    /// The canonical bytes, and their identity.
    pub(super) fn encode(&self) -> Result<(EventId, Vec<u8>), CanonicalError> {
        let bytes = canonical::encode(SCHEMA, self)?;
        Ok((Digest::of(&bytes).into(), bytes))
    }

    /// The bytes that are signed: the document without its signature.
    pub(super) fn message(&self) -> Result<Vec<u8>, CanonicalError> {
        let unsigned = Self {
            signature: None,
            ..self.clone()
        };
        canonical::encode(SCHEMA, &unsigned)
    }

    /// Where the event lies.
    pub(super) fn path(&self, id: &EventId) -> String {
        let (year, _) = self.at.year_month();
        let dir = layout::events(&self.tenant, &self.model);
        format!("{dir}/{year}/{}.json", self.stem(id))
    }

    fn stem(&self, id: &EventId) -> String {
        format!("{}-{}", self.at.compact(), &id.digest().hex()[..16])
    }
}

impl Tenant<'_> {
    /// Every event of a model, each checked against its path, in no particular order.
    pub(super) fn events(
        &self,
        view: &View<'_>,
        model: &ModelName,
    ) -> Result<Vec<(EventId, Event)>, RegistryError> {
        let root = layout::events(&self.name, model);
        let mut events = Vec::new();
        for year in view.folders(&root)? {
            let dir = format!("{root}/{year}");
            for document in view.documents(&dir)? {
                let path = &document.path;
                let bytes = view.load(&document)?;
                let id = EventId::from(Digest::of(&bytes));
                let event: Event = decode(SCHEMA, path, &bytes)?;
                if event.path(&id) != *path || event.tenant != self.name || event.model != *model {
                    return Err(damaged(path, "its content belongs elsewhere"));
                }
                events.push((id, event));
            }
        }
        Ok(events)
    }
}
