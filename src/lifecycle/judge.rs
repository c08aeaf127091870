//! Judging a version by what is recorded about it.

use super::evaluate::{EvaluateError, report_id_of, report_of, subject_of};
use super::workspace::Workspace;
use crate::digest::Digest;
use crate::document::{Decimal, canonical};
use crate::eval::{BaselineKind, Subject, Suite, SuiteId, Suites};
use crate::gate::{
    self, Arm, Arms, Evidence, EvidenceId, FloorArm, FloorRule, GateError, Occasion,
};
use crate::gate::{Policy, Waiver};
use crate::name::SuiteName;
use crate::reference::{ModelRef, ParseReferenceError};
use crate::registry::{Entered, RegistryError, Spent, Version};

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
    /// Cases that versions are not compared on.
    #[error("{0} is a part of a suite that is not compared: judge on the suite itself")]
    Part(SuiteName),
    /// The policy's anchor is not a reference.
    #[error("the policy's anchor: {0}")]
    Anchor(String),
    /// A dry run of a decision that has a price.
    #[error("a dry run would be a free look at a suite whose alpha is shared among decisions")]
    FreeLook,
    /// Others decided on the same suite each time.
    #[error("others decided on the same suite {0} times meanwhile: try again")]
    Contended(u32),
    /// A report.
    #[error(transparent)]
    Evaluate(#[from] EvaluateError),
    /// The registry.
    #[error(transparent)]
    Registry(#[from] RegistryError),
}

/// How often a decision is judged again because others decided on the same suite meanwhile.
const ATTEMPTS: u32 = 20;

/// Judges a version on a suite against baselines, from their recorded reports, and records the evidence and the
/// decision on the suite.
///
/// The same reports and policy give the same evidence, which is then recorded once and is one decision.
pub fn judge(
    workspace: &Workspace<'_>,
    policy: &Policy,
    suites: &Suites,
    candidate: &Version,
    baselines: &[Baseline],
    look: Option<u32>,
) -> Result<Checked, JudgeError> {
    if suites.suite.is_part() {
        return Err(JudgeError::Part(suites.suite.name().clone()));
    }
    let suite = suites.suite.id().map_err(GateError::from)?;
    let arm = |name: String, subject: Subject| match report_id_of(workspace, &suite, &subject)? {
        Some(report) => Ok(Arm {
            report,
            label: Some(name),
        }),
        None => Err(no_report(name, subject, suite)),
    };
    policy.fits_floor(suites.floor.as_ref())?;
    let first = baselines
        .iter()
        .all(|baseline| matches!(baseline, Baseline::Untrained(_)));
    let anchor = match policy.anchor().filter(|_| !first) {
        Some(anchor) => Some(anchor_version(workspace, &anchor.version)?),
        None => None,
    };
    let mut arms = Arms {
        candidate: arm(candidate.to_string(), subject_of(candidate))?,
        baselines: baselines
            .iter()
            .map(|baseline| arm(baseline.name(), baseline.subject(candidate)))
            .collect::<Result<Vec<Arm>, JudgeError>>()?,
        anchor: anchor
            .map(|version| arm(version.to_string(), subject_of(&version)))
            .transpose()?,
        floor: match (&suites.floor, policy.floor()) {
            (Some(floor), Some(rule)) => Some(floor_arm(workspace, floor, rule, candidate)?),
            _ => None,
        },
        occasion: Occasion {
            look,
            decision: None,
        },
    };
    let content = suites.suite.content().map_err(GateError::from)?;
    let question = question(policy, &arms)?;
    for _ in 0..ATTEMPTS {
        let ledger = workspace.tenant().ledger(&content)?;
        let known = ledger.iter().find(|spent| spent.question == question);
        let decision = known.map_or(ledger.len() as u32 + 1, |spent| spent.decision);
        if policy.design().reuse.is_some() {
            if workspace.act.dry_run && known.is_none() {
                return Err(JudgeError::FreeLook);
            }
            arms.occasion.decision = Some(decision);
        }
        let (id, evidence) = gate::check(&workspace.store, policy, &arms)?;
        let design = policy.design_for(arms.occasion).map_err(GateError::from)?;
        // A decision stands as it was entered, even when other evidence answers its question now.
        let spent = match known {
            Some(spent) => spent.clone(),
            None => Spent {
                content,
                decision,
                alpha: design.alpha,
                question,
                evidence: id.digest(),
                verdict: evidence.verdict.to_string(),
            },
        };
        let document = evidence.document()?;
        let (tenant, act) = (workspace.tenant(), &workspace.act);
        let entered = tenant.decide(candidate, &document, &spent, act)?;
        if entered != Entered::Taken {
            let new = entered == Entered::New;
            return Ok(Checked { id, evidence, new });
        }
    }
    Err(JudgeError::Contended(ATTEMPTS))
}

fn no_report(arm: String, subject: Subject, suite: SuiteId) -> JudgeError {
    JudgeError::NoReport {
        arm,
        subject: Box::new(subject),
        suite,
    }
}

/// The candidate's answers to the floor, and where it was asked again what it missed, those too.
fn floor_arm(
    workspace: &Workspace<'_>,
    floor: &Suite,
    rule: &FloorRule,
    candidate: &Version,
) -> Result<FloorArm, JudgeError> {
    let subject = subject_of(candidate);
    let id = floor.id().map_err(GateError::from)?;
    let Some((report, found)) = report_of(workspace, &id, &subject)? else {
        return Err(no_report(candidate.to_string(), subject, id));
    };
    let again = match floor.again(&found.missed(), rule.confirm.repeats) {
        Some(again) => {
            let id = again.id().map_err(GateError::from)?;
            report_id_of(workspace, &id, &subject)?
        }
        None => None,
    };
    Ok(FloorArm { report, again })
}

fn anchor_version(workspace: &Workspace<'_>, text: &str) -> Result<Version, JudgeError> {
    let reference: ModelRef = text
        .parse()
        .map_err(|error: ParseReferenceError| JudgeError::Anchor(error.to_string()))?;
    Ok(workspace.tenant_of(&reference)?.resolve(&reference)?)
}

/// What is asked, by digests: the same again is the same decision.
fn question(policy: &Policy, arms: &Arms) -> Result<Digest, JudgeError> {
    let report = |arm: &Arm| arm.report.to_string();
    let asked = serde_json::json!({
        "policy": policy.id()?.to_string(),
        "candidate": report(&arms.candidate),
        "baselines": arms.baselines.iter().map(report).collect::<Vec<_>>(),
        "anchor": arms.anchor.as_ref().map(report).unwrap_or_default(),
        "look": arms.occasion.look.unwrap_or_default(),
    });
    let bytes = canonical::encode("retune.question/1", &asked);
    let bytes = bytes.map_err(|source| GateError::Encode {
        what: "question",
        source,
    })?;
    Ok(Digest::of(&bytes))
}

/// How many of the last decisions on a suite tell how often its arms differ.
const LAST: usize = 5;

/// On which share of the cases a version and its baseline differed in the last decisions on a suite, and in how many
/// decisions; `None` where nobody has decided between versions yet.
pub fn seen_discordance(
    workspace: &Workspace<'_>,
    suite: &Suite,
) -> Result<Option<(Decimal, usize)>, JudgeError> {
    let content = suite.content().map_err(GateError::from)?;
    let ledger = workspace.tenant().ledger(&content)?;
    let (mut differ, mut all, mut decisions) = (0, 0, 0);
    for spent in ledger.iter().rev() {
        if decisions == LAST {
            break;
        }
        // Decisions can come from another clone, and their evidence with it only where the store is shared.
        if !workspace.store.contains(&spent.evidence) {
            continue;
        }
        let evidence = Evidence::load(&workspace.store, &spent.evidence.into())?;
        let Some(numbers) = evidence.paired() else {
            continue;
        };
        differ += numbers.improved + numbers.regressed;
        all += numbers.n;
        decisions += 1;
    }
    if all == 0 {
        return Ok(None);
    }
    // Arms that never differed may do so on the next case.
    let share = differ.max(1) as f64 / all as f64;
    Ok(Decimal::new(share).ok().map(|share| (share, decisions)))
}

/// The waiver that holds now for evidence about a version, if there is one.
pub fn waiver_of(
    workspace: &Workspace<'_>,
    version: &Version,
    id: EvidenceId,
    evidence: &Evidence,
) -> Result<Option<Waiver>, JudgeError> {
    let policy = Policy::load(&workspace.store, &evidence.policy)?;
    for document in workspace.tenant().waivers(version)? {
        let waiver = Waiver::decode(&document)?;
        let now = workspace.act.at;
        if waiver.check((id, evidence), &policy, now).is_ok() {
            return Ok(Some(waiver));
        }
    }
    Ok(None)
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
            Self::Untrained(BaselineKind::ZeroShot) => Subject::Base {
                base: candidate.manifest.base.tree.digest().into(),
            },
            Self::Untrained(BaselineKind::NearestCentroid) => Subject::Centroid {
                base: candidate.manifest.base.tree.digest().into(),
                dataset: candidate.manifest.dataset.id.into(),
            },
        }
    }
}
