//! Suite files as people write them: `suite.yaml` and its JSONL.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use serde::Deserialize;

use super::asserts::{Context, RawAssert};
use super::error::EvalError;
use super::generation::{Generation, Settings};
use super::grader::{Grader, Rule};
use super::judge::RawJudge;
use super::parts;
use super::provenance::Split;
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

#[derive(Clone, Deserialize)]
#[serde(deny_unknown_fields)]
struct RawSplits {
    gate: PathBuf,
    #[serde(default)]
    dev: Option<PathBuf>,
    #[serde(default)]
    floor: Option<PathBuf>,
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
        Self::locate(path).map(|located| located.suite)
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
    /// The cases to look at, where the suite has such; they and a floor have no parts of their own.
    pub dev: Option<Box<Located>>,
    /// The suite's floor, where it has one.
    pub floor: Option<Box<Located>>,
}

impl Suite {
    /// Like [`Suite::read`], with the line of every case, and with the suite's other parts.
    pub fn locate(path: &Path) -> Result<Located, EvalError> {
        let opened = Opened::read(path).map_err(EvalError::Suite)?;
        opened.located().map_err(EvalError::Suite)
    }
}

/// A suite file, checked, before its cases are read.
pub(super) struct Opened {
    pub(super) name: SuiteName,
    /// The file of the cases that versions are compared on.
    pub(super) gate: PathBuf,
    /// The file of the cases that people look at.
    pub(super) dev: Option<PathBuf>,
    /// The file of the cases that every version has to pass.
    pub(super) floor: Option<PathBuf>,
    pub(super) fields: Option<RawFields>,
    /// What is said of all cases; absent of labels.
    pub(super) texts: Option<Texts>,
    task: Task,
    judge: Option<RawJudge>,
    source: Source,
    dir: PathBuf,
}

