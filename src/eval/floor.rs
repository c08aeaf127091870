//! Floors: the cases of a suite that every version has to pass, as a suite of their own.

use std::collections::BTreeSet;
use std::path::Path;

use super::error::EvalError;
use super::suite::{Suite, Task};
use crate::name::{ParseNameError, SuiteName};

/// How the names of floors end, and those of suites that ask some of a floor's cases again.
const ENDING: &str = ".floor";
const AGAIN: &str = ".again";

/// The name of the floor of the suite `name`.
pub(super) fn name_of(name: &SuiteName) -> Result<SuiteName, ParseNameError> {
    let floor = format!("{name}{ENDING}");
    // What asks again has to have a name too.
    let _: SuiteName = format!("{floor}{AGAIN}").parse()?;
    floor.parse()
}

/// Whether a name is kept for floors.
pub(super) fn is_name(name: &SuiteName) -> bool {
    let name = name.as_str();
    name.trim_end_matches(AGAIN).ends_with(ENDING)
}

impl Suite {
    /// The name under which the floor of the suite `name` is recorded; `None` where that is too long to have one.
    pub fn floor_name(name: &SuiteName) -> Option<SuiteName> {
        name_of(name).ok()
    }

    /// Of a floor: the suite that asks these of its cases `repeats` times again, with other draws.
    ///
    /// `None` where there is nothing to ask or where answers are labels, which are not drawn.
    pub fn again(&self, cases: &BTreeSet<&str>, repeats: u32) -> Option<Self> {
        let Task::Generation(mut generation) = self.task().clone() else {
            return None;
        };
        generation.repeats = repeats;
        generation.settings.seed = generation.settings.seed.wrapping_add(1);
        let chosen = self.cases().iter();
        let chosen = chosen.filter(|case| cases.contains(case.id.as_str()));
        let name = format!("{}{AGAIN}", self.name()).parse().ok()?;
        Self::of(
            name,
            Task::Generation(generation),
            chosen.cloned().collect(),
        )
        .map(|again| again.judged_like(self))
        .ok()
    }
}

/// A suite, and its floor where it has one.
#[derive(Debug, Clone, PartialEq)]
pub struct Suites {
    /// What versions are compared on.
    pub suite: Suite,
    /// What every version has to pass.
    pub floor: Option<Suite>,
}

impl Suites {
    /// Reads a suite file and all the cases it names.
    pub fn read(path: &Path) -> Result<Self, EvalError> {
        let located = Suite::locate(path)?;
        Ok(Self {
            suite: located.suite,
            floor: located.floor.map(|floor| floor.suite),
        })
    }
}
