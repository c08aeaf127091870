//! From a record (named values as they stand in a file) to an [`Example`], with every fault named.

use std::collections::BTreeSet;

use super::columns::{Columns, Field};
use super::example::{Example, Kind, Message, Role};
use super::json::Json;
use crate::document::suggest;

/// The longest a label may be, in bytes.
const MAX_LABEL: usize = 512;

/// The values of one row.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Record {
    values: [Option<Json>; Field::ALL.len()],
    /// Columns that are no field.
    pub(super) extra: Vec<String>,
}

impl Record {
    pub(super) fn get(&self, field: Field) -> Option<&Json> {
        self.values[field as usize].as_ref()
    }

    pub(super) fn set(&mut self, field: Field, value: Json) {
        self.values[field as usize] = Some(value);
    }

    fn take(&mut self, field: Field) -> Option<Json> {
        self.values[field as usize].take()
    }

    fn has(&self, field: Field) -> bool {
        self.get(field).is_some()
    }

    /// Whether there is a text and nothing else but perhaps an id.
    fn is_text_alone(&self) -> bool {
        let held = Field::ALL.into_iter().filter(|field| self.has(*field));
        let others = held.filter(|field| *field != Field::Id);
        self.extra.is_empty() && others.eq([Field::Text])
    }
}

/// What the rows of a dataset must look like.
#[derive(Debug, Clone)]
pub(super) struct Shape {
    pub(super) columns: Columns,
    /// `None` until a row has told.
    pub(super) kind: Option<Kind>,
    pub(super) extras: Extras,
}

/// What becomes of columns that are no field.
#[derive(Debug, Clone)]
pub(super) struct Extras {
    /// Whether any column is ignored, or only those in `ignored`.
    pub(super) any: bool,
    /// Columns that are, or were, ignored.
    pub(super) ignored: BTreeSet<String>,
}

/// More ignored columns than this are keys that hold data.
const MAX_IGNORED: usize = 1000;

impl Extras {
    fn allows(&mut self, column: &str) -> bool {
        if self.ignored.contains(column) {
            return true;
        }
        let room = self.any && self.ignored.len() < MAX_IGNORED;
        if room {
            self.ignored.insert(column.to_owned());
        }
        room
    }
}

fn fields(kind: Kind) -> &'static [Field] {
    match kind {
        Kind::Classification => &[Field::Text, Field::Label],
        Kind::Text => &[Field::Text],
        Kind::Completion => &[Field::Prompt, Field::Completion],
        Kind::Messages => &[Field::Messages],
        Kind::Alpaca => &[Field::Instruction, Field::Output],
        Kind::Sharegpt => &[Field::Conversations],
    }
}

/// What a row of this kind may hold beside these.
fn optional(kind: Kind) -> &'static [Field] {
    match kind {
        Kind::Alpaca => &[Field::Id, Field::Input],
        _ => &[Field::Id],
    }
}

const KINDS: [Kind; 6] = [
    Kind::Classification,
    Kind::Completion,
    Kind::Messages,
    Kind::Alpaca,
    Kind::Sharegpt,
    // Last: a classified text without its label is more often a slip.
    Kind::Text,
];

impl Shape {
    /// The row's example, or everything that is wrong with the row.
    pub(super) fn example(&mut self, mut record: Record) -> Result<Example, Vec<String>> {
        let kind = self.kind_of(&record)?;
        self.strangers(kind, &record)?;
        let mut row = Taker {
            record: &mut record,
            columns: &self.columns,
            faults: Vec::new(),
        };
        let id = row.optional_text(Field::Id);
        let example = match kind {
            Kind::Classification => Example::Classification {
                id,
                text: row.text(Field::Text),
                label: row.label(),
            },
            Kind::Text => Example::Text {
                id,
                text: row.text(Field::Text),
            },
            Kind::Completion => Example::Completion {
                id,
                prompt: row.text(Field::Prompt),
                completion: row.text(Field::Completion),
            },
            Kind::Messages => Example::Messages {
                id,
                messages: row.messages(Field::Messages),
            },
            Kind::Sharegpt => Example::Messages {
                id,
                messages: row.messages(Field::Conversations),
            },
            Kind::Alpaca => Example::Messages {
                id,
                messages: row.instruction(),
            },
        };
        if !row.faults.is_empty() {
            return Err(row.faults);
        }
        self.kind = Some(kind);
        Ok(example)
    }

