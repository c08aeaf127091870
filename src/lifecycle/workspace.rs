//! What every act works with.

use std::path::PathBuf;

use crate::base::Device;
use crate::eval::Circumstances;
use crate::name::TenantName;
use crate::reference::ModelRef;
use crate::registry::{Act, Registry, RegistryError, Tenant};
use crate::store::Store;
use crate::train::Machine;

/// An opened project: its store, its registry, and the circumstances of this invocation.
pub struct Workspace<'a> {
    /// The project's directory, with `retune.yaml` and `retune.lock`.
    pub root: PathBuf,
    /// The bytes.
    pub store: Store,
    /// The decisions.
    pub registry: Registry,
    /// Whose datasets, runs and models these are.
    pub tenant: TenantName,
    /// Where runs keep their checkpoints and logs.
    pub runs: PathBuf,
    /// Who acts, when, and whether for real.
    pub act: Act<'a>,
    /// Clock and meters, for training.
    pub machine: &'a Machine<'a>,
    /// Clock, chance, keys and places, for asking who is outside.
    pub circumstances: Circumstances<'a>,
    /// What models run on.
    pub device: Device,
    /// The tool's version, for records.
    pub tool: &'static str,
}

impl Workspace<'_> {
    /// The tenant's part of the registry.
    pub fn tenant(&self) -> Tenant<'_> {
        self.registry.tenant(&self.tenant)
    }

    /// The part that a reference leads to: the project acts for one tenant, and a reference to another one is
    /// refused.
    pub fn tenant_of(&self, reference: &ModelRef) -> Result<Tenant<'_>, RegistryError> {
        let what = || format!("model {}", reference.model);
        self.registry
            .tenant_for(&self.tenant, reference.tenant.as_ref(), what)
    }
}
