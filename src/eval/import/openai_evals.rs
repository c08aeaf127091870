//! OpenAI evals: lines of `{"input", "ideal"}`, and the logs of events that `oaieval` records.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::Choice;
use super::cases::{Cases, Header, Line};
use super::file::{self, File};
use super::results::{Log, Results, Row};
use crate::document::{Decimal, Fault, Faults};
use crate::eval::suite::Case;

/// A line of cases.
#[derive(Deserialize)]
struct Asked {
    input: Value,
    ideal: Value,
    #[serde(flatten)]
    rest: Map<String, Value>,
}

/// A line of a log: what is run, an event, or how it ended.
#[derive(Deserialize)]
struct Event {
    spec: Option<Spec>,
    final_report: Option<Value>,
    sample_id: Option<String>,
    #[serde(rename = "type")]
    kind: Option<String>,
    #[serde(default)]
    data: Value,
}

#[derive(Deserialize)]
struct Spec {
    #[serde(default)]
    completion_fns: Vec<String>,
    eval_name: String,
    #[serde(default)]
    run_config: RunConfig,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct RunConfig {
    eval_spec: EvalSpec,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct EvalSpec {
    cls: Value,
    args: Value,
}

/// What the events say of one sample.
#[derive(Default)]
struct Met {
    line: usize,
    prompt: Value,
    sampled: Value,
    expected: Value,
    error: Option<String>,
    measures: BTreeMap<String, Decimal>,
    faults: Vec<String>,
}

/// Whether the file is a log of events rather than cases.
pub(super) fn is_log(file: &File) -> bool {
    let first = file
        .lines()
        .next()
        .and_then(|(_, line)| file::json::<Value>(line).ok());
    first.is_some_and(|first| first.get("spec").is_some() || first.get("run_id").is_some())
}

/// Reads the log of one run.
pub(super) fn read(file: &File, choice: &Choice) -> Result<Results, Faults> {
    let events: Vec<(usize, Event)> = file.rows()?;
    let mut spec = None;
    let mut ended = None;
    let mut answered_by = BTreeMap::new();
    let mut met: BTreeMap<String, Met> = BTreeMap::new();
    for (line, event) in events {
        ended = event.final_report.or(ended);
        spec = event.spec.or(spec);
        if let (Some(id), Some(kind)) = (event.sample_id, event.kind) {
            let sample = met.entry(id).or_default();
            sample.line = if sample.line == 0 { line } else { sample.line };
            if let Some(model) = event.data.get("model").and_then(Value::as_str) {
                *answered_by.entry(model.to_owned()).or_default() += 1;
            }
            sample.take(&kind, event.data);
        }
    }
    let Some(spec) = spec else {
        return Err(file.whole("no line of it has the `spec` of the run").into());
    };
    let Some(ended) = ended else {
        let why = "no line of it has a `final_report`: only a run that ended is evidence";
        return Err(file.whole(why).into());
    };
    if let Some(why) = contradiction(&ended, met.values()) {
        return Err(file.whole(why).into());
    }
    let mut faults = Vec::new();
    let mut rows = Vec::new();
    for (id, sample) in met {
        faults.extend(
            sample
                .faults
                .iter()
                .map(|why| file.at(sample.line, why.as_str())),
        );
        rows.push(sample.row(file, id));
    }
    file::check(faults)?;
    let said = [
        ("class", &spec.run_config.eval_spec.cls),
        ("args", &spec.run_config.eval_spec.args),
    ];
    let said = said.into_iter().filter(|(_, value)| !value.is_null());
    let mut terms: BTreeMap<String, String> = said
        .map(|(key, value)| (key.to_owned(), file::shown(value)))
        .collect();
    terms.insert("eval".to_owned(), spec.eval_name.clone());
    let log = Log {
        tool: "openai-evals",
        name: Some(spec.eval_name),
        model: Some(spec.completion_fns.join(", ")).filter(|model| !model.is_empty()),
        files: vec![file.digest()],
        terms,
        answered_by,
        ..Log::default()
    };
    Results::new(file, log, rows, choice)
}

/// In what the events are not what the tool counted. It says so before it writes the last of them, so a log that was cut
/// off still looks whole.
fn contradiction<'m>(ended: &Value, met: impl Iterator<Item = &'m Met>) -> Option<String> {
    let said = ended.get("accuracy")?.as_f64()?;
    let scores: Vec<f64> = met
        .filter_map(|sample| Some(sample.measures.get("match")?.get()))
        .collect();
    let found = scores.iter().sum::<f64>() / scores.len() as f64;
    let differs = !scores.is_empty() && (found - said).abs() > 1e-9;
    differs.then(|| format!("it counted an accuracy of {said}; the events come to {found}"))
}

impl Met {
    fn take(&mut self, kind: &str, mut data: Value) {
        let mut take = |key: &str| data.get_mut(key).map(Value::take).unwrap_or_default();
        match kind {
            "sampling" if self.prompt.is_null() => {
                self.prompt = take("prompt");
                self.sampled = take("sampled");
            }
            "match" => {
                let (correct, expected) = (take("correct"), take("expected"));
                match correct
                    .as_bool()
                    .and_then(|correct| file::number(&Value::Bool(correct)))
                {
                    Some(score) => self.score("match", score),
                    None => self.faults.push("a `match` without `correct`".to_owned()),
                }
                self.expected = expected;
            }
            "metrics" => {
                for (name, value) in data.as_object().into_iter().flatten() {
                    if let Some(score) = file::number(value) {
                        self.score(&file::metric(name), score);
                    }
                }
            }
            "error" => {
                let why = take("message");
                let why = why.as_str().unwrap_or("an error without a message");
                self.error = Some(why.to_owned());
            }
            _ => {}
        }
    }

