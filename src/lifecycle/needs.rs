//! Which objects records cannot be used without, and which they lead to.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use serde_json::Value;

use super::workspace::Workspace;
use crate::digest::Digest;
use crate::document::canonical::CanonicalError;
use crate::name::{BaseName, DatasetName, ModelName, ParseNameError, SuiteName};
use crate::pin::{LockFile, PinError};
use crate::reference::{ModelRef, ParseReferenceError};
use crate::registry::{Catalogue, Catalogued, RegistryError, Tenant, Version};
use crate::store::Roots;

/// Whose objects are meant.
#[derive(Debug, Clone, Copy)]
pub enum Scope<'a> {
    /// Everything that the tenant has on record.
    Tenant,
    /// What the versions in `retune.lock` are served with: adapter and base.
    Pins,
    /// What these things need, with all that they were made of and judged by.
    Things(&'a [Thing]),
}

/// A thing on record, as people name it: a version by a reference, or `NAME[@VERSION]`, which can be a dataset, a
/// base, a suite or a version of a model.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Thing {
    /// `[TENANT/]MODEL:ALIAS`, or with a tenant `TENANT/MODEL@VERSION`.
    Reference(ModelRef),
    /// `NAME`, the newest, or `NAME@VERSION`.
    Named(String, Option<String>),
}

/// Why a text names no thing on record.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ThingError {
    /// Not a reference.
    #[error(transparent)]
    Reference(#[from] ParseReferenceError),
    /// Not a name.
    #[error(transparent)]
    Name(#[from] ParseNameError),
    /// Nothing after the `@`.
    #[error("{0:?} names no version after '@'")]
    NoVersion(String),
}

impl FromStr for Thing {
    type Err = ThingError;

    fn from_str(text: &str) -> Result<Self, ThingError> {
        let (path, version) = match text.split_once('@') {
            Some((path, version)) => (path, Some(version)),
            None => (text, None),
        };
        if path.contains([':', '/']) {
            return Ok(Self::Reference(text.parse()?));
        }
        path.parse::<ModelName>()?;
        match version {
            Some("") => Err(ThingError::NoVersion(text.to_owned())),
            version => Ok(Self::Named(path.to_owned(), version.map(str::to_owned))),
        }
    }
}

impl fmt::Display for Thing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Reference(reference) => reference.fmt(f),
            Self::Named(name, None) => f.write_str(name),
            Self::Named(name, Some(version)) => write!(f, "{name}@{version}"),
        }
    }
}

