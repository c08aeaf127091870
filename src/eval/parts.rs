//! The parts of a suite file as suites of their own: what versions are compared on; the cases that people may look at as
//! often as they like; and the floor, the cases that every version has to pass.

use std::collections::BTreeSet;
use std::path::Path;

use super::error::EvalError;
use super::provenance::Split;
use super::suite::{Suite, Task};
use crate::name::{ParseNameError, SuiteName};

/// How the names of floors end, those of suites that ask some of a floor's cases again, and those of cases to look at.
const FLOOR: &str = ".floor";
const DEV: &str = ".dev";
const AGAIN: &str = ".again";

/// The name of a part of the suite `name`.
pub(super) fn name_of(name: &SuiteName, split: Split) -> Result<SuiteName, ParseNameError> {
    match split {
        Split::Gate => Ok(name.clone()),
        Split::Dev => format!("{name}{DEV}").parse(),
        Split::Floor => {
            let floor = format!("{name}{FLOOR}");
            // What asks again has to have a name too.
            let _: SuiteName = format!("{floor}{AGAIN}").parse()?;
            floor.parse()
        }
    }
}

/// Whether a name is kept for such parts.
pub(super) fn is_name(name: &SuiteName) -> bool {
    let name = name.as_str();
    name.ends_with(DEV) || name.trim_end_matches(AGAIN).ends_with(FLOOR)
}

impl Suite {
    /// The name under which the floor of the suite `name` is recorded; `None` where that is too long to have one.
    pub fn floor_name(name: &SuiteName) -> Option<SuiteName> {
        name_of(name, Split::Floor).ok()
    }

    /// The name under which the cases to look at of the suite `name` are recorded; `None` where that is too long.
    pub fn dev_name(name: &SuiteName) -> Option<SuiteName> {
        name_of(name, Split::Dev).ok()
    }

    /// Whether it is a part that versions are not compared on.
    pub fn is_part(&self) -> bool {
        is_name(self.name())
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

/// A suite, and its other parts where it has them.
#[derive(Debug, Clone, PartialEq)]
pub struct Suites {
    /// What versions are compared on.
    pub suite: Suite,
    /// What people may look at as often as they like.
    pub dev: Option<Suite>,
    /// What every version has to pass.
    pub floor: Option<Suite>,
}

impl Suites {
    /// Reads a suite file and all the cases it names.
    pub fn read(path: &Path) -> Result<Self, EvalError> {
        let located = Suite::locate(path)?;
        Ok(Self {
            suite: located.suite,
            dev: located.dev.map(|dev| dev.suite),
            floor: located.floor.map(|floor| floor.suite),
        })
    }
}
