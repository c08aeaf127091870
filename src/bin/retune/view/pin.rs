//! Views of pins.

use std::io::{self, Write};

use retune::lifecycle::PinChange;
use retune::pin::{Lock, Problem, Project};
use serde::Serialize;

use super::table::table;
use crate::exit::Exit;
use crate::ui::{BAD, GOOD, View, styled};

/// The exit code that problems mean; one with a digest outweighs any other.
pub(crate) fn exit(problems: &[Problem]) -> Exit {
    if problems.iter().any(Problem::is_integrity) {
        Exit::Integrity
    } else if problems.is_empty() {
        Exit::Done
    } else {
        Exit::Findings
    }
}

/// What `pin add` and `pin update` did.
#[derive(Serialize)]
pub(crate) struct Changes {
    dry_run: bool,
    pins: Vec<Change>,
}

#[derive(Serialize)]
struct Change {
    name: String,
    changed: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    before: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    reference: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    manifest: Option<String>,
}

/// What `pin list` shows.
#[derive(Serialize)]
pub(crate) struct Pins {
    pins: Vec<Line>,
}

#[derive(Serialize)]
struct Line {
    name: String,
    asked: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    version: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    manifest: Option<String>,
}

/// What `pin check` found.
#[derive(Serialize)]
pub(crate) struct Checked {
    pins: usize,
    problems: Vec<Wrong>,
    /// Something is not what its digest says.
    damaged: bool,
}

#[derive(Serialize)]
pub(super) struct Wrong {
    kind: &'static str,
    pub(super) message: String,
}

impl Changes {
    pub(crate) fn new(changes: &[PinChange], dry_run: bool) -> Self {
        let one = |change: &PinChange| Change {
            name: change.name.to_string(),
            changed: change.is_change(),
            before: change.before.as_ref().map(ToString::to_string),
            reference: change.now.as_ref().map(|pin| pin.reference().to_string()),
            manifest: change.now.as_ref().map(|pin| pin.got.manifest.to_string()),
        };
        Self {
            dry_run,
            pins: changes.iter().map(one).collect(),
        }
    }
}

impl Pins {
    pub(crate) fn new(project: &Project, lock: &Lock) -> Self {
        let pins = project.pins.iter().map(|(name, ask)| {
            // A lock that was made for something else is no answer to what is asked now.
            let got = lock
                .pins
                .get(name)
                .filter(|pin| pin.ask == *ask)
                .map(|pin| &pin.got);
            Line {
                name: name.to_string(),
                asked: ask.to_string(),
                version: got.map(|got| got.version.to_string()),
                manifest: got.map(|got| got.manifest.to_string()),
            }
        });
        Self {
            pins: pins.collect(),
        }
    }
}

impl Checked {
    pub(crate) fn new(pins: usize, problems: &[Problem]) -> Self {
        Self {
            pins,
            problems: problems.iter().map(Wrong::from).collect(),
            damaged: problems.iter().any(Problem::is_integrity),
        }
    }
}

impl From<&Problem> for Wrong {
    fn from(problem: &Problem) -> Self {
        let kind = match problem {
            Problem::NoLock => "no-lock",
            Problem::Conflict => "conflict",
            Problem::NotLocked(_) => "not-locked",
            Problem::NotAsked(_) => "not-asked",
            Problem::AskedOtherwise { .. } => "asked-otherwise",
            Problem::UnknownVersion(..) => "unknown-version",
            Problem::Differs(..) => "differs",
            Problem::Deprecated { .. } => "deprecated",
            Problem::Moved { .. } => "moved",
        };
        Self {
            kind,
            message: problem.to_string(),
        }
    }
}

impl View for Changes {
    const SCHEMA: &'static str = "retune.pin-change/1";

    fn human(&self, out: &mut dyn Write) -> io::Result<()> {
        for pin in &self.pins {
            match (&pin.reference, &pin.before) {
                (Some(now), None) => writeln!(out, "{} pinned to {now}", pin.name)?,
                (Some(now), Some(before)) if pin.changed => {
                    writeln!(out, "{} pinned to {now}; before {before}", pin.name)?;
                }
                (Some(now), Some(_)) => writeln!(out, "{} stays at {now}", pin.name)?,
                (None, _) => writeln!(out, "{} removed from the lock", pin.name)?,
            }
        }
        if self.pins.is_empty() {
            writeln!(out, "retune.yaml asks for no pins")?;
        }
        if self.dry_run {
            writeln!(out, "dry run: nothing was written")?;
        }
        Ok(())
    }
}

impl View for Pins {
    const SCHEMA: &'static str = "retune.pin-list/1";

    fn human(&self, out: &mut dyn Write) -> io::Result<()> {
        let row = |line: &Line| {
            let locked = line
                .version
                .clone()
                .unwrap_or_else(|| "not locked".to_owned());
            [line.name.clone(), line.asked.clone(), locked]
        };
        let rows: Vec<[String; 3]> = self.pins.iter().map(row).collect();
        table(out, ["PIN", "ASKED", "LOCKED"], &rows)
    }
}

impl View for Checked {
    const SCHEMA: &'static str = "retune.pin-check/1";

    fn human(&self, out: &mut dyn Write) -> io::Result<()> {
        for problem in &self.problems {
            writeln!(out, "{}", problem.message)?;
        }
        let verdict = match self.problems.len() {
            0 => styled(GOOD, "in order"),
            count => styled(BAD, format!("{count} wrong")),
        };
        let pins = if self.pins == 1 { "pin" } else { "pins" };
        writeln!(out, "{} {pins}: {verdict}", self.pins)?;
        match self.problems.is_empty() {
            true => Ok(()),
            false if self.damaged => writeln!(
                out,
                "lock or registry was changed: compare retune.lock with its last commit, run retune model verify"
            ),
            false => writeln!(
                out,
                "choose the versions anew: retune pin update (look first: retune pin update --dry-run)"
            ),
        }
    }
}
