//! Views of cases that are added to suites.

use std::io::{self, Write};

use retune::eval::{AddedCase, Provenance};
use serde::Serialize;

use crate::ui::{BOLD, View, styled};

/// What `eval add-case` did.
#[derive(Serialize)]
pub(crate) struct Added {
    /// Whether it was written.
    added: bool,
    id: String,
    file: String,
    line: usize,
    text: String,
    expected: String,
    retune: Provenance,
}

impl Added {
    pub(crate) fn new(added: &AddedCase, dry_run: bool) -> Self {
        Self {
            added: !dry_run,
            id: added.case.id.clone(),
            file: added.file.display().to_string(),
            line: added.line,
            text: added.case.text.clone(),
            expected: added.case.label.clone(),
            retune: added.provenance.clone(),
        }
    }
}

impl View for Added {
    const SCHEMA: &'static str = "retune.eval-case/1";

    fn human(&self, out: &mut dyn Write) -> io::Result<()> {
        let would = if self.added { "added" } else { "would add" };
        let (id, file, line) = (styled(BOLD, &self.id), &self.file, self.line);
        writeln!(out, "{would} {id} at {file}:{line}")?;
        writeln!(out, "  asks      {:?}", self.text)?;
        writeln!(out, "  expects   {:?}", self.expected)?;
        let notes = [
            ("source", &self.retune.source),
            ("failed", &self.retune.first_fail),
            ("by", &self.retune.added_by),
        ];
        for (head, note) in notes {
            if let Some(note) = note {
                writeln!(out, "  {head:<9} {note}")?;
            }
        }
        Ok(())
    }
}
