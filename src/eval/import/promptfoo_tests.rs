//! promptfoo's test cases: a configuration, or a list of tests in YAML, JSON, JSONL or CSV.

use std::path::{Path, PathBuf};

use serde::Deserialize;
use serde_json::{Map, Value};

use super::Choice;
use super::cases::{Cases, Header, Line};
use super::file::{self, File};
use super::promptfoo_csv;
use crate::document::{Fault, Faults, Source, yaml_value};
use crate::eval::asserts::{Context, RawAssert};

/// Keys of a configuration that say how to run it, or what to do afterwards: they change no case and no grade.
const ABOUT_RUNS: [&str; 14] = [
    "$schema",
    "commandLineOptions",
    "description",
    "env",
    "evaluateOptions",
    "metadata",
    "outputPath",
    "providers",
    "sharing",
    "tags",
    "targets",
    "tracing",
    "version",
    "writeLatestResults",
];
/// What is wrong with one test, each with the key inside of it.
pub(super) type Wrong = Vec<String>;

/// A test and where it stands.
struct Test {
    place: Fault,
    test: Value,
}

pub(super) fn read(file: &File, choice: &Choice) -> Result<Cases, Faults> {
    let mut reader = Reader {
        dir: file.path.parent().unwrap_or(Path::new("")).to_owned(),
        header: Header::default(),
        metadata: Map::new(),
        tests: Vec::new(),
        faults: Vec::new(),
        own_prompt: choice.prompt.is_none(),
    };
    reader.file(file)?;
    if let Some(prompt) = &choice.prompt {
        reader.prompt(file, &Value::String(prompt.clone()));
    }
    let lines = reader.lines();
    let asks = reader.header.prompt.is_some() || reader.header.messages.is_some();
    if !asks && lines.iter().any(|line| line.row.get("vars").is_some()) {
        let why = "what are the vars filled into? say --prompt: a text, or file://PATH";
        reader.faults.push(file.whole(why));
    }
    let source = Source::new(&file.path, file.text()?.to_owned());
    file::check(reader.faults).map_err(|faults| located(&source, faults))?;
    Cases::new(file, reader.header, lines)
}

/// The lines of the keys that faults name.
fn located(source: &Source, faults: Faults) -> Faults {
    let locate = |fault: Fault| match fault.line.is_none() && fault.file == source.path() {
        true => Fault {
            line: source.line_of(&fault.key),
            ..fault
        },
        false => fault,
    };
    let faults: Vec<Fault> = faults.into_vec().into_iter().map(locate).collect();
    Faults::check(faults)
        .err()
        .unwrap_or_else(|| source.fault("", "cannot be read").into())
}

struct Reader {
    /// Where `file://` begins.
    dir: PathBuf,
    header: Header,
    /// The metadata of every test that does not say otherwise.
    metadata: Map<String, Value>,
    tests: Vec<Test>,
    faults: Vec<Fault>,
    /// Whether the file's own prompt counts.
    own_prompt: bool,
}

impl Reader {
    fn file(&mut self, file: &File) -> Result<(), Faults> {
        match file.ending().as_str() {
            "csv" => self.csv(file),
            "jsonl" => {
                for (number, test) in file.rows::<Value>()? {
                    let place = file.at(number, "");
                    self.tests.push(Test { place, test });
                }
                Ok(())
            }
            "yaml" | "yml" | "json" => self.document(file),
            _ => Err(file
                .whole("promptfoo's tests are in .yaml, .yml, .json, .jsonl or .csv")
                .into()),
        }
    }

    fn document(&mut self, file: &File) -> Result<(), Faults> {
        let source = Source::new(&file.path, file.text()?.to_owned());
        match source.parse::<Value>()? {
            Value::Array(tests) => self.list(file, "", tests),
            Value::Object(config) if config.contains_key("tests") => self.config(file, config),
            Value::Object(config) if config.contains_key("scenarios") => {
                let why = "scenarios cannot be taken over: write their tests out";
                self.faults.push(file.under("scenarios", why));
                Ok(())
            }
            _ => Err(file
                .whole("neither a list of tests nor a configuration with `tests`")
                .into()),
        }
    }

    fn config(&mut self, file: &File, config: Map<String, Value>) -> Result<(), Faults> {
        for (key, value) in config {
            match key.as_str() {
                "tests" => match value {
                    Value::Array(tests) => self.list(file, "tests", tests)?,
                    Value::String(name) => self.other(file, "tests", &name)?,
                    _ => self
                        .faults
                        .push(file.under("tests", "neither a list nor a file")),
                },
                "prompts" if self.own_prompt => self.prompts(file, &value),
                "prompts" => {}
                "defaultTest" => self.default_test(file, &value),
                "description" => self.header.title = value.as_str().map(str::to_owned),
                known if ABOUT_RUNS.contains(&known) => {}
                _ if is_nothing(&value) => {}
                _ => self.faults.push(file.under(key, "cannot be taken over")),
            }
        }
        Ok(())
    }

