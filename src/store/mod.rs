//! The content-addressed store: bytes by their SHA-256.
//!
//! Layout and protocol are in `docs/formats.md`. Putting streams to a temporary file while hashing, flushes,
//! renames and flushes the directory; reading re-checks the digest before anyone sees the bytes.

mod blob;
mod error;
mod gc;
mod lease;
mod mark;
mod member;
mod remote;
mod trash;
mod tree;
mod verify;

pub use blob::{Blob, Store, Verified};
pub use error::StoreError;
pub use gc::{Garbage, GcPlan, Swept};
pub use lease::Lease;
pub use mark::{Reach, Roots};
pub use member::{Member, MemberFile};
pub use remote::{Bucket, Place, PlaceFault, RemoteError};
pub use trash::Purged;
pub use tree::{Tree, TreeEntry, TreeError, TreeId};
pub use verify::{Damage, StoreFault, StoreReport};
