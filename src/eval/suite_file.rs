//! Suite files as people write them: `suite.yaml` and its JSONL.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use serde::Deserialize;

use super::asserts::{Context, RawAssert};
use super::error::EvalError;
use super::generation::{Generation, Settings};
use super::grader::{Grader, Rule};
use super::judge::RawJudge;
use super::suite::{Case, Suite, Task};
use super::suite_rows::{
    PromptTemplate, RawFields, RawVars, RowReader, Texts, checked_threshold, plain_vars,
};
use crate::base::BaseId;
use crate::dataset::Message;
use crate::document::{Decimal, Fault, Faults, Source};
use crate::fsio;
use crate::name::SuiteName;

/// Suites are read whole; a larger file is not one.
const MAX_BYTES: usize = 256 << 20;
/// After this many faulty lines the rest is only counted.
const MAX_FAULTS: usize = 20;
/// More answers to one case than this are a slip of the hand.
const MAX_REPEATS: u32 = 100;

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
    #[serde(default)]
    generate: Option<RawGenerate>,
    #[serde(default)]
    repeats: Option<u32>,
    #[serde(default)]
    embeddings: Option<String>,
    #[serde(default)]
    judge: Option<RawJudge>,
    #[serde(default)]
    prompt: Option<String>,
    #[serde(default)]
    messages: Option<Vec<Message>>,
    #[serde(default, rename = "defaultTest")]
    default_test: Option<RawDefault>,
}

/// What holds for every case that does not say otherwise.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawDefault {
    #[serde(default)]
    assert: Vec<RawAssert>,
    #[serde(default)]
    vars: RawVars,
    threshold: Option<f64>,
}

#[derive(Deserialize)]
#[serde(rename_all = "kebab-case")]
enum RawTask {
    Classification,
    Generation,
}

/// How texts are generated; what is not said is as in [`Settings::default`].
#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields)]
struct RawGenerate {
    max_tokens: Option<u32>,
    temperature: Option<f64>,
    top_p: Option<f64>,
    top_k: Option<u32>,
    seed: Option<u64>,
    #[serde(default)]
    stop: Vec<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawSplits {
    gate: PathBuf,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "snake_case")]
enum RawGrader {
    #[default]
    ExactMatch,
}

impl Suite {
    /// Reads `suite.yaml` and the cases it names, relative to it. Everything wrong is reported with file and line.
    pub fn read(path: &Path) -> Result<Self, EvalError> {
        read(path).map_err(EvalError::Suite)
    }
}

/// Where the cases of a suite file stand.
#[derive(Debug, Clone, PartialEq)]
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
    let task = task(&source, &raw)?;
    let file = match source.path().parent() {
        Some(dir) => dir.join(cases_path),
        None => cases_path,
    };
    let dir = source.path().parent().unwrap_or(Path::new(""));
    let texts = match &task {
        Task::Classification => None,
        Task::Generation(_) => Some(texts(&source, &raw, dir)?),
    };
    let reader = RowReader {
        fields: raw.fields.as_ref(),
        texts: texts.as_ref(),
        dir,
    };
    let (mut cases, lines) = read_cases(&file, &reader)?;
    let task = demand(task, texts, &mut cases);
    let suite = Suite::of(name, task, cases).map_err(|why| whole(&file, why))?;
    check_unused(&source, &raw, &suite)?;
    let suite = match &raw.judge {
        None => suite,
        Some(judge) => {
            let judge = judge.read(&source, dir, &suite)?;
            suite.judged_by(judge)
        }
    };
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

