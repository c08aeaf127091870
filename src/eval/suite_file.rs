//! Suite files as people write them: `suite.yaml`.

use std::path::{Path, PathBuf};

use serde::Deserialize;

use super::asserts::{Context, RawAssert};
use super::generation::{Generation, Settings};
use super::judge::RawJudge;
use super::parts;
use super::provenance::Split;
use super::suite::Task;
use super::suite_rows::{
    PromptTemplate, RawFields, RawVars, RowReader, Texts, checked_threshold, plain_vars,
};
use crate::base::BaseId;
use crate::dataset::Message;
use crate::document::{Decimal, Fault, Faults, Source};
use crate::fsio;
use crate::name::SuiteName;

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
    splits: Option<Splits>,
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

/// The files of a suite's cases.
#[derive(Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Splits {
    /// Of the cases that versions are compared on.
    pub(super) gate: PathBuf,
    /// Of the cases that people look at.
    #[serde(default)]
    pub(super) dev: Option<PathBuf>,
    /// Of the cases that every version has to pass.
    #[serde(default)]
    pub(super) floor: Option<PathBuf>,
}

impl Splits {
    /// The same, of a suite file in this folder.
    fn below(self, dir: &Path) -> Self {
        let joined = |file: PathBuf| dir.join(file);
        Self {
            gate: joined(self.gate),
            dev: self.dev.map(joined),
            floor: self.floor.map(joined),
        }
    }

    /// Those that there are, what is compared first.
    pub(super) fn iter(&self) -> impl Iterator<Item = (Split, &Path)> {
        let gate = Some((Split::Gate, self.gate.as_path()));
        let dev = self.dev.as_deref().map(|file| (Split::Dev, file));
        let floor = self.floor.as_deref().map(|file| (Split::Floor, file));
        [gate, dev, floor].into_iter().flatten()
    }
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "snake_case")]
enum RawGrader {
    #[default]
    ExactMatch,
}

/// A suite file, checked, before its cases are read.
pub(super) struct Opened {
    pub(super) name: SuiteName,
    /// The files of its cases.
    pub(super) splits: Splits,
    pub(super) fields: Option<RawFields>,
    /// What is said of all cases; absent of labels.
    pub(super) texts: Option<Texts>,
    pub(super) task: Task,
    pub(super) judge: Option<RawJudge>,
    pub(super) source: Source,
    pub(super) dir: PathBuf,
}

impl Opened {
    pub(super) fn read(path: &Path) -> Result<Self, Faults> {
        let source = Source::read(path)?;
        let raw: RawSuite = source.parse()?;
        let dir = path.parent().unwrap_or(Path::new(""));
        let (name, splits) = check(&source, &raw)?;
        let task = task(&source, &raw)?;
        let texts = match &task {
            Task::Classification | Task::Scored(_) => None,
            Task::Generation(_) => Some(texts(&source, &raw, dir)?),
        };
        Ok(Self {
            name,
            splits: splits.below(dir),
            fields: raw.fields,
            texts,
            task,
            judge: raw.judge,
            dir: dir.to_owned(),
            source,
        })
    }

    /// How the rows of one part are read.
    pub(super) fn reader(&self, split: Split) -> RowReader<'_> {
        RowReader {
            fields: self.fields.as_ref(),
            texts: self.texts.as_ref(),
            dir: &self.dir,
            split,
        }
    }
}

/// The suite's name and the files of its parts.
fn check(source: &Source, raw: &RawSuite) -> Result<(SuiteName, Splits), Faults> {
    let version = match raw.version {
        1 => Ok(()),
        _ => Err(source
            .fault("version", "this version of retune reads version 1")
            .into()),
    };
    let name = Faults::both(version, name(source, raw)).map(|((), name)| name);
    let (name, splits) = Faults::both(name, splits(source, raw))?;
    Faults::check(too_long(source, &name, &splits).into_iter().collect())?;
    Ok((name, splits))
}

fn name(source: &Source, raw: &RawSuite) -> Result<SuiteName, Faults> {
    let name = raw.name.parse::<SuiteName>();
    let name = name.map_err(|error| source.fault("name", error.to_string()))?;
    match parts::is_name(&name) {
        true => {
            let message = "names that end so are kept for the parts of suites";
            Err(source.fault("name", message).into())
        }
        false => Ok(name),
    }
}

fn splits(source: &Source, raw: &RawSuite) -> Result<Splits, Faults> {
    match (&raw.cases, &raw.splits) {
        (Some(gate), None) => Ok(Splits {
            gate: gate.clone(),
            dev: None,
            floor: None,
        }),
        (None, Some(splits)) => Ok(splits.clone()),
        (None, None) => {
            let message = "missing `cases`: the JSONL file of the cases";
            Err(source.fault("", message).into())
        }
        (Some(_), Some(_)) => {
            let message = "both `cases` and `splits`: keep one";
            Err(source.fault("splits", message).into())
        }
    }
}

/// A name that leaves no room for those of the suite's parts.
fn too_long(source: &Source, name: &SuiteName, splits: &Splits) -> Option<Fault> {
    let mut names = splits.iter().map(|(split, _)| parts::name_of(name, split));
    let error = names.find_map(Result::err)?;
    let message = format!("too long for a suite with several splits: {error}");
    Some(source.fault("name", message))
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
