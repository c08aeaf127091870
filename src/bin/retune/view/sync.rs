//! What `sync` prints.

use std::io::{self, Write};

use retune::git::Remote;
use retune::registry;
use serde::Serialize;

use crate::ui::{BAD, DOUBT, View, styled};

/// What came of keeping two clones in step.
#[derive(Serialize)]
pub(crate) struct Synced {
    remote: String,
    dry_run: bool,
    received: usize,
    sent: usize,
    yielded: Vec<Yielded>,
    #[serde(skip_serializing_if = "Option::is_none")]
    kept: Option<String>,
    forks: Vec<String>,
    missing_objects: usize,
}

#[derive(Serialize)]
struct Yielded {
    what: String,
    here: String,
    there: String,
}

impl Synced {
    pub(crate) fn new(
        remote: &Remote,
        synced: &registry::Synced,
        missing_objects: usize,
        dry_run: bool,
    ) -> Self {
        let yielded = synced.yielded.iter().map(|one| Yielded {
            what: one.what.clone(),
            here: one.here.clone(),
            there: one.there.clone(),
        });
        Self {
            remote: remote.to_string(),
            dry_run,
            received: synced.received,
            sent: synced.sent,
            yielded: yielded.collect(),
            kept: synced.kept.clone(),
            forks: synced.forks.clone(),
            missing_objects,
        }
    }
}

impl View for Synced {
    const SCHEMA: &'static str = "retune.sync/1";

    fn human(&self, out: &mut dyn Write) -> io::Result<()> {
        let remote = &self.remote;
        match (self.received + self.sent + self.yielded.len(), self.dry_run) {
            (0, _) => writeln!(out, "in step with {remote} already")?,
            (_, true) => writeln!(
                out,
                "would receive {} and send {} decisions: {remote}",
                self.received, self.sent
            )?,
            (_, false) => writeln!(
                out,
                "in step with {remote}: received {} and sent {} decisions",
                self.received, self.sent
            )?,
        }
        for one in &self.yielded {
            let (what, here, there) = (&one.what, &one.here, &one.there);
            writeln!(
                out,
                "{} {what}: {here}; there {there}",
                styled(DOUBT, "gave way")
            )?;
        }
        if let Some(kept) = &self.kept {
            writeln!(out, "what gave way is kept as {kept} of the registry")?;
        }
        for fork in &self.forks {
            let alias = fork
                .split_once('/')
                .map_or(fork.as_str(), |(_, alias)| alias);
            writeln!(
                out,
                "{} {fork}; settle it: retune model rollback {alias}",
                styled(BAD, "moved in two places")
            )?;
        }
        if self.missing_objects > 0 {
            writeln!(
                out,
                "{} files that the registry names are not in this store: share the store with the other clone, \
                 or fetch them from a bucket (retune store pull); `retune store verify` lists them",
                self.missing_objects
            )?;
        }
        Ok(())
    }
}
