//! Promoting a version on the evidence that the registry has about it.

use super::workspace::Workspace;
use crate::eval::Subject;
use crate::gate::{Evidence, EvidenceId, GateError, NotPassed, PassedGate, Verdict};
use crate::name::AliasName;
use crate::reference::ModelRef;
use crate::registry::{Decision, RegistryError, Tenant, Version};
use crate::store::TreeId;

/// What came of asking for a promotion.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Promotion {
    /// The registry decided.
    Decided(Version, Decision),
    /// Nobody judged this version.
    NoEvidence(Version),
    /// The gate's verdict is not PASS.
    NotPassed(Version, EvidenceId, Verdict),
}

/// Why a promotion could not be decided.
#[derive(Debug, thiserror::Error)]
pub enum PromoteError {
    /// The registry or the store.
    #[error(transparent)]
    Registry(#[from] RegistryError),
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
pub fn promote(
    workspace: &Workspace<'_>,
    reference: &ModelRef,
    alias: &AliasName,
    evidence: Option<EvidenceId>,
    reason: Option<&str>,
) -> Result<Promotion, PromoteError> {
    let tenant = workspace.tenant_of(reference);
    let version = tenant.resolve(reference)?;
    let chosen = match evidence {
        Some(id) => Some(id),
        None => choose(workspace, &tenant, &version, alias)?,
    };
    let Some(id) = chosen else {
        return Ok(Promotion::NoEvidence(version));
    };
    let gate = match PassedGate::load(&workspace.store, &id) {
        Ok(gate) => gate,
        Err(NotPassed::Verdict { verdict, .. }) => {
            return Ok(Promotion::NotPassed(version, id, verdict));
        }
        Err(NotPassed::Unconfirmed { source, .. }) => {
            return Err(PromoteError::Evidence {
                evidence: id,
                source,
            });
        }
    };
    let (store, act) = (&workspace.store, &workspace.act);
    let decision = tenant.promote(&version, alias, &gate, reason, store, act)?;
    Ok(Promotion::Decided(version, decision))
}

/// The newest verdict counts: an older PASS on the same comparison is not looked for behind it.
fn choose(
    workspace: &Workspace<'_>,
    tenant: &Tenant<'_>,
    version: &Version,
    alias: &AliasName,
) -> Result<Option<EvidenceId>, PromoteError> {
    let model = &version.manifest.model;
    let history = tenant.history(model, alias)?;
    let current = match history.current() {
        Some(target) => Some(tenant.version(model, &target.manifest)?),
        None => None,
    };
    let adapter = current.map(|version| version.manifest.adapter.tree);
    let mut newest = None;
    for record in tenant.evidence(version)? {
        let id = EvidenceId::from(record.id);
        let evidence = Evidence::load(&workspace.store, &id);
        let evidence = evidence.map_err(|source| PromoteError::Evidence {
            evidence: id,
            source: Box::new(source),
        })?;
        if trained(&evidence) == adapter {
            return Ok(Some(id));
        }
        newest = newest.or(Some(id));
    }
    Ok(newest)
}

/// The adapter that evidence compares with; `None` for untrained baselines.
fn trained(evidence: &Evidence) -> Option<TreeId> {
    let mut subjects = evidence.baselines.iter().map(|judged| &judged.subject);
    subjects.find_map(|subject| match subject {
        Subject::Adapter { adapter, .. } => Some(*adapter),
        _ => None,
    })
}
