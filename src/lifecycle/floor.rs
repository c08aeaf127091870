//! The floors of suites: which one there is, and having a subject answer it.

use std::collections::BTreeSet;

use super::evaluate::{EvaluateError, evaluate};
use super::through::Through;
use super::workspace::Workspace;
use crate::eval::{Subject, Suite, SuiteId, Suites, Task};
use crate::name::SuiteName;
use crate::registry::RegistryError;

/// How a subject did on a floor.
#[derive(Debug, Clone, PartialEq)]
pub struct FloorAnswers {
    /// On all of its cases.
    pub first: Through,
    /// On those that it missed, asked again; `None` where it missed none or where its answers are not drawn.
    pub again: Option<Through>,
}

impl FloorAnswers {
    /// Whether the subject had to answer something, rather than reports being there.
    pub fn is_new(&self) -> bool {
        let again = self.again.iter();
        let mut all = again.chain([&self.first]);
        all.any(|through| through.evaluation.new)
    }
}

/// Has `ask` answer a floor, and `repeats` times again what was missed. `ask` is given the suites to ask.
pub fn ask_floor<E>(
    floor: &Suite,
    repeats: u32,
    ask: impl Fn(&Suite) -> Result<Through, E>,
) -> Result<FloorAnswers, E> {
    let first = ask(floor)?;
    let report = first.evaluation.report.as_ref();
    let missed = report.map_or_else(BTreeSet::new, |(_, report)| report.missed());
    let again = floor.again(&missed, repeats);
    let again = again.map(|again| ask(&again)).transpose()?;
    Ok(FloorAnswers { first, again })
}

/// Has a subject on this machine answer a floor. What is not drawn comes out the same again, so that it is asked once.
pub fn evaluate_floor(
    workspace: &Workspace<'_>,
    floor: &Suite,
    subject: &Subject,
    repeats: u32,
) -> Result<FloorAnswers, EvaluateError> {
    let ask = |suite: &Suite| evaluate(workspace, suite, subject).map(Through::from);
    match draws(floor) {
        true => ask_floor(floor, repeats, ask),
        false => Ok(FloorAnswers {
            first: ask(floor)?,
            again: None,
        }),
    }
}

/// Whether a model on this machine may answer differently when it is asked again.
pub fn draws(suite: &Suite) -> bool {
    match suite.task() {
        Task::Generation(generation) => generation.settings.temperature.get() > 0.0,
        Task::Classification | Task::Scored(_) => false,
    }
}

/// A recorded suite, with the other parts that were recorded last for its name.
pub fn recorded_suites(
    workspace: &Workspace<'_>,
    suite: &SuiteId,
) -> Result<Suites, EvaluateError> {
    let suite = Suite::load(&workspace.store, suite)?;
    let tenant = workspace.tenant();
    let suites = tenant.suites();
    let newest = |name: Option<SuiteName>| {
        let Some(name) = name else { return Ok(None) };
        match suites.newest(&name) {
            Ok(record) => Ok(Some(Suite::load(&workspace.store, &record.id.into())?)),
            Err(RegistryError::NoName { .. }) => Ok(None),
            Err(error) => Err(EvaluateError::from(error)),
        }
    };
    Ok(Suites {
        dev: newest(Suite::dev_name(suite.name()))?,
        floor: newest(Suite::floor_name(suite.name()))?,
        suite,
    })
}
