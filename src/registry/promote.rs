//! Promotion: an alias moves forward, on evidence about exactly these digests, or not at all.

use std::fmt;

use super::act::Act;
use super::alias::{pointer, pointer_path};
use super::bytes::check_bytes;
use super::chain::Chain;
use super::error::RegistryError;
use super::event::{Event, EventId, EventKind, Target};
use super::layout;
use super::tenant::Tenant;
use super::transaction::{Step, Transaction};
use super::version::Version;
use super::view::View;
use crate::digest::Digest;
use crate::eval::Subject;
use crate::gate::{Lineage, PassedGate};
use crate::git::Identity;
use crate::name::{AliasName, ModelName};
use crate::reference::VersionLabel;
use crate::signature::SignatureError;
use crate::store::{Store, StoreError, TreeId};
use crate::time::Timestamp;

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
    #[error("evidence {evidence} is about {judged}; version {version} is {actual}")]
    OtherCandidate {
        /// The evidence.
        evidence: Digest,
        /// What it is about.
        judged: String,
        /// What was to be promoted.
        version: VersionLabel,
        /// What that is.
        actual: String,
    },
    /// The evidence looked for the suite's cases in other training data.
    #[error(
        "evidence {evidence} is about training on dataset {judged}; version {version} was trained on {actual}"
    )]
    OtherDataset {
        /// The evidence.
        evidence: Digest,
        /// The dataset it names.
        judged: Digest,
        /// What was to be promoted.
        version: VersionLabel,
        /// Its dataset.
        actual: Digest,
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
    /// The alias points nowhere yet, and the evidence compares with a version that no alias points to.
    #[error(
        "evidence {evidence} was judged against {}; {alias} is new and no other alias points there",
        against.as_ref().map_or("no version of the model", VersionLabel::as_str)
    )]
    UnusedBaseline {
        /// The evidence.
        evidence: Digest,
        /// What it was judged against, where that is a version of the model.
        against: Option<VersionLabel>,
        /// The alias.
        alias: AliasName,
    },
    /// The evidence compares the candidate with itself.
    #[error("evidence {0} compares the candidate with itself")]
    SelfJudged(Digest),
    /// The version cannot be used any more.
    #[error("{version} could be used until {until}; {replacement} replaces it")]
    Deprecated {
        /// What was to be promoted.
        version: VersionLabel,
        /// The end of its last day.
        until: Timestamp,
        /// What replaces it.
        replacement: VersionLabel,
    },
    /// Others may move the alias.
    #[error("{who} may not move {model}:{alias}; {} may", allowed.join(", "))]
    NotAllowed {
        /// Who wanted to.
        who: Identity,
        /// The model.
        model: ModelName,
        /// The alias.
        alias: AliasName,
        /// The mail addresses of those who may.
        allowed: Vec<String>,
    },
    /// It takes a signature, and who acts is no signer.
    #[error("{model}:{alias} takes a signature of {}; {who} is no signer", signers.join(" or "))]
    NoSigner {
        /// Who wanted to.
        who: Identity,
        /// The model.
        model: ModelName,
        /// The alias.
        alias: AliasName,
        /// The mail addresses of the signers.
        signers: Vec<String>,
    },
    /// It takes a signature, and who acts has no key.
    #[error("{model}:{alias} takes a signature; there is no key to sign with as {who}")]
    NoKey {
        /// Who wanted to.
        who: Identity,
        /// The model.
        model: ModelName,
        /// The alias.
        alias: AliasName,
    },
    /// It takes a signature, and that by the key of who acts does not count.
    #[error("{model}:{alias} takes a signature; this one does not count: {why}")]
    OtherKey {
        /// The model.
        model: ModelName,
        /// The alias.
        alias: AliasName,
        /// What is wrong with it.
        why: SignatureError,
    },
    /// It takes two people.
    #[error("{who} registered {version}; {alias} takes somebody else to promote it")]
    SamePerson {
        /// Who wanted to.
        who: Identity,
        /// What was to be promoted.
        version: VersionLabel,
        /// The alias.
        alias: AliasName,
    },
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

impl Refusal {
    /// Whether it is not the version but the person who is refused.
    pub fn is_about_people(&self) -> bool {
        matches!(
            self,
            Self::NotAllowed { .. }
                | Self::NoSigner { .. }
                | Self::NoKey { .. }
                | Self::OtherKey { .. }
                | Self::SamePerson { .. }
        )
    }
}

