//! lm-evaluation-harness: `samples_<task>_<time>.jsonl`, and what `results_<time>.json` says of the run.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use serde::Deserialize;
use serde_json::{Map, Value};

use super::file::{self, File};
use super::results::{Log, Results, Row};
use super::{Choice, absent, listed};
use crate::document::Faults;
use crate::eval::suite::Case;

/// How much of a hash stands in an id.
const DIGITS: usize = 12;

/// One line of samples: one case after one filter.
#[derive(Deserialize)]
struct Sample {
    #[serde(default)]
    doc: Value,
    #[serde(default)]
    target: Value,
    #[serde(default)]
    arguments: Value,
    #[serde(default)]
    filtered_resps: Value,
    #[serde(default)]
    filter: Option<String>,
    #[serde(default)]
    metrics: Vec<String>,
    doc_hash: Option<String>,
    target_hash: Option<String>,
    /// The metrics' values, among others.
    #[serde(flatten)]
    rest: Map<String, Value>,
}

/// What is read of `results_*.json`.
#[derive(Deserialize, Default)]
#[serde(default)]
struct Run {
    lm_eval_version: Option<String>,
    model_name: Option<String>,
    versions: BTreeMap<String, Value>,
    config: Config,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct Config {
    model_revision: Option<String>,
    model_sha: Option<String>,
}

/// Reads one task's samples after one filter.
pub(super) fn read(mut files: Vec<File>, choice: &Choice) -> Result<Results, Faults> {
    let is_run = |file: &File| file.name().starts_with("results") && file.ending() == "json";
    let given = files.iter().position(is_run).map(|at| files.remove(at));
    let file = super::only(&files)?;
    let (task, time) = named(&file.name());
    let run_file = match given {
        Some(given) => Some(given),
        None => beside(&file.path, &time)?,
    };
    let run: Run = run_file
        .as_ref()
        .map(File::json)
        .transpose()?
        .unwrap_or_default();
    let samples: Vec<(usize, Sample)> = file.rows()?;
    let filter = filter(file, &samples, choice.filter.as_deref())?;
    let mut log = Log {
        tool: "lm-eval",
        version: run.lm_eval_version,
        model: run.model_name.filter(|name| !name.is_empty()),
        revision: [run.config.model_sha, run.config.model_revision]
            .into_iter()
            .flatten()
            .find(|text| !text.is_empty()),
        files: std::iter::once(file)
            .chain(&run_file)
            .map(File::digest)
            .collect(),
        ..Log::default()
    };
    let version = run.versions.get(&task).filter(|version| !version.is_null());
    log.terms
        .extend(version.map(|version| ("task_version".to_owned(), file::shown(version))));
    log.terms.insert("task".to_owned(), task.clone());
    log.terms
        .extend(filter.clone().map(|filter| ("filter".to_owned(), filter)));
    log.name = Some(task);
    let mut faults = Vec::new();
    let mut rows = Vec::new();
    for (number, sample) in samples.iter().filter(|(_, sample)| sample.filter == filter) {
        match row(file, *number, sample, &mut log.notes) {
            Ok(row) => rows.push(row),
            Err(why) => faults.push(file.at(*number, why)),
        }
    }
    file::check(faults)?;
    Results::new(file, log, rows, choice)
}

/// Task and time of `samples_<task>_<time>.jsonl`.
fn named(name: &str) -> (String, String) {
    let stem = name.strip_suffix(".jsonl").unwrap_or(name);
    let stem = stem.strip_prefix("samples_").unwrap_or(stem);
    match stem.rsplit_once('_') {
        Some((task, time)) if time.contains('T') && time.starts_with("20") => {
            (task.to_owned(), time.to_owned())
        }
        _ => (stem.to_owned(), String::new()),
    }
}

/// `results_<time>.json` of the same run, where it lies beside the samples.
fn beside(samples: &Path, time: &str) -> Result<Option<File>, Faults> {
    let path = samples.with_file_name(format!("results_{time}.json"));
    match !time.is_empty() && path.is_file() {
        true => File::read(&path).map(Some),
        false => Ok(None),
    }
}

/// The filter that was asked for, or the only one.
fn filter(
    file: &File,
    samples: &[(usize, Sample)],
    asked: Option<&str>,
) -> Result<Option<String>, Faults> {
    let filters: BTreeSet<&str> = samples
        .iter()
        .filter_map(|(_, sample)| sample.filter.as_deref())
        .collect();
    let list: Vec<&str> = filters.iter().copied().collect();
    let why = match (asked, &list[..]) {
        (Some(asked), _) if filters.contains(asked) => return Ok(Some(asked.to_owned())),
        (None, [only]) => return Ok(Some((*only).to_owned())),
        (None, []) => return Ok(None),
        (Some(asked), _) => absent("filter", asked, &filters),
        (None, _) => format!(
            "which answers count? say --filter, one of {}",
            listed(&filters)
        ),
    };
    Err(file.whole(why).into())
}

fn row(
    file: &File,
    number: usize,
    sample: &Sample,
    notes: &mut BTreeSet<String>,
) -> Result<Row, String> {
    let (Some(doc), Some(target)) = (&sample.doc_hash, &sample.target_hash) else {
        return Err(
            "no `doc_hash` and `target_hash` to pair cases by: lm-eval 0.4.3 and newer write them"
                .to_owned(),
        );
    };
    let short = |hash: &str| hash.chars().take(DIGITS).collect::<String>();
    let prompt = sample
        .arguments
        .pointer("/gen_args_0/arg_0")
        .unwrap_or(&Value::Null);
    // A conversation is a list of one text of JSON.
    let prompt = match prompt.as_array().map(Vec::as_slice) {
        Some([only]) if only.is_string() => only,
        _ => prompt,
    };
    let (text, messages) = match prompt {
        Value::Null => (file::shown(&sample.doc), Vec::new()),
        prompt => file::asked(prompt),
    };
    let mut measures = BTreeMap::new();
    for name in &sample.metrics {
        match sample.rest.get(name) {
            Some(Value::Null) | None => {}
            Some(value) => match file::number(value) {
                Some(score) => {
                    measures.insert(file::metric(name), score);
                }
                None => {
                    notes.insert(format!(
                        "the metric {name} has no score of single cases: left out"
                    ));
                }
            },
        }
    }
    let metadata = sample.doc.as_object().map(file::groups);
    Ok(Row {
        place: file.at(number, ""),
        case: Case {
            id: format!("{}-{}", short(doc), short(target)),
            label: file::shown(&sample.target),
            text,
            messages,
            metadata: metadata.unwrap_or_default(),
            ..Case::default()
        },
        repeat: 0,
        output: Some(answer(&sample.filtered_resps)),
        error: None,
        measures,
        terms: Value::String(
            crate::digest::Digest::of(sample.arguments.to_string().as_bytes()).to_string(),
        ),
    })
}

/// What was said: a text, or what a model gave to several of them, as JSON.
fn answer(resps: &Value) -> String {
    match resps.as_array().map(Vec::as_slice) {
        Some([only]) => file::shown(only),
        _ => file::shown(resps),
    }
}
