//! Suite files as people write them: `suite.yaml` and its JSONL.

use std::collections::{BTreeMap, HashMap};
use std::path::{Path, PathBuf};

use serde::Deserialize;
use serde::de::IgnoredAny;
use serde_json::Value;

use super::error::EvalError;
use super::suite::{Case, Suite};
use crate::document::{Fault, Faults, Source};
use crate::fsio;
use crate::name::SuiteName;

/// Suites are read whole; a larger file is not one.
const MAX_BYTES: usize = 256 << 20;
/// After this many faulty lines the rest is only counted.
const MAX_FAULTS: usize = 20;

/// `suite.yaml`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawSuite {
    version: u32,
    name: String,
    task: RawTask,
    #[serde(default)]
    cases: Option<PathBuf>,
    #[serde(default)]
    splits: Option<RawSplits>,
    #[serde(default)]
    fields: Option<RawFields>,
    #[serde(default)]
    grader: RawGrader,
}

#[derive(Deserialize)]
#[serde(rename_all = "kebab-case")]
enum RawTask {
    Classification,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawSplits {
    gate: PathBuf,
}

/// Where a row has its text and label: keys joined by dots.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawFields {
    text: String,
    label: String,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "snake_case")]
enum RawGrader {
    #[default]
    ExactMatch,
}

/// A row in one of the two shapes that need no `fields`: `vars` and `target`, or `text` and `label`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawRow {
    id: Option<String>,
    vars: Option<RawVars>,
    target: Option<String>,
    text: Option<String>,
    label: Option<String>,
    #[serde(default)]
    metadata: serde_json::Map<String, Value>,
    // Notes for people: they reach neither the subject nor the grader.
    #[serde(rename = "description")]
    _description: Option<IgnoredAny>,
    #[serde(rename = "retune")]
    _retune: Option<IgnoredAny>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawVars {
    text: String,
}

impl Suite {
    /// Reads `suite.yaml` and the cases it names, relative to it. Everything wrong is reported with file and line.
    pub fn read(path: &Path) -> Result<Self, EvalError> {
        read(path).map_err(EvalError::Suite)
    }
}

/// Where the cases of a suite file stand.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Located {
    /// The suite.
    pub suite: Suite,
    /// The file of the cases.
    pub file: PathBuf,
    /// The line, from 1, of each case by its id.
    pub lines: HashMap<String, usize>,
}

impl Suite {
    /// Like [`Suite::read`], with the line of every case.
    pub fn locate(path: &Path) -> Result<Located, EvalError> {
        read_located(path).map_err(EvalError::Suite)
    }
}

fn read(path: &Path) -> Result<Suite, Faults> {
    read_located(path).map(|located| located.suite)
}

fn read_located(path: &Path) -> Result<Located, Faults> {
    let source = Source::read(path)?;
    let raw: RawSuite = source.parse()?;
    let (name, cases_path) = check(&source, &raw)?;
    // Only one task and one grader exist; naming them is how a suite of another kind is refused.
    let (RawTask::Classification, RawGrader::ExactMatch) = (&raw.task, &raw.grader);
    let file = match source.path().parent() {
        Some(dir) => dir.join(cases_path),
        None => cases_path,
    };
    let (cases, lines) = read_cases(&file, raw.fields.as_ref())?;
    let suite = Suite::new(name, cases).map_err(|why| whole(&file, why))?;
    Ok(Located { suite, file, lines })
}

fn check(source: &Source, raw: &RawSuite) -> Result<(SuiteName, PathBuf), Faults> {
    let mut faults = Vec::new();
    if raw.version != 1 {
        faults.push(source.fault("version", "this version of retune reads version 1"));
    }
    let name = raw.name.parse::<SuiteName>();
    if let Err(error) = &name {
        faults.push(source.fault("name", error.to_string()));
    }
    let path = match (&raw.cases, &raw.splits) {
        (Some(path), None) => Some(path),
        (None, Some(splits)) => Some(&splits.gate),
        (None, None) => {
            faults.push(source.fault("", "missing `cases`: the JSONL file of the cases"));
            None
        }
        (Some(_), Some(_)) => {
            faults.push(source.fault("splits", "both `cases` and `splits`: keep one"));
            None
        }
    };
    Faults::check(faults)?;
    match (name, path) {
        (Ok(name), Some(path)) => Ok((name, path.clone())),
        _ => Err(source.fault("", "cannot be read").into()),
    }
}

/// Cases, and the line of each by its id.
type Numbered = (Vec<Case>, HashMap<String, usize>);

fn read_cases(file: &Path, fields: Option<&RawFields>) -> Result<Numbered, Faults> {
    let text = text_of(file)?;
    let mut cases = Vec::new();
    let mut faults = Vec::new();
    let mut seen: HashMap<String, usize> = HashMap::new();
    for (index, line) in text.lines().enumerate() {
        let number = index + 1;
        match case(line, fields) {
            Ok(case) => {
                if let Some(first) = seen.insert(case.id.clone(), number) {
                    let message = format!("the case {:?} is already on line {first}", case.id);
                    faults.push(at(file, number, message));
                }
                cases.push(case);
            }
            Err(message) => faults.push(at(file, number, message)),
        }
    }
    Faults::check(shorten(file, faults))?;
    Ok((cases, seen))
}

