//! git repositories through typed calls. Home of `git2`.
//!
//! Commits are built directly on trees: no index and no work tree is touched. A reference moves by
//! compare-and-swap only ([`Repository::advance`]). Who commits, and when, is always a parameter.

mod checkout;
mod commit;
mod configured;
mod error;
mod identity;
mod index;
mod object;
mod program;
mod range;
mod reference;
mod remote;
mod replay;
mod repository;
mod take;
mod writer;

#[cfg(test)]
mod tests;

pub use checkout::{Checkout, HookEnvironment};
pub use commit::{Commit, CommitId, Draft};
pub use configured::{configured_identity, configured_signing_key};
pub use error::GitError;
pub use identity::{Identity, IdentityError};
pub use index::{BlobId, TreeFile};
pub use object::{Entry, EntryKind, ObjectId};
pub use range::PushedRef;
pub use reference::Advance;
pub use remote::{Remote, RemoteError};
pub use replay::Change;
pub use repository::Repository;
pub use take::Limits;
