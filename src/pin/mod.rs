//! What a repository asked for (`retune.yaml`), and what it got (`retune.lock`).
//!
//! A pin asks for a model, by an alias to follow or by one version. The lock names the version, its manifest
//! digest and every file. Code and servers use the lock only; an alias that moves changes nothing until
//! somebody runs `retune pin update` and commits the new lock.

mod ask;
mod check;
mod error;
mod exclude;
mod lock;
mod project;

#[cfg(test)]
mod tests;

pub use ask::{Ask, Asked, PinName};
pub use check::{Answer, Depth, Problem, check, check_frozen};
pub use error::PinError;
pub use exclude::Exclude;
pub use lock::{LOCK_FILE, Lock, LockFile, LockedBase, LockedFile, Pin, Resolved};
pub use project::{GATE_FILE, PROJECT_FILE, Project, ScanSettings};
