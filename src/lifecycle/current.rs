//! What an alias points to now, and why.

use super::workspace::Workspace;
use crate::gate::EvidenceId;
use crate::name::{AliasName, ModelName};
use crate::registry::{RegistryError, Version};

/// The version that an alias points to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Current {
    /// The version.
    pub version: Version,
    /// The evidence it was promoted on; `None` after a rollback.
    pub evidence: Option<EvidenceId>,
}

/// What `model:alias` is; `None` while it points nowhere, or while the model has no version.
///
/// # Errors
/// An alias whose history forked has no current version; the error names both sides.
pub fn current(
    workspace: &Workspace<'_>,
    model: &ModelName,
    alias: &AliasName,
) -> Result<Option<Current>, RegistryError> {
    let tenant = workspace.tenant();
    if !tenant.models()?.contains(model) {
        return Ok(None);
    }
    let chain = tenant.history(model, alias)?;
    if let Some(forked) = chain.forked(model, alias) {
        return Err(forked);
    }
    let Some((_, event)) = chain.links.last() else {
        return Ok(None);
    };
    Ok(Some(Current {
        version: tenant.version(model, &event.to.manifest)?,
        evidence: event.evidence.map(EvidenceId::from),
    }))
}
