//! Rows of the JSONL files that suites name.

use std::collections::BTreeMap;
use std::path::Path;

use serde::Deserialize;
use serde::de::IgnoredAny;
use serde_json::{Value, json};

use super::asserts::{Context, RawAssert};
use super::grader::Grader;
use super::provenance::{Provenance, Split};
use super::suite::Case;
use super::template::{self, Vars};
use crate::dataset::{Message, Role};
use crate::document::Decimal;

/// How the rows of a suite file are read.
pub(super) struct RowReader<'a> {
    pub(super) fields: Option<&'a RawFields>,
    /// What the suite says of all cases, where answers are texts rather than labels.
    pub(super) texts: Option<&'a Texts>,
    /// Where `file://` begins.
    pub(super) dir: &'a Path,
    /// Which part of the suite the rows are.
    pub(super) split: Split,
}

/// What a suite of texts says of all its cases.
#[derive(Default)]
pub(super) struct Texts {
    /// What `vars` are filled into.
    pub(super) template: Option<PromptTemplate>,
    /// Demands that are the same for every case.
    pub(super) graders: Vec<Grader>,
    /// Demands that are filled in for every case.
    pub(super) each: Vec<RawAssert>,
    pub(super) vars: Vars,
    pub(super) threshold: Option<f64>,
    /// Whether the suite names a base that embeds.
    pub(super) embeds: bool,
    /// Whether the suite names a judge.
    pub(super) judges: bool,
}

/// A prompt or a conversation with places to fill in.
pub(super) enum PromptTemplate {
    Prompt(String),
    Conversation(Vec<Message>),
}

/// Values as files spell them.
pub(super) type RawVars = serde_json::Map<String, Value>;

/// Where a row has its text and label, or its prompt and target: keys joined by dots.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawFields {
    pub(super) text: String,
    pub(super) label: String,
}

/// A row in one of the two shapes that need no `fields`: `vars` and `target`, or `text` and `label`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawRow {
    id: Option<String>,
    vars: Option<RawText>,
    target: Option<String>,
    text: Option<String>,
    label: Option<String>,
    #[serde(default)]
    metadata: serde_json::Map<String, Value>,
    // Notes for people: they reach neither the subject nor the grader. [`Provenance`] reads the second.
    #[serde(rename = "description")]
    _description: Option<IgnoredAny>,
    #[serde(rename = "retune")]
    _retune: Option<IgnoredAny>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawText {
    text: String,
}

impl RowReader<'_> {
    /// The case on one line, or what is wrong with it.
    pub(super) fn case(&self, line: &str) -> Result<Case, String> {
        if line.trim().is_empty() {
            return Err("an empty line".to_owned());
        }
        let case = self.read(line)?;
        let provenance =
            Provenance::of(line).map_err(|error| format!("`retune`: {}", say(error)))?;
        provenance.check(self.split)?;
        Ok(case)
    }

    fn read(&self, line: &str) -> Result<Case, String> {
        let Some(texts) = self.texts else {
            return self.labelled(line);
        };
        let row = match self.fields {
            Some(fields) => {
                let (id, prompt, target, metadata) = mapped(line, fields)?;
                Row {
                    id,
                    asked: Asked::Prompt(prompt),
                    target: Some(target),
                    vars: None,
                    assert: None,
                    threshold: None,
                    metadata,
                }
            }
            None => Row::read(line, texts)?,
        };
        row.case(texts, self.dir)
    }

    fn labelled(&self, line: &str) -> Result<Case, String> {
        let (id, text, label, metadata) = match self.fields {
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
            ..Case::default()
        })
    }
}

