//! The answers that came so far, so that an interrupted evaluation goes on where it stopped.
//!
//! One line for each answer: the first 12 digits of the SHA-256 of the rest of the line, a blank, and JSON. The first
//! line says what the journal is about. A last line without its line feed was being written when the process died and
//! is dropped; anything else that does not read back is damage, and nothing is made of it.

use std::collections::BTreeMap;
use std::fs::{File, OpenOptions};
use std::io::{Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::answered::Said;
use crate::digest::Digest;
use crate::eval::error::EvalError;
use crate::fsio;

const SCHEMA: &str = "retune.journal/1";

/// What the journal is about.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Head {
    schema: String,
    about: Digest,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Entry {
    id: String,
    repeat: u32,
    said: Said,
}

/// A journal that is being written.
pub(super) struct Journal {
    path: PathBuf,
    file: File,
    _lock: fsio::Lock,
}

/// The answers in a journal, by case and repeat.
pub(super) type Known = BTreeMap<(String, u32), Said>;

impl Journal {
    /// Opens the journal of an evaluation, which is begun if it is not there.
    pub(super) fn open(path: &Path, about: Digest) -> Result<(Self, Known), EvalError> {
        if let Some(dir) = path.parent() {
            fsio::create_dir(dir)?;
        }
        let lock = fsio::Lock::try_exclusive(&path.with_extension("lock"))?;
        let lock = lock.ok_or_else(|| EvalError::Busy(path.to_owned()))?;
        let bytes = match path.exists() {
            true => fsio::read(path)?,
            false => Vec::new(),
        };
        let whole = bytes
            .iter()
            .rposition(|byte| *byte == b'\n')
            .map_or(0, |end| end + 1);
        let known = read(path, &bytes[..whole], about)?;
        let failed = |source| EvalError::JournalFile {
            path: path.to_owned(),
            source,
        };
        let options = OpenOptions::new()
            .create(true)
            .truncate(false)
            .write(true)
            .open(path);
        let mut file = options.map_err(failed)?;
        file.set_len(whole as u64).map_err(failed)?;
        file.seek(SeekFrom::End(0)).map_err(failed)?;
        let mut journal = Self {
            path: path.to_owned(),
            file,
            _lock: lock,
        };
        if whole == 0 {
            journal.append(&Head {
                schema: SCHEMA.to_owned(),
                about,
            })?;
        }
        Ok((journal, known))
    }

    /// Adds an answer.
    pub(super) fn add(&mut self, id: &str, repeat: u32, said: &Said) -> Result<(), EvalError> {
        self.append(&Entry {
            id: id.to_owned(),
            repeat,
            said: said.clone(),
        })
    }

    fn append(&mut self, value: &impl Serialize) -> Result<(), EvalError> {
        let failed = |source| EvalError::JournalFile {
            path: self.path.clone(),
            source,
        };
        let line = sealed(value).map_err(|error| failed(error.into()))?;
        self.file.write_all(line.as_bytes()).map_err(failed)
    }
}

/// One line that says when it was changed.
pub(super) fn sealed(value: &impl Serialize) -> Result<String, serde_json::Error> {
    let text = serde_json::to_string(value)?;
    Ok(format!("{} {text}\n", Digest::of(text.as_bytes()).short()))
}

/// What a sealed line, without its line feed, holds.
pub(super) fn unsealed<T: for<'a> Deserialize<'a>>(line: &[u8]) -> Result<T, String> {
    let line = std::str::from_utf8(line).map_err(|_| "it is not UTF-8")?;
    let (seal, text) = line.split_once(' ').ok_or("it is not sealed")?;
    if Digest::of(text.as_bytes()).short() != seal {
        return Err("it was changed after it was written".to_owned());
    }
    serde_json::from_str(text).map_err(|error| error.to_string())
}

fn read(path: &Path, bytes: &[u8], about: Digest) -> Result<Known, EvalError> {
    let damaged = |line: usize, why: String| EvalError::Journal {
        path: path.to_owned(),
        line,
        why,
    };
    let mut known = Known::new();
    let Some(bytes) = bytes.strip_suffix(b"\n") else {
        return Ok(known);
    };
    for (index, line) in bytes.split(|byte| *byte == b'\n').enumerate() {
        let number = index + 1;
        if index == 0 {
            let head: Head = unsealed(line).map_err(|why| damaged(number, why))?;
            if head.schema != SCHEMA || head.about != about {
                return Err(damaged(number, "it is about something else".to_owned()));
            }
            continue;
        }
        let entry: Entry = unsealed(line).map_err(|why| damaged(number, why))?;
        let key = (entry.id, entry.repeat);
        if known.contains_key(&key) {
            return Err(damaged(number, format!("case {:?} is there twice", key.0)));
        }
        known.insert(key, entry.said);
    }
    Ok(known)
}
