//! What a re-reading of datasets or bases found.

use std::error::Error;
use std::io::{self, Write};

use retune::progress::bytes;
use serde::Serialize;

use crate::exit::Exit;
use crate::ui::{BAD, GOOD, View, styled};

/// What `dataset verify` and `base verify` found.
#[derive(Serialize)]
pub(crate) struct Verified {
    noun: &'static str,
    pub(crate) items: Vec<VerifiedItem>,
}

/// One version.
#[derive(Serialize)]
pub(crate) struct VerifiedItem {
    name: String,
    id: String,
    #[serde(skip)]
    contents: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    bytes: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    problem: Option<String>,
}

impl Verified {
    pub(crate) fn new(noun: &'static str) -> Self {
        Self {
            noun,
            items: Vec::new(),
        }
    }

    pub(crate) fn exit(&self) -> Exit {
        if self.items.iter().all(|item| item.problem.is_none()) {
            Exit::Done
        } else {
            Exit::Integrity
        }
    }
}

impl VerifiedItem {
    pub(crate) fn sound(name: String, id: String, contents: String, bytes: u64) -> Self {
        Self {
            name,
            id,
            contents,
            bytes: Some(bytes),
            problem: None,
        }
    }

    pub(crate) fn damaged(name: String, id: String, error: &dyn Error) -> Self {
        let mut problem = error.to_string();
        let mut source = error.source();
        while let Some(cause) = source {
            problem.push_str(&format!(": {cause}"));
            source = cause.source();
        }
        Self {
            name,
            id,
            contents: String::new(),
            bytes: None,
            problem: Some(problem),
        }
    }
}

impl View for Verified {
    const SCHEMA: &'static str = "retune.verify/1";

    fn human(&self, out: &mut dyn Write) -> io::Result<()> {
        if self.items.is_empty() {
            return writeln!(out, "there is no {} to verify", self.noun);
        }
        for item in &self.items {
            match (&item.problem, item.bytes) {
                (Some(problem), _) => {
                    writeln!(out, "{} {}: {problem}", styled(BAD, "damaged"), item.name)?;
                }
                (None, size) => writeln!(
                    out,
                    "{} {}: {}, {}",
                    styled(GOOD, "sound"),
                    item.name,
                    item.contents,
                    bytes(size.unwrap_or_default())
                )?,
            }
        }
        Ok(())
    }
}