    fn kind_of(&self, record: &Record) -> Result<Kind, Vec<String>> {
        let whole = |kind: &Kind| match kind {
            // A text beside other columns has its label in one of them.
            Kind::Text => match self.kind {
                None => record.is_text_alone(),
                Some(kind) => kind == Kind::Text,
            },
            kind => fields(*kind).iter().all(|field| record.has(*field)),
        };
        let begun = |kind: &Kind| fields(*kind).iter().any(|field| record.has(*field));
        let of_whole: Vec<Kind> = KINDS.into_iter().filter(whole).collect();
        match (self.kind, &of_whole[..]) {
            (Some(kind), found) if found.contains(&kind) => Ok(kind),
            (Some(kind), [other, ..]) => Err(vec![format!(
                "a {other} row among {kind} rows; put them in a dataset of their own"
            )]),
            (Some(kind), []) => Ok(kind),
            (None, [kind]) => Ok(*kind),
            (None, [first, second, ..]) => Err(vec![format!(
                "the row is both a {first} and a {second} row; leave the columns of one out"
            )]),
            (None, []) => KINDS
                .into_iter()
                .find(begun)
                .ok_or_else(|| vec![self.say_unknown(record)]),
        }
    }

    fn say_unknown(&self, record: &Record) -> String {
        let meant = record
            .extra
            .iter()
            .find_map(|key| Some((key, self.suggest(key)?)));
        match meant {
            Some((key, field)) => format!("unknown column `{key}`; did you mean `{field}`?"),
            None if record.extra.is_empty() => "the row is empty; take it out".to_owned(),
            None => format!(
                "none of the columns ({}) is known; a row holds text and label, text alone, prompt and completion, \
                 messages, instruction and output, or conversations; name other columns with --text, --label, --prompt and --completion",
                record.extra.join(", ")
            ),
        }
    }

    /// Faults for every column that does not belong into a row of this kind.
    fn strangers(&mut self, kind: Kind, record: &Record) -> Result<(), Vec<String>> {
        let missing: Vec<Field> = fields(kind)
            .iter()
            .copied()
            .filter(|field| !record.has(*field))
            .collect();
        let mut faults = Vec::new();
        for key in &record.extra {
            if self.extras.allows(key) {
                continue;
            }
            faults.push(self.say_stranger(key, &missing));
        }
        let foreign = Field::ALL.into_iter().filter(|field| {
            !fields(kind).contains(field) && !optional(kind).contains(field) && record.has(*field)
        });
        for field in foreign {
            let name = self.columns.name(field).to_owned();
            if !self.extras.allows(&name) {
                faults.push(format!("`{name}` does not belong in a {kind} row"));
            }
        }
        if faults.is_empty() {
            Ok(())
        } else {
            Err(faults)
        }
    }

    fn say_stranger(&self, key: &str, missing: &[Field]) -> String {
        let names = missing.iter().map(|field| self.columns.name(*field));
        match (
            suggest(key, names).or_else(|| self.suggest(key)),
            missing.first(),
        ) {
            (Some(meant), _) => format!("unknown column `{key}`; did you mean `{meant}`?"),
            (None, Some(field)) => format!(
                "unknown column `{key}`, and `{}` is missing; if it holds the {field}, add --{field} {key}",
                self.columns.name(*field)
            ),
            (None, None) => format!(
                "unknown column `{key}`; take it out, or ignore such columns with --ignore-extra-columns"
            ),
        }
    }

    fn suggest(&self, key: &str) -> Option<&str> {
        suggest(
            key,
            Field::ALL.iter().map(|field| self.columns.name(*field)),
        )
    }
}

/// Takes values out of a record and collects what is wrong with them.
struct Taker<'a> {
    record: &'a mut Record,
    columns: &'a Columns,
    faults: Vec<String>,
}