    fn score(&mut self, name: &str, score: Decimal) {
        if self.measures.insert(name.to_owned(), score).is_some() {
            self.faults.push(format!("its {name} is there twice"));
        }
    }

    fn row(self, file: &File, id: String) -> Row {
        let (text, messages) = match self.prompt {
            Value::Null => (String::new(), Vec::new()),
            ref prompt => file::asked(prompt),
        };
        let said = match self.sampled.as_array().map(Vec::as_slice) {
            Some([only]) => file::shown(only),
            _ => file::shown(&self.sampled),
        };
        Row {
            place: file.at(self.line, ""),
            case: Case {
                id,
                label: if self.expected.is_null() {
                    String::new()
                } else {
                    file::shown(&self.expected)
                },
                text,
                messages,
                ..Case::default()
            },
            repeat: 0,
            output: (!self.sampled.is_null()).then_some(said),
            error: self.error,
            measures: self.measures,
            terms: Value::Null,
        }
    }
}

/// Reads cases: an answer is right when it begins with an ideal one, as `evals.elsuite.basic.match:Match` has it.
pub(super) fn cases(file: &File) -> Result<Cases, Faults> {
    let mut faults = Vec::new();
    let mut lines = Vec::new();
    for (number, row) in file.rows::<Asked>()? {
        let place = file.at(number, "");
        match line(row) {
            Ok(row) => lines.push(Line { row, place }),
            Err(why) => faults.push(Fault {
                message: why,
                ..place
            }),
        }
    }
    file::check(faults)?;
    Cases::new(file, Header::default(), lines)
}

fn line(row: Asked) -> Result<Value, String> {
    let unknown = row
        .rest
        .keys()
        .find(|key| !matches!(key.as_str(), "id" | "metadata"));
    if let Some(key) = unknown {
        return Err(format!("`{key}` cannot be taken over"));
    }
    let mut case = match &row.input {
        Value::String(prompt) => json!({"prompt": prompt}),
        Value::Array(_) => json!({"messages": row.input}),
        _ => return Err("`input` is neither a text nor a list of messages".to_owned()),
    };
    let texts = |items: &[Value]| {
        items
            .iter()
            .map(|item| item.as_str().map(str::to_owned))
            .collect()
    };
    let ideal: Option<Vec<String>> = match &row.ideal {
        Value::String(text) => Some(vec![text.clone()]),
        Value::Array(items) => texts(items),
        _ => None,
    };
    let ideal = ideal.filter(|ideal| !ideal.is_empty());
    let ideal = ideal.ok_or("`ideal` is neither a text nor a list of texts")?;
    let demand = match &ideal[..] {
        [only] => json!({"type": "starts-with", "value": only, "metric": "match"}),
        several => {
            let any: Vec<String> = several.iter().map(|text| regex::escape(text)).collect();
            json!({"type": "regex", "value": format!("^(?:{})", any.join("|")), "metric": "match"})
        }
    };
    case["target"] = json!(ideal[0]);
    case["assert"] = json!([demand]);
    for (key, value) in row.rest {
        case[key] = value;
    }
    Ok(case)
}
