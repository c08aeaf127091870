//! Waivers: people who take responsibility for what the gate does not pass.

use serde::{Deserialize, Serialize};

use super::error::GateError;
use super::evidence::{Evidence, EvidenceId};
use super::policy::{Policy, Waivable};
use super::reason::Code;
use super::verdict::Verdict;
use crate::digest::Digest;
use crate::document::canonical;
use crate::eval::Subject;
use crate::git::Identity;
use crate::time::Timestamp;

const SCHEMA: &str = "retune.waiver/1";
const DAY: i64 = 86_400;

/// Who waived which verdict, why and until when. The verdict stays what it is.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Waiver {
    /// The evidence whose verdict is waived.
    pub evidence: EvidenceId,
    /// What was judged; another adapter is not waived.
    pub candidate: Subject,
    /// The verdict.
    pub verdict: Verdict,
    /// Who waives.
    pub actor: Identity,
    /// Who else approves.
    pub approvers: Vec<Identity>,
    /// Why.
    pub reason: String,
    /// When.
    pub at: Timestamp,
    /// From when on it holds no more.
    pub expires: Timestamp,
}

/// Why a verdict cannot be waived, or a waiver does not hold.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NotWaived {
    /// There is nothing to waive.
    #[error("the verdict is PASS: there is nothing to waive")]
    Passed,
    /// The policy does not allow it.
    #[error("the policy does not allow to waive {0}: its `overrides.allow` would have to name it")]
    NotAllowed(String),
    /// Not enough different people.
    #[error("the policy wants {wanted} approvers besides {actor}; there are {given}")]
    Approvers {
        /// How many the policy wants.
        wanted: u32,
        /// How many different ones there are.
        given: usize,
        /// Who waives.
        actor: String,
    },
    /// Longer than the policy allows.
    #[error("the policy allows waivers of 1 to {most} days, not of {days}")]
    Days {
        /// What was asked for.
        days: u32,
        /// The most.
        most: u32,
    },
    /// A reason is missing.
    #[error("a waiver needs a reason")]
    NoReason,
    /// It is about something else.
    #[error("the waiver is about other evidence")]
    Other,
    /// It has ended.
    #[error("the waiver ended at {0}")]
    Expired(Timestamp),
}

impl Waiver {
    /// Waives a verdict for `days` days, as far as the policy that gave it allows.
    pub fn new(
        (id, evidence): (EvidenceId, &Evidence),
        policy: &Policy,
        actor: &Identity,
        mut approvers: Vec<Identity>,
        reason: &str,
        (at, days): (Timestamp, Option<u32>),
    ) -> Result<Self, NotWaived> {
        approvers.retain(|approver| approver.email() != actor.email());
        approvers.sort_by(|a, b| a.email().cmp(b.email()));
        approvers.dedup_by(|a, b| a.email() == b.email());
        let most = policy.overrides().map_or(0, |rules| rules.expires_days);
        let days = days.unwrap_or(most);
        let waiver = Self {
            evidence: id,
            candidate: evidence.candidate.subject.clone(),
            verdict: evidence.verdict,
            actor: actor.clone(),
            approvers,
            reason: reason.trim().to_owned(),
            at,
            expires: Timestamp::from_unix(at.unix() + DAY * i64::from(days)),
        };
        waiver.check((id, evidence), policy, at)?;
        Ok(waiver)
    }

    /// Whether it holds at `now` for this evidence under the policy that gave it.
    pub fn check(
        &self,
        (id, evidence): (EvidenceId, &Evidence),
        policy: &Policy,
        now: Timestamp,
    ) -> Result<(), NotWaived> {
        let what = waivable(evidence)?;
        let refused = || NotWaived::NotAllowed(named(evidence, what));
        let rules = policy.overrides().ok_or_else(refused)?;
        if !what.is_some_and(|what| rules.allow.contains(&what)) {
            return Err(refused());
        }
        let about = (&self.evidence, &self.candidate, self.verdict);
        if about != (&id, &evidence.candidate.subject, evidence.verdict) {
            return Err(NotWaived::Other);
        }
        if self.reason.is_empty() {
            return Err(NotWaived::NoReason);
        }
        if self.approvers.len() < rules.approvers as usize {
            return Err(NotWaived::Approvers {
                wanted: rules.approvers,
                given: self.approvers.len(),
                actor: self.actor.to_string(),
            });
        }
        let days = (self.expires.unix() - self.at.unix()) / DAY;
        if !(1..=i64::from(rules.expires_days)).contains(&days) {
            return Err(NotWaived::Days {
                days: days.clamp(0, 1_000_000) as u32,
                most: rules.expires_days,
            });
        }
        if now >= self.expires || now < self.at {
            return Err(NotWaived::Expired(self.expires));
        }
        Ok(())
    }

    /// The canonical document.
    pub fn document(&self) -> Result<Vec<u8>, GateError> {
        canonical::encode(SCHEMA, self).map_err(|source| GateError::Encode {
            what: "waiver",
            source,
        })
    }

    /// Reads a document.
    pub fn decode(bytes: &[u8]) -> Result<Self, GateError> {
        canonical::decode(SCHEMA, bytes).map_err(|source| GateError::Document {
            what: "waiver",
            digest: Digest::of(bytes),
            source,
        })
    }
}

/// What of a verdict can be waived; `None` when nothing can.
fn waivable(evidence: &Evidence) -> Result<Option<Waivable>, NotWaived> {
    let only = |code: Code| {
        let mut because = evidence
            .reasons
            .iter()
            .filter(|r| r.code.verdict().is_some());
        because.all(|reason| reason.code == code)
    };
    match evidence.verdict {
        Verdict::Pass => Err(NotWaived::Passed),
        Verdict::Fail => Ok(Some(Waivable::Fail)),
        Verdict::Inconclusive => Ok(Some(Waivable::Inconclusive)),
        Verdict::Invalid if only(Code::Contaminated) => Ok(Some(Waivable::Contamination)),
        Verdict::Invalid if only(Code::BudgetSpent) => Ok(Some(Waivable::Budget)),
        Verdict::Invalid => Ok(None),
    }
}

fn named(evidence: &Evidence, what: Option<Waivable>) -> String {
    match what {
        Some(Waivable::Contamination) => "INVALID for contamination".to_owned(),
        Some(Waivable::Budget) => "INVALID for a spent budget".to_owned(),
        _ => evidence.verdict.to_string(),
    }
}
