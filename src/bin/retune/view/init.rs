//! What `init` prints.

use std::io::{self, Write};

use retune::lifecycle::Initialised;
use serde::Serialize;

use crate::ui::View;

/// Each part of a project, and whether it is new.
#[derive(Serialize)]
pub(crate) struct Project {
    root: String,
    tenant: String,
    dry_run: bool,
    parts: Vec<Part>,
}

#[derive(Serialize)]
struct Part {
    path: String,
    new: bool,
}

impl Project {
    pub(crate) fn new(root: String, tenant: String, dry_run: bool, done: &Initialised) -> Self {
        let part = |(path, new): &(String, bool)| Part {
            path: path.clone(),
            new: *new,
        };
        Self {
            root,
            tenant,
            dry_run,
            parts: done.parts.iter().map(part).collect(),
        }
    }
}

impl View for Project {
    const SCHEMA: &'static str = "retune.init/1";

    fn human(&self, out: &mut dyn Write) -> io::Result<()> {
        for part in &self.parts {
            let word = match (part.new, self.dry_run) {
                (true, true) => "would add",
                (true, false) => "added",
                (false, _) => "kept",
            };
            let what = match part.path.as_str() {
                ".gitignore" => "/.retune/ in .gitignore",
                path => path,
            };
            writeln!(out, "{word} {what}")?;
        }
        writeln!(out, "tenant {}", self.tenant)
    }
}
