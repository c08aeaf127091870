//! The proof that a gate was passed.

use super::check::recheck;
use super::error::NotPassed;
use super::evidence::{Evidence, EvidenceId};
use super::policy::PolicyId;
use super::verdict::Verdict;
use crate::eval::{Subject, SuiteId};
use crate::store::Store;

/// A gate that was passed, judged again from the stored bytes. What promotion asks for.
#[derive(Debug, Clone)]
pub struct PassedGate {
    id: EvidenceId,
    evidence: Evidence,
}

impl PassedGate {
    /// Judges the evidence again; the only way to a value of this type, and only when both verdicts are PASS.
    pub fn load(store: &Store, id: &EvidenceId) -> Result<Self, NotPassed> {
        let evidence = recheck(store, id).map_err(|source| NotPassed::Unconfirmed {
            evidence: *id,
            source: Box::new(source),
        })?;
        match evidence.verdict {
            Verdict::Pass => Ok(Self { id: *id, evidence }),
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
