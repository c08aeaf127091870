//! What can go wrong with the registry.

use std::path::PathBuf;

use super::sync::Collision;
use super::version::ManifestError;
use crate::digest::Digest;
use crate::document::canonical::CanonicalError;
use crate::fsio::FileError;
use crate::git::GitError;
use crate::name::{AliasName, ModelName, TenantName};
use crate::reference::VersionLabel;
use crate::signature::SigningError;
use crate::store::StoreError;

/// A registry operation that failed.
#[derive(Debug, thiserror::Error)]
pub enum RegistryError {
    /// git refused.
    #[error(transparent)]
    Git(#[from] GitError),
    /// The file system refused.
    #[error(transparent)]
    File(#[from] FileError),
    /// The store refused, or stored bytes are missing or changed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// A git repository, but not a registry that this version can read.
    #[error("{} is not a registry that this version can read: {why}", path.display())]
    NotARegistry {
        /// The repository.
        path: PathBuf,
        /// What is missing or too new.
        why: String,
    },
    /// No such tenant.
    #[error("the registry has no tenant {name}{}", known_are(known))]
    NoTenant {
        /// What was asked for.
        name: TenantName,
        /// The tenants there are.
        known: Vec<String>,
    },
    /// No such name.
    #[error("tenant {tenant} has no {noun} {name}{}", known_are(known))]
    NoName {
        /// Whose.
        tenant: TenantName,
        /// `dataset`, `base`, `suite` or `model`.
        noun: &'static str,
        /// What was asked for.
        name: String,
        /// The names there are.
        known: Vec<String>,
    },
    /// No such version, run, report or alias.
    #[error("there is no {what}{}", known_are(known))]
    NotFound {
        /// What was asked for, such as `version support@20261123-3f9a`.
        what: String,
        /// What there is, where the list is short enough to help.
        known: Vec<String>,
    },
    /// A shortened id that means more than one thing.
    #[error("{what} is ambiguous: {}", listed(candidates))]
    Ambiguous {
        /// What was asked for.
        what: String,
        /// What it could mean.
        candidates: Vec<String>,
    },
    /// Something else is recorded under this identity already; records never change.
    #[error("{what} is recorded already, with other content: {path}")]
    Immutable {
        /// What was to be recorded.
        what: String,
        /// Where.
        path: String,
    },
    /// A document that the caller hands in is not what it should be.
    #[error("cannot record this as a {what}")]
    Refused {
        /// Such as `dataset`.
        what: &'static str,
        /// Why not.
        source: CanonicalError,
    },
    /// A document too large for git; large things belong into the store.
    #[error("a {what} document of {size} bytes is more than the {limit} that a registry takes")]
    TooLarge {
        /// Such as `dataset`.
        what: &'static str,
        /// Its size in bytes.
        size: usize,
        /// The limit in bytes.
        limit: usize,
    },
    /// A document in the registry is not what its path says, or names what does not exist.
    #[error("the registry is damaged at {path}: {why}")]
    Damaged {
        /// The path inside the registry.
        path: String,
        /// What is wrong.
        why: String,
    },
    /// A version names a dataset, base or run that this tenant has not recorded.
    #[error("tenant {tenant} has no record of {what} {id}")]
    Lineage {
        /// Whose.
        tenant: TenantName,
        /// `dataset`, `base` or `run`.
        what: &'static str,
        /// Its identity.
        id: Digest,
    },
    /// Something of one tenant was asked of another.
    #[error("{what} belongs to tenant {owner}, not to {tenant}")]
    ForeignTenant {
        /// Who was asked.
        tenant: TenantName,
        /// For what.
        what: String,
        /// Whose it is.
        owner: TenantName,
    },
    /// A manifest that contradicts itself.
    #[error("the manifest of {version} is not consistent")]
    Manifest {
        /// Such as `support@20261123-3f9a1c2b7d10`.
        version: String,
        /// What is wrong.
        source: Box<ManifestError>,
    },
    /// The store lacks bytes of a version, or they changed.
    #[error("the files of {version} are not all in the store, unchanged")]
    Bytes {
        /// Such as `support@20261123-3f9a1c2b7d10`.
        version: String,
        /// What the store says.
        source: Box<StoreError>,
    },
    /// What is to replace a version cannot.
    #[error("cannot deprecate {version}: {why}")]
    Replacement {
        /// What is to be replaced.
        version: String,
        /// Why not.
        why: String,
    },
    /// Two people moved an alias at once, in clones that were merged.
    #[error(
        "alias {model}:{alias} was moved in two places at once; the last version both agreed on is {}",
        agreed.as_ref().map_or("none", VersionLabel::as_str)
    )]
    Forked {
        /// The model.
        model: ModelName,
        /// The alias.
        alias: AliasName,
        /// Where the alias pointed before the fork.
        agreed: Option<VersionLabel>,
        /// Where each side moved it.
        sides: Vec<VersionLabel>,
    },
    /// An alias that takes signatures was moved, or its protection changed, without one that counts.
    #[error(
        "alias {model}:{alias} takes signatures; the last version with one that counts is {}; after it: {why}",
        agreed.as_ref().map_or("none", VersionLabel::as_str)
    )]
    Unsigned {
        /// The model.
        model: ModelName,
        /// The alias.
        alias: AliasName,
        /// Where the alias pointed before.
        agreed: Option<VersionLabel>,
        /// What is not signed, and what is wrong with its signature.
        why: String,
    },
    /// A signature could not be made.
    #[error(transparent)]
    Signing(#[from] SigningError),
    /// The same was decided here and in another clone, differently.
    #[error("{} decided here and at {remote}, differently, since they last met; nothing was changed on either side", counted(collisions.len()))]
    Collided {
        /// The other clone.
        remote: String,
        /// What was decided twice.
        collisions: Vec<Collision>,
    },
    /// Two registries that were made apart.
    #[error("the registry at {remote} is another one: their histories never met")]
    Unrelated {
        /// The other registry.
        remote: String,
    },
    /// Another clone is not in order, and nothing was taken from it.
    #[error("what is at {remote} is not in order; nothing was taken from it: {why}")]
    Refuted {
        /// The other clone.
        remote: String,
        /// What is wrong with it.
        why: String,
    },
    /// Others kept moving the registry first, or hold its lock.
    #[error("gave up after {attempts} attempts to write to registry {}: {why}", path.display())]
    Contended {
        /// The repository.
        path: PathBuf,
        /// How often it was tried.
        attempts: u32,
        /// What was in the way.
        why: String,
    },
}

