//! Promoting a version on the evidence that the registry has about it.

use std::path::PathBuf;

use super::policy::{PolicyError, policy_of};
use super::workspace::Workspace;
use crate::eval::Subject;
use crate::gate::{
    Evidence, EvidenceId, GateError, NotPassed, PassedGate, PolicyId, Verdict, Waiver,
};
use crate::name::AliasName;
use crate::reference::ModelRef;
use crate::registry::{Decision, RegistryError, Target, Tenant, Version};
use crate::store::TreeId;

/// What came of asking for a promotion.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Promotion {
    /// The registry decided.
    Decided(Version, Decision),
    /// Nobody judged this version.
    NoEvidence(Version),
    /// It was judged by other rules than the project's.
    OtherPolicy(Box<OtherPolicy>),
    /// The gate's verdict is not PASS.
    NotPassed(Version, EvidenceId, Verdict),
}

/// Evidence by other rules than the project's: whatever it says, it does not count here.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "evidence {evidence} was judged by policy {judged}; the project's, {}, is {asked}",
    file.display()
)]
pub struct OtherPolicy {
    /// What was to be promoted.
    pub version: Version,
    /// The evidence.
    pub evidence: EvidenceId,
    /// The policy it was judged by.
    pub judged: PolicyId,
    /// The project's policy for this model.
    pub asked: PolicyId,
    /// The file of the project's policy.
    pub file: PathBuf,
}

/// Why a promotion could not be decided.
#[derive(Debug, thiserror::Error)]
pub enum PromoteError {
    /// The registry or the store.
    #[error(transparent)]
    Registry(#[from] RegistryError),
    /// There is no telling which policy decides.
    #[error(transparent)]
    Policy(#[from] PolicyError),
    /// The project's policy has no identity.
    #[error(transparent)]
    Gate(#[from] GateError),
    /// The evidence cannot be read, or does not follow from what it names.
    #[error("the gate evidence {evidence} could not be confirmed")]
    Evidence {
        /// The evidence.
        evidence: EvidenceId,
        /// Why.
        source: Box<GateError>,
    },
}

/// Moves an alias to the version that `reference` means, on `evidence` or, by default, on the newest
/// evidence that compares the version with what the alias points to, else on the newest there is.
///
/// Only evidence by the project's own policy counts.
pub fn promote(
    workspace: &Workspace<'_>,
    reference: &ModelRef,
    alias: &AliasName,
    evidence: Option<EvidenceId>,
    reason: Option<&str>,
) -> Result<Promotion, PromoteError> {
    let tenant = workspace.tenant_of(reference)?;
    let version = tenant.resolve(reference)?;
    let model = &version.manifest.model;
    let history = tenant.history(model, alias)?;
    let target = Target::from(&version);
    if history.current() == Some(&target) && history.forked(model, alias).is_none() {
        return Ok(Promotion::Decided(version, Decision::Unchanged(target)));
    }
    let candidates = match evidence {
        Some(id) => vec![(id, load(workspace, id)?)],
        None => recorded(workspace, &tenant, &version)?,
    };
    if candidates.is_empty() {
        return Ok(Promotion::NoEvidence(version));
    }
    let own = policy_of(workspace, model)?;
    let asked = own.policy.id()?;
    let current = match history.current() {
        Some(target) => Some(tenant.version(model, &target.manifest)?),
        None => None,
    };
    let adapter = current.map(|version| version.manifest.adapter.tree);
    let Some((id, chosen)) = choose(candidates, &asked, adapter) else {
        return Ok(Promotion::NoEvidence(version));
    };
    if chosen.policy != asked {
        return Ok(Promotion::OtherPolicy(Box::new(OtherPolicy {
            version,
            evidence: id,
            judged: chosen.policy,
            asked,
            file: own.file,
        })));
    }
    let gate = match passed(workspace, &tenant, &version, &id)? {
        Ok(gate) => gate,
        Err(NotPassed::Verdict { verdict, .. } | NotPassed::Waiver { verdict, .. }) => {
            return Ok(Promotion::NotPassed(version, id, verdict));
        }
        Err(NotPassed::Unconfirmed { source, .. }) => return Err(unconfirmed(id, *source)),
    };
    let (store, act) = (&workspace.store, &workspace.act);
    let decision = tenant.promote(&version, alias, &gate, reason, store, act)?;
    Ok(Promotion::Decided(version, decision))
}

/// The gate that was passed, or that people have waived.
fn passed(
    workspace: &Workspace<'_>,
    tenant: &Tenant<'_>,
    version: &Version,
    id: &EvidenceId,
) -> Result<Result<PassedGate, NotPassed>, PromoteError> {
    let mut gate = PassedGate::load(&workspace.store, id);
    if !matches!(gate, Err(NotPassed::Verdict { .. })) {
        return Ok(gate);
    }
    for document in tenant.waivers(version)? {
        let waiver = Waiver::decode(&document).map_err(|source| unconfirmed(*id, source))?;
        if waiver.evidence == *id {
            gate = PassedGate::waived(&workspace.store, id, &waiver, workspace.act.at);
        }
        if gate.is_ok() {
            break;
        }
    }
    Ok(gate)
}

/// Of evidence with the newest first: by the project's policy, about what the alias points to, and with an answer, in
/// this order. Then the newest counts: an older PASS is not looked for behind a newer FAIL. INVALID answers nothing, so
/// it hides no answer.
fn choose(
    candidates: Vec<(EvidenceId, Evidence)>,
    policy: &PolicyId,
    adapter: Option<TreeId>,
) -> Option<(EvidenceId, Evidence)> {
    let worth = |evidence: &Evidence| {
        (
            evidence.policy == *policy,
            trained(evidence) == adapter,
            evidence.verdict != Verdict::Invalid,
        )
    };
    // Of equals, `max_by_key` gives the last one: the newest.
    candidates
        .into_iter()
        .rev()
        .max_by_key(|(_, evidence)| worth(evidence))
}

/// The recorded evidence about a version, the newest first.
fn recorded(
    workspace: &Workspace<'_>,
    tenant: &Tenant<'_>,
    version: &Version,
) -> Result<Vec<(EvidenceId, Evidence)>, PromoteError> {
    let records = tenant.evidence(version)?;
    let ids = records
        .into_iter()
        .map(|record| EvidenceId::from(record.id));
    ids.map(|id| Ok((id, load(workspace, id)?))).collect()
}

fn load(workspace: &Workspace<'_>, id: EvidenceId) -> Result<Evidence, PromoteError> {
    Evidence::load(&workspace.store, &id).map_err(|source| unconfirmed(id, source))
}

fn unconfirmed(evidence: EvidenceId, source: GateError) -> PromoteError {
    PromoteError::Evidence {
        evidence,
        source: Box::new(source),
    }
}

/// The adapter that evidence compares with; `None` for untrained baselines.
fn trained(evidence: &Evidence) -> Option<TreeId> {
    let mut subjects = evidence.baselines.iter().map(|judged| &judged.subject);
    subjects.find_map(|subject| match subject {
        Subject::Adapter { adapter, .. } => Some(*adapter),
        _ => None,
    })
}
