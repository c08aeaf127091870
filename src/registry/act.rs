//! Who changes the registry, when, and whether for real.

use crate::git::Identity;
use crate::progress::Reporter;
use crate::time::Timestamp;

/// The circumstances of a change.
#[derive(Clone, Copy)]
pub struct Act<'a> {
    /// Who does it; author of the commit and `actor` of events.
    pub by: &'a Identity,
    /// When.
    pub at: Timestamp,
    /// Check everything and give the result, but write nothing to the registry.
    pub dry_run: bool,
    /// Hears about recovered locks and the like.
    pub reporter: &'a dyn Reporter,
}
