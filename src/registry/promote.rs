//! Promotion: an alias moves forward, on evidence about exactly these digests, or not at all.

use super::act::Act;
use super::alias::{pointer, pointer_path};
use super::bytes::check_bytes;
use super::chain::Chain;
use super::error::RegistryError;
use super::event::{Event, EventId, EventKind, Target};
use super::tenant::Tenant;
use super::transaction::{Step, Transaction};
use super::version::Version;
use super::view::View;
use crate::digest::Digest;
use crate::name::{AliasName, ModelName};
use crate::reference::VersionLabel;
use crate::store::{Store, TreeId};

/// What came of asking an alias to move.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Decision {
    /// It moved.
    Moved(EventId, Box<Event>),
    /// It pointed there already; nothing was written.
    Unchanged(Target),
    /// It must not move.
    Refused(Refusal),
}

/// Why an alias must not move.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// The evidence is about something else.
    #[error(
        "evidence {evidence} is about adapter {judged}; version {version} has adapter {adapter}"
    )]
    OtherCandidate {
        /// The evidence.
        evidence: Digest,
        /// What it is about.
        judged: TreeId,
        /// What was to be promoted.
        version: VersionLabel,
        /// Its adapter.
        adapter: TreeId,
    },
    /// The evidence is about the right adapter on another base.
    #[error("evidence {evidence} was measured on base {judged}; version {version} has base {base}")]
    OtherBase {
        /// The evidence.
        evidence: Digest,
        /// What it was measured on.
        judged: TreeId,
        /// What was to be promoted.
        version: VersionLabel,
        /// Its base.
        base: TreeId,
    },
    /// The evidence compares with something that the alias does not point to any more.
    #[error(
        "evidence {evidence} was judged against {}; {alias} is now {now}",
        against.as_ref().map_or("something that is no version", VersionLabel::as_str)
    )]
    StaleBaseline {
        /// The evidence.
        evidence: Digest,
        /// What it was judged against, where that is a version of the model.
        against: Option<VersionLabel>,
        /// The alias.
        alias: AliasName,
        /// Where it points.
        now: VersionLabel,
    },
    /// The evidence compares the candidate with itself.
    #[error("evidence {0} compares the candidate with itself")]
    SelfJudged(Digest),
    /// There is no earlier version to go back to.
    #[error("{model}:{alias} has no earlier version")]
    NothingEarlier {
        /// The model.
        model: ModelName,
        /// The alias.
        alias: AliasName,
    },
    /// A rollback goes only where the alias has been.
    #[error("{model}:{alias} never was {version}")]
    NeverThere {
        /// The model.
        model: ModelName,
        /// The alias.
        alias: AliasName,
        /// Where it was to go.
        version: VersionLabel,
    },
}

/// What evidence that passed says about what it compared, in digests.
#[derive(Debug, Clone)]
pub(super) struct Proof {
    pub(super) evidence: Digest,
    pub(super) document: Vec<u8>,
    pub(super) candidate: Judged,
    /// `None`: the baseline was no adapter.
    pub(super) baseline: Option<Judged>,
}

/// An adapter on a base, as it was measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Judged {
    pub(super) base: TreeId,
    pub(super) adapter: TreeId,
}

impl From<&Version> for Judged {
    fn from(version: &Version) -> Self {
        Self {
            base: version.manifest.base.tree,
            adapter: version.manifest.adapter.tree,
        }
    }
}

