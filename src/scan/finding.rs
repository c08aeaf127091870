//! What a scan says.

use super::candidate::Position;
use super::rule::Rule;

/// A place that breaks a rule.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Finding {
    /// The file.
    pub path: String,
    /// The pushed reference whose tip holds the file.
    pub tip: Option<String>,
    /// Where in the file.
    pub at: Position,
    /// The rule.
    pub rule: Rule,
    /// The text found.
    pub found: String,
    /// Why it is a finding.
    pub why: String,
    /// What to write instead.
    pub fix: String,
}

/// A finding that a comment in the file allows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Allowed {
    /// The finding.
    pub finding: Finding,
    /// The comment's reason.
    pub reason: String,
}

/// A file that could not be checked, or not in full.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NotChecked {
    /// The file.
    pub path: String,
    /// The pushed reference whose tip holds the file.
    pub tip: Option<String>,
    /// Why.
    pub why: String,
}

/// Everything a scan found, in the order of paths and lines.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Report {
    /// Places that break a rule.
    pub findings: Vec<Finding>,
    /// Places that would, but for a comment with a reason.
    pub allowed: Vec<Allowed>,
    /// Files that could not be read as what their name says, and faulty comments.
    pub not_checked: Vec<NotChecked>,
    /// How many files were checked.
    pub checked: usize,
    /// How many were skipped: binary, or larger than [`MAX_BYTES`](super::MAX_BYTES).
    pub skipped: usize,
}
