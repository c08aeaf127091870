//! Views of scans.

use std::io::{self, Write};

use retune::scan::{Finding, NotChecked, Report};
use serde::Serialize;

use crate::exit::Exit;
use crate::ui::{BAD, BOLD, DIM, DOUBT, GOOD, View, styled};

/// The exit code that a report means.
pub(crate) fn exit(report: &Report) -> Exit {
    if report.findings.is_empty() {
        Exit::Done
    } else {
        Exit::Findings
    }
}

/// What `scan` found.
#[derive(Serialize)]
pub(crate) struct Scanned {
    checked: usize,
    skipped: usize,
    pub(super) findings: Vec<Place>,
    allowed: Vec<AllowedPlace>,
    not_checked: Vec<Unread>,
}

#[derive(Serialize)]
pub(super) struct Place {
    path: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    tip: Option<String>,
    line: usize,
    column: usize,
    rule: &'static str,
    found: String,
    why: String,
    fix: String,
}

#[derive(Serialize)]
struct AllowedPlace {
    #[serde(flatten)]
    place: Place,
    reason: String,
}

#[derive(Serialize)]
struct Unread {
    path: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    tip: Option<String>,
    why: String,
}

impl Scanned {
    pub(crate) fn new(report: &Report) -> Self {
        let allowed = report.allowed.iter().map(|allowed| AllowedPlace {
            place: (&allowed.finding).into(),
            reason: allowed.reason.clone(),
        });
        Self {
            checked: report.checked,
            skipped: report.skipped,
            findings: report.findings.iter().map(Place::from).collect(),
            allowed: allowed.collect(),
            not_checked: report.not_checked.iter().map(Unread::from).collect(),
        }
    }

    pub(super) fn places(&self, out: &mut dyn Write) -> io::Result<()> {
        for place in &self.findings {
            place.human(out)?;
        }
        for unread in &self.not_checked {
            writeln!(
                out,
                "{} {}{}: {}",
                styled(DOUBT, "not checked:"),
                unread.path,
                at_tip(&unread.tip),
                unread.why
            )?;
        }
        Ok(())
    }
}

impl From<&Finding> for Place {
    fn from(finding: &Finding) -> Self {
        Self {
            path: finding.path.clone(),
            tip: finding.tip.clone(),
            line: finding.at.line,
            column: finding.at.column,
            rule: finding.rule.id(),
            found: finding.found.clone(),
            why: finding.why.clone(),
            fix: finding.fix.clone(),
        }
    }
}

impl From<&NotChecked> for Unread {
    fn from(unread: &NotChecked) -> Self {
        Self {
            path: unread.path.clone(),
            tip: unread.tip.clone(),
            why: unread.why.clone(),
        }
    }
}

impl Place {
    fn human(&self, out: &mut dyn Write) -> io::Result<()> {
        let Self {
            path,
            line,
            column,
            rule,
            found,
            why,
            fix,
            tip,
        } = self;
        let place = styled(BOLD, format!("{path}:{line}:{column}"));
        writeln!(
            out,
            "{place}{}: {found} [{}]",
            at_tip(tip),
            styled(BAD, rule)
        )?;
        writeln!(out, "  {why}")?;
        writeln!(out, "  {} {fix}", styled(DIM, "fix:"))
    }
}

pub(super) fn at_tip(tip: &Option<String>) -> String {
    tip.as_ref()
        .map(|tip| format!(" ({tip})"))
        .unwrap_or_default()
}

pub(super) fn counted(count: usize, noun: &str) -> String {
    format!("{count} {noun}{}", if count == 1 { "" } else { "s" })
}

impl View for Scanned {
    const SCHEMA: &'static str = "retune.scan/1";

    fn human(&self, out: &mut dyn Write) -> io::Result<()> {
        self.places(out)?;
        let verdict = match self.findings.len() {
            0 => styled(GOOD, "nothing found"),
            count => styled(BAD, counted(count, "finding")),
        };
        write!(out, "{verdict} in {}", counted(self.checked, "file"))?;
        for (count, what) in [
            (self.allowed.len(), "allowed by a comment"),
            (self.not_checked.len(), "not checked"),
            (self.skipped, "skipped as binary or too large"),
        ] {
            if count > 0 {
                write!(out, ", {count} {what}")?;
            }
        }
        writeln!(out)
    }
}