impl Tenant<'_> {
    #[cfg_attr(
        not(test),
        expect(dead_code, reason = "the gate's `PassedGate` fills it")
    )]
    pub(super) fn promote_on(
        &self,
        version: &Version,
        alias: &AliasName,
        proof: &Proof,
        reason: Option<&str>,
        store: &Store,
        act: &Act<'_>,
    ) -> Result<Decision, RegistryError> {
        let model = &version.manifest.model;
        self.registry.transact(act, |view| {
            view.require_tenant(&self.name)?;
            let version = self.version_at(view, model, &version.id)?;
            let chain = self.chain(view, model, alias)?;
            if let Some(fork) = chain.forked(model, alias) {
                return Err(fork);
            }
            let target = Target::from(&version);
            if chain.current() == Some(&target) {
                return Ok(Step::Nothing(Decision::Unchanged(target)));
            }
            let current = match chain.current() {
                Some(current) => Some(self.version_at(view, model, &current.manifest)?),
                None => None,
            };
            if let Some(refusal) = self.refusal(view, &version, alias, current.as_ref(), proof)? {
                return Ok(Step::Nothing(Decision::Refused(refusal)));
            }
            check_bytes(&version, store)?;
            if let Some(current) = &current {
                // What cannot be gone back to must not be left.
                check_bytes(current, store)?;
            }
            let event = self.event(EventKind::Promote, model, alias, &chain, target, act);
            let event = Event {
                evidence: Some(proof.evidence),
                reason: reason.map(str::to_owned),
                ..event
            };
            let subject = format!(
                "promote {model}@{} to {alias} ({})",
                version.label, self.name
            );
            let mut transaction =
                Transaction::new(subject).trailer("Retune-Evidence", proof.evidence);
            let path = self.evidence_path(&version, &proof.evidence);
            if view.read(&path)?.as_ref() != Some(&proof.document) {
                transaction = transaction.add(view, path, proof.document.clone())?;
            }
            self.moved(view, transaction, event)
        })
    }

    fn refusal(
        &self,
        view: &View<'_>,
        version: &Version,
        alias: &AliasName,
        current: Option<&Version>,
        proof: &Proof,
    ) -> Result<Option<Refusal>, RegistryError> {
        let evidence = proof.evidence;
        let actual = Judged::from(version);
        if proof.candidate.adapter != actual.adapter {
            return Ok(Some(Refusal::OtherCandidate {
                evidence,
                judged: proof.candidate.adapter,
                version: version.label.clone(),
                adapter: actual.adapter,
            }));
        }
        if proof.candidate.base != actual.base {
            return Ok(Some(Refusal::OtherBase {
                evidence,
                judged: proof.candidate.base,
                version: version.label.clone(),
                base: actual.base,
            }));
        }
        if proof.baseline == Some(actual) {
            return Ok(Some(Refusal::SelfJudged(evidence)));
        }
        let Some(current) = current.filter(|now| proof.baseline != Some(Judged::from(*now))) else {
            return Ok(None);
        };
        Ok(Some(Refusal::StaleBaseline {
            evidence,
            against: self.version_judged(view, &version.manifest.model, proof.baseline)?,
            alias: alias.clone(),
            now: current.label.clone(),
        }))
    }

    /// The version of the model that was measured, for people.
    fn version_judged(
        &self,
        view: &View<'_>,
        model: &ModelName,
        judged: Option<Judged>,
    ) -> Result<Option<VersionLabel>, RegistryError> {
        let Some(judged) = judged else {
            return Ok(None);
        };
        for stem in view.documents(&super::layout::model_versions(&self.name, model))? {
            let version = self.load_version(view, model, &stem)?;
            if Judged::from(&version) == judged {
                return Ok(Some(version.label));
            }
        }
        Ok(None)
    }

    /// The event that continues a chain.
    pub(super) fn event(
        &self,
        kind: EventKind,
        model: &ModelName,
        alias: &AliasName,
        chain: &Chain,
        to: Target,
        act: &Act<'_>,
    ) -> Event {
        Event {
            tenant: self.name.clone(),
            model: model.clone(),
            alias: alias.clone(),
            kind,
            seq: chain.links.last().map_or(0, |(_, event)| event.seq) + 1,
            prev: chain.head(),
            settles: Vec::new(),
            from: chain.current().cloned(),
            to,
            evidence: None,
            actor: act.by.clone(),
            at: act.at,
            reason: None,
        }
    }

    /// Adds an event and the pointer that it gives to a transaction.
    pub(super) fn moved(
        &self,
        view: &View<'_>,
        transaction: Transaction,
        event: Event,
    ) -> Result<Step<Decision>, RegistryError> {
        let (id, bytes) = event.encode().map_err(|source| RegistryError::Refused {
            what: "event",
            source,
        })?;
        let pointer = pointer(&id, &event).into_bytes();
        let transaction = transaction
            .trailer("Retune-Event", id)
            .add(view, event.path(&id), bytes)?
            .replace(pointer_path(self, &event.model, &event.alias), pointer);
        Ok(Step::Write(
            transaction,
            Decision::Moved(id, Box::new(event)),
        ))
    }
}