/// What evidence that passed says about what it compared, in digests.
#[derive(Debug, Clone)]
pub(super) struct Proof {
    pub(super) evidence: Digest,
    pub(super) document: Vec<u8>,
    /// The candidate, for people.
    pub(super) about: String,
    /// `None`: the candidate was no adapter.
    pub(super) candidate: Option<Judged>,
    /// Every dataset that the candidate is said to be trained on.
    pub(super) datasets: Vec<Digest>,
    /// `None`: the baseline was no adapter.
    pub(super) baseline: Option<Judged>,
    /// Where the verdict is not PASS: the document of the waiver.
    pub(super) waiver: Option<Digest>,
}

impl Proof {
    /// Takes the digests out of a passed gate, with the evidence's exact bytes.
    fn new(gate: &PassedGate, store: &Store) -> Result<Self, StoreError> {
        let evidence = gate.id().digest();
        let traced = match &gate.evidence().lineage {
            Lineage::Traced { dataset, .. } => Some(dataset.digest()),
            Lineage::Unknown { .. } => None,
        };
        Ok(Self {
            evidence,
            document: store.read(&evidence)?.into_inner(),
            about: gate.candidate().to_string(),
            candidate: Judged::of(gate.candidate()),
            datasets: gate
                .candidate()
                .dataset()
                .map(|id| id.digest())
                .into_iter()
                .chain(traced)
                .collect(),
            baseline: gate.baseline().and_then(Judged::of),
            waiver: gate
                .waiver()
                .and_then(|waiver| waiver.document().ok())
                .map(|bytes| Digest::of(&bytes)),
        })
    }
}

/// An adapter on a base, as it was measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Judged {
    pub(super) base: Digest,
    pub(super) adapter: TreeId,
}

impl Judged {
    fn of(subject: &Subject) -> Option<Self> {
        match subject {
            Subject::Adapter { base, adapter, .. } => Some(Self {
                base: base.digest(),
                adapter: *adapter,
            }),
            _ => None,
        }
    }
}

impl From<&Version> for Judged {
    fn from(version: &Version) -> Self {
        Self {
            base: version.manifest.base.tree.digest(),
            adapter: version.manifest.adapter.tree,
        }
    }
}

/// As [`Subject`] prints an adapter.
impl fmt::Display for Judged {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "adapter {} on base {}",
            self.adapter.short(),
            self.base.short()
        )
    }
}