    fn list(&mut self, file: &File, key: &str, tests: Vec<Value>) -> Result<(), Faults> {
        for (index, test) in tests.into_iter().enumerate() {
            let key = format!("{key}[{index}]");
            match test {
                Value::String(name) => self.other(file, &key, &name)?,
                test => self.tests.push(Test {
                    place: file.under(key, ""),
                    test,
                }),
            }
        }
        Ok(())
    }

    /// Another file of tests.
    fn other(&mut self, file: &File, key: &str, name: &str) -> Result<(), Faults> {
        let plain = name.strip_prefix("file://").unwrap_or(name);
        if plain.contains(['*', '?']) || plain.contains("://") {
            self.faults
                .push(file.under(key, format!("{name} is not one file beside this one")));
            return Ok(());
        }
        let other = File::read(&self.dir.join(plain))?;
        match other.ending().as_str() {
            "yaml" | "yml" | "json" => {
                let source = Source::new(&other.path, other.text()?.to_owned());
                match source.parse::<Value>()? {
                    Value::Array(tests) if tests.iter().all(Value::is_object) => {
                        self.list(&other, "", tests)
                    }
                    _ => Err(other.whole("not a list of tests").into()),
                }
            }
            _ => self.file(&other),
        }
    }

    fn prompts(&mut self, file: &File, value: &Value) {
        let prompts = match value {
            Value::Array(prompts) => &prompts[..],
            one => std::slice::from_ref(one),
        };
        match prompts {
            [only] => self.prompt(file, only),
            several => {
                let why = format!(
                    "{} prompts, and a suite asks in one way: choose with --prompt",
                    several.len()
                );
                self.faults.push(file.under("prompts", why));
            }
        }
    }

    fn prompt(&mut self, file: &File, value: &Value) {
        let text = value
            .as_str()
            .or_else(|| value.get("raw").and_then(Value::as_str));
        let Some(text) = text else {
            self.faults
                .push(file.under("prompts", "the prompt is no text"));
            return;
        };
        let text = match text.strip_prefix("file://") {
            Some(name) if name.ends_with(".yaml") || name.ends_with(".yml") => {
                self.conversation(name)
            }
            Some(_) => inlined(&self.dir, text),
            None => Ok(text.to_owned()),
        };
        match text {
            Ok(text) => {
                let messages = serde_json::from_str::<Value>(&text)
                    .ok()
                    .filter(Value::is_array);
                self.header.prompt = messages.is_none().then_some(text);
                self.header.messages = messages;
            }
            Err(why) => self.faults.push(file.under("prompts", why)),
        }
    }

    /// A conversation in YAML, as JSON.
    fn conversation(&self, name: &str) -> Result<String, String> {
        let file = File::read(&self.dir.join(name)).map_err(|faults| faults.to_string())?;
        let text = file.text().map_err(|faults| faults.to_string())?;
        Ok(yaml_value(text)?.to_string())
    }

    fn default_test(&mut self, file: &File, value: &Value) {
        let Some(test) = value.as_object() else {
            self.faults
                .push(file.under("defaultTest", "write its keys here"));
            return;
        };
        match self.taken(test) {
            Ok(mut taken) => {
                if let Some(Value::Object(metadata)) = taken.remove("metadata") {
                    self.metadata = metadata;
                }
                taken.remove("description");
                self.header.default_test = (!taken.is_empty()).then_some(Value::Object(taken));
            }
            Err(wrong) => {
                let fault = |why| file.under("defaultTest", why);
                self.faults.extend(wrong.into_iter().map(fault));
            }
        }
    }

    fn lines(&mut self) -> Vec<Line> {
        let mut lines = Vec::new();
        for Test { place, test } in std::mem::take(&mut self.tests) {
            let taken = match test.as_object() {
                Some(test) => self.taken(test),
                None => Err(vec!["not a test".to_owned()]),
            };
            match taken {
                Ok(mut row) => {
                    if !self.metadata.is_empty() {
                        let mut metadata = self.metadata.clone();
                        if let Some(Value::Object(own)) = row.remove("metadata") {
                            metadata.extend(own);
                        }
                        row.insert("metadata".to_owned(), Value::Object(metadata));
                    }
                    let row = Value::Object(row);
                    lines.push(Line { row, place });
                }
                Err(wrong) => self.faults.extend(wrong.into_iter().map(|message| Fault {
                    message,
                    ..place.clone()
                })),
            }
        }
        lines
    }

