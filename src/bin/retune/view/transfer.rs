//! What is printed of a store's remote.

use std::io::{self, Write};

use retune::lifecycle::{self, MissingObject};
use retune::progress::{bytes, grouped};
use retune::store::{Blob, Place};
use serde::Serialize;

use crate::ui::{BAD, GOOD, View, styled};

#[derive(Serialize)]
struct Object {
    digest: String,
    bytes: u64,
}

#[derive(Serialize)]
struct Missing {
    digest: String,
    named_by: String,
}

impl From<&Blob> for Object {
    fn from(blob: &Blob) -> Self {
        Self {
            digest: blob.digest.to_string(),
            bytes: blob.size,
        }
    }
}

impl From<&MissingObject> for Missing {
    fn from(missing: &MissingObject) -> Self {
        Self {
            digest: missing.digest.to_string(),
            named_by: missing.named_by.clone(),
        }
    }
}

/// Some objects, counted and summed: `12 objects, 3.4 MB`.
fn sum(objects: &[Object]) -> String {
    format!(
        "{} objects, {}",
        grouped(objects.len() as u64),
        bytes(objects.iter().map(|object| object.bytes).sum())
    )
}

fn name(remote: Option<Place>) -> String {
    remote.map_or_else(String::new, |place| place.to_string())
}

fn list_missing(missing: &[Missing], out: &mut dyn Write) -> io::Result<()> {
    for Missing { digest, named_by } in missing {
        let word = styled(BAD, "missing");
        writeln!(
            out,
            "{word} {digest}: neither here nor there; needed by {named_by}"
        )?;
    }
    Ok(())
}

/// What `store push` sent.
#[derive(Serialize)]
pub(crate) struct Pushed {
    remote: String,
    dry_run: bool,
    sent: Vec<Object>,
    there: u64,
    missing: Vec<Missing>,
}

impl Pushed {
    pub(crate) fn new(remote: Option<Place>, pushed: &lifecycle::Pushed, dry_run: bool) -> Self {
        Self {
            remote: name(remote),
            dry_run,
            sent: pushed.sent.iter().map(Object::from).collect(),
            there: pushed.there,
            missing: pushed.missing.iter().map(Missing::from).collect(),
        }
    }
}

impl View for Pushed {
    const SCHEMA: &'static str = "retune.store-push/1";

    fn human(&self, out: &mut dyn Write) -> io::Result<()> {
        list_missing(&self.missing, out)?;
        let verb = match self.dry_run {
            true => "would push",
            false => "pushed",
        };
        let (sent, there) = (sum(&self.sent), grouped(self.there));
        writeln!(
            out,
            "{verb} {sent} to {}; {there} were there already",
            self.remote
        )
    }
}

/// What `store pull` fetched.
#[derive(Serialize)]
pub(crate) struct Pulled {
    remote: String,
    dry_run: bool,
    fetched: Vec<Object>,
    here: u64,
    missing: Vec<Missing>,
}

impl Pulled {
    pub(crate) fn new(remote: Option<Place>, pulled: &lifecycle::Pulled, dry_run: bool) -> Self {
        Self {
            remote: name(remote),
            dry_run,
            fetched: pulled.fetched.iter().map(Object::from).collect(),
            here: pulled.here,
            missing: pulled.missing.iter().map(Missing::from).collect(),
        }
    }
}

impl View for Pulled {
    const SCHEMA: &'static str = "retune.store-pull/1";

    fn human(&self, out: &mut dyn Write) -> io::Result<()> {
        list_missing(&self.missing, out)?;
        let verb = match self.dry_run {
            true => "would pull",
            false => "pulled",
        };
        let (fetched, here) = (sum(&self.fetched), grouped(self.here));
        writeln!(
            out,
            "{verb} {fetched} from {}; {here} were here already",
            self.remote
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
        for Missing { digest, named_by } in &self.missing {
            writeln!(
                out,
                "{} {digest}: named by {named_by}",
                styled(BAD, "missing")
            )?;
        }
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
