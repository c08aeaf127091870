//! Evidence: the stored record of one judgement.

use serde::{Deserialize, Serialize};

use super::error::GateError;
use super::floor::FloorResult;
use super::judge::Comparison;
use super::lineage::Lineage;
use super::numbers::Numbers;
use super::policy::PolicyId;
use super::reason::Reason;
use super::slices::SliceResult;
use super::verdict::Verdict;
use crate::digest::Digest;
use crate::document::canonical;
use crate::eval::{ReportId, Subject, SuiteId};
use crate::store::Store;

const SCHEMA: &str = "retune.evidence/1";

crate::typed_id!(
    /// Identifies evidence: the SHA-256 of its canonical document.
    EvidenceId
);

/// What was judged, by digest, and what came of it. Enough to judge again from the store alone.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Evidence {
    /// The suite that both arms answered.
    pub suite: SuiteId,
    /// The rules.
    pub policy: PolicyId,
    /// What wants to be promoted.
    pub candidate: Judged,
    /// What it was compared with: one version, or the untrained baselines.
    pub baselines: Vec<Judged>,
    /// The version that promotions never move, where the policy names one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub anchor: Option<Judged>,
    /// Which look at growing data this was, where the policy has several.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub look: Option<u32>,
    /// Which decision on the suite this was, where the policy shares alpha among them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub decision: Option<u32>,
    /// What the candidate was trained on, as far as the suite is concerned.
    pub lineage: Lineage,
    /// The answer.
    pub verdict: Verdict,
    /// The numbers, per baseline and criterion.
    pub comparisons: Vec<Comparison>,
    /// Parts of the suite that were tested for harm.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub slices: Vec<SliceResult>,
    /// The cases that every version has to pass, where the suite has such.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub floor: Option<FloorResult>,
    /// Why, and remarks.
    pub reasons: Vec<Reason>,
    /// The version of retune that judged.
    pub tool: String,
}

/// One arm of a judgement.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Judged {
    /// How it did.
    pub report: ReportId,
    /// What it is.
    pub subject: Subject,
    /// What it was called: a version such as `support@20261123-3f9a1c2b7d10`. For people; nothing rests on it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub label: Option<String>,
}

impl Evidence {
    /// The canonical document that [`EvidenceId`] is the digest of.
    pub fn document(&self) -> Result<Vec<u8>, GateError> {
        canonical::encode(SCHEMA, self).map_err(|source| GateError::Encode {
            what: "evidence",
            source,
        })
    }

    /// The numbers of right and wrong on the whole suite against the version before, where both were compared so.
    pub fn paired(&self) -> Option<&Numbers> {
        let versions = |of: &&Comparison| of.baseline.baseline_kind().is_none() && !of.anchor;
        let whole = |of: &&Comparison| of.slice.is_none() && of.is_paired();
        let mut found = self.comparisons.iter().filter(versions);
        found.find(whole).map(|of| &of.numbers)
    }

    /// Puts the document into the store.
    pub fn store(&self, store: &Store) -> Result<EvidenceId, GateError> {
        Ok(store.put_bytes(&self.document()?)?.digest.into())
    }

    /// Reads evidence as it was stored; every byte is checked. What it says is checked by [`recheck`](super::recheck).
    pub fn load(store: &Store, id: &EvidenceId) -> Result<Self, GateError> {
        let digest: Digest = id.digest();
        let bytes = store.read(&digest)?;
        canonical::decode(SCHEMA, &bytes).map_err(|source| GateError::Document {
            what: "evidence",
            digest,
            source,
        })
    }
}
