//! Views of the store.

use std::io::{self, Write};

use retune::lifecycle::MissingObject;
use retune::progress::{bytes, grouped};
use retune::store::{Damage, Garbage, GcPlan, Store, StoreReport};
use serde::Serialize;

use super::object::{Missing, Object, list_missing, size};
use crate::ui::{BAD, GOOD, View, styled};

/// What `store verify` found.
#[derive(Serialize)]
pub(crate) struct Verified {
    objects: u64,
    bytes: u64,
    faults: Vec<Fault>,
    missing: Vec<Missing>,
    /// Absent when damage made it impossible to tell.
    #[serde(skip_serializing_if = "Option::is_none")]
    unnamed: Option<Vec<Object>>,
}

#[derive(Serialize)]
struct Fault {
    path: String,
    problem: String,
}

fn objects(garbage: &[Garbage]) -> Vec<Object> {
    garbage.iter().map(Object::from).collect()
}

impl Verified {
    pub(crate) fn new(
        report: &StoreReport,
        missing: &[MissingObject],
        unnamed: Option<&[Garbage]>,
    ) -> Self {
        let faults = report.faults.iter().map(|fault| Fault {
            path: fault.path.display().to_string(),
            problem: match &fault.damage {
                Damage::Hashes { found } => format!("hashes to {found}"),
                Damage::Foreign => "the name is not a digest".to_owned(),
                Damage::Unreadable(why) => format!("cannot be read: {why}"),
            },
        });
        Self {
            objects: report.sound,
            bytes: report.bytes,
            faults: faults.collect(),
            missing: missing.iter().map(Missing::from).collect(),
            unnamed: unnamed.map(objects),
        }
    }

    pub(crate) fn is_sound(&self) -> bool {
        self.faults.is_empty() && self.missing.is_empty()
    }
}

impl View for Verified {
    const SCHEMA: &'static str = "retune.store-verify/1";

    fn human(&self, out: &mut dyn Write) -> io::Result<()> {
        let bad = |word: &str| styled(BAD, word);
        for Fault { path, problem } in &self.faults {
            writeln!(out, "{} {path}: {problem}", bad("damaged"))?;
        }
        list_missing(&self.missing, "", out)?;
        let verdict = match (self.faults.len(), self.missing.len()) {
            (0, 0) => styled(GOOD, "sound"),
            (damaged, 0) => styled(BAD, format!("{damaged} damaged")),
            (0, missing) => styled(BAD, format!("{missing} missing")),
            (damaged, missing) => styled(BAD, format!("{damaged} damaged, {missing} missing")),
        };
        let unnamed = match self.unnamed.as_deref() {
            None | Some([]) => String::new(),
            Some(objects) => format!(
                "; {} of them named by nobody",
                grouped(objects.len() as u64)
            ),
        };
        writeln!(
            out,
            "store {verdict}: {} objects, {}{unnamed}",
            grouped(self.objects),
            bytes(self.bytes)
        )
    }
}

/// What `store gc plan` found.
#[derive(Serialize)]
pub(crate) struct Planned {
    root_documents: u64,
    root_digests: u64,
    live: u64,
    live_bytes: u64,
    young: u64,
    garbage: Vec<Object>,
    left_over: usize,
}

impl From<&GcPlan> for Planned {
    fn from(plan: &GcPlan) -> Self {
        Self {
            root_documents: plan.roots.documents(),
            root_digests: plan.roots.digests(),
            live: plan.live,
            live_bytes: plan.live_bytes,
            young: plan.young,
            garbage: objects(&plan.garbage),
            left_over: plan.left_over.len(),
        }
    }
}

impl Planned {
    fn found(&self, out: &mut dyn Write) -> io::Result<()> {
        writeln!(
            out,
            "{} documents name {} digests: {} objects stay, {}; {} more are young",
            grouped(self.root_documents),
            grouped(self.root_digests),
            grouped(self.live),
            bytes(self.live_bytes),
            grouped(self.young)
        )?;
        for object in &self.garbage {
            writeln!(out, "  {} ({})", object.digest, bytes(object.bytes))?;
        }
        Ok(())
    }
}

impl View for Planned {
    const SCHEMA: &'static str = "retune.store-gc-plan/1";

    fn human(&self, out: &mut dyn Write) -> io::Result<()> {
        self.found(out)?;
        writeln!(
            out,
            "a sweep would move {} objects, {}, and remove {} temporary files",
            grouped(self.garbage.len() as u64),
            size(&self.garbage),
            self.left_over
        )
    }
}

/// What `store gc sweep` did.
#[derive(Serialize)]
pub(crate) struct Swept {
    #[serde(flatten)]
    plan: Planned,
    put_back: u64,
    trash: Option<String>,
}

impl Swept {
    pub(crate) fn new(swept: &retune::store::Swept, store: &Store) -> Self {
        let inside = |path: &std::path::PathBuf| {
            let relative = path.strip_prefix(store.root()).unwrap_or(path);
            relative.display().to_string()
        };
        Self {
            plan: Planned::from(&swept.plan),
            put_back: swept.put_back,
            trash: swept.trash.as_ref().map(inside),
        }
    }
}

impl View for Swept {
    const SCHEMA: &'static str = "retune.store-gc-sweep/1";

    fn human(&self, out: &mut dyn Write) -> io::Result<()> {
        self.plan.found(out)?;
        let garbage = &self.plan.garbage;
        let into = self.trash.iter().map(|trash| format!(" into {trash}"));
        writeln!(
            out,
            "moved {} objects, {}{}; removed {} temporary files",
            grouped(garbage.len() as u64 - self.put_back),
            size(garbage),
            into.collect::<String>(),
            self.plan.left_over
        )?;
        match self.put_back {
            0 => Ok(()),
            count => writeln!(out, "put {count} back: somebody needs them by now"),
        }
    }
}

/// What `store gc purge` did.
#[derive(Serialize)]
pub(crate) struct Purged {
    dry_run: bool,
    gone: Vec<Object>,
    put_back: Vec<Object>,
    waiting: u64,
}

impl Purged {
    pub(crate) fn new(purged: &retune::store::Purged, dry_run: bool) -> Self {
        Self {
            dry_run,
            gone: objects(&purged.gone),
            put_back: objects(&purged.put_back),
            waiting: purged.waiting,
        }
    }
}

impl View for Purged {
    const SCHEMA: &'static str = "retune.store-gc-purge/1";

    fn human(&self, out: &mut dyn Write) -> io::Result<()> {
        let would = if self.dry_run { "would have " } else { "" };
        writeln!(
            out,
            "{would}removed {} objects, {}; {} wait in the trash; put {} back",
            grouped(self.gone.len() as u64),
            size(&self.gone),
            grouped(self.waiting),
            self.put_back.len()
        )
    }
}
