//! Target files as people write them: `target.yaml`, or the JSONL of recorded outputs.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::Deserialize;
use serde_json::{Map, Value};

use super::declared::{Api, Prices, Target};
use crate::digest::Digest;
use crate::document::{Decimal, Fault, Faults, Source};
use crate::eval::error::EvalError;
use crate::eval::parts::Suites;
use crate::fsio;

/// What a target file says.
#[derive(Debug, Clone, PartialEq)]
pub struct TargetFile {
    /// What answers.
    pub target: Target,
    /// How it is asked.
    pub terms: Terms,
    /// The environment variable that holds the endpoint's key.
    pub key: Option<String>,
    /// The file of recorded outputs and its bytes.
    pub(super) outputs: Option<(PathBuf, Vec<u8>)>,
    /// The cases of all parts of the suite: recorded outputs of one part stand beside those of another.
    pub(super) cases: BTreeSet<String>,
}

/// How a target is asked. None of it changes an answer.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Terms {
    /// The longest time that one call may take.
    pub timeout: Duration,
    /// The most calls at once.
    pub concurrency: usize,
    /// How often a call is made before its case is left without an answer.
    pub attempts: u32,
    /// About how long to wait before the second attempt; twice as long before each further one.
    pub backoff: Duration,
    /// Nobody waits longer than this for one call, whatever the endpoint asks for.
    pub longest_wait: Duration,
    /// When to stop asking.
    pub limits: Limits,
    /// Whether answers are kept and used again, by whatever suite asks the same.
    pub cache: bool,
}

/// When to stop asking; calls that are under way at that moment still end.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Limits {
    /// Calls, each attempt counted.
    pub requests: Option<u64>,
    /// Tokens of prompts and answers.
    pub tokens: Option<u64>,
    /// US dollars.
    pub cost_usd: Option<f64>,
}

