//! Views of the store.

use std::io::{self, Write};

use retune::progress::{bytes, grouped};
use retune::store::{Damage, StoreReport};
use serde::Serialize;

use crate::ui::{BAD, GOOD, View, styled};

/// What `store verify` found.
#[derive(Serialize)]
pub(crate) struct Verified {
    objects: u64,
    bytes: u64,
    faults: Vec<Fault>,
}

#[derive(Serialize)]
struct Fault {
    path: String,
    problem: String,
}

impl From<&StoreReport> for Verified {
    fn from(report: &StoreReport) -> Self {
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
        }
    }
}

impl View for Verified {
    const SCHEMA: &'static str = "retune.store-verify/1";

    fn human(&self, out: &mut dyn Write) -> io::Result<()> {
        for fault in &self.faults {
            writeln!(
                out,
                "{} {}: {}",
                styled(BAD, "damaged"),
                fault.path,
                fault.problem
            )?;
        }
        let verdict = if self.faults.is_empty() {
            styled(GOOD, "sound")
        } else {
            styled(BAD, format!("{} damaged", self.faults.len()))
        };
        writeln!(
            out,
            "store {verdict}: {} objects, {}",
            grouped(self.objects),
            bytes(self.bytes)
        )
    }
}