/// A row whose answer is a text: `prompt`, `messages` or `vars`, and what should follow as `completion`, as `target`, or as the
/// last message, or demands on it.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawAsked {
    id: Option<String>,
    prompt: Option<String>,
    messages: Option<Vec<Message>>,
    vars: Option<RawVars>,
    completion: Option<String>,
    target: Option<String>,
    assert: Option<Value>,
    threshold: Option<f64>,
    #[serde(default)]
    metadata: serde_json::Map<String, Value>,
    // Notes for people: they reach neither the subject nor the grader. [`Provenance`] reads the second.
    #[serde(rename = "description")]
    _description: Option<IgnoredAny>,
    #[serde(rename = "retune")]
    _retune: Option<IgnoredAny>,
}

/// A row, and what it comes to.
struct Row {
    id: Option<String>,
    asked: Asked,
    target: Option<String>,
    vars: Option<Vars>,
    assert: Option<Value>,
    threshold: Option<f64>,
    metadata: Option<BTreeMap<String, String>>,
}

/// What a subject is given.
enum Asked {
    Prompt(String),
    Conversation(Vec<Message>),
}

impl Row {
    fn read(line: &str, texts: &Texts) -> Result<Self, String> {
        let row: RawAsked = serde_json::from_str(line).map_err(say)?;
        let mut target = match (row.completion, row.target) {
            (Some(_), Some(_)) => return Err("both `completion` and `target`: keep one".to_owned()),
            (completion, target) => completion.or(target),
        };
        let mut vars = None;
        let asked = match (row.prompt, row.messages, row.vars) {
            (Some(prompt), None, None) => Asked::Prompt(prompt),
            (None, Some(mut messages), None) => {
                let ended = messages.pop_if(|last| last.role == Role::Assistant);
                if ended.is_some() && target.is_some() {
                    return Err(
                        "the last message is the assistant's and there is a target: keep one"
                            .to_owned(),
                    );
                }
                target = ended.map(|last| last.content).or(target);
                Asked::Conversation(messages)
            }
            (None, None, Some(given)) => {
                let mut all = texts.vars.clone();
                all.extend(plain_vars(&given)?);
                let asked = texts.fill(&all)?;
                target = target.or_else(|| all.get("target").cloned());
                vars = Some(all);
                asked
            }
            _ => return Err("a case has either `prompt`, `messages` or `vars`".to_owned()),
        };
        Ok(Self {
            id: row.id,
            asked,
            target,
            vars,
            assert: row.assert,
            threshold: row.threshold,
            metadata: groups(&row.metadata),
        })
    }

    fn case(self, texts: &Texts, dir: &Path) -> Result<Case, String> {
        let graders = self.graders(texts, dir)?;
        check_graders(&texts.graders, &graders, self.target.is_some())?;
        let threshold = self.threshold.or(texts.threshold);
        let threshold = threshold.map(checked_threshold).transpose()?;
        let id = match &self.id {
            Some(id) => checked_id(id.clone())?,
            None => self.derived_id()?,
        };
        let (text, messages) = match self.asked {
            Asked::Prompt(text) if text.is_empty() => return Err("the prompt is empty".to_owned()),
            Asked::Prompt(text) => (text, Vec::new()),
            Asked::Conversation(messages) => (question(&messages)?, messages),
        };
        Ok(Case {
            id,
            label: self.target.unwrap_or_default(),
            text,
            messages,
            graders,
            threshold,
            metadata: self.metadata.unwrap_or_default(),
        })
    }

    /// The demands on this case alone.
    fn graders(&self, texts: &Texts, dir: &Path) -> Result<Vec<Grader>, String> {
        let own: Vec<RawAssert> = match &self.assert {
            None => Vec::new(),
            Some(assert) => {
                Vec::deserialize(assert).map_err(|error| format!("`assert`: {error}"))?
            }
        };
        let mut vars = self.vars.clone().unwrap_or_default();
        if let Some(target) = &self.target {
            vars.insert("target".to_owned(), target.clone());
        }
        let context = Context {
            vars: Some(&vars),
            dir,
            embeds: texts.embeds,
            judges: texts.judges,
        };
        let all = texts.each.iter().chain(&own);
        all.map(|assert| assert.grader(&context)).collect()
    }

