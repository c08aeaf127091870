//! The registry: which datasets, bases, runs and model versions exist, and which version is where.
//!
//! It is one branch of a bare git repository (layout and protocol: `docs/formats.md`). Every read and write
//! hangs on a [`Tenant`], got from [`Registry::tenant`]; no public function takes a path or a reference.
//! One decision is one commit is one compare-and-swap of that branch: it happened whole, or not at all.

mod act;
mod alias;
mod bytes;
mod chain;
mod deprecation;
mod error;
mod event;
mod evidence;
mod export;
mod guard;
mod layout;
mod ledger;
mod migration;
mod order;
mod owner;
mod promote;
mod protection;
mod record;
mod register;
mod report;
mod retirement;
mod rollback;
mod root;
mod run;
mod statement;
mod sync;
mod tenant;
mod transaction;
mod verify;
mod version;
mod view;
mod waiver;

#[cfg(test)]
mod tests;

pub use act::Act;
pub use alias::Alias;
pub use chain::{Chain, ChainError};
pub use deprecation::Deprecation;
pub use error::RegistryError;
pub use event::{Event, EventId, EventKind, Target};
pub use evidence::EvidenceRecord;
pub use ledger::{Entered, Spent};
pub use migration::{MigrationRecord, MigrationState};
pub use promote::{Decision, Refusal};
pub use protection::{Protected, Protection};
pub use record::{Catalogue, Catalogued, Record};
pub use report::{ReportEntry, Reports};
pub use retirement::Retirement;
pub use rollback::Readiness;
pub use root::Registry;
pub use run::{RecordedRun, Runs};
pub use sync::{Collision, Synced};
pub use tenant::{Added, Tenant};
pub use verify::{RegistryFault, Verification};
pub use version::{
    AdapterPart, BasePart, DatasetPart, ManifestError, RunPart, Version, VersionId, VersionManifest,
};
