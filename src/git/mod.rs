//! git repositories through typed calls. Home of `git2`.
//!
//! Commits are built directly on trees: no index and no work tree is touched. A reference moves by
//! compare-and-swap only ([`Repository::advance`]). Who commits, and when, is always a parameter.

mod commit;
mod configured;
mod error;
mod identity;
mod object;
mod reference;
mod repository;

#[cfg(test)]
mod tests;

pub use commit::{Commit, CommitId, Draft};
pub use configured::configured_identity;
pub use error::GitError;
pub use identity::{Identity, IdentityError};
pub use object::{Entry, EntryKind};
pub use reference::Advance;
pub use repository::Repository;