    /// From what is given, what is right and what is demanded.
    fn derived_id(&self) -> Result<String, String> {
        let target = self.target.clone().unwrap_or_default();
        let found = match (&self.vars, &self.assert, &self.asked) {
            (None, None, Asked::Prompt(text)) => Case::derived_id(text, &target),
            (None, None, Asked::Conversation(messages)) => Case::derived_chat_id(messages, &target),
            (vars, assert, asked) => {
                let assert = assert.as_ref().map(Value::to_string).unwrap_or_default();
                let given = match (vars, asked) {
                    (Some(vars), _) => json!(vars),
                    (None, Asked::Prompt(text)) => json!({"prompt": text}),
                    (None, Asked::Conversation(messages)) => json!({"messages": messages}),
                };
                Case::digits(&json!({"vars": given, "target": target, "assert": assert}))
            }
        };
        found.map_err(|error| error.to_string())
    }
}

impl Texts {
    fn fill(&self, vars: &Vars) -> Result<Asked, String> {
        match &self.template {
            Some(PromptTemplate::Prompt(text)) => Ok(Asked::Prompt(template::fill(text, vars)?)),
            Some(PromptTemplate::Conversation(messages)) => {
                let fill = |message: &Message| {
                    Ok(Message {
                        role: message.role,
                        content: template::fill(&message.content, vars)?,
                    })
                };
                let messages = messages.iter().map(fill);
                Ok(Asked::Conversation(
                    messages.collect::<Result<_, String>>()?,
                ))
            }
            None => Err("a case with `vars` needs the suite's `prompt` or `messages`".to_owned()),
        }
    }
}

/// Texts, numbers and truth values, as texts.
pub(super) fn plain_vars(raw: &RawVars) -> Result<Vars, String> {
    let pair = |(name, value): (&String, &Value)| {
        let text = match value {
            Value::String(text) => text.clone(),
            Value::Number(number) => number.to_string(),
            Value::Bool(truth) => truth.to_string(),
            _ => return Err(format!("`vars.{name}` is not a text")),
        };
        Ok((name.clone(), text))
    };
    raw.iter().map(pair).collect()
}

/// Whether demands have what they need.
fn check_graders(all: &[Grader], own: &[Grader], target: bool) -> Result<(), String> {
    let mut graders = all.iter().chain(own).peekable();
    let wanting = graders.peek().is_none() || graders.any(|grader| grader.rule.wants_target());
    if wanting && !target {
        return Err(
            "no answer to compare with: give `completion`, `target`, a last message of the assistant, or `assert`"
                .to_owned(),
        );
    }
    // What a program, an embedding or a judge said is read from the report later, under its metric alone.
    for grader in all
        .iter()
        .chain(own)
        .filter(|grader| !grader.is_replayable())
    {
        let same = all
            .iter()
            .chain(own)
            .filter(|other| other.metric == grader.metric);
        if same.count() > 1 {
            return Err(format!(
                "what is not read off the answer needs a `metric` of its own; {:?} is there twice",
                grader.metric
            ));
        }
    }
    Ok(())
}

pub(super) fn checked_threshold(threshold: f64) -> Result<Decimal, String> {
    match (0.0..=1.0).contains(&threshold) {
        true => Decimal::new(threshold).map_err(|error| error.to_string()),
        false => Err("`threshold` must be 0 to 1".to_owned()),
    }
}

/// The last message, which the user must have said.
fn question(messages: &[Message]) -> Result<String, String> {
    if let Some(at) = messages.iter().position(|m| m.content.is_empty()) {
        return Err(format!("message {} is empty", at + 1));
    }
    match messages.last() {
        Some(last) if last.role == Role::User => Ok(last.content.clone()),
        _ => Err("the last message before the answer has to be the user's".to_owned()),
    }
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

pub(super) fn checked_id(id: String) -> Result<String, String> {
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