fn text_of(file: &Path) -> Result<String, Faults> {
    let bytes = fsio::read(file).map_err(|e| whole(file, format!("cannot read: {}", e.source)))?;
    if bytes.len() > MAX_BYTES {
        let message = format!("{} bytes is more than the {MAX_BYTES} allowed", bytes.len());
        return Err(whole(file, message).into());
    }
    String::from_utf8(bytes).map_err(|e| {
        let before = e.utf8_error().valid_up_to();
        let line = 1 + e.as_bytes()[..before]
            .iter()
            .filter(|b| **b == b'\n')
            .count();
        at(file, line, "not UTF-8".to_owned()).into()
    })
}

fn case(line: &str, fields: Option<&RawFields>) -> Result<Case, String> {
    if line.trim().is_empty() {
        return Err("an empty line".to_owned());
    }
    let (id, text, label, metadata) = match fields {
        Some(fields) => mapped(line, fields)?,
        None => plain(line)?,
    };
    let label = label.trim().to_owned();
    if text.trim().is_empty() {
        return Err("the text is empty".to_owned());
    }
    if label.is_empty() {
        return Err("the label is empty".to_owned());
    }
    let id = match id {
        Some(id) => checked_id(id)?,
        None => Case::derived_id(&text, &label).map_err(|e| e.to_string())?,
    };
    Ok(Case {
        id,
        label,
        text,
        metadata: metadata.unwrap_or_default(),
    })
}

type Parts = (
    Option<String>,
    String,
    String,
    Option<BTreeMap<String, String>>,
);

/// What cases can be grouped by: scalar values; lists, objects and nulls are notes for people.
fn groups(metadata: &serde_json::Map<String, Value>) -> Option<BTreeMap<String, String>> {
    let text = |(key, value): (&String, &Value)| {
        let text = match value {
            Value::String(text) => text.clone(),
            Value::Number(number) => number.to_string(),
            Value::Bool(truth) => truth.to_string(),
            Value::Null | Value::Array(_) | Value::Object(_) => return None,
        };
        Some((key.clone(), text))
    };
    Some(metadata.iter().filter_map(text).collect())
}

fn plain(line: &str) -> Result<Parts, String> {
    let row: RawRow = serde_json::from_str(line).map_err(say)?;
    match (row.vars, row.target, row.text, row.label) {
        (Some(vars), Some(target), None, None) => {
            Ok((row.id, vars.text, target, groups(&row.metadata)))
        }
        (None, None, Some(text), Some(label)) => Ok((row.id, text, label, groups(&row.metadata))),
        _ => Err(
            "a case has either `vars: {text}` and `target`, or `text` and `label`; \
             for other keys say `fields` in the suite file"
                .to_owned(),
        ),
    }
}

fn mapped(line: &str, fields: &RawFields) -> Result<Parts, String> {
    let row: serde_json::Map<String, Value> = serde_json::from_str(line).map_err(say)?;
    let row = Value::Object(row);
    let id = match row.get("id") {
        None => None,
        Some(Value::String(id)) => Some(id.clone()),
        Some(_) => return Err("`id` is not text".to_owned()),
    };
    Ok((
        id,
        string_at(&row, &fields.text)?,
        string_at(&row, &fields.label)?,
        row.get("metadata")
            .and_then(Value::as_object)
            .and_then(groups),
    ))
}

fn string_at(row: &Value, path: &str) -> Result<String, String> {
    let found = path.split('.').try_fold(row, |value, key| value.get(key));
    match found {
        Some(Value::String(text)) => Ok(text.clone()),
        Some(_) => Err(format!("`{path}` is not text")),
        None => Err(format!("there is no `{path}`")),
    }
}

fn checked_id(id: String) -> Result<String, String> {
    let plain =
        !id.is_empty() && id.len() <= 128 && id.trim() == id && !id.contains(char::is_control);
    if plain {
        Ok(id)
    } else {
        Err(format!(
            "{id:?} is not a case id: 1 to 128 bytes, no control characters, no blanks around it"
        ))
    }
}

/// The parser's message without its position inside the line: the fault has the line of the file.
fn say(error: serde_json::Error) -> String {
    let message = error.to_string();
    match message.rfind(" at line ") {
        Some(position) => message[..position].to_owned(),
        None => message,
    }
}

fn shorten(file: &Path, mut faults: Vec<Fault>) -> Vec<Fault> {
    if faults.len() > MAX_FAULTS {
        let more = faults.len() - MAX_FAULTS;
        faults.truncate(MAX_FAULTS);
        let last = faults.last().and_then(|fault| fault.line);
        faults.push(Fault {
            line: last,
            ..whole(file, format!("and {more} more faults after this line"))
        });
    }
    faults
}

fn at(file: &Path, line: usize, message: String) -> Fault {
    Fault {
        line: Some(line),
        ..whole(file, message)
    }
}

fn whole(file: &Path, message: String) -> Fault {
    Fault {
        file: file.to_owned(),
        line: None,
        key: String::new(),
        message,
    }
}
