//! Why the gate could not answer, or did not say PASS.

use super::evidence::EvidenceId;
use super::policy::Unreachable;
use super::verdict::Verdict;
use super::waiver::NotWaived;
use crate::dataset::DatasetError;
use crate::digest::Digest;
use crate::document::Faults;
use crate::document::canonical::CanonicalError;
use crate::eval::EvalError;
use crate::stats::StatsError;
use crate::store::StoreError;

/// A question that could not be answered. A verdict, whichever, is an answer and no error.
#[derive(Debug, thiserror::Error)]
pub enum GateError {
    /// The policy file is wrong.
    #[error("the gate policy is not valid")]
    Policy(#[source] Faults),
    /// No outcome on this suite could be a PASS: the policy and the suite do not fit.
    #[error("the suite is too small for this policy, no outcome could pass: {}; cases there are: {cases}", list(.unreachable))]
    Unreachable {
        /// The cases there are.
        cases: u64,
        /// The criteria that cannot be met.
        unreachable: Vec<Unreachable>,
    },
    /// The policy does not say how to judge a first version.
    #[error(
        "the policy has no `first_version`, so it cannot judge against a baseline that is not a version"
    )]
    NoFirstVersion,
    /// The suite has a floor that the policy does not ask for.
    #[error("the suite has a floor (cases: {cases}), and the policy has no `floor`")]
    NoFloorRule {
        /// How many cases.
        cases: usize,
    },
    /// The policy asks for a floor that the suite does not have.
    #[error("the policy has a `floor`, and the suite has none")]
    NoFloor,
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// A suite or report cannot be used.
    #[error(transparent)]
    Eval(#[from] EvalError),
    /// The candidate's training data cannot be read.
    #[error(transparent)]
    Dataset(#[from] DatasetError),
    /// A stored document is not what it should be.
    #[error("the {what} {digest} cannot be read")]
    Document {
        /// `policy` or `evidence`.
        what: &'static str,
        /// The object.
        digest: Digest,
        /// What is wrong with its bytes.
        source: CanonicalError,
    },
    /// A stored policy that no policy file could give.
    #[error("the stored policy {policy} is not valid: {why}")]
    StoredPolicy {
        /// The policy.
        policy: Digest,
        /// What is wrong with it.
        why: String,
    },
    /// A document cannot be written.
    #[error("the {what} cannot be written as a document")]
    Encode {
        /// `policy` or `evidence`.
        what: &'static str,
        /// Why.
        source: CanonicalError,
    },
    /// A number cannot be computed.
    #[error("a number of the judgement cannot be computed")]
    Stats(#[from] StatsError),
    /// Judging again from the stored bytes gives something else than the evidence says.
    #[error("the evidence {evidence} does not follow from what it names: {what}")]
    Disagrees {
        /// The evidence.
        evidence: EvidenceId,
        /// Where they differ.
        what: String,
    },
}

impl GateError {
    /// Whether stored bytes are missing, changed or contradict each other.
    pub fn is_integrity(&self) -> bool {
        match self {
            Self::Store(error) => error.is_integrity(),
            Self::Eval(error) => error.is_integrity(),
            Self::Dataset(error) => error.is_integrity(),
            Self::Document { .. } | Self::StoredPolicy { .. } | Self::Disagrees { .. } => true,
            _ => false,
        }
    }

    /// Whether the asker has to change the policy or the suite.
    pub fn is_usage(&self) -> bool {
        matches!(
            self,
            Self::Policy(_)
                | Self::Unreachable { .. }
                | Self::NoFirstVersion
                | Self::NoFloorRule { .. }
                | Self::NoFloor
        )
    }
}

fn list(unreachable: &[Unreachable]) -> String {
    let parts: Vec<String> = unreachable.iter().map(ToString::to_string).collect();
    parts.join("; ")
}

/// Why there is no [`PassedGate`](super::PassedGate).
#[derive(Debug, thiserror::Error)]
pub enum NotPassed {
    /// The gate answered, and the answer is not PASS.
    #[error("the gate evidence {evidence} says {verdict}")]
    Verdict {
        /// The evidence.
        evidence: EvidenceId,
        /// Its verdict: anything but PASS.
        verdict: Verdict,
    },
    /// The answer is not PASS, and the waiver for it does not hold.
    #[error("the gate evidence {evidence} says {verdict}, and {why}")]
    Waiver {
        /// The evidence.
        evidence: EvidenceId,
        /// Its verdict.
        verdict: Verdict,
        /// Why the waiver does not hold.
        why: NotWaived,
    },
    /// The evidence could not be judged again.
    #[error("the gate evidence {evidence} could not be confirmed")]
    Unconfirmed {
        /// The evidence.
        evidence: EvidenceId,
        /// Why.
        source: Box<GateError>,
    },
}