impl Default for Terms {
    fn default() -> Self {
        Self {
            timeout: Duration::from_secs(60),
            concurrency: 8,
            attempts: 5,
            backoff: Duration::from_millis(500),
            longest_wait: Duration::from_secs(60),
            limits: Limits::default(),
            cache: false,
        }
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawTarget {
    version: u32,
    kind: RawKind,
    url: Option<String>,
    api: Option<Api>,
    model: Option<String>,
    answers_as: Option<String>,
    key: Option<RawKey>,
    body: Option<Map<String, Value>>,
    prices: Option<RawPrices>,
    command: Option<Vec<String>>,
    file: Option<PathBuf>,
    timeout_s: Option<f64>,
    concurrency: Option<usize>,
    attempts: Option<u32>,
    backoff_ms: Option<u64>,
    longest_wait_s: Option<f64>,
    limits: Option<RawLimits>,
    cache: Option<bool>,
}

#[derive(Deserialize, Clone, Copy, PartialEq)]
#[serde(rename_all = "kebab-case")]
enum RawKind {
    Endpoint,
    Command,
    Outputs,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawKey {
    env: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawPrices {
    prompt_usd_per_million: f64,
    output_usd_per_million: f64,
}

#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields)]
struct RawLimits {
    requests: Option<u64>,
    tokens: Option<u64>,
    cost_usd: Option<f64>,
}

/// Fields of a request that the suite or the target's own keys decide.
const DECIDED: [&str; 10] = [
    "model",
    "messages",
    "prompt",
    "stream",
    "n",
    "temperature",
    "top_p",
    "top_k",
    "seed",
    "stop",
];

impl TargetFile {
    /// The same, to be asked the parts of a suite one after the other.
    pub fn for_suites(self, suites: &Suites) -> Self {
        let parts = suites
            .floor
            .iter()
            .chain(&suites.dev)
            .chain([&suites.suite]);
        let cases = parts.flat_map(|part| part.cases());
        Self {
            cases: cases.map(|case| case.id.clone()).collect(),
            ..self
        }
    }

    /// Reads `target.yaml`, or recorded outputs when the name ends in `.jsonl`. Every fault comes with file and line.
    pub fn read(path: &Path) -> Result<Self, EvalError> {
        let read = match path.extension().is_some_and(|end| end == "jsonl") {
            true => recorded(path),
            false => Source::read(path).and_then(|source| parse(&source)),
        };
        read.map_err(EvalError::Target)
    }
}

fn recorded(path: &Path) -> Result<TargetFile, Faults> {
    let bytes = fsio::read(path).map_err(|error| Fault {
        file: path.to_owned(),
        line: None,
        key: String::new(),
        message: format!("cannot read: {}", error.source),
    })?;
    Ok(TargetFile {
        target: Target::Outputs {
            outputs: Digest::of(&bytes),
        },
        terms: Terms::default(),
        key: None,
        outputs: Some((path.to_owned(), bytes)),
        cases: BTreeSet::new(),
    })
}

fn parse(source: &Source) -> Result<TargetFile, Faults> {
    let raw: RawTarget = source.parse()?;
    let mut faults = misplaced(source, &raw);
    if raw.version != 1 {
        faults.push(source.fault("version", "this version of retune reads version 1"));
    }
    let terms = terms(source, &raw, &mut faults);
    let target = match raw.kind {
        RawKind::Endpoint => endpoint(source, &raw, &mut faults),
        RawKind::Command => match &raw.command {
            Some(argv) if !argv.is_empty() => Some(Target::Command { argv: argv.clone() }),
            _ => {
                faults.push(source.fault("command", "which program? [PROGRAM, ARGUMENT…]"));
                None
            }
        },
        RawKind::Outputs => {
            Faults::check(faults)?;
            let Some(file) = &raw.file else {
                return Err(source.fault("file", "which file of outputs?").into());
            };
            let dir = source.path().parent().unwrap_or(Path::new(""));
            return recorded(&dir.join(file));
        }
    };
    Faults::check(faults)?;
    let target = target.ok_or_else(|| source.fault("", "cannot be read"))?;
    Ok(TargetFile {
        target,
        terms,
        key: raw.key.map(|key| key.env),
        outputs: None,
        cases: BTreeSet::new(),
    })
}

/// Keys of another kind of target.
fn misplaced(source: &Source, raw: &RawTarget) -> Vec<Fault> {
    use RawKind::{Command, Endpoint, Outputs};
    let keys: [(&str, bool, &[RawKind]); 15] = [
        ("url", raw.url.is_some(), &[Endpoint]),
        ("api", raw.api.is_some(), &[Endpoint]),
        ("model", raw.model.is_some(), &[Endpoint]),
        ("answers_as", raw.answers_as.is_some(), &[Endpoint]),
        ("key", raw.key.is_some(), &[Endpoint]),
        ("body", raw.body.is_some(), &[Endpoint]),
        ("prices", raw.prices.is_some(), &[Endpoint]),
        ("command", raw.command.is_some(), &[Command]),
        ("file", raw.file.is_some(), &[Outputs]),
        ("timeout_s", raw.timeout_s.is_some(), &[Endpoint, Command]),
        (
            "concurrency",
            raw.concurrency.is_some(),
            &[Endpoint, Command],
        ),
        ("attempts", raw.attempts.is_some(), &[Endpoint, Command]),
        ("backoff_ms", raw.backoff_ms.is_some(), &[Endpoint, Command]),
        ("limits", raw.limits.is_some(), &[Endpoint, Command]),
        ("cache", raw.cache.is_some(), &[Endpoint, Command]),
    ];
    let kind = match raw.kind {
        Endpoint => "endpoint",
        Command => "command",
        Outputs => "outputs",
    };
    let wrong = keys
        .into_iter()
        .filter(|(_, there, kinds)| *there && !kinds.contains(&raw.kind));
    wrong
        .map(|(key, _, _)| source.fault(key, format!("means nothing for `kind: {kind}`")))
        .collect()
}

fn endpoint(source: &Source, raw: &RawTarget, faults: &mut Vec<Fault>) -> Option<Target> {
    let found = faults.len();
    let url = raw.url.clone().unwrap_or_default();
    let url = url.trim_end_matches('/').to_owned();
    if !url.starts_with("http://") && !url.starts_with("https://") {
        faults.push(source.fault("url", "an address such as http://127.0.0.1:8000/v1"));
    } else if url.contains('@') || url.contains('?') {
        let message = "the address is recorded: keys and passwords belong into `key: {env: NAME}`";
        faults.push(source.fault("url", message));
    }
    let model = raw.model.clone().unwrap_or_default();
    if model.trim().is_empty() {
        faults.push(source.fault("model", "which model id is asked for?"));
    }
    if raw.api.is_none() {
        faults.push(source.fault("api", "chat or completions?"));
    }
    if raw.key.as_ref().is_some_and(|key| !is_variable(&key.env)) {
        let message = "the name of an environment variable, not the key itself";
        faults.push(source.fault("key.env", message));
    }
    let body = raw.body.clone().unwrap_or_default();
    for (name, value) in &body {
        let key = format!("body.{name}");
        if DECIDED.contains(&name.as_str()) {
            faults.push(source.fault(&key, "the suite or this file's own keys decide it"));
        } else if value.is_null() && name != "max_tokens" {
            faults.push(source.fault(&key, "only `max_tokens` can be left out by null"));
        }
    }
    let prices = raw.prices.as_ref().and_then(|prices| {
        let price = |value: f64| Decimal::new(value).ok().filter(|price| price.get() >= 0.0);
        let both = price(prices.prompt_usd_per_million).zip(price(prices.output_usd_per_million));
        if both.is_none() {
            faults.push(source.fault("prices", "a price is a number of dollars from 0"));
        }
        both.map(|(prompt, output)| Prices { prompt, output })
    });
    if faults.len() > found {
        return None;
    }
    Some(Target::Endpoint {
        url,
        api: raw.api?,
        model,
        answers_as: raw.answers_as.clone(),
        body: (!body.is_empty()).then(|| sorted(body).to_string()),
        prices,
    })
}

/// The same object with its keys in order, so that one meaning has one identity.
fn sorted(map: Map<String, Value>) -> Value {
    let mut pairs: Vec<(String, Value)> = map
        .into_iter()
        .map(|(key, value)| match value {
            Value::Object(inner) => (key, sorted(inner)),
            other => (key, other),
        })
        .collect();
    pairs.sort_by(|a, b| a.0.cmp(&b.0));
    Value::Object(pairs.into_iter().collect())
}

fn is_variable(name: &str) -> bool {
    let mut chars = name.chars();
    let first = chars.next();
    first.is_some_and(|c| c.is_ascii_alphabetic() || c == '_')
        && chars.all(|c| c.is_ascii_alphanumeric() || c == '_')
}

fn terms(source: &Source, raw: &RawTarget, faults: &mut Vec<Fault>) -> Terms {
    let known = Terms::default();
    let mut demand = |holds: bool, key: &str, message: &str| {
        if !holds {
            faults.push(source.fault(key, message));
        }
    };
    let seconds = |value: f64| value.is_finite() && value > 0.0 && value <= 86_400.0;
    let timeout = raw.timeout_s.unwrap_or(known.timeout.as_secs_f64());
    demand(seconds(timeout), "timeout_s", "above 0, at most 86400");
    let longest = raw
        .longest_wait_s
        .unwrap_or(known.longest_wait.as_secs_f64());
    demand(seconds(longest), "longest_wait_s", "above 0, at most 86400");
    let concurrency = raw.concurrency.unwrap_or(known.concurrency);
    demand((1..=256).contains(&concurrency), "concurrency", "1 to 256");
    // A program that fails has no busy hour to wait out.
    let usual = match raw.kind {
        RawKind::Command => 1,
        RawKind::Endpoint | RawKind::Outputs => known.attempts,
    };
    let attempts = raw.attempts.unwrap_or(usual);
    demand((1..=20).contains(&attempts), "attempts", "1 to 20");
    let limits = raw.limits.as_ref();
    let cost_usd = limits.and_then(|limits| limits.cost_usd);
    demand(
        cost_usd.is_none_or(|cost| cost.is_finite() && cost > 0.0),
        "limits.cost_usd",
        "dollars, above 0",
    );
    demand(
        cost_usd.is_none() || raw.prices.is_some() || raw.kind == RawKind::Command,
        "limits.cost_usd",
        "what a call costs is known only with `prices`",
    );
    let span = |value: f64, usual: Duration| match seconds(value) {
        true => Duration::from_secs_f64(value),
        false => usual,
    };
    Terms {
        timeout: span(timeout, known.timeout),
        concurrency,
        attempts,
        backoff: raw.backoff_ms.map_or(known.backoff, Duration::from_millis),
        longest_wait: span(longest, known.longest_wait),
        limits: Limits {
            requests: limits.and_then(|limits| limits.requests),
            tokens: limits.and_then(|limits| limits.tokens),
            cost_usd,
        },
        cache: raw.cache.unwrap_or(false),
    }
}