impl Taker<'_> {
    fn fault<T: Default>(&mut self, message: String) -> T {
        self.faults.push(message);
        T::default()
    }

    /// A text that must be there and must not be blank, exactly as it stands.
    fn text(&mut self, field: Field) -> String {
        let name = self.columns.name(field);
        match self.record.take(field) {
            Some(Json::Text(text)) if text.trim().is_empty() => {
                self.fault(format!("`{name}` is empty; fill it in or take the row out"))
            }
            Some(Json::Text(text)) => text,
            Some(other) => self.fault(wrong_type(name, &other)),
            None => self.fault(self.say_missing(field)),
        }
    }

    fn optional_text(&mut self, field: Field) -> Option<String> {
        self.record.has(field).then(|| self.text(field))
    }

    /// A class name without outer blanks.
    fn label(&mut self) -> String {
        let name = self.columns.name(Field::Label);
        let label = self.text(Field::Label);
        let label = label.trim();
        if label.len() > MAX_LABEL {
            return self.fault(format!(
                "`{name}` is longer than {MAX_LABEL} bytes; is it the right column?"
            ));
        }
        if label.chars().any(char::is_control) {
            return self.fault(format!(
                "`{name}` holds a line break or another control character"
            ));
        }
        label.to_owned()
    }

    fn say_missing(&self, field: Field) -> String {
        let name = self.columns.name(field);
        format!("`{name}` is missing")
    }

    /// Alpaca's columns as the question and the answer of a conversation, joined as LLaMA-Factory joins them.
    fn instruction(&mut self) -> Vec<Message> {
        let mut question = self.text(Field::Instruction);
        match self.record.take(Field::Input) {
            None => {}
            Some(Json::Text(input)) if input.trim().is_empty() => {}
            Some(Json::Text(input)) => question = format!("{question}\n{input}"),
            Some(other) => {
                let name = self.columns.name(Field::Input);
                return self.fault(wrong_type(name, &other));
            }
        }
        let said = |role, content| Message { role, content };
        let answer = self.text(Field::Output);
        vec![said(Role::User, question), said(Role::Assistant, answer)]
    }

    fn messages(&mut self, field: Field) -> Vec<Message> {
        let name = self.columns.name(field);
        let items = match self.record.take(field) {
            Some(Json::List(items)) => items,
            Some(other) => {
                let kind = other.kind();
                return self.fault(format!("`{name}` is {kind}; it must be a list of messages"));
            }
            None => return self.fault(self.say_missing(field)),
        };
        let mut messages = Vec::with_capacity(items.len());
        for (index, item) in items.into_iter().enumerate() {
            match message(item, index, field == Field::Conversations) {
                Ok(message) => messages.push(message),
                Err(why) => return self.fault(format!("`{name}[{index}]`: {why}")),
            }
        }
        let asked = messages.iter().any(|message| message.role == Role::User);
        match messages.last() {
            None => self.fault(format!("`{name}` is empty; take the row out")),
            Some(last) if last.role != Role::Assistant => self.fault(format!(
                "`{name}` ends with a {} message; it must end with the assistant's answer",
                last.role.as_str()
            )),
            Some(_) if !asked => self.fault(format!("`{name}` holds no user message")),
            Some(_) => messages,
        }
    }
}

fn wrong_type(name: &str, value: &Json) -> String {
    let kind = value.kind();
    match kind {
        "a number" | "a boolean" => {
            format!("`{name}` is {kind}; it must be a text, so write it in quotes")
        }
        _ => format!("`{name}` is {kind}; it must be a text"),
    }
}

/// One message; in ShareGPT's spelling its keys may be `from` and `value`, and its roles `human` and `gpt`.
fn message(item: Json, index: usize, sharegpt: bool) -> Result<Message, String> {
    let spelled = |key: String| match key.as_str() {
        "from" if sharegpt => "role".to_owned(),
        "value" if sharegpt => "content".to_owned(),
        _ => key,
    };
    let Json::Object(entries) = item else {
        let kind = item.kind();
        return Err(format!(
            "{kind}; it must be an object with role and content"
        ));
    };
    let mut role = None;
    let mut content = None;
    for (key, value) in entries {
        match (spelled(key).as_str(), value) {
            ("role", Json::Text(name)) => role = Some(role_named(&name, sharegpt)?),
            ("content", Json::Text(text)) if text.trim().is_empty() => {
                return Err("`content` is empty".to_owned());
            }
            ("content", Json::Text(text)) => content = Some(text),
            (key @ ("role" | "content"), other) => return Err(wrong_type(key, &other)),
            (key, _) => {
                return Err(match suggest(key, ["role", "content"]) {
                    Some(meant) => format!("unknown key `{key}`; did you mean `{meant}`?"),
                    None => format!("unknown key `{key}`; a message holds role and content"),
                });
            }
        }
    }
    let role = role.ok_or("`role` is missing")?;
    let content = content.ok_or("`content` is missing")?;
    if role == Role::System && index > 0 {
        return Err("a system message stands first or not at all".to_owned());
    }
    Ok(Message { role, content })
}

fn role_named(name: &str, sharegpt: bool) -> Result<Role, String> {
    match name {
        "human" if sharegpt => return Ok(Role::User),
        "gpt" if sharegpt => return Ok(Role::Assistant),
        _ => {}
    }
    let all = [Role::System, Role::User, Role::Assistant];
    all.into_iter()
        .find(|role| role.as_str() == name)
        .ok_or_else(|| format!("role {name:?} is not one of system, user and assistant"))
}
