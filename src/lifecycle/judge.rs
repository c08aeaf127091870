//! Judging a version by what is recorded about it.

use super::evaluate::{EvaluateError, report_of, subject_of};
use super::workspace::Workspace;
use crate::eval::{BaselineKind, Subject, SuiteId};
use crate::gate::{self, Arm, Evidence, EvidenceId, GateError, Policy};
use crate::registry::{RegistryError, Version};

/// What a version is compared with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Baseline {
    /// Another version.
    Version(Box<Version>),
    /// What the version's own base and dataset give without training.
    Untrained(BaselineKind),
}

/// A judgement, and whether the registry had it already.
#[derive(Debug, Clone, PartialEq)]
pub struct Checked {
    /// The evidence's identity.
    pub id: EvidenceId,
    /// The evidence.
    pub evidence: Evidence,
    /// Whether it is new to the registry.
    pub new: bool,
}

/// Why a version could not be judged.
#[derive(Debug, thiserror::Error)]
pub enum JudgeError {
    /// Nobody has evaluated one of the arms on the suite.
    #[error("there is no report of {arm}, the {subject}, on suite {suite}")]
    NoReport {
        /// What it is called.
        arm: String,
        /// What it is.
        subject: Box<Subject>,
        /// The suite.
        suite: SuiteId,
    },
    /// The gate.
    #[error(transparent)]
    Gate(#[from] GateError),
    /// A report.
    #[error(transparent)]
    Evaluate(#[from] EvaluateError),
    /// The registry.
    #[error(transparent)]
    Registry(#[from] RegistryError),
}

/// Judges a version on a suite against baselines, from their recorded reports, and records the evidence.
///
/// The same reports and policy give the same evidence, which is then recorded once.
pub fn judge(
    workspace: &Workspace<'_>,
    policy: &Policy,
    suite: &SuiteId,
    candidate: &Version,
    baselines: &[Baseline],
) -> Result<Checked, JudgeError> {
    let arm = |name: String, subject: Subject| match report_of(workspace, suite, &subject)? {
        Some((report, _)) => Ok(Arm {
            report,
            label: Some(name),
        }),
        None => Err(JudgeError::NoReport {
            arm: name,
            subject: Box::new(subject),
            suite: *suite,
        }),
    };
    let candidate_arm = arm(candidate.to_string(), subject_of(candidate))?;
    let baseline_arms = baselines
        .iter()
        .map(|baseline| arm(baseline.name(), baseline.subject(candidate)))
        .collect::<Result<Vec<Arm>, JudgeError>>()?;
    let (id, evidence) = gate::check(&workspace.store, policy, &candidate_arm, &baseline_arms)?;
    let added =
        workspace
            .tenant()
            .add_evidence(candidate, &evidence.document()?, &workspace.act)?;
    Ok(Checked {
        id,
        evidence,
        new: added.new,
    })
}

impl Baseline {
    /// What people call it.
    pub fn name(&self) -> String {
        match self {
            Self::Version(version) => version.to_string(),
            Self::Untrained(kind) => kind.to_string(),
        }
    }

    /// What it is, for this candidate.
    pub fn subject(&self, candidate: &Version) -> Subject {
        match self {
            Self::Version(version) => subject_of(version),
            Self::Untrained(BaselineKind::Majority) => Subject::Majority {
                dataset: candidate.manifest.dataset.id.into(),
            },
            Self::Untrained(BaselineKind::NearestCentroid) => Subject::Centroid {
                base: candidate.manifest.base.tree.digest().into(),
                dataset: candidate.manifest.dataset.id.into(),
            },
        }
    }
}
