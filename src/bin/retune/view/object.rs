//! Objects of a store as they are listed.

use std::io::{self, Write};

use retune::lifecycle::MissingObject;
use retune::progress::bytes;
use retune::store::{Blob, Garbage};
use serde::Serialize;

use crate::ui::{BAD, styled};

/// An object that is there.
#[derive(Serialize)]
pub(super) struct Object {
    pub(super) digest: String,
    pub(super) bytes: u64,
}

/// An object that is not there, and what needs it.
#[derive(Serialize)]
pub(super) struct Missing {
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

impl From<&Garbage> for Object {
    fn from(garbage: &Garbage) -> Self {
        Self {
            digest: garbage.digest.to_string(),
            bytes: garbage.size,
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

/// What they take together: `3.4 MB`.
pub(super) fn size(objects: &[Object]) -> String {
    bytes(objects.iter().map(|object| object.bytes).sum())
}

/// A line for each, with more about where it is missing where that has to be said.
pub(super) fn list_missing(
    missing: &[Missing],
    place: &str,
    out: &mut dyn Write,
) -> io::Result<()> {
    for Missing { digest, named_by } in missing {
        let word = styled(BAD, "missing");
        writeln!(out, "{word} {digest}: {place}named by {named_by}")?;
    }
    Ok(())
}
