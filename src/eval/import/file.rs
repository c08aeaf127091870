//! Files of other tools: read whole within limits, with places for what is wrong in them.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};
use std::io::Read;
use std::path::{Path, PathBuf};

use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::dataset::{Message, Role};
use crate::digest::Digest;
use crate::document::{Decimal, Fault, Faults};
use crate::fsio;

/// A log that is larger than this is split, or is something else.
const MAX_BYTES: u64 = 1 << 30;
/// After so many faults the rest is only counted.
const MAX_FAULTS: usize = 20;
/// A value of metadata that is longer is a text, and nothing that cases are grouped by.
const MAX_GROUP: usize = 128;

/// One file.
pub(super) struct File {
    pub(super) path: PathBuf,
    pub(super) bytes: Vec<u8>,
}

impl File {
    pub(super) fn read(path: &Path) -> Result<Self, Faults> {
        let mut file = Self {
            path: path.to_owned(),
            bytes: Vec::new(),
        };
        let opened = fsio::open(path)
            .map_err(|error| file.whole(format!("cannot open: {}", error.source)))?;
        let read = opened.take(MAX_BYTES + 1).read_to_end(&mut file.bytes);
        read.map_err(|error| file.whole(format!("cannot read: {error}")))?;
        match file.bytes.len() as u64 > MAX_BYTES {
            true => Err(file
                .whole(format!("more than the {MAX_BYTES} bytes allowed"))
                .into()),
            false => Ok(file),
        }
    }

    pub(super) fn empty() -> Self {
        Self {
            path: PathBuf::new(),
            bytes: Vec::new(),
        }
    }

    pub(super) fn digest(&self) -> Digest {
        Digest::of(&self.bytes)
    }

    /// The name's ending, in lower case.
    pub(super) fn ending(&self) -> String {
        let ending = self.path.extension().unwrap_or_default();
        ending.to_string_lossy().to_lowercase()
    }

    pub(super) fn name(&self) -> String {
        let name = self.path.file_name().unwrap_or_default();
        name.to_string_lossy().into_owned()
    }

    pub(super) fn text(&self) -> Result<&str, Faults> {
        let text = std::str::from_utf8(&self.bytes);
        text.map(|text| text.trim_start_matches('\u{feff}'))
            .map_err(|error| {
                let before = &self.bytes[..error.valid_up_to()];
                let line = 1 + before.iter().filter(|byte| **byte == b'\n').count();
                self.at(line, "not UTF-8").into()
            })
    }

    /// The whole file as JSON.
    pub(super) fn json<T: DeserializeOwned>(&self) -> Result<T, Faults> {
        json(&self.bytes).map_err(|(line, why)| self.at(line, why).into())
    }

    /// The lines that hold something, with their numbers from 1.
    pub(super) fn lines(&self) -> impl Iterator<Item = (usize, &[u8])> {
        let lines = self.bytes.split(|byte| *byte == b'\n').enumerate();
        let lines = lines.map(|(index, line)| (index + 1, line.trim_ascii()));
        lines.filter(|(_, line)| !line.is_empty())
    }

    /// Each line as JSON, or what is wrong with it.
    pub(super) fn rows<T: DeserializeOwned>(&self) -> Result<Vec<(usize, T)>, Faults> {
        let mut faults = Vec::new();
        let mut rows = Vec::new();
        for (number, line) in self.lines() {
            match json(line) {
                Ok(row) => rows.push((number, row)),
                Err((_, why)) => faults.push(self.at(number, why)),
            }
        }
        check(faults)?;
        Ok(rows)
    }

    /// A fault of the file as a whole.
    pub(super) fn whole(&self, message: impl Into<String>) -> Fault {
        Fault {
            file: self.path.clone(),
            line: None,
            key: String::new(),
            message: message.into(),
        }
    }

