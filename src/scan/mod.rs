//! Finds places that use a model which can change: files → candidates → rules → findings.
//!
//! An extractor per file kind reads the structure (never lines of text) and yields [`Candidate`]s: a model's
//! name, where it stands, how it is used and which revision stands beside it. [`Rule`]s judge candidates; the
//! same rules serve the work tree, the staged files and every pushed tip. `docs/guides/scan.md` lists the rules.

mod alias;
mod allow;
mod candidate;
mod env;
mod file;
mod finding;
pub mod hook;
mod json;
mod key;
mod notebook;
mod python;
mod rule;
mod scanner;
mod settings;
mod source;
mod toml;
mod yaml;

#[cfg(test)]
mod tests;

pub use candidate::{Candidate, Position, Revision, Role};
pub use file::{File, Kind, MAX_BYTES};
pub use finding::{Allowed, Finding, NotChecked, Report};
pub use rule::{Rule, UnknownRule};
pub use scanner::scan;
pub use source::{ScanError, scan_folder, scan_pushed, scan_staged};
