//! The proof that a gate was passed.

use super::check::recheck;
use super::error::{GateError, NotPassed};
use super::evidence::{Evidence, EvidenceId};
use super::policy::{Policy, PolicyId};
use super::verdict::Verdict;
use super::waiver::Waiver;
use crate::eval::{Subject, SuiteId};
use crate::store::Store;
use crate::time::Timestamp;

/// A gate that was passed, judged again from the stored bytes. What promotion asks for.
#[derive(Debug, Clone)]
pub struct PassedGate {
    id: EvidenceId,
    evidence: Evidence,
    waiver: Option<Waiver>,
}

impl PassedGate {
    /// Judges the evidence again and accepts a verdict that people have waived, while the waiver holds.
    pub fn waived(
        store: &Store,
        id: &EvidenceId,
        waiver: &Waiver,
        now: Timestamp,
    ) -> Result<Self, NotPassed> {
        let unconfirmed = |source: GateError| NotPassed::Unconfirmed {
            evidence: *id,
            source: Box::new(source),
        };
        let evidence = recheck(store, id).map_err(unconfirmed)?;
        let policy = Policy::load(store, &evidence.policy).map_err(unconfirmed)?;
        match waiver.check((*id, &evidence), &policy, now) {
            Ok(()) => Ok(Self {
                id: *id,
                evidence,
                waiver: Some(waiver.clone()),
            }),
            Err(why) => Err(NotPassed::Waiver {
                evidence: *id,
                verdict: evidence.verdict,
                why,
            }),
        }
    }

    /// The waiver that it rests on, where its verdict is not PASS.
    pub fn waiver(&self) -> Option<&Waiver> {
        self.waiver.as_ref()
    }

    /// Judges the evidence again; and only when both verdicts are PASS; the other way is [`PassedGate::waived`].
    pub fn load(store: &Store, id: &EvidenceId) -> Result<Self, NotPassed> {
        let evidence = recheck(store, id).map_err(|source| NotPassed::Unconfirmed {
            evidence: *id,
            source: Box::new(source),
        })?;
        match evidence.verdict {
            Verdict::Pass => Ok(Self {
                id: *id,
                evidence,
                waiver: None,
            }),
            verdict @ (Verdict::Fail | Verdict::Inconclusive | Verdict::Invalid) => {
                Err(NotPassed::Verdict {
                    evidence: *id,
                    verdict,
                })
            }
        }
    }

    /// The evidence's identity.
    pub fn id(&self) -> EvidenceId {
        self.id
    }

    /// All of it.
    pub fn evidence(&self) -> &Evidence {
        &self.evidence
    }

    /// What passed.
    pub fn candidate(&self) -> &Subject {
        &self.evidence.candidate.subject
    }

    /// The trained baseline it passed against; `None` for a first version, judged against untrained ones.
    pub fn baseline(&self) -> Option<&Subject> {
        let mut subjects = self.baselines();
        subjects.find(|subject| subject.baseline_kind().is_none())
    }

    /// Everything it passed against.
    pub fn baselines(&self) -> impl Iterator<Item = &Subject> {
        self.evidence.baselines.iter().map(|judged| &judged.subject)
    }

    /// The suite.
    pub fn suite(&self) -> SuiteId {
        self.evidence.suite
    }

    /// The rules.
    pub fn policy(&self) -> PolicyId {
        self.evidence.policy
    }
}
