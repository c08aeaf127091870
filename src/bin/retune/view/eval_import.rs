//! Views of imported cases.

use std::io::{self, Write};
use std::path::{Path, PathBuf};

use retune::eval::Suite;
use retune::progress::grouped;
use serde::Serialize;

use crate::ui::{DIM, View, styled};

/// A suite that was written down.
#[derive(Serialize)]
pub(crate) struct Written {
    name: String,
    cases: u64,
    folder: PathBuf,
    dry_run: bool,
}

impl Written {
    pub(crate) fn new(suite: &Suite, folder: &Path, dry_run: bool) -> Self {
        Self {
            name: suite.name().to_string(),
            cases: suite.cases().len() as u64,
            folder: folder.to_owned(),
            dry_run,
        }
    }
}

impl View for Written {
    const SCHEMA: &'static str = "retune.eval-import/1";

    fn human(&self, out: &mut dyn Write) -> io::Result<()> {
        let how = if self.dry_run { "would write" } else { "wrote" };
        let (cases, file) = (grouped(self.cases), self.folder.join("suite.yaml"));
        writeln!(
            out,
            "{how} {} and cases.jsonl: suite {}, {cases} cases",
            file.display(),
            self.name
        )?;
        let next = format!("retune eval {} --model REF", file.display());
        writeln!(out, "{}", styled(DIM, format!("next: {next}")))
    }
}
