//! Making an incident a case that every later version has to pass.

use std::path::{Path, PathBuf};

use serde_json::{Map, Value, json};

use super::case_file::{Numbered, at, read_cases, whole};
use super::error::EvalError;
use super::provenance::{INCIDENT, Provenance, Split};
use super::suite::Case;
use super::suite_file::Opened;
use super::suite_rows::RawFields;
use crate::document::{Fault, Faults};
use crate::fsio::{self, Lock};
use crate::git::Identity;
use crate::reference::ModelRef;
use crate::time::Timestamp;

/// A case to add, and where it comes from.
#[derive(Debug, Clone)]
pub struct Incident {
    /// What was asked, and what is right.
    pub asked: Asked,
    /// The case's id; without it the row's own, else the ticket.
    pub id: Option<String>,
    /// What tells of the incident, such as `INC-88`.
    pub ticket: String,
    /// The version that failed.
    pub failed: ModelRef,
    /// Who adds it.
    pub by: Identity,
    /// When.
    pub at: Timestamp,
    /// What its text may be used for.
    pub license: Option<String>,
}

/// How a case is given.
#[derive(Debug, Clone)]
pub enum Asked {
    /// A question and its right answer.
    Text {
        /// The text or prompt.
        text: String,
        /// The label or target.
        expected: String,
    },
    /// A row as the suite's files have them, a JSON object.
    Row(String),
}

/// A case that was added, or would be.
#[derive(Debug, Clone, PartialEq)]
pub struct AddedCase {
    /// The case.
    pub case: Case,
    /// Where it comes from.
    pub provenance: Provenance,
    /// The file of the floor.
    pub file: PathBuf,
    /// The line, from 1.
    pub line: usize,
}

impl Incident {
    /// Appends the case to the floor of the suite file at `path`, which then reads as a whole, or changes nothing.
    ///
    /// `lock` is a file on which others who add cases wait. With `dry_run` everything is checked and nothing written.
    pub fn add(&self, path: &Path, lock: &Path, dry_run: bool) -> Result<AddedCase, EvalError> {
        let opened = Opened::read(path).map_err(EvalError::Suite)?;
        let Some(file) = &opened.splits.floor else {
            return Err(EvalError::NoFloor {
                suite: path.to_owned(),
                cases: opened.splits.gate,
            });
        };
        let _held = match dry_run {
            true => None,
            false => Some(Lock::exclusive(lock)?),
        };
        let mut text = match file.exists() {
            true => fsio::read(file)?,
            false => Vec::new(),
        };
        let known = Known::read(&opened, file, text.is_empty()).map_err(EvalError::Suite)?;
        let row = self.row(&opened)?;
        let case = opened.reader(Split::Floor).case(&row);
        let case = case.map_err(|why| EvalError::NewCase(whole(file, why).into()))?;
        known.check(&case).map_err(EvalError::NewCase)?;
        if !text.is_empty() && !text.ends_with(b"\n") {
            text.push(b'\n');
        }
        let line = 1 + text.iter().filter(|byte| **byte == b'\n').count();
        text.extend_from_slice(row.as_bytes());
        text.push(b'\n');
        if !dry_run {
            fsio::write_atomic(file, &text)?;
        }
        Ok(AddedCase {
            case,
            provenance: self.provenance(),
            file: file.clone(),
            line,
        })
    }

    fn provenance(&self) -> Provenance {
        let day = self.at.to_string();
        Provenance {
            source: Some(format!("{INCIDENT}:{}", self.ticket)),
            added: day.split('T').next().map(str::to_owned),
            added_by: Some(self.by.to_string()),
            sampled: Some(false),
            first_fail: Some(self.failed.to_string()),
            license: self.license.clone(),
        }
    }

