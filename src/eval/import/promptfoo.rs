//! promptfoo: the JSON of `promptfoo eval --output results.json`.

use std::collections::{BTreeMap, BTreeSet};

use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::file::{self, File};
use super::results::{Log, Results, Row};
use super::{Choice, absent, listed};
use crate::document::{Decimal, Faults};
use crate::eval::suite::Case;

/// Where an answer was not graded, because there is none.
const ERROR: u64 = 2;

#[derive(Deserialize)]
struct Document {
    results: Run,
    #[serde(default)]
    config: Config,
    #[serde(default)]
    metadata: Metadata,
}

#[derive(Deserialize)]
struct Run {
    results: Vec<Outcome>,
    /// One for each prompt of each provider.
    #[serde(default)]
    prompts: Vec<Column>,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct Config {
    description: Option<String>,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase", default)]
struct Metadata {
    promptfoo_version: Option<String>,
}

#[derive(Deserialize)]
struct Column {
    #[serde(default)]
    metrics: Option<Sums>,
}

/// What the tool itself counted.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Sums {
    test_pass_count: u64,
    #[serde(default)]
    test_error_count: u64,
}

/// One answer to one test.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Outcome {
    #[serde(default)]
    prompt_idx: usize,
    #[serde(default)]
    test_idx: u64,
    provider: Provider,
    prompt: Prompt,
    #[serde(default)]
    vars: Value,
    test_case: TestCase,
    #[serde(default)]
    response: Option<Response>,
    success: bool,
    #[serde(default)]
    score: Value,
    #[serde(default)]
    named_scores: Map<String, Value>,
    #[serde(default)]
    failure_reason: Option<u64>,
    #[serde(default)]
    error: Option<String>,
    #[serde(default)]
    latency_ms: Option<f64>,
    #[serde(default)]
    cost: Option<f64>,
}

#[derive(Deserialize)]
struct Provider {
    id: String,
    #[serde(default)]
    label: Option<String>,
}

#[derive(Deserialize)]
struct Prompt {
    raw: String,
}

#[derive(Deserialize)]
struct TestCase {
    #[serde(default)]
    vars: Value,
    #[serde(default)]
    assert: Value,
    #[serde(default)]
    threshold: Value,
    #[serde(default)]
    options: Value,
    #[serde(default)]
    metadata: Option<Map<String, Value>>,
}

#[derive(Deserialize)]
struct Response {
    #[serde(default)]
    output: Value,
    #[serde(default)]
    cached: bool,
}

/// Whether the file holds results rather than tests.
pub(super) fn is_results(file: &File) -> bool {
    #[derive(Deserialize)]
    #[allow(dead_code)]
    struct Shape {
        results: serde::de::IgnoredAny,
    }
    file.ending() == "json" && file::json::<Shape>(&file.bytes).is_ok()
}

/// Reads the answers of one provider to one prompt.
pub(super) fn read(file: &File, choice: &Choice) -> Result<Results, Faults> {
    let document: Document = file.json()?;
    let (arm, model) = arm(file, &document.results.results, choice.arm.as_deref())?;
    let mut outcomes: Vec<(usize, &Outcome)> =
        document.results.results.iter().enumerate().collect();
    outcomes.retain(|(_, outcome)| outcome.prompt_idx == arm);
    outcomes.sort_by_key(|(_, outcome)| outcome.test_idx);
    let mut faults = Vec::new();
    let mut rows: Vec<Row> = Vec::new();
    let mut met: BTreeMap<String, u32> = BTreeMap::new();
    for (index, outcome) in outcomes {
        match row(file, index, outcome) {
            Ok(mut row) => {
                // `--repeat` asks the same test again.
                let before = met.entry(row.case.id.clone()).or_default();
                row.repeat = *before;
                *before += 1;
                rows.push(row);
            }
            Err(why) => faults.push(file.under(format!("results.results[{index}]"), why)),
        }
    }
    file::check(faults)?;
    let counted = document
        .results
        .prompts
        .get(arm)
        .and_then(|column| column.metrics.as_ref());
    if let Some(why) = counted.and_then(|counted| contradiction(counted, &rows)) {
        return Err(file
            .under(format!("results.prompts[{arm}].metrics"), why)
            .into());
    }
    let log = Log {
        tool: "promptfoo",
        version: document.metadata.promptfoo_version,
        name: document.config.description,
        model: Some(model),
        files: vec![file.digest()],
        right: Some("pass"),
        ..Log::default()
    };
    Results::new(file, log, rows, choice)
}

