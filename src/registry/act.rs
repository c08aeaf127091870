//! Who changes the registry, when, and whether for real.

use crate::git::Identity;
use crate::progress::Reporter;
use crate::signature::SigningKey;
use crate::time::Timestamp;

/// The circumstances of a change.
#[derive(Clone, Copy)]
pub struct Act<'a> {
    /// Who does it; author of the commit and `actor` of events.
    pub by: &'a Identity,
    /// What they sign with, where it takes a signature.
    pub key: Option<&'a SigningKey>,
    /// When.
    pub at: Timestamp,
    /// Check everything and give the result, but write nothing to the registry.
    pub dry_run: bool,
    /// Hears about recovered locks and the like.
    pub reporter: &'a dyn Reporter,
}
