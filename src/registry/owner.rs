//! Whose data is whose: what one tenant recorded, no other tenant may record, or train and serve a model on.

use std::collections::{BTreeMap, BTreeSet};

use serde::Deserialize;

use super::error::RegistryError;
use super::layout;
use super::root::parse_names;
use super::tenant::Tenant;
use super::version::VersionManifest;
use super::view::View;
use crate::digest::Digest;
use crate::name::{DatasetName, TenantName};

/// The exact bytes that a dataset holds, and whether they are nobody's in particular.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Holding {
    bytes: BTreeSet<Digest>,
    shared: bool,
}

impl Holding {
    /// What a dataset's document says that it holds. The document itself counts too.
    pub(super) fn of(document: &[u8]) -> Self {
        #[derive(Deserialize)]
        struct Split {
            blob: Digest,
        }
        #[derive(Deserialize, Default)]
        struct Named {
            #[serde(default)]
            splits: BTreeMap<String, Split>,
            #[serde(default)]
            shared: bool,
        }
        let named: Named = serde_json::from_slice(document).unwrap_or_default();
        let mut bytes: BTreeSet<Digest> = named.splits.values().map(|split| split.blob).collect();
        bytes.insert(Digest::of(document));
        Self {
            bytes,
            shared: named.shared,
        }
    }

    /// Whether both hold the same bytes, and one of them for a single tenant.
    fn contends(&self, other: &Self) -> bool {
        !(self.shared && other.shared || self.bytes.is_disjoint(&other.bytes))
    }
}

impl Tenant<'_> {
    /// Refuses the data of other tenants: `tenants` are those it belongs to, none of them where it is nobody's in
    /// particular; `None` where that was not recorded, and then it is this tenant's.
    pub fn check_data(
        &self,
        tenants: Option<&[TenantName]>,
        what: impl Fn() -> String,
    ) -> Result<(), RegistryError> {
        let other = tenants
            .unwrap_or_default()
            .iter()
            .find(|t| **t != self.name);
        match other {
            Some(owner) => Err(self.foreign(what(), owner)),
            None => Ok(()),
        }
    }

    /// Refuses a dataset that this tenant has not recorded.
    pub fn require_dataset(&self, id: &Digest) -> Result<(), RegistryError> {
        let view = self.view()?;
        if self.datasets().by_id_at(&view, id)?.is_some() {
            return Ok(());
        }
        for owner in self.others(&view)? {
            let tenant = self.registry.tenant(&owner);
            if tenant.datasets().by_id_at(&view, id)?.is_some() {
                return Err(self.foreign(format!("dataset {id}"), &owner));
            }
        }
        Err(self.unrecorded("dataset", *id))
    }

    /// Refuses a dataset whose bytes another tenant has recorded as its own.
    pub(super) fn check_holding(
        &self,
        view: &View<'_>,
        holding: &Holding,
        what: impl Fn() -> String,
    ) -> Result<(), RegistryError> {
        for owner in self.others(view)? {
            let tenant = self.registry.tenant(&owner);
            for name in parse_names::<DatasetName>(view, &layout::names(&owner, "datasets"))? {
                let known = tenant.datasets().load_all(view, &name)?;
                let known = known.iter().map(|record| Holding::of(&record.document));
                if known.into_iter().any(|known| known.contends(holding)) {
                    return Err(self.foreign(what(), &owner));
                }
            }
        }
        Ok(())
    }

    /// Refuses a version that was trained on the data of another tenant.
    pub(super) fn check_training_data(
        &self,
        view: &View<'_>,
        manifest: &VersionManifest,
    ) -> Result<(), RegistryError> {
        let what = || format!("the training data of {}", manifest.model);
        self.check_data(manifest.dataset.tenants.as_deref(), what)?;
        let id = manifest.dataset.id;
        match self.datasets().by_id_at(view, &id)? {
            Some(dataset) => self.check_holding(view, &Holding::of(&dataset.document), what),
            None => Err(self.unrecorded("dataset", id)),
        }
    }

    /// The tenants that have a run like this.
    pub(super) fn run_elsewhere(
        &self,
        view: &View<'_>,
        means: impl Fn(&str) -> bool,
    ) -> Result<Option<TenantName>, RegistryError> {
        for owner in self.others(view)? {
            let tenant = self.registry.tenant(&owner);
            let runs = tenant.runs().all(view)?;
            if runs.iter().any(|run| means(&run.stem)) {
                return Ok(Some(owner));
            }
        }
        Ok(None)
    }

    pub(super) fn foreign(&self, what: String, owner: &TenantName) -> RegistryError {
        RegistryError::ForeignTenant {
            tenant: self.name.clone(),
            what,
            owner: owner.clone(),
        }
    }

    fn unrecorded(&self, what: &'static str, id: Digest) -> RegistryError {
        RegistryError::Lineage {
            tenant: self.name.clone(),
            what,
            id,
        }
    }

    fn others(&self, view: &View<'_>) -> Result<Vec<TenantName>, RegistryError> {
        let mut all: Vec<TenantName> = parse_names(view, layout::TENANTS)?;
        all.retain(|name| *name != self.name);
        Ok(all)
    }
}