    /// A test in the words of a suite's row, or all that is wrong with it.
    fn taken(&self, test: &Map<String, Value>) -> Result<Map<String, Value>, Wrong> {
        let mut wrong = Wrong::new();
        let mut row = Map::new();
        for (key, value) in test {
            match (key.as_str(), value) {
                (_, value) if is_nothing(value) => {}
                ("vars", Value::Object(vars)) => {
                    let vars = vars
                        .iter()
                        .filter_map(|(name, value)| match self.var(value) {
                            Ok(value) => Some((name.clone(), value)),
                            Err(why) => {
                                wrong.push(format!("`vars.{name}` {why}"));
                                None
                            }
                        });
                    row.insert("vars".to_owned(), Value::Object(vars.collect()));
                }
                ("assert", Value::Array(asserts)) => {
                    let mut taken = Vec::new();
                    for (index, assert) in asserts.iter().enumerate() {
                        match self.demand(assert) {
                            Ok(assert) => taken.push(assert),
                            Err(why) => wrong.push(format!("`assert[{index}]`: {why}")),
                        }
                    }
                    row.insert("assert".to_owned(), Value::Array(taken));
                }
                ("vars" | "assert", _) => wrong.push(format!("`{key}` cannot be taken over")),
                ("description" | "threshold" | "metadata" | "id" | "target" | "retune", value) => {
                    row.insert(key.clone(), value.clone());
                }
                ("options", Value::Object(options)) => {
                    let said = options.iter().filter(|(_, value)| !is_nothing(value));
                    wrong.extend(
                        said.map(|(name, _)| format!("`options.{name}` cannot be taken over")),
                    );
                }
                _ => wrong.push(format!("`{key}` cannot be taken over")),
            }
        }
        match wrong.is_empty() {
            true => Ok(row),
            false => Err(wrong),
        }
    }

    fn var(&self, value: &Value) -> Result<Value, String> {
        match value {
            Value::String(text) => inlined(&self.dir, text).map(Value::String),
            Value::Array(_) => {
                Err("is a list, which makes several tests of one: write them out".to_owned())
            }
            Value::Null | Value::Object(_) => Err("is no text".to_owned()),
            plain => Ok(plain.clone()),
        }
    }

    /// A demand with what it names written into it, as far as that can be judged before it is filled in.
    fn demand(&self, assert: &Value) -> Result<Value, String> {
        let mut taken = assert.clone();
        if let Some(Value::String(text)) = taken.get_mut("value") {
            *text = inlined(&self.dir, text)?;
        }
        let raw = RawAssert::deserialize(&taken).map_err(|error| error.to_string())?;
        let context = Context {
            vars: None,
            dir: &self.dir,
            embeds: false,
            judges: false,
        };
        match raw.is_template() {
            true => Ok(taken),
            false => raw.grader(&context).map(|_| taken),
        }
    }

    fn csv(&mut self, file: &File) -> Result<(), Faults> {
        let (header, records) = file::csv(file)?;
        let slips = header
            .iter()
            .filter(|column| promptfoo_csv::is_slip(column));
        self.faults.extend(slips.map(|column| {
            let why =
                format!("the column {column:?} has one underscore; did you mean `_{column}`?");
            file.at(1, why)
        }));
        for (number, cells) in records {
            let cells = header.iter().map(String::as_str).zip(cells);
            match promptfoo_csv::row(cells) {
                Ok(test) => self.tests.push(Test {
                    place: file.at(number, ""),
                    test,
                }),
                Err(wrong) => self
                    .faults
                    .extend(wrong.into_iter().map(|why| file.at(number, why))),
            }
        }
        Ok(())
    }
}

fn is_nothing(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::Object(map) => map.is_empty(),
        Value::Array(items) => items.is_empty(),
        _ => false,
    }
}

/// A text, or that of the file it names.
fn inlined(dir: &Path, text: &str) -> Result<String, String> {
    let Some(name) = text.strip_prefix("file://") else {
        return Ok(text.to_owned());
    };
    let ending = Path::new(name).extension().unwrap_or_default();
    if !["txt", "md", "json"].iter().any(|known| ending == *known) {
        return Err(format!(
            "{text} is not a .txt, .md or .json file: write its text here"
        ));
    }
    let file = File::read(&dir.join(name)).map_err(|faults| faults.to_string())?;
    let text = file.text().map_err(|faults| faults.to_string())?;
    Ok(text.trim_end_matches('\n').to_owned())
}
