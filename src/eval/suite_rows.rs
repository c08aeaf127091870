//! Rows of the JSONL files that suites name.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde::de::IgnoredAny;
use serde_json::Value;

use super::suite::Case;
use crate::dataset::{Message, Role};

/// How the rows of a suite file are read.
pub(super) struct RowReader<'a> {
    pub(super) fields: Option<&'a RawFields>,
    /// Whether answers are texts rather than labels.
    pub(super) generated: bool,
}

/// Where a row has its text and label, or its prompt and target: keys joined by dots.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawFields {
    text: String,
    label: String,
}

/// A row in one of the two shapes that need no `fields`: `vars` and `target`, or `text` and `label`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawRow {
    id: Option<String>,
    vars: Option<RawVars>,
    target: Option<String>,
    text: Option<String>,
    label: Option<String>,
    #[serde(default)]
    metadata: serde_json::Map<String, Value>,
    // Notes for people: they reach neither the subject nor the grader.
    #[serde(rename = "description")]
    _description: Option<IgnoredAny>,
    #[serde(rename = "retune")]
    _retune: Option<IgnoredAny>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawVars {
    text: String,
}

impl RowReader<'_> {
    /// The case on one line, or what is wrong with it.
    pub(super) fn case(&self, line: &str) -> Result<Case, String> {
        if line.trim().is_empty() {
            return Err("an empty line".to_owned());
        }
        match (self.generated, self.fields) {
            (false, _) => self.labelled(line),
            (true, Some(fields)) => {
                let (id, text, target, metadata) = mapped(line, fields)?;
                Asked::Prompt(text).case(id, target, metadata)
            }
            (true, None) => asked(line),
        }
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

/// A row whose answer is a text: `prompt` or `messages`, and what should follow as `completion`, as `target`, or as the last
/// message.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawAsked {
    id: Option<String>,
    prompt: Option<String>,
    messages: Option<Vec<Message>>,
    completion: Option<String>,
    target: Option<String>,
    #[serde(default)]
    metadata: serde_json::Map<String, Value>,
    // Notes for people: they reach neither the subject nor the grader.
    #[serde(rename = "description")]
    _description: Option<IgnoredAny>,
    #[serde(rename = "retune")]
    _retune: Option<IgnoredAny>,
}

/// What a subject is given.
enum Asked {
    Prompt(String),
    Conversation(Vec<Message>),
}

fn asked(line: &str) -> Result<Case, String> {
    let row: RawAsked = serde_json::from_str(line).map_err(say)?;
    let target = match (row.completion, row.target) {
        (Some(_), Some(_)) => return Err("both `completion` and `target`: keep one".to_owned()),
        (completion, target) => completion.or(target),
    };
    let (asked, target) = match (row.prompt, row.messages) {
        (Some(prompt), None) => (Asked::Prompt(prompt), target),
        (None, Some(mut messages)) => {
            let ended = messages.pop_if(|last| last.role == Role::Assistant);
            let said = ended.map(|last| last.content);
            if said.is_some() && target.is_some() {
                return Err(
                    "the last message is the assistant's and there is a target: keep one"
                        .to_owned(),
                );
            }
            (Asked::Conversation(messages), said.or(target))
        }
        _ => return Err("a case has either `prompt` or `messages`".to_owned()),
    };
    let target = target.ok_or(
        "no answer to compare with: give `completion`, `target`, or a last message of the assistant",
    )?;
    asked.case(row.id, target, groups(&row.metadata))
}

impl Asked {
    fn case(
        self,
        id: Option<String>,
        target: String,
        metadata: Option<BTreeMap<String, String>>,
    ) -> Result<Case, String> {
        let (text, messages) = match self {
            Self::Prompt(text) if text.is_empty() => return Err("the prompt is empty".to_owned()),
            Self::Prompt(text) => (text, Vec::new()),
            Self::Conversation(messages) => (question(&messages)?, messages),
        };
        let id = match id {
            Some(id) => checked_id(id)?,
            None if messages.is_empty() => {
                Case::derived_id(&text, &target).map_err(|e| e.to_string())?
            }
            None => Case::derived_chat_id(&messages, &target).map_err(|e| e.to_string())?,
        };
        Ok(Case {
            id,
            label: target,
            text,
            messages,
            metadata: metadata.unwrap_or_default(),
        })
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

fn checked_id(id: String) -> Result<String, String> {
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