    pub(super) fn at(&self, line: usize, message: impl Into<String>) -> Fault {
        Fault {
            line: Some(line),
            ..self.whole(message)
        }
    }

    pub(super) fn under(&self, key: impl Into<String>, message: impl Into<String>) -> Fault {
        Fault {
            key: key.into(),
            ..self.whole(message)
        }
    }
}

/// `Ok` when there is nothing to say, else the first faults and how many more there are.
pub(super) fn check(mut faults: Vec<Fault>) -> Result<(), Faults> {
    faults.sort_by_key(|fault| fault.line);
    let more = faults.len().saturating_sub(MAX_FAULTS);
    if more > 0 {
        faults.truncate(MAX_FAULTS);
        let last = faults.last().cloned();
        faults.extend(last.map(|last| Fault {
            key: String::new(),
            message: format!("and {more} more faults after this"),
            ..last
        }));
    }
    Faults::check(faults)
}

/// Rows with the lines on which they begin.
pub(super) type Records = Vec<(usize, Vec<String>)>;

/// The header of a CSV file, and its rows. A column that stands twice, and a row of another length, are faults.
pub(super) fn csv(file: &File) -> Result<(Vec<String>, Records), Faults> {
    let mut reader = csv::ReaderBuilder::new().from_reader(file.text()?.as_bytes());
    let header = reader
        .headers()
        .map_err(|error| file.at(1, format!("not CSV: {error}")))?;
    let header: Vec<String> = header.iter().map(|name| name.trim().to_owned()).collect();
    let mut faults = Vec::new();
    let mut met = BTreeSet::new();
    let twice = header.iter().filter(|name| !met.insert(name.as_str()));
    faults.extend(twice.map(|name| file.at(1, format!("the column {name:?} stands twice"))));
    let mut records = Vec::new();
    for record in reader.records() {
        match record {
            Ok(record) => {
                let line = record
                    .position()
                    .map_or(1, |position| position.line() as usize);
                records.push((line, record.iter().map(str::to_owned).collect()));
            }
            Err(error) => {
                let line = error
                    .position()
                    .map_or(1, |position| position.line() as usize);
                faults.push(file.at(line, csv_fault(&error)));
            }
        }
    }
    check(faults)?;
    Ok((header, records))
}

fn csv_fault(error: &csv::Error) -> String {
    match error.kind() {
        csv::ErrorKind::UnequalLengths {
            expected_len, len, ..
        } => {
            format!("{len} cells; the header has {expected_len}")
        }
        _ => format!("not CSV: {error}"),
    }
}

/// JSON as Python writes it too: `NaN` and `Infinity` are nothing. An error has its line.
pub(super) fn json<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, (usize, String)> {
    let bytes = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes);
    serde_json::from_slice(&finite(bytes)).map_err(|error| {
        let message = error.to_string();
        let what = message
            .rfind(" at line ")
            .map_or(message.as_str(), |at| &message[..at]);
        (
            error.line().max(1),
            format!("not what the tool writes: {what}"),
        )
    })
}

/// The same with `null` in the place of numbers that JSON does not have.
fn finite(bytes: &[u8]) -> Cow<'_, [u8]> {
    const WORDS: [&[u8]; 3] = [b"-Infinity", b"Infinity", b"NaN"];
    let mut out: Option<Vec<u8>> = None;
    let (mut at, mut quoted) = (0, false);
    while let Some(&byte) = bytes.get(at) {
        let rest = &bytes[at..];
        let may = !quoted && matches!(byte, b'-' | b'I' | b'N');
        let word = WORDS.into_iter().find(|word| may && rest.starts_with(word));
        let length = match (byte, word) {
            (_, Some(word)) => {
                out.get_or_insert_with(|| bytes[..at].to_vec())
                    .extend(b"null");
                at += word.len();
                continue;
            }
            (b'\\', _) if quoted => rest.len().min(2),
            (b'"', _) => {
                quoted = !quoted;
                1
            }
            _ => 1,
        };
        if let Some(out) = &mut out {
            out.extend(&rest[..length]);
        }
        at += length;
    }
    out.map_or(Cow::Borrowed(bytes), Cow::Owned)
}