/// The column that was asked for, or the only one, and what it is called.
fn arm(file: &File, outcomes: &[Outcome], asked: Option<&str>) -> Result<(usize, String), Faults> {
    let columns: BTreeMap<usize, &Outcome> = outcomes
        .iter()
        .map(|outcome| (outcome.prompt_idx, outcome))
        .collect();
    let mut models: BTreeMap<&str, u32> = BTreeMap::new();
    for outcome in columns.values() {
        *models.entry(outcome.provider.name()).or_default() += 1;
    }
    // A provider with several prompts is several arms.
    let name = |index: usize, outcome: &Outcome| match models.get(outcome.provider.name()) {
        Some(1) | None => outcome.provider.name().to_owned(),
        Some(_) => format!("{}#{index}", outcome.provider.name()),
    };
    let arms: Vec<(usize, String)> = columns
        .iter()
        .map(|(index, outcome)| (*index, name(*index, outcome)))
        .collect();
    let names: BTreeSet<&str> = arms.iter().map(|(_, name)| name.as_str()).collect();
    let why = match (asked, &arms[..]) {
        (None, [only]) => return Ok(only.clone()),
        (Some(asked), _) => match arms.iter().find(|(_, name)| name == asked) {
            Some(found) => return Ok(found.clone()),
            None => absent("provider", asked, &names),
        },
        (None, []) => "there is no result in it".to_owned(),
        (None, _) => format!("whose answers? say --arm, one of {}", listed(&names)),
    };
    Err(file.whole(why).into())
}

impl Provider {
    fn name(&self) -> &str {
        self.label
            .as_deref()
            .filter(|label| !label.is_empty())
            .unwrap_or(&self.id)
    }
}

/// In what the rows are not what the tool counted: rows are missing, or were changed.
fn contradiction(counted: &Sums, rows: &[Row]) -> Option<String> {
    let right = |row: &&Row| {
        row.error.is_none()
            && row
                .measures
                .get("pass")
                .is_some_and(|pass| pass.get() == 1.0)
    };
    let passed = rows.iter().filter(right).count() as u64;
    let errors = rows.iter().filter(|row| row.error.is_some()).count() as u64;
    let said = (counted.test_pass_count, counted.test_error_count);
    (said != (passed, errors)).then(|| {
        format!(
            "it counted {} passed and {} errors; the results have {passed} and {errors}",
            said.0, said.1
        )
    })
}

fn row(file: &File, index: usize, outcome: &Outcome) -> Result<Row, String> {
    let test = &outcome.test_case;
    let vars = if test.vars.is_null() {
        &outcome.vars
    } else {
        &test.vars
    };
    let id = Case::digits(&json!({"vars": vars.to_string(), "assert": test.assert.to_string()}));
    let (text, messages) = file::asked(&Value::String(outcome.prompt.raw.clone()));
    Ok(Row {
        place: file.under(format!("results.results[{index}]"), ""),
        case: Case {
            id: id.map_err(|error| error.to_string())?,
            label: test.assert.to_string(),
            text,
            messages,
            metadata: test.metadata.as_ref().map(file::groups).unwrap_or_default(),
            ..Case::default()
        },
        repeat: 0,
        output: outcome
            .response
            .as_ref()
            .map(|response| file::shown(&response.output)),
        error: outcome.broken(),
        measures: outcome.measures()?,
        terms: json!([test.threshold, test.options]),
    })
}

impl Outcome {
    /// Why there is no answer. That an answer fails its asserts is no error, though promptfoo says it in the same place.
    fn broken(&self) -> Option<String> {
        let silent = self
            .response
            .as_ref()
            .is_none_or(|response| response.output.is_null());
        let broken = match self.failure_reason {
            Some(reason) => reason == ERROR,
            None => silent && self.error.is_some(),
        };
        let why = self.error.as_deref().and_then(|text| text.lines().next());
        broken.then(|| why.unwrap_or("an error without a message").to_owned())
    }

    fn measures(&self) -> Result<BTreeMap<String, Decimal>, String> {
        let mut found = BTreeMap::new();
        for (name, score) in &self.named_scores {
            let score = file::number(score).map(|score| found.insert(file::metric(name), score));
            if score.flatten().is_some() {
                return Err(format!("two metrics are called {}", file::metric(name)));
            }
        }
        let cached = self
            .response
            .as_ref()
            .is_some_and(|response| response.cached);
        let own = [
            ("pass", file::number(&Value::Bool(self.success))),
            ("score", file::number(&self.score)),
            // An answer from the cache took no time, and a cost of 0 is one that nobody knows.
            (
                "latency_ms",
                self.latency_ms
                    .filter(|_| !cached)
                    .and_then(|value| Decimal::new(value).ok()),
            ),
            (
                "cost_usd",
                self.cost
                    .filter(|cost| *cost > 0.0)
                    .and_then(|value| Decimal::new(value).ok()),
            ),
        ];
        found.extend(
            own.into_iter()
                .filter_map(|(name, value)| Some((name.to_owned(), value?))),
        );
        Ok(found)
    }
}
