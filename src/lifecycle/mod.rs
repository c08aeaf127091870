//! The acts of the lifecycle: one function per verb, over store and registry together.
//!
//! Each act is idempotent: it looks in the registry for its own result first, and says whether it did
//! something. The command line and `pipeline` call the same acts.

mod init;
mod promote;
mod workspace;

pub use init::{InitError, Initialised, init};
pub use promote::{PromoteError, Promotion, promote};
pub use workspace::Workspace;
