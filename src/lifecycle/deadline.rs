//! What has to be replaced, and by when: versions in use that are deprecated, or whose base ends.

use super::workspace::Workspace;
use crate::name::{AliasName, BaseName, ModelName};
use crate::reference::VersionLabel;
use crate::registry::{Alias, RegistryError, Tenant, Version};
use crate::time::Timestamp;

/// A day by which a version has to be replaced.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Deadline {
    /// The end of the last day.
    pub by: Timestamp,
    /// Why.
    pub cause: Cause,
}

/// Why a version has to be replaced.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Cause {
    /// It is deprecated, and this replaces it.
    Deprecated(VersionLabel),
    /// The base that it was trained on ends.
    BaseRetires(BaseName),
}

/// An alias, and where it stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Standing {
    /// The model.
    pub model: ModelName,
    /// The alias.
    pub alias: AliasName,
    /// The version that it points to, as far as everybody agrees.
    pub version: Version,
    /// Since when.
    pub since: Timestamp,
    /// Whether two people moved it at once and nobody settled it yet.
    pub forked: bool,
    /// Whether something was done to it since without a signature that counts.
    pub unsigned: bool,
    /// When the version has to be replaced, the first day first.
    pub deadlines: Vec<Deadline>,
}

/// Where every alias of the tenant stands, by model and alias.
pub fn standings(workspace: &Workspace<'_>) -> Result<Vec<Standing>, RegistryError> {
    let tenant = workspace.tenant();
    let mut found = Vec::new();
    for model in tenant.models()? {
        for alias in tenant.aliases(&model)? {
            found.extend(standing(&tenant, &model, alias)?);
        }
    }
    Ok(found)
}

fn standing(
    tenant: &Tenant<'_>,
    model: &ModelName,
    alias: Alias,
) -> Result<Option<Standing>, RegistryError> {
    let Some((_, event)) = alias.chain.links.last() else {
        return Ok(None);
    };
    let version = tenant.version(model, &event.to.manifest)?;
    Ok(Some(Standing {
        model: model.clone(),
        since: event.at,
        forked: alias.chain.fork.is_some() && alias.chain.unsigned.is_none(),
        unsigned: alias.chain.unsigned.is_some(),
        deadlines: deadlines(tenant, &version)?,
        alias: alias.name,
        version,
    }))
}

/// When a version has to be replaced, the first day first.
pub fn deadlines(tenant: &Tenant<'_>, version: &Version) -> Result<Vec<Deadline>, RegistryError> {
    let deprecation = tenant.deprecation(version)?.map(|deprecation| Deadline {
        by: deprecation.until,
        cause: Cause::Deprecated(deprecation.replacement.version),
    });
    let base = version.manifest.base.tree.digest();
    let retirement = tenant.retirement(&base)?.map(|retirement| Deadline {
        by: retirement.on,
        cause: Cause::BaseRetires(retirement.name),
    });
    let mut deadlines: Vec<Deadline> = deprecation.into_iter().chain(retirement).collect();
    deadlines.sort();
    Ok(deadlines)
}
