//! Views of what is wrong with a project.

use std::io::{self, Write};

use retune::lifecycle::Ailment;
use serde::Serialize;

use crate::ui::{BAD, GOOD, View, styled};

/// What `doctor` found.
#[derive(Serialize)]
pub(crate) struct Examined {
    ailments: Vec<Line>,
}

#[derive(Serialize)]
struct Line {
    kind: &'static str,
    what: String,
    why: String,
    mend: &'static str,
    mended: bool,
}

impl From<&[Ailment]> for Examined {
    fn from(ailments: &[Ailment]) -> Self {
        let line = |ailment: &Ailment| Line {
            kind: ailment.kind.word(),
            what: ailment.what.clone(),
            why: ailment.why.clone(),
            mend: ailment.kind.mend(),
            mended: ailment.mended,
        };
        Self {
            ailments: ailments.iter().map(line).collect(),
        }
    }
}

impl View for Examined {
    const SCHEMA: &'static str = "retune.doctor/1";

    fn human(&self, out: &mut dyn Write) -> io::Result<()> {
        for line in &self.ailments {
            let kind = match line.mended {
                true => styled(GOOD, format!("mended {}", line.kind)),
                false => styled(BAD, line.kind),
            };
            let why = match line.why.as_str() {
                "" => String::new(),
                why => format!(": {why}"),
            };
            writeln!(out, "{kind} {}{why}", line.what)?;
            if !line.mended {
                writeln!(out, "  mend: {}", line.mend)?;
            }
        }
        match self.ailments.as_slice() {
            [] => writeln!(out, "nothing is wrong"),
            _ => Ok(()),
        }
    }
}
