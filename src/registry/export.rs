//! Getting a version's adapter out.

use std::path::Path;

use super::bytes::bytes_error;
use super::error::RegistryError;
use super::tenant::Tenant;
use super::version::Version;
use crate::store::Store;

impl Tenant<'_> {
    /// Writes the adapter's files into a new directory, every byte checked; all of it appears, or nothing.
    pub fn export(
        &self,
        version: &Version,
        store: &Store,
        dir: &Path,
    ) -> Result<(), RegistryError> {
        let tree = version.manifest.adapter_tree();
        let tree = tree.map_err(|error| RegistryError::Manifest {
            version: version.to_string(),
            source: Box::new(error),
        })?;
        store
            .export_tree(&tree, dir)
            .map_err(|error| bytes_error(version, error))
    }
}