/// A text, number or truth value as text.
pub(super) fn scalar(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.clone()),
        Value::Number(number) => Some(number.to_string()),
        Value::Bool(truth) => Some(truth.to_string()),
        Value::Null | Value::Array(_) | Value::Object(_) => None,
    }
}

/// A text as it stands, anything else as JSON.
pub(super) fn shown(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

/// What cases can be grouped by: short scalar values.
pub(super) fn groups(values: &serde_json::Map<String, Value>) -> BTreeMap<String, String> {
    let short = |(key, value): (&String, &Value)| {
        let text = scalar(value).filter(|text| text.len() <= MAX_GROUP)?;
        Some((key.clone(), text))
    };
    values.iter().filter_map(short).collect()
}

/// A number or truth value as a score; nothing for what is missing or no finite number.
pub(super) fn number(value: &Value) -> Option<Decimal> {
    let number = match value {
        Value::Bool(truth) => f64::from(*truth),
        other => other.as_f64()?,
    };
    Decimal::new(number).ok()
}

/// A conversation of plain texts that somebody asks in last, and its last question.
pub(super) fn conversation(value: &Value) -> Option<(String, Vec<Message>)> {
    let turns = value.as_array()?;
    let message = |turn: &Value| {
        let role = match turn.get("role")?.as_str()? {
            "system" => Role::System,
            "user" => Role::User,
            "assistant" => Role::Assistant,
            _ => return None,
        };
        let content = turn.get("content")?.as_str()?.to_owned();
        Some(Message { role, content })
    };
    let messages = turns
        .iter()
        .map(message)
        .collect::<Option<Vec<Message>>>()?;
    let last = messages.last().filter(|last| last.role == Role::User)?;
    Some((last.content.clone(), messages))
}

/// What was asked: the last question of a conversation, or a text.
pub(super) fn asked(value: &Value) -> (String, Vec<Message>) {
    let parsed = value
        .as_str()
        .filter(|text| text.trim_start().starts_with('['));
    let parsed: Option<Value> = parsed.and_then(|text| serde_json::from_str(text).ok());
    let found = parsed
        .as_ref()
        .and_then(conversation)
        .or_else(|| conversation(value));
    found.unwrap_or_else(|| (shown(value), Vec::new()))
}

/// The name of a metric in the letters that policies use.
pub(super) fn metric(name: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.');
    name.trim()
        .chars()
        .map(|c| if plain(c) { c } else { '_' })
        .collect()
}

/// A name for a suite in the letters that names have; `None` where nothing is left.
pub(super) fn suite_name(text: &str) -> Option<crate::name::SuiteName> {
    let letter = |c: char| match c.to_ascii_lowercase() {
        c if c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-') => c,
        _ => '-',
    };
    let name: String = text.trim().chars().map(letter).take(63).collect();
    let name = name.trim_matches(['-', '.', '_']);
    name.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_that_json_does_not_have_are_nothing() {
        let value: Value = json(br#"{"a": NaN, "b": [-Infinity, 1, Infinity], "c": "NaN \" NaN"}"#)
            .unwrap_or_default();
        let expected = serde_json::json!({"a": null, "b": [null, 1, null], "c": "NaN \" NaN"});
        assert_eq!(value, expected);
        assert!(json::<Value>(b"{\"a\": \"\\").is_err());
    }

    #[test]
    fn names_keep_their_letters() {
        let name = |text: &str| suite_name(text).map(|name| name.to_string());
        assert_eq!(name("Support Intents!"), Some("support-intents".to_owned()));
        assert_eq!(name("…"), None);
        assert_eq!(metric("Tone of voice"), "Tone_of_voice");
    }
}