impl Opened {
    pub(super) fn read(path: &Path) -> Result<Self, Faults> {
        let source = Source::read(path)?;
        let raw: RawSuite = source.parse()?;
        let dir = path.parent().unwrap_or(Path::new(""));
        let (name, files) = check(&source, &raw)?;
        let task = task(&source, &raw)?;
        let texts = match &task {
            Task::Classification | Task::Scored(_) => None,
            Task::Generation(_) => Some(texts(&source, &raw, dir)?),
        };
        Ok(Self {
            name,
            gate: dir.join(files.gate),
            dev: files.dev.map(|dev| dir.join(dev)),
            floor: files.floor.map(|floor| dir.join(floor)),
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

    /// The parts that have a file, what is compared first.
    pub(super) fn parts(&self) -> impl Iterator<Item = (Split, &Path)> {
        let gate = Some((Split::Gate, self.gate.as_path()));
        let dev = self.dev.as_deref().map(|file| (Split::Dev, file));
        let floor = self.floor.as_deref().map(|file| (Split::Floor, file));
        [gate, dev, floor].into_iter().flatten()
    }

    fn located(&self) -> Result<Located, Faults> {
        let mut parts: Vec<Located> = Vec::new();
        let mut faults: Option<Faults> = None;
        for (split, file) in self.parts() {
            match self
                .part(split, file)
                .and_then(|part| only_here(part, &parts))
            {
                Ok(part) => parts.push(part),
                Err(more) => {
                    faults = Some(match faults.take() {
                        Some(before) => before.and(more),
                        None => more,
                    });
                }
            }
        }
        if let Some(faults) = faults {
            return Err(faults);
        }
        let mut parts = parts.into_iter();
        let mut next = |there: bool| there.then(|| parts.next()).flatten();
        let gate = next(true);
        let dev = next(self.dev.is_some()).map(Box::new);
        let floor = next(self.floor.is_some()).map(Box::new);
        match gate {
            Some(gate) => self.judged(Located { dev, floor, ..gate }),
            None => Err(whole(&self.gate, "cannot be read".to_owned()).into()),
        }
    }

    /// The same with the judge that the suite names. Other parts have one too, but nothing that they are compared with.
    fn judged(&self, mut located: Located) -> Result<Located, Faults> {
        let others: Vec<&Located> = [&located.dev, &located.floor]
            .into_iter()
            .flatten()
            .map(AsRef::as_ref)
            .collect();
        let mut suites = vec![&located.suite];
        suites.extend(others.iter().map(|part| &part.suite));
        check_unused(&self.source, self.texts.as_ref(), &suites)?;
        let Some(judge) = &self.judge else {
            return Ok(located);
        };
        if let Some(part) = others.iter().find(|part| part.suite.is_compared()) {
            let message = "only the split `gate` is compared: `pairwise` is for its cases";
            return Err(whole(&part.file, message.to_owned()).into());
        }
        let judge = judge.read(&self.source, &self.dir, &located.suite)?;
        for part in [&mut located.dev, &mut located.floor].into_iter().flatten() {
            part.suite = part.suite.clone().judged_by(judge.alone());
        }
        located.suite = located.suite.judged_by(judge);
        Ok(located)
    }

    fn part(&self, split: Split, file: &Path) -> Result<Located, Faults> {
        let (mut cases, lines) = read_cases(file, &self.reader(split))?;
        let name = parts::name_of(&self.name, split);
        let name = name.map_err(|error| whole(file, error.to_string()))?;
        let task = match split {
            Split::Gate | Split::Dev => self.task.clone(),
            Split::Floor => once(self.task.clone()),
        };
        let task = demand(task, self.texts.as_ref(), &mut cases);
        let suite = Suite::of(name, task, cases).map_err(|why| whole(file, why))?;
        Ok(Located {
            suite,
            file: file.to_owned(),
            lines,
            dev: None,
            floor: None,
        })
    }
}

/// A part none of whose cases stands in an earlier part.
fn only_here(part: Located, earlier: &[Located]) -> Result<Located, Faults> {
    let twice = part.lines.iter().filter_map(|(id, line)| {
        let first = earlier.iter().find(|other| other.lines.contains_key(id))?;
        let message = format!(
            "the case {id:?} is already at {}:{}",
            first.file.display(),
            first.lines.get(id)?
        );
        Some(at(&part.file, *line, message))
    });
    Faults::check(shorten(&part.file, twice.collect()))?;
    Ok(part)
}

/// A floor asks once; what fails is asked again by itself.
fn once(task: Task) -> Task {
    match task {
        Task::Generation(generation) => Task::Generation(Generation {
            repeats: 1,
            ..generation
        }),
        other @ (Task::Classification | Task::Scored(_)) => other,
    }
}

/// The suite's name and the files of its parts.
fn check(source: &Source, raw: &RawSuite) -> Result<(SuiteName, RawSplits), Faults> {
    let mut faults = Vec::new();
    if raw.version != 1 {
        faults.push(source.fault("version", "this version of retune reads version 1"));
    }
    let name = raw.name.parse::<SuiteName>();
    match &name {
        Err(error) => faults.push(source.fault("name", error.to_string())),
        Ok(name) if parts::is_name(name) => {
            faults.push(source.fault("name", "names that end so are kept for the parts of suites"));
        }
        Ok(_) => {}
    }
    let splits = raw.splits.as_ref();
    let floor = splits.and_then(|splits| splits.floor.as_ref());
    let dev = splits.and_then(|splits| splits.dev.as_ref());
    let others = [floor.map(|_| Split::Floor), dev.map(|_| Split::Dev)];
    for split in others.into_iter().flatten() {
        if let Ok(name) = &name
            && let Err(error) = parts::name_of(name, split)
        {
            let message = format!("too long for a suite with several splits: {error}");
            faults.push(source.fault("name", message));
            break;
        }
    }
    let files = match (&raw.cases, &raw.splits) {
        (Some(path), None) => Some(RawSplits {
            gate: path.clone(),
            dev: None,
            floor: None,
        }),
        (None, Some(splits)) => Some(splits.clone()),
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
    match (name, files) {
        (Ok(name), Some(files)) => Ok((name, files)),
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
fn demand(task: Task, texts: Option<&Texts>, cases: &mut [Case]) -> Task {
    let (Task::Generation(mut generation), Some(texts)) = (task, texts) else {
        return Task::Classification;
    };
    generation.graders.clone_from(&texts.graders);
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
fn check_unused(source: &Source, texts: Option<&Texts>, parts: &[&Suite]) -> Result<(), Faults> {
    let Some(texts) = texts else { return Ok(()) };
    let uses = |is: fn(&Rule) -> bool| {
        let uses = |suite: &&Suite| suite.all_graders().any(|grader| is(&grader.rule));
        parts.iter().any(uses)
    };
    let unused = |key: &str, there: bool, kind: &str, is: fn(&Rule) -> bool| {
        let unused = there && !uses(is);
        unused.then(|| source.fault(key, format!("no grader is of `type: {kind}`")))
    };
    let embeds = |rule: &Rule| matches!(rule, Rule::Similar(_));
    let judges = |rule: &Rule| matches!(rule, Rule::LlmRubric { .. } | Rule::Pairwise { .. });
    let faults = [
        unused("embeddings", texts.embeds, "similar", embeds),
        unused("judge", texts.judges, "llm-rubric` or `pairwise", judges),
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
pub(super) type Numbered = (Vec<Case>, HashMap<String, usize>);

pub(super) fn read_cases(file: &Path, reader: &RowReader<'_>) -> Result<Numbered, Faults> {
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

/// The first of them, and how many more there are.
pub(super) fn shorten(file: &Path, mut faults: Vec<Fault>) -> Vec<Fault> {
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

pub(super) fn at(file: &Path, line: usize, message: String) -> Fault {
    Fault {
        line: Some(line),
        ..whole(file, message)
    }
}

pub(super) fn whole(file: &Path, message: String) -> Fault {
    Fault {
        file: file.to_owned(),
        line: None,
        key: String::new(),
        message,
    }
}