/// Why it is not known what is needed.
#[derive(Debug, thiserror::Error)]
pub(super) enum NeedsError {
    #[error(transparent)]
    Registry(#[from] RegistryError),
    #[error(transparent)]
    Pin(#[from] PinError),
    #[error(transparent)]
    Document(#[from] CanonicalError),
}

/// What must be there, and where to look for what else there is.
#[derive(Debug, Default)]
pub(super) struct Needs {
    /// The digests that lead to all of it.
    pub(super) roots: Roots,
    /// The objects without which something cannot be used: their size, where it is known, and what names them.
    pub(super) must: BTreeMap<Digest, (Option<u64>, String)>,
}

impl Needs {
    /// Everything that the scope means, of the workspace's own tenant and no other.
    pub(super) fn of(workspace: &Workspace<'_>, scope: Scope<'_>) -> Result<Self, NeedsError> {
        let mut needs = Self::default();
        match scope {
            Scope::Tenant => workspace
                .tenant()
                .documents(|path, document| needs.take(path, document))?,
            Scope::Pins => {
                for pin in LockFile::read(&workspace.root)?.into_lock().pins.values() {
                    let reference = pin.reference();
                    let version = workspace.tenant_of(&reference)?.resolve(&reference)?;
                    needs.served(&version);
                }
            }
            Scope::Things(things) => {
                for thing in things {
                    needs.thing(workspace, thing)?;
                }
            }
        }
        Ok(needs)
    }

    fn thing(&mut self, workspace: &Workspace<'_>, thing: &Thing) -> Result<(), NeedsError> {
        let (name, version) = match thing {
            Thing::Reference(reference) => {
                let tenant = workspace.tenant_of(reference)?;
                let version = tenant.resolve(reference)?;
                return self.version(&tenant, &version);
            }
            Thing::Named(name, version) => (name, version.as_deref()),
        };
        let tenant = workspace.tenant();
        let mut found = false;
        if let Ok(reference) = thing.to_string().parse::<ModelRef>()
            && let Some(version) = unless_unknown(tenant.resolve(&reference))?
        {
            self.version(&tenant, &version)?;
            found = true;
        }
        found |= self.record::<DatasetName>(&tenant.datasets(), name, version)?;
        found |= self.record::<BaseName>(&tenant.bases(), name, version)?;
        found |= self.record::<SuiteName>(&tenant.suites(), name, version)?;
        match found {
            true => Ok(()),
            false => Err(NeedsError::Registry(RegistryError::NotFound {
                what: format!("version, dataset, base or suite {thing}"),
                known: Vec::new(),
            })),
        }
    }

    fn record<N: Catalogued>(
        &mut self,
        catalogue: &Catalogue<'_, N>,
        name: &str,
        version: Option<&str>,
    ) -> Result<bool, NeedsError> {
        let Ok(name) = name.parse::<N>() else {
            return Ok(false);
        };
        let found = match version {
            Some(version) => catalogue.find(&name, version),
            None => catalogue.newest(&name),
        };
        let Some(record) = unless_unknown(found)? else {
            return Ok(false);
        };
        let what = format!("{} {name}@{}", N::NOUN, record.label);
        self.take(&what, &record.document);
        Ok(true)
    }

    /// A version with dataset, base, run and evidence: all that it can be promoted with and trained on from.
    fn version(&mut self, tenant: &Tenant<'_>, version: &Version) -> Result<(), NeedsError> {
        let manifest = &version.manifest;
        let what = version.to_string();
        self.take(&what, &manifest.encode()?);
        for evidence in tenant.evidence(version)? {
            self.take(&format!("evidence about {what}"), &evidence.document);
        }
        if let Some(dataset) = tenant.datasets().by_id(&manifest.dataset.id)? {
            self.take(&format!("dataset of {what}"), &dataset.document);
        }
        if let Some(base) = tenant.bases().by_id(&manifest.base.tree.digest())? {
            self.take(&format!("base of {what}"), &base.document);
        }
        if let Some(run) = tenant.runs().get(&manifest.run.id)? {
            self.take(&format!("run of {what}"), &run.document);
        }
        Ok(())
    }

    /// The files of a version's adapter and base, and no data.
    fn served(&mut self, version: &Version) {
        let (adapter, base) = (&version.manifest.adapter, &version.manifest.base);
        self.roots.add(adapter.tree.digest());
        self.roots.add(base.tree.digest());
        for file in adapter.files.iter().chain(&base.files) {
            self.roots.add(file.sha256);
            let why = (Some(file.size), version.to_string());
            self.must.insert(file.sha256, why);
        }
    }

    fn take(&mut self, what: &str, document: &[u8]) {
        self.roots.take(document);
        for (digest, size) in needed_by(document) {
            let why = self.must.entry(digest).or_insert((size, what.to_owned()));
            why.0 = why.0.or(size);
        }
    }
}

/// What is not on record under a name may be under the same name of another kind.
fn unless_unknown<T>(found: Result<T, RegistryError>) -> Result<Option<T>, RegistryError> {
    match found {
        Ok(found) => Ok(Some(found)),
        Err(RegistryError::NoName { .. } | RegistryError::NotFound { .. }) => Ok(None),
        Err(error) => Err(error),
    }
}

/// The objects that a record cannot be used without, with their sizes where it tells them.
pub(super) fn needed_by(document: &[u8]) -> Vec<(Digest, Option<u64>)> {
    // What is no document of ours needs nothing; whether it is sound, `model verify` says.
    let Ok(value) = serde_json::from_slice::<Value>(document) else {
        return Vec::new();
    };
    let members = |key: &str| match &value[key] {
        Value::Object(map) => map.values().collect(),
        Value::Array(list) => list.iter().collect(),
        _ => Vec::new(),
    };
    let sized = |of: &Value, key: &str| named(&of[key], of["size"].as_u64());
    let bare = |name: &Value| named(name, None);
    let needed: Vec<Option<(Digest, Option<u64>)>> =
        match value["schema"].as_str().unwrap_or_default() {
            "retune.dataset/1" => members("splits")
                .iter()
                .map(|split| sized(split, "blob"))
                .collect(),
            "retune.base/1" | "retune.run/1" => members("files")
                .iter()
                .map(|file| sized(file, "sha256"))
                .collect(),
            "retune.version/1" => ["base", "adapter"]
                .iter()
                .filter_map(|part| value[part]["files"].as_array())
                .flatten()
                .map(|file| sized(file, "sha256"))
                .collect(),
            "retune.suite/1" => vec![
                bare(&value["cases"]["digest"]),
                bare(&value["generation"]["judge"]["calibration"]),
            ],
            "retune.report-entry/1" => vec![bare(&value["report"])],
            "retune.evidence/1" => members("baselines")
                .iter()
                .chain(&[&value["candidate"]])
                .map(|arm| &arm["report"])
                .chain([&value["suite"], &value["policy"]])
                .chain(["suite", "report", "again"].map(|part| &value["floor"][part]))
                .map(bare)
                .collect(),
            _ => Vec::new(),
        };
    needed.into_iter().flatten().collect()
}

fn named(name: &Value, size: Option<u64>) -> Option<(Digest, Option<u64>)> {
    Some((name.as_str()?.parse().ok()?, size))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn things_are_references_or_names() {
        for (text, is_reference) in [
            ("support:production", true),
            ("acme/support@20261123-3f9a", true),
            ("support@20261123-3f9a", false),
            ("tickets", false),
            ("tickets@3f9a", false),
        ] {
            let thing: Thing = text.parse().unwrap();
            assert_eq!(matches!(thing, Thing::Reference(_)), is_reference, "{text}");
            assert_eq!(thing.to_string(), text);
        }
        for bad in [
            "",
            "tickets@",
            "Tickets",
            "../tickets",
            "a/b",
            "support:",
            "a b",
        ] {
            assert!(bad.parse::<Thing>().is_err(), "{bad:?}");
        }
    }
}