/// What the answers are; `generate` and `repeats` are about texts.
fn task(source: &Source, raw: &RawSuite) -> Result<Task, Faults> {
    // Only one grader exists; naming it is how a suite of another kind is refused.
    let RawGrader::ExactMatch = &raw.grader;
    if matches!(raw.task, RawTask::Classification) {
        let about_texts = [
            ("generate", raw.generate.is_some()),
            ("repeats", raw.repeats.is_some()),
            ("embeddings", raw.embeddings.is_some()),
            ("judge", raw.judge.is_some()),
            ("prompt", raw.prompt.is_some()),
            ("messages", raw.messages.is_some()),
            ("defaultTest", raw.default_test.is_some()),
        ];
        let faults = about_texts.into_iter().filter(|(_, there)| *there);
        let message = "means nothing for `task: classification`";
        Faults::check(faults.map(|(key, _)| source.fault(key, message)).collect())?;
        return Ok(Task::Classification);
    }
    let empty = RawGenerate::default();
    let settings = settings(source, raw.generate.as_ref().unwrap_or(&empty))?;
    let repeats = raw.repeats.unwrap_or(1);
    if repeats == 0 || repeats > MAX_REPEATS {
        let message = format!("1 to {MAX_REPEATS} answers per case");
        return Err(source.fault("repeats", message).into());
    }
    if repeats > 1 && settings.temperature.get() == 0.0 {
        let message = "at temperature 0 every answer is the same: say `generate.temperature`";
        return Err(source.fault("repeats", message).into());
    }
    Ok(Task::Generation(Generation {
        settings,
        graders: Vec::new(),
        repeats,
        embeddings: embeddings(source, raw)?,
        judge: None,
    }))
}

/// `sha256:…`, or `NAME@sha256:…` where the name is for people.
fn embeddings(source: &Source, raw: &RawSuite) -> Result<Option<BaseId>, Faults> {
    let Some(text) = &raw.embeddings else {
        return Ok(None);
    };
    let (name, digest) = match text.rsplit_once('@') {
        Some((name, digest)) => (name, digest),
        None => (text.as_str(), text.as_str()),
    };
    let base = digest.parse().map(Some);
    base.map_err(|_| {
        let message = format!(
            "{text:?} is no fixed base: write NAME@sha256:…, as `retune base show {name}` prints it"
        );
        source.fault("embeddings", message).into()
    })
}

/// What the suite says of all its cases.
fn texts(source: &Source, raw: &RawSuite, dir: &Path) -> Result<Texts, Faults> {
    let mut faults = Vec::new();
    let mut texts = Texts {
        embeds: raw.embeddings.is_some(),
        judges: raw.judge.is_some(),
        ..Texts::default()
    };
    match (&raw.prompt, &raw.messages) {
        (Some(_), Some(_)) => {
            faults.push(source.fault("messages", "both `prompt` and `messages`: keep one"));
        }
        (Some(text), None) => match prompt_text(text, dir) {
            Ok(text) => texts.template = Some(PromptTemplate::Prompt(text)),
            Err(why) => faults.push(source.fault("prompt", why)),
        },
        (None, Some(messages)) => {
            texts.template = Some(PromptTemplate::Conversation(messages.clone()));
        }
        (None, None) => {}
    }
    if raw.fields.is_some() && texts.template.is_some() {
        faults.push(source.fault("fields", "means nothing beside `prompt` and `messages`"));
    }
    if let Some(default) = &raw.default_test {
        match plain_vars(&default.vars) {
            Ok(vars) => texts.vars = vars,
            Err(why) => faults.push(source.fault("defaultTest.vars", why)),
        }
        if let Some(Err(why)) = default.threshold.map(checked_threshold) {
            faults.push(source.fault("defaultTest.threshold", why));
        }
        texts.threshold = default.threshold;
        let context = Context {
            vars: None,
            dir,
            embeds: texts.embeds,
            judges: texts.judges,
        };
        for (index, assert) in default.assert.iter().enumerate() {
            if assert.is_template() {
                texts.each.push(assert.clone());
                continue;
            }
            match assert.grader(&context) {
                Ok(grader) => texts.graders.push(grader),
                Err(why) => {
                    faults.push(source.fault(&format!("defaultTest.assert[{index}]"), why));
                }
            }
        }
    }
    Faults::check(faults)?;
    Ok(texts)
}

/// A prompt that stands in the suite file, or in a file of its own.
fn prompt_text(text: &str, dir: &Path) -> Result<String, String> {
    let Some(name) = text.strip_prefix("file://") else {
        return Ok(text.to_owned());
    };
    let bytes = fsio::read(&dir.join(name)).map_err(|error| error.to_string())?;
    String::from_utf8(bytes).map_err(|_| format!("{name} is not UTF-8"))
}

