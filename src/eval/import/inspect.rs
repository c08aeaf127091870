//! Inspect: a log as one JSON document, or as `.eval`, which is a zip of its parts.

use std::collections::BTreeMap;
use std::io::{Cursor, Read};

use serde::Deserialize;
use serde_json::{Map, Value, json};
use zip::ZipArchive;
use zip::result::ZipError;

use super::Choice;
use super::file::{self, File};
use super::results::{Log, Results, Row};
use crate::document::{Decimal, Fault, Faults};
use crate::eval::suite::Case;

/// Parts of a log are not larger than this when unpacked, and not all together.
const MAX_PART: u64 = 256 << 20;
const MAX_ALL: u64 = 4 << 30;
/// More parts than this are no log.
const MAX_PARTS: usize = 1_000_000;

/// What a log says of its run.
#[derive(Deserialize)]
struct Header {
    status: String,
    #[serde(default)]
    invalidated: bool,
    eval: Eval,
    #[serde(default)]
    plan: Plan,
    /// Of a log of one document; the other kind has them in parts of their own.
    #[serde(default)]
    samples: Vec<Sample>,
}

#[derive(Deserialize)]
struct Eval {
    task: String,
    #[serde(default)]
    task_version: Value,
    model: String,
    #[serde(default)]
    packages: BTreeMap<String, String>,
    #[serde(default)]
    scorers: Value,
    #[serde(default)]
    model_generate_config: Value,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct Plan {
    config: Value,
}

/// One answer to one case.
#[derive(Deserialize)]
struct Sample {
    id: Value,
    epoch: u32,
    #[serde(default)]
    input: Value,
    #[serde(default)]
    choices: Value,
    #[serde(default)]
    target: Value,
    #[serde(default)]
    metadata: Map<String, Value>,
    #[serde(default)]
    scores: Option<BTreeMap<String, Score>>,
    #[serde(default)]
    output: Output,
    #[serde(default)]
    error: Option<Broken>,
    #[serde(default)]
    invalidation: Value,
}

#[derive(Deserialize)]
struct Score {
    #[serde(default)]
    value: Value,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct Output {
    model: String,
    completion: Option<String>,
    choices: Vec<Value>,
}

#[derive(Deserialize)]
struct Broken {
    message: String,
}

/// Reads a log of either kind.
pub(super) fn read(file: &File, choice: &Choice) -> Result<Results, Faults> {
    let header: Header = match file.bytes.starts_with(b"PK") {
        true => unpack(file)?,
        false => file.json()?,
    };
    if header.status != "success" || header.invalidated {
        let why = match header.status.as_str() {
            "success" => "the log was invalidated".to_owned(),
            status => {
                format!("the run's status is {status:?}: only a run that ended well is evidence")
            }
        };
        return Err(file.under("status", why).into());
    }
    let mut log = log(file, &header);
    let mut faults = Vec::new();
    let mut rows = Vec::new();
    for sample in header.samples {
        match row(file, &sample) {
            Ok(row) => {
                if row.error.is_none() && !sample.output.model.is_empty() {
                    *log.answered_by.entry(sample.output.model).or_default() += 1;
                }
                rows.push(row);
            }
            Err(fault) => faults.push(fault),
        }
    }
    file::check(faults)?;
    Results::new(file, log, rows, choice)
}

fn log(file: &File, header: &Header) -> Log {
    let eval = &header.eval;
    let mut terms = BTreeMap::from([("task".to_owned(), eval.task.clone())]);
    let said = [
        ("task_version", &eval.task_version),
        ("scorers", &eval.scorers),
        ("generate", &header.plan.config),
        ("model_generate", &eval.model_generate_config),
    ];
    let is_there =
        |value: &Value| !value.is_null() && value.as_object().is_none_or(|map| !map.is_empty());
    let said = said.into_iter().filter(|(_, value)| is_there(value));
    terms.extend(said.map(|(key, value)| (key.to_owned(), file::shown(value))));
    Log {
        tool: "inspect",
        version: eval.packages.get("inspect_ai").cloned(),
        name: Some(eval.task.clone()),
        model: Some(eval.model.clone()),
        files: vec![file.digest()],
        terms,
        ..Log::default()
    }
}

fn row(file: &File, sample: &Sample) -> Result<Row, Fault> {
    let id = file::shown(&sample.id);
    let place = file.under(format!("sample {id}, epoch {}", sample.epoch), "");
    let fault = |message: String| Fault {
        message,
        ..place.clone()
    };
    if !sample.invalidation.is_null() {
        return Err(fault("it was invalidated".to_owned()));
    }
    let repeat = sample.epoch.checked_sub(1);
    let repeat = repeat.ok_or_else(|| fault("epochs are counted from 1".to_owned()))?;
    let (text, messages) = file::asked(&sample.input);
    let error = sample
        .error
        .as_ref()
        .map(|error| first_line(&error.message));
    let measures = match error {
        Some(_) => BTreeMap::new(),
        None => scores(sample).map_err(fault)?,
    };
    Ok(Row {
        case: Case {
            id,
            label: file::shown(&sample.target),
            text,
            messages,
            metadata: file::groups(&sample.metadata),
            ..Case::default()
        },
        repeat,
        output: Some(sample.output.said()),
        error,
        measures,
        terms: json!([sample.input, sample.choices]),
        place,
    })
}

impl Output {
    fn said(&self) -> String {
        let first = self
            .choices
            .first()
            .and_then(|choice| choice.pointer("/message/content"));
        let said = self.completion.clone();
        said.unwrap_or_else(|| first.map(file::shown).unwrap_or_default())
    }
}

fn first_line(text: &str) -> String {
    match text.lines().next() {
        Some(line) if !line.trim().is_empty() => line.trim().to_owned(),
        _ => "an error without a message".to_owned(),
    }
}

/// By scorer, or scorer and key. What is not there, or no number, is no score.
fn scores(sample: &Sample) -> Result<BTreeMap<String, Decimal>, String> {
    let mut found = BTreeMap::new();
    for (scorer, score) in sample.scores.iter().flatten() {
        let mut take = |name: &str, value: &Value| -> Result<(), String> {
            let name = file::metric(name);
            match value_of(value).map_err(|why| format!("scorer {scorer}: {why}"))? {
                Some(score) if found.insert(name.clone(), score).is_some() => {
                    Err(format!("two scores are called {name}"))
                }
                _ => Ok(()),
            }
        };
        match &score.value {
            Value::Object(parts) => {
                for (key, value) in parts {
                    take(&format!("{scorer}.{key}"), value)?;
                }
            }
            value => take(scorer, value)?,
        }
    }
    Ok(found)
}

/// As Inspect itself makes a number of a score.
fn value_of(value: &Value) -> Result<Option<Decimal>, String> {
    let text = match value {
        Value::Null => return Ok(None),
        Value::Bool(_) | Value::Number(_) => return Ok(file::number(value)),
        Value::String(text) => text,
        _ => return Err(format!("{value} is no score")),
    };
    let number = match (text.as_str(), text.to_lowercase().as_str()) {
        ("C", _) | (_, "yes" | "true") => 1.0,
        ("P", _) => 0.5,
        ("I" | "N", _) | (_, "no" | "false") => 0.0,
        (_, "nan") => return Ok(None),
        (_, other) => other.parse().map_err(|_| format!("{text:?} is no score"))?,
    };
    Ok(Decimal::new(number).ok())
}

/// The log in a `.eval`.
fn unpack(file: &File) -> Result<Header, Faults> {
    let broken = |error: ZipError| file.whole(format!("not a zip that can be read: {error}"));
    let mut archive = ZipArchive::new(Cursor::new(&file.bytes)).map_err(broken)?;
    if archive.len() > MAX_PARTS {
        return Err(file.whole(format!("more than {MAX_PARTS} parts")).into());
    }
    let names = archive
        .file_names()
        .map(|name| name.map(|name| name.into_owned()));
    let mut names: Vec<String> = names.collect::<Result<_, ZipError>>().map_err(broken)?;
    names.sort_unstable();
    let mut left = MAX_ALL;
    if !names.iter().any(|name| name == "header.json") {
        let why = "there is no header.json in it: the run did not end";
        return Err(file.whole(why).into());
    }
    let mut header: Header = part(file, &mut archive, "header.json", &mut left)?;
    let mut faults = Vec::new();
    for name in names.iter().filter(|name| name.starts_with("samples/")) {
        let own = name.strip_prefix("samples/").unwrap_or(name);
        if own.contains('/') {
            if own.ends_with("/sample.json") {
                let why = "a sample in chunks: write the log as one document with `inspect log convert --to json`";
                faults.push(file.under(name, why));
            }
        } else if own.ends_with(".json") && own.contains("_epoch_") {
            header
                .samples
                .push(part(file, &mut archive, name, &mut left)?);
        }
    }
    file::check(faults)?;
    Ok(header)
}

/// One part, as far as the limits allow: what a part says of its size is not believed.
fn part<T: serde::de::DeserializeOwned>(
    file: &File,
    archive: &mut ZipArchive<Cursor<&Vec<u8>>>,
    name: &str,
    left: &mut u64,
) -> Result<T, Faults> {
    let fault = |why: String| Faults::from(file.under(name, why));
    let packed = archive
        .by_name(name)
        .map_err(|error| fault(error.to_string()))?;
    let limit = MAX_PART.min(*left);
    let mut bytes = Vec::new();
    let read = packed.take(limit + 1).read_to_end(&mut bytes);
    read.map_err(|error| fault(format!("cannot be unpacked: {error}")))?;
    if bytes.len() as u64 > limit {
        return Err(fault(format!("more than the {limit} bytes allowed")));
    }
    *left -= bytes.len() as u64;
    file::json(&bytes).map_err(|(line, why)| fault(format!("line {line}: {why}")))
}
