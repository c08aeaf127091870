//! Who is about to move a reference: so that the lock file that a killed writer left is known for one at once.

use std::fs;
use std::io;
use std::path::Path;
use std::time::Duration;

use super::commit::CommitId;
use super::error::GitError;
use crate::fsio::Context;
use crate::process::Identity;

/// Where the last writer left its note, in the git directory.
const NOTE: &str = "retune.writer";
/// A lock file without content was just made, or its writer was killed before it wrote.
const EMPTY: Duration = Duration::from_millis(250);

/// Leaves the note that this process is about to point `reference` to `commit`.
pub(super) fn note(dir: &Path, reference: &str, commit: CommitId) -> Result<(), GitError> {
    let Some(own) = Identity::own() else {
        return Ok(());
    };
    let path = dir.join(NOTE);
    fs::write(&path, format!("{own} {reference} {}\n", commit.0)).doing("write", &path)?;
    Ok(())
}

/// Whether the last writer of `reference` was killed and this is its lock file: it holds the commit of the note.
pub(super) fn was_killed(
    dir: &Path,
    reference: &str,
    lock: &Path,
    age: Duration,
) -> Result<bool, GitError> {
    let Some(note) = text(&dir.join(NOTE))? else {
        return Ok(false);
    };
    let fields: Vec<&str> = note.split_ascii_whitespace().collect();
    let [process, of, commit] = fields[..] else {
        return Ok(false);
    };
    let held = text(lock)?.unwrap_or_default();
    let same = match held.trim() {
        "" => age > EMPTY,
        held => commit.starts_with(held),
    };
    let ended = || {
        process
            .parse()
            .is_ok_and(|process: Identity| process.has_ended())
    };
    Ok(of == reference && same && ended())
}

fn text(path: &Path) -> Result<Option<String>, GitError> {
    match fs::read(path) {
        Ok(bytes) => Ok(Some(String::from_utf8_lossy(&bytes).into_owned())),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error).doing("read", path).map_err(GitError::from),
    }
}
