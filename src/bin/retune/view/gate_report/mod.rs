//! Verdicts as files: for test runners, code hosts, pull requests and browsers.
//!
//! Whatever comes from data (texts, labels, names, reasons) is escaped for the format it is written into.

mod html;
mod junit;
mod markdown;
mod sarif;

use std::collections::HashMap;
use std::path::PathBuf;

use retune::gate::{Change, Changed, MissedCase};

use super::gate::Judged;

pub(crate) use html::html;
pub(crate) use junit::junit;
pub(crate) use markdown::markdown;
pub(crate) use sarif::sarif;

/// What a report is made of.
pub(crate) struct Page<'a> {
    /// The verdict.
    pub(crate) judged: &'a Judged,
    /// The cases that changed; `None` where the suite's cases are not to be shown.
    pub(crate) changed: Option<Vec<Changed>>,
    /// The cases of the floor that were not passed at once. They are never sealed: everybody is to pass them.
    pub(crate) missed: Vec<MissedCase>,
    /// Where the cases stand, where a suite file was given.
    pub(crate) lines: Option<Lines>,
    /// Where the cases of the floor stand.
    pub(crate) floor_lines: Option<Lines>,
}

/// Where cases stand.
pub(crate) struct Lines {
    /// The file, from the project's directory.
    pub(crate) file: PathBuf,
    /// The line of each case by its id.
    pub(crate) of: HashMap<String, usize>,
}

impl Page<'_> {
    /// The cases that changed one way.
    fn cases(&self, change: Change) -> Vec<&Changed> {
        let all = self.changed.iter().flatten();
        all.filter(|case| case.change == change).collect()
    }

    /// The cases of the floor that fail.
    fn failed(&self) -> Vec<&MissedCase> {
        self.missed
            .iter()
            .filter(|case| case.missed.fails)
            .collect()
    }

    /// The word at the top: the verdict, or WAIVED.
    fn word(&self) -> String {
        match self.judged.waiver {
            Some(_) => "WAIVED".to_owned(),
            None => self.judged.content.verdict.to_string(),
        }
    }

    /// What wants to be promoted, as people call it.
    fn candidate(&self) -> String {
        super::gate::name(&self.judged.content.candidate)
    }

    /// What it was compared with.
    fn baselines(&self) -> String {
        let arms = self.judged.content.baselines.iter();
        let names: Vec<String> = arms.map(super::gate::name).collect();
        names.join(" and ")
    }
}