/// Where nothing is demanded, the target is: of the whole suite, or of the cases that demand nothing themselves.
fn demand(task: Task, texts: Option<Texts>, cases: &mut [Case]) -> Task {
    let (Task::Generation(mut generation), Some(texts)) = (task, texts) else {
        return Task::Classification;
    };
    generation.graders = texts.graders;
    if !generation.graders.is_empty() {
        return Task::Generation(generation);
    }
    if cases.iter().all(|case| case.graders.is_empty()) {
        generation.graders.push(Grader::exact_match());
    } else {
        let without = cases.iter_mut().filter(|case| case.graders.is_empty());
        without.for_each(|case| case.graders.push(Grader::exact_match()));
    }
    Task::Generation(generation)
}

/// A base that embeds nothing or a judge of nothing would only make another suite of the same questions.
fn check_unused(source: &Source, raw: &RawSuite, suite: &Suite) -> Result<(), Faults> {
    let graders = || suite.cases().iter().flat_map(|case| suite.graders_of(case));
    let unused = |key: &str, there: bool, kind: &str, is: fn(&Rule) -> bool| {
        let used = !there || graders().any(|grader| is(&grader.rule));
        (!used).then(|| source.fault(key, format!("no grader is of `type: {kind}`")))
    };
    let embeds = |rule: &Rule| matches!(rule, Rule::Similar(_));
    let judges = |rule: &Rule| matches!(rule, Rule::LlmRubric { .. } | Rule::Pairwise { .. });
    let faults = [
        unused("embeddings", raw.embeddings.is_some(), "similar", embeds),
        unused(
            "judge",
            raw.judge.is_some(),
            "llm-rubric` or `pairwise",
            judges,
        ),
    ];
    Faults::check(faults.into_iter().flatten().collect())
}

fn settings(source: &Source, raw: &RawGenerate) -> Result<Settings, Faults> {
    let known = Settings::default();
    let mut faults = Vec::new();
    let mut demand = |holds: bool, key: &str, message: &str| {
        if !holds {
            faults.push(source.fault(&format!("generate.{key}"), message));
        }
    };
    let max_tokens = raw.max_tokens.unwrap_or(known.max_tokens);
    demand(max_tokens > 0, "max_tokens", "at least 1");
    let temperature = raw.temperature.unwrap_or(0.0);
    demand(
        temperature.is_finite() && (0.0..=100.0).contains(&temperature),
        "temperature",
        "0 to 100",
    );
    let share = |p: f64| p > 0.0 && p <= 1.0;
    demand(
        raw.top_p.is_none_or(share),
        "top_p",
        "above 0 and at most 1",
    );
    demand(raw.top_k != Some(0), "top_k", "at least 1");
    for (key, there) in [
        ("top_p", raw.top_p.is_some()),
        ("top_k", raw.top_k.is_some()),
        ("seed", raw.seed.is_some()),
    ] {
        demand(
            temperature > 0.0 || !there,
            key,
            "means nothing at temperature 0, where nothing is drawn",
        );
    }
    let stops = !raw.stop.iter().any(String::is_empty);
    demand(stops, "stop", "an empty text would end every answer");
    Faults::check(faults)?;
    let decimal = |value: f64| Decimal::new(value).unwrap_or_default();
    Ok(Settings {
        max_tokens,
        temperature: decimal(temperature),
        top_p: raw.top_p.map(decimal),
        top_k: raw.top_k,
        seed: raw.seed.unwrap_or(known.seed),
        stop: raw.stop.clone(),
    })
}

/// Cases, and the line of each by its id.
type Numbered = (Vec<Case>, HashMap<String, usize>);

fn read_cases(file: &Path, reader: &RowReader<'_>) -> Result<Numbered, Faults> {
    let text = text_of(file)?;
    let mut cases = Vec::new();
    let mut faults = Vec::new();
    let mut seen: HashMap<String, usize> = HashMap::new();
    for (index, line) in text.lines().enumerate() {
        let number = index + 1;
        match reader.case(line) {
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