impl Tenant<'_> {
    /// Moves an alias to a version, on a gate that was passed by exactly this version against exactly what
    /// the alias points to now.
    ///
    /// Where the alias points nowhere yet, the gate was passed against untrained baselines, or against a
    /// version that another alias points to. Every byte of the adapter is re-read, and of the version that
    /// the alias leaves, so that it can come back.
    pub fn promote(
        &self,
        version: &Version,
        alias: &AliasName,
        gate: &PassedGate,
        reason: Option<&str>,
        store: &Store,
        act: &Act<'_>,
    ) -> Result<Decision, RegistryError> {
        let proof = Proof::new(gate, store)?;
        self.promote_on(version, alias, &proof, reason, store, act)
    }

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
            self.check_training_data(view, &version.manifest)?;
            let chain = self.chain(view, model, alias)?;
            if let Some(fork) = chain.forked(model, alias) {
                return Err(fork);
            }
            let target = Target::from(&version);
            if chain.current() == Some(&target) {
                return Ok(Step::Nothing(Decision::Unchanged(target)));
            }
            if let Some(refusal) = self.closed(view, &version, alias, act)? {
                return Ok(Step::Nothing(Decision::Refused(refusal)));
            }
            let current = match chain.current() {
                Some(current) => Some(self.version_at(view, model, &current.manifest)?),
                None => None,
            };
            if let Some(refusal) =
                self.refusal(view, &version, alias, current.as_ref(), proof, act.at)?
            {
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
                waiver: proof.waiver,
                reason: reason.map(str::to_owned),
                ..event
            };
            let subject = format!(
                "promote {model}@{} to {alias} ({})",
                version.label, self.name
            );
            let mut transaction =
                Transaction::new(subject).trailer("Retune-Evidence", proof.evidence);
            if let Some(waiver) = proof.waiver {
                transaction = transaction.trailer("Retune-Waiver", waiver);
            }
            let path = self.evidence_path(&version, &proof.evidence);
            if view.read(&path)?.as_ref() != Some(&proof.document) {
                transaction = transaction.add(view, path, proof.document.clone())?;
            }
            self.moved(view, transaction, event, act)
        })
    }

    /// Why who acts may not promote the version, whatever the evidence says.
    fn closed(
        &self,
        view: &View<'_>,
        version: &Version,
        alias: &AliasName,
        act: &Act<'_>,
    ) -> Result<Option<Refusal>, RegistryError> {
        match self.not_admitted(view, &version.manifest.model, alias, act)? {
            None => self.same_person(view, version, alias, act),
            refusal => Ok(refusal),
        }
    }

    fn refusal(
        &self,
        view: &View<'_>,
        version: &Version,
        alias: &AliasName,
        current: Option<&Version>,
        proof: &Proof,
        at: Timestamp,
    ) -> Result<Option<Refusal>, RegistryError> {
        let evidence = proof.evidence;
        let actual = Judged::from(version);
        if proof.candidate != Some(actual) {
            return Ok(Some(Refusal::OtherCandidate {
                evidence,
                judged: proof.about.clone(),
                version: version.label.clone(),
                actual: actual.to_string(),
            }));
        }
        let dataset = version.manifest.dataset.id;
        if let Some(other) = proof.datasets.iter().find(|judged| **judged != dataset) {
            return Ok(Some(Refusal::OtherDataset {
                evidence,
                judged: *other,
                version: version.label.clone(),
                actual: dataset,
            }));
        }
        if proof.baseline == Some(actual) {
            return Ok(Some(Refusal::SelfJudged(evidence)));
        }
        let deprecation = self.deprecation_at(view, version)?;
        if let Some(over) = deprecation.filter(|deprecation| deprecation.is_over(at)) {
            return Ok(Some(Refusal::Deprecated {
                version: version.label.clone(),
                until: over.until,
                replacement: over.replacement.version,
            }));
        }
        self.baseline_refusal(view, version, alias, current, proof)
    }

    fn baseline_refusal(
        &self,
        view: &View<'_>,
        version: &Version,
        alias: &AliasName,
        current: Option<&Version>,
        proof: &Proof,
    ) -> Result<Option<Refusal>, RegistryError> {
        let model = &version.manifest.model;
        let expected = current.map(Judged::from);
        if proof.baseline == expected {
            return Ok(None);
        }
        let (evidence, alias) = (proof.evidence, alias.clone());
        let against = self.version_judged(view, model, proof.baseline)?;
        let Some(current) = current else {
            if against
                .as_ref()
                .is_some_and(|version| self.in_use(view, version))
            {
                return Ok(None);
            }
            return Ok(Some(Refusal::UnusedBaseline {
                evidence,
                against: against.map(|version| version.label),
                alias,
            }));
        };
        Ok(Some(Refusal::StaleBaseline {
            evidence,
            against: against.map(|version| version.label),
            alias,
            now: current.label.clone(),
        }))
    }

    /// Whether an alias points to a version.
    fn in_use(&self, view: &View<'_>, version: &Version) -> bool {
        let model = &version.manifest.model;
        let points = |alias: &AliasName| {
            let target = self.alias_target(view, model, alias);
            target.is_ok_and(|target| target.manifest == version.id)
        };
        self.alias_names(view, model)
            .is_ok_and(|aliases| aliases.iter().any(points))
    }

    /// The version of the model that was measured.
    fn version_judged(
        &self,
        view: &View<'_>,
        model: &ModelName,
        judged: Option<Judged>,
    ) -> Result<Option<Version>, RegistryError> {
        let Some(judged) = judged else {
            return Ok(None);
        };
        for document in view.documents(&layout::model_versions(&self.name, model))? {
            let version = self.load_version(view, model, &document)?;
            if Judged::from(&version) == judged {
                return Ok(Some(version));
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
            waiver: None,
            actor: act.by.clone(),
            at: act.at,
            reason: None,
            signature: None,
        }
    }

    /// Signs an event where the alias takes a signature, and adds it and the pointer that it gives to a transaction.
    pub(super) fn moved(
        &self,
        view: &View<'_>,
        transaction: Transaction,
        event: Event,
        act: &Act<'_>,
    ) -> Result<Step<Decision>, RegistryError> {
        let guard = self.guard(view, &event.model, &event.alias)?;
        let event = match guard.sign(event, act)? {
            Ok(event) => event,
            Err(refusal) => return Ok(Step::Nothing(Decision::Refused(refusal))),
        };
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
