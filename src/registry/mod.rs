//! The registry: which datasets, bases, runs and model versions exist, and which version is where.
//!
//! It is one branch of a bare git repository (layout and protocol: `docs/formats.md`). Every read and write
//! hangs on a [`Tenant`], got from [`Registry::tenant`]; no public function takes a path or a reference.
//! One decision is one commit is one compare-and-swap of that branch: it happened whole, or not at all.

mod act;
mod error;
mod layout;
mod record;
mod report;
mod root;
mod run;
mod tenant;
mod transaction;
mod view;

#[cfg(test)]
mod tests;

pub use act::Act;
pub use error::RegistryError;
pub use record::{Catalogue, Catalogued, Record};
pub use report::{ReportEntry, Reports};
pub use root::Registry;
pub use run::{RunRecord, Runs};
pub use tenant::{Added, Tenant};
