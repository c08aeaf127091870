//! One tenant's part of the registry.

use super::error::RegistryError;
use super::layout;
use super::record::Catalogue;
use super::report::Reports;
use super::root::Registry;
use super::run::Runs;
use super::view::View;
use crate::name::{BaseName, DatasetName, SuiteName, TenantName};

/// The only way to read and write: nothing of another tenant can be reached through it.
#[derive(Clone)]
pub struct Tenant<'r> {
    pub(super) registry: &'r Registry,
    pub(super) name: TenantName,
}

/// What recording something gave: the record, and whether it is new.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Added<T> {
    /// As it is in the registry.
    pub record: T,
    /// `false` when the same content was there already and nothing was written.
    pub new: bool,
}

impl<'r> Tenant<'r> {
    /// Whose part this is.
    pub fn name(&self) -> &TenantName {
        &self.name
    }

    /// Dataset versions.
    pub fn datasets(&self) -> Catalogue<'_, DatasetName> {
        Catalogue::new(self)
    }

    /// Bases.
    pub fn bases(&self) -> Catalogue<'_, BaseName> {
        Catalogue::new(self)
    }

    /// Evaluation suites.
    pub fn suites(&self) -> Catalogue<'_, SuiteName> {
        Catalogue::new(self)
    }

    /// Training runs.
    pub fn runs(&self) -> Runs<'_> {
        Runs { tenant: self }
    }

    /// Where evaluation reports are.
    pub fn reports(&self) -> Reports<'_> {
        Reports { tenant: self }
    }

    /// Calls `each` with the path and the bytes of every document of the tenant that is recorded now.
    pub fn documents(&self, mut each: impl FnMut(&str, &[u8])) -> Result<(), RegistryError> {
        let view = self.view()?;
        let own = format!("{}/{}/", layout::TENANTS, self.name);
        let mut take = |path: &str, document: &[u8]| {
            if path.starts_with(&own) {
                each(path, document);
            }
        };
        Ok(view.git.every_file(view.commit, &mut take)?)
    }

    /// The newest state, once it is known that the tenant exists.
    pub(super) fn view(&self) -> Result<View<'r>, RegistryError> {
        let view = self.registry.view()?;
        view.require_tenant(&self.name)?;
        Ok(view)
    }
}
