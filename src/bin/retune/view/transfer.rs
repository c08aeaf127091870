//! What is printed of a store's remote.

use std::io::{self, Write};

use retune::lifecycle;
use retune::progress::{bytes, grouped};
use retune::store::Place;
use serde::Serialize;

use super::object::{Missing, Object, list_missing, size};
use crate::ui::{BAD, GOOD, View, styled};

/// Some objects, counted and summed: `12 objects, 3.4 MB`.
fn sum(objects: &[Object]) -> String {
    format!(
        "{} objects, {}",
        grouped(objects.len() as u64),
        size(objects)
    )
}

fn name(remote: Option<Place>) -> String {
    remote.map_or_else(String::new, |place| place.to_string())
}

/// Which way objects went.
#[derive(Clone, Copy, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Direction {
    Push,
    Pull,
}

/// What `store push` sent, or `store pull` fetched.
#[derive(Serialize)]
pub(crate) struct Transferred {
    remote: String,
    direction: Direction,
    dry_run: bool,
    moved: Vec<Object>,
    already: u64,
    missing: Vec<Missing>,
}

impl Transferred {
    pub(crate) fn new(
        remote: Option<Place>,
        direction: Direction,
        transferred: &lifecycle::Transferred,
        dry_run: bool,
    ) -> Self {
        Self {
            remote: name(remote),
            direction,
            dry_run,
            moved: transferred.moved.iter().map(Object::from).collect(),
            already: transferred.already,
            missing: transferred.missing.iter().map(Missing::from).collect(),
        }
    }
}

impl View for Transferred {
    const SCHEMA: &'static str = "retune.store-transfer/1";

    fn human(&self, out: &mut dyn Write) -> io::Result<()> {
        list_missing(&self.missing, "neither here nor there; ", out)?;
        let (verb, to, there) = match (self.direction, self.dry_run) {
            (Direction::Push, false) => ("pushed", "to", "there"),
            (Direction::Push, true) => ("would push", "to", "there"),
            (Direction::Pull, false) => ("pulled", "from", "here"),
            (Direction::Pull, true) => ("would pull", "from", "here"),
        };
        let (moved, already) = (sum(&self.moved), grouped(self.already));
        let remote = &self.remote;
        writeln!(
            out,
            "{verb} {moved} {to} {remote}; {already} were {there} already"
        )
    }
}

/// What `store verify --remote` found.
#[derive(Serialize)]
pub(crate) struct RemoteVerified {
    remote: String,
    objects: u64,
    bytes: u64,
    faults: Vec<Fault>,
    missing: Vec<Missing>,
}

#[derive(Serialize)]
struct Fault {
    digest: String,
    problem: String,
}

impl RemoteVerified {
    pub(crate) fn new(remote: Option<Place>, report: &lifecycle::RemoteReport) -> Self {
        let faults = report.damaged.iter().map(|(object, there)| Fault {
            digest: object.digest.to_string(),
            problem: format!("it has {there} bytes, not {}", object.size),
        });
        Self {
            remote: name(remote),
            objects: report.sound.len() as u64,
            bytes: report.sound.iter().map(|object| object.size).sum(),
            faults: faults.collect(),
            missing: report.missing.iter().map(Missing::from).collect(),
        }
    }

    pub(crate) fn is_sound(&self) -> bool {
        self.faults.is_empty() && self.missing.is_empty()
    }
}

impl View for RemoteVerified {
    const SCHEMA: &'static str = "retune.store-verify-remote/1";

    fn human(&self, out: &mut dyn Write) -> io::Result<()> {
        for Fault { digest, problem } in &self.faults {
            writeln!(out, "{} {digest}: {problem}", styled(BAD, "damaged"))?;
        }
        list_missing(&self.missing, "", out)?;
        let verdict = match (self.faults.len(), self.missing.len()) {
            (0, 0) => styled(GOOD, "sound"),
            (damaged, missing) => styled(BAD, format!("{damaged} damaged, {missing} missing")),
        };
        writeln!(
            out,
            "{} {verdict}: {} objects, {}",
            self.remote,
            grouped(self.objects),
            bytes(self.bytes)
        )
    }
}