    /// The line of the case, in the shape that the suite's rows have.
    fn row(&self, opened: &Opened) -> Result<String, EvalError> {
        let refused =
            |why: &str| EvalError::NewCase(whole(Path::new("the row"), why.to_owned()).into());
        let mut row = match &self.asked {
            Asked::Text { text, expected } => row_of(opened, text, expected),
            Asked::Row(row) => serde_json::from_str(row)
                .map_err(|error| refused(&format!("not a JSON object: {error}")))?,
        };
        if row.contains_key("retune") {
            return Err(refused(
                "leave `retune` out: it is written from what is said of the incident",
            ));
        }
        match (&self.id, row.contains_key("id")) {
            (Some(_), true) => return Err(refused("both --id and `id` in the row: keep one")),
            (Some(id), false) => row.insert("id".to_owned(), json!(id)),
            (None, true) => None,
            (None, false) => row.insert("id".to_owned(), json!(self.ticket)),
        };
        row.insert("retune".to_owned(), json!(self.provenance()));
        Ok(Value::Object(row).to_string())
    }
}

/// A question and its answer under the keys that the suite reads.
fn row_of(opened: &Opened, text: &str, expected: &str) -> Map<String, Value> {
    let row = match (&opened.fields, &opened.texts) {
        (Some(fields), _) => return mapped(fields, text, expected),
        (None, None) => json!({"text": text, "label": expected}),
        (None, Some(texts)) if texts.template.is_some() => {
            json!({"vars": {"text": text}, "target": expected})
        }
        (None, Some(_)) => json!({"prompt": text, "completion": expected}),
    };
    match row {
        Value::Object(row) => row,
        _ => Map::new(),
    }
}

/// The same under the keys that `fields` names, joined by dots.
fn mapped(fields: &RawFields, text: &str, expected: &str) -> Map<String, Value> {
    let mut row = Map::new();
    put(&mut row, &fields.text, text);
    put(&mut row, &fields.label, expected);
    row
}

fn put(row: &mut Map<String, Value>, path: &str, value: &str) {
    let Some((key, rest)) = path.split_once('.') else {
        row.insert(path.to_owned(), json!(value));
        return;
    };
    if let Value::Object(inner) = row.entry(key).or_insert_with(|| json!({})) {
        put(inner, rest, value);
    }
}

/// What the suite has already.
struct Known<'a> {
    floor: (&'a Path, Numbered),
    others: Vec<(&'a Path, Numbered)>,
}

impl<'a> Known<'a> {
    fn read(opened: &'a Opened, floor: &'a Path, is_empty: bool) -> Result<Self, Faults> {
        let others = opened
            .splits
            .iter()
            .filter(|(split, _)| *split != Split::Floor);
        let others =
            others.map(|(split, file)| Ok((file, read_cases(file, &opened.reader(split))?)));
        let cases = match is_empty {
            true => Numbered::default(),
            false => read_cases(floor, &opened.reader(Split::Floor))?,
        };
        Ok(Self {
            floor: (floor, cases),
            others: others.collect::<Result<_, Faults>>()?,
        })
    }

    /// Neither the id nor the question may be there already.
    fn check(&self, case: &Case) -> Result<(), Faults> {
        for (file, (_, lines)) in self.others.iter().chain([&self.floor]) {
            if let Some(line) = lines.get(&case.id) {
                let message = format!("the case {:?} is here already: give another --id", case.id);
                return Err(at(file, *line, message).into());
            }
        }
        let (file, (cases, lines)) = &self.floor;
        let same = |other: &&Case| other.text == case.text && other.messages == case.messages;
        match cases.iter().find(same) {
            Some(other) => Err(asked_already(file, lines.get(&other.id), other, case).into()),
            None => Ok(()),
        }
    }
}

fn asked_already(file: &Path, line: Option<&usize>, known: &Case, case: &Case) -> Fault {
    let message = match known.label == case.label {
        true => format!("the case {:?} asks the same already", known.id),
        false => format!(
            "the case {:?} asks the same and expects {:?}: correct it here",
            known.id, known.label
        ),
    };
    Fault {
        line: line.copied(),
        ..whole(file, message)
    }
}