impl RegistryError {
    /// Whether something stored is missing, changed or does not fit together.
    pub fn is_integrity(&self) -> bool {
        match self {
            Self::Store(error) => error.is_integrity(),
            Self::Bytes { source, .. } => source.is_integrity(),
            Self::Damaged { .. }
            | Self::Lineage { .. }
            | Self::Immutable { .. }
            | Self::ForeignTenant { .. }
            | Self::Manifest { .. }
            | Self::Refuted { .. }
            | Self::Git(GitError::Hostile { .. })
            | Self::Unsigned { .. }
            | Self::Forked { .. } => true,
            _ => false,
        }
    }

    /// Whether trying again may help.
    pub fn is_race(&self) -> bool {
        matches!(self, Self::Contended { .. } | Self::Collided { .. })
    }

    /// Whether the question is wrong: it names something that is not there or not clearly, or hands in
    /// what no registry takes.
    pub fn is_usage(&self) -> bool {
        matches!(
            self,
            Self::NotARegistry { .. }
                | Self::Refused { .. }
                | Self::Replacement { .. }
                | Self::TooLarge { .. }
                | Self::Unrelated { .. }
                | Self::NoTenant { .. }
                | Self::NoName { .. }
                | Self::NotFound { .. }
                | Self::Ambiguous { .. }
        )
    }
}

fn counted(things: usize) -> String {
    match things {
        1 => "1 thing was".to_owned(),
        several => format!("{several} things were"),
    }
}

fn known_are(known: &[String]) -> String {
    if known.is_empty() {
        return String::new();
    }
    format!(" (there is {})", listed(known))
}

fn listed(items: &[String]) -> String {
    const SHOWN: usize = 8;
    if items.len() <= SHOWN {
        return items.join(", ");
    }
    let more = items.len() - SHOWN;
    format!("{} and {more} more", items[..SHOWN].join(", "))
}
