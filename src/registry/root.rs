//! The registry as a whole: creating, opening, tenants.

use std::collections::BTreeMap;
use std::path::Path;

use serde::{Deserialize, Serialize};

use super::act::Act;
use super::error::RegistryError;
use super::layout;
use super::tenant::Tenant;
use super::transaction::{Step, Transaction};
use super::view::View;
use crate::document::{Source, to_yaml};
use crate::fsio::PendingDir;
use crate::git::{Draft, Repository};
use crate::name::TenantName;

const SCHEMA: &str = "retune.registry/1";
const TENANT_SCHEMA: &str = "retune.tenant/1";

/// An open registry. Not shared between threads: each opens its own.
pub struct Registry {
    pub(super) git: Repository,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct RegistryFile {
    schema: String,
    hash: String,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct TenantFile {
    schema: String,
    name: TenantName,
}

impl Registry {
    /// Creates a registry at `path`, where there must be nothing or an empty directory; it appears whole.
    ///
    /// `act.dry_run` is not looked at: an empty registry decides nothing.
    pub fn create(path: &Path, act: &Act<'_>) -> Result<Self, RegistryError> {
        let pending = PendingDir::beside(path)?;
        let git = Repository::create_bare(pending.path(), layout::BRANCH)?;
        let head = yaml(&RegistryFile {
            schema: SCHEMA.to_owned(),
            hash: "sha256".to_owned(),
        })?;
        let files = BTreeMap::from([
            (layout::REGISTRY_FILE.to_owned(), head),
            (
                layout::ATTRIBUTES_FILE.to_owned(),
                layout::ATTRIBUTES.into(),
            ),
        ]);
        let why = "create the registry";
        let first = git.commit(&Draft {
            parent: None,
            files: &files,
            message: &format!("{why}\n"),
            by: act.by,
            at: act.at,
        })?;
        git.advance(layout::REFERENCE, None, first, why)?;
        drop(git);
        pending.commit(path)?;
        Self::open(path)
    }

    /// Opens the registry at `path`; a newer or foreign layout is refused.
    pub fn open(path: &Path) -> Result<Self, RegistryError> {
        let registry = Self {
            git: Repository::open_bare(path)?,
        };
        let refuse = |why: String| RegistryError::NotARegistry {
            path: path.to_owned(),
            why,
        };
        let bytes = registry.view()?.read(layout::REGISTRY_FILE)?;
        let bytes = bytes.ok_or_else(|| refuse(format!("{} is missing", layout::REGISTRY_FILE)))?;
        let text = String::from_utf8_lossy(&bytes).into_owned();
        let head: RegistryFile = Source::new(Path::new(layout::REGISTRY_FILE), text)
            .parse()
            .map_err(|faults| refuse(faults.to_string()))?;
        if head.schema != SCHEMA || head.hash != "sha256" {
            return Err(refuse(format!(
                "it says schema {}, hash {}; this version reads {SCHEMA}, sha256",
                head.schema, head.hash
            )));
        }
        Ok(registry)
    }

    /// Calls `each` with every document of every tenant that was ever written here, recorded or about to be.
    pub fn every_document(&self, each: impl FnMut(&[u8])) -> Result<(), RegistryError> {
        Ok(self.git.every_blob(each)?)
    }

    /// Calls `each` with the path and the bytes of every document that is recorded now, of every tenant.
    pub fn recorded_documents(&self, each: impl FnMut(&str, &[u8])) -> Result<(), RegistryError> {
        Ok(self.git.every_file(self.view()?.commit, each)?)
    }

    /// Where it lies.
    pub fn path(&self) -> &Path {
        self.git.path()
    }

    /// The door to everything of one tenant. The tenant need not exist until something is read or written.
    pub fn tenant(&self, name: &TenantName) -> Tenant<'_> {
        Tenant {
            registry: self,
            name: name.clone(),
        }
    }

    /// The door for somebody who acts for `own` and names a tenant, or none: that of `own`. Another tenant is an
    /// error, told apart from one that does not exist.
    pub fn tenant_for(
        &self,
        own: &TenantName,
        named: Option<&TenantName>,
        what: impl Fn() -> String,
    ) -> Result<Tenant<'_>, RegistryError> {
        if let Some(other) = named.filter(|name| *name != own) {
            self.view()?.require_tenant(other)?;
            return Err(RegistryError::ForeignTenant {
                tenant: own.clone(),
                what: what(),
                owner: other.clone(),
            });
        }
        Ok(self.tenant(own))
    }

    /// The tenants there are, sorted.
    pub fn tenants(&self) -> Result<Vec<TenantName>, RegistryError> {
        let view = self.view()?;
        parse_names(&view, layout::TENANTS)
    }

    /// Adds a tenant. `false` when it was there already.
    pub fn add_tenant(&self, name: &TenantName, act: &Act<'_>) -> Result<bool, RegistryError> {
        let path = layout::tenant_file(name);
        self.transact(act, |view| {
            if view.read(&path)?.is_some() {
                return Ok(Step::Nothing(false));
            }
            let file = yaml(&TenantFile {
                schema: TENANT_SCHEMA.to_owned(),
                name: name.clone(),
            })?;
            let transaction =
                Transaction::new(format!("add tenant {name}")).add(view, path.clone(), file)?;
            Ok(Step::Write(transaction, true))
        })
    }

    /// The newest state.
    pub(super) fn view(&self) -> Result<View<'_>, RegistryError> {
        let tip = self.git.tip(layout::REFERENCE)?;
        let commit = tip.ok_or_else(|| RegistryError::NotARegistry {
            path: self.path().to_owned(),
            why: format!("it has no {}", layout::REFERENCE),
        })?;
        Ok(View {
            git: &self.git,
            commit,
        })
    }
}

/// The folders of `dir` as names; a folder that is no name does not belong there.
pub(super) fn parse_names<N: std::str::FromStr>(
    view: &View<'_>,
    dir: &str,
) -> Result<Vec<N>, RegistryError>
where
    N::Err: std::fmt::Display,
{
    let parse = |folder: String| {
        folder.parse().map_err(|error: N::Err| {
            super::view::damaged(&format!("{dir}/{folder}"), error.to_string())
        })
    };
    view.folders(dir)?.into_iter().map(parse).collect()
}

fn yaml<T: Serialize>(value: &T) -> Result<Vec<u8>, RegistryError> {
    to_yaml(value)
        .map(String::into_bytes)
        .map_err(|error| super::view::damaged(layout::REGISTRY_FILE, error.to_string()))
}
