//! Registering a version: a model exists from its first one on.

use super::act::Act;
use super::bytes::check_bytes;
use super::error::RegistryError;
use super::layout;
use super::tenant::{Added, Tenant};
use super::transaction::{Step, Transaction};
use super::version::{Version, VersionManifest};
use super::view::View;
use crate::digest::Digest;
use crate::store::Store;

impl Tenant<'_> {
    /// Registers a version. The same manifest again changes nothing.
    ///
    /// Refused unless the manifest is this tenant's and consistent, its base, dataset and run are recorded
    /// for this tenant, no other tenant holds its training data, its parents are versions of the model, and every
    /// byte of it is in the store.
    pub fn register(
        &self,
        manifest: &VersionManifest,
        store: &Store,
        act: &Act<'_>,
    ) -> Result<Added<Version>, RegistryError> {
        if manifest.tenant != self.name {
            return Err(RegistryError::ForeignTenant {
                tenant: self.name.clone(),
                what: format!("a version of {}", manifest.model),
                owner: manifest.tenant.clone(),
            });
        }
        let refuse = |source| RegistryError::Refused {
            what: "version",
            source,
        };
        let bytes = manifest.encode().map_err(refuse)?;
        let version = Version::of(manifest.clone())?;
        let id = version.id;
        check_bytes(&version, store)?;
        let dir = layout::model_versions(&self.name, &manifest.model);
        let path = format!("{dir}/{}.json", version.label);
        self.registry.transact(act, |view| {
            view.require_tenant(&self.name)?;
            let record = version.clone();
            if view.read(&path)?.is_some_and(|known| known == bytes) {
                return Ok(Step::Nothing(Added { record, new: false }));
            }
            self.check_lineage(view, manifest, |run| self.runs().has(view, run))?;
            let (model, tenant) = (&manifest.model, &self.name);
            let subject = format!("register {model}@{} ({tenant})", version.label);
            let transaction = Transaction::new(subject)
                .trailer("Retune-Id", id)
                .trailer("Retune-Run", manifest.run.id)
                .add(view, path.clone(), bytes.clone())?;
            Ok(Step::Write(transaction, Added { record, new: true }))
        })
    }

    /// Whether everything that a manifest names is recorded for this very tenant.
    pub(super) fn check_lineage(
        &self,
        view: &View<'_>,
        manifest: &VersionManifest,
        has_run: impl FnOnce(&Digest) -> Result<bool, RegistryError>,
    ) -> Result<(), RegistryError> {
        let missing = |what, id| RegistryError::Lineage {
            tenant: self.name.clone(),
            what,
            id,
        };
        let base = manifest.base.tree.digest();
        if self.bases().by_id_at(view, &base)?.is_none() {
            return Err(missing("base", base));
        }
        self.check_training_data(view, manifest)?;
        let run = manifest.run.id;
        if !has_run(&run)? {
            return Err(missing("run", run));
        }
        for parent in &manifest.parents {
            match self.version_at(view, &manifest.model, parent) {
                Err(RegistryError::NotFound { .. }) => {
                    return Err(missing("parent version", parent.digest()));
                }
                other => other?,
            };
        }
        Ok(())
    }
}
