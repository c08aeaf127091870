//! A template, its identity, and what it makes of a conversation.

use std::collections::BTreeMap;
use std::ops::Range;

use minijinja::value::Value;
use minijinja::{Environment, ErrorKind};

use super::environment::{self, NoDate, Raised};
use super::{ChatError, generation};
use crate::dataset::Message;
use crate::digest::Digest;
use crate::time::Timestamp;

const NAME: &str = "chat_template";

/// Steps that a template may take for one conversation: thousands of messages' worth.
const FUEL: u64 = 10_000_000;

/// A compiled chat template with the special tokens of its tokenizer.
#[derive(Debug, Clone)]
pub struct ChatTemplate {
    source: String,
    environment: Environment<'static>,
    tokens: BTreeMap<String, String>,
}

/// The text of a conversation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rendered {
    /// The text.
    pub text: String,
    /// The bytes of it that stand inside `{% generation %}` blocks, in order.
    pub generated: Vec<Range<usize>>,
}

impl ChatTemplate {
    /// Compiles a template. `tokens` are the variables such as `bos_token`; `date` is what `strftime_now` tells.
    pub fn new(
        source: &str,
        tokens: BTreeMap<String, String>,
        date: Option<Timestamp>,
    ) -> Result<Self, ChatError> {
        let mut environment = environment::as_transformers(date);
        environment.set_fuel(Some(FUEL));
        environment
            .add_template_owned(NAME, generation::as_filters(source))
            .map_err(|error| ChatError::Syntax(told(&error)))?;
        Ok(Self {
            source: source.to_owned(),
            environment,
            tokens,
        })
    }

    /// The template's text.
    pub fn source(&self) -> &str {
        &self.source
    }

    /// The digest of the template's text.
    pub fn digest(&self) -> Digest {
        Digest::of(self.source.as_bytes())
    }

    /// Whether the template itself marks what the assistant says.
    pub fn marks_generation(&self) -> bool {
        generation::occurs(&self.source)
    }

    /// The text of a conversation; with `prompt`, followed by what makes the assistant speak.
    pub fn render(&self, messages: &[Message], prompt: bool) -> Result<Rendered, ChatError> {
        let marks = generation::Marks::absent_from(&self.source, messages);
        let listed: Value = messages.iter().map(value_of).collect();
        let mut variables: BTreeMap<&str, Value> = BTreeMap::from([
            ("messages", listed),
            ("add_generation_prompt", Value::from(prompt)),
            ("tools", Value::from(())),
            ("documents", Value::from(())),
            (generation::MARKS, marks.as_value()),
        ]);
        for (name, token) in &self.tokens {
            variables.insert(name, Value::from(token.as_str()));
        }
        let template = self.environment.get_template(NAME);
        let text = template
            .and_then(|template| template.render(variables))
            .map_err(|error| failure(&error))?;
        Ok(marks.take_out_of(&text))
    }
}

fn value_of(message: &Message) -> Value {
    Value::from_iter([
        ("role", message.role.as_str()),
        ("content", message.content.as_str()),
    ])
}

fn failure(error: &minijinja::Error) -> ChatError {
    if error.kind() == ErrorKind::OutOfFuel {
        return ChatError::Endless(FUEL);
    }
    let mut cause: Option<&(dyn std::error::Error + 'static)> = Some(error);
    while let Some(found) = cause {
        if let Some(Raised(message)) = found.downcast_ref() {
            return ChatError::Refused(message.clone());
        }
        if found.is::<NoDate>() {
            return ChatError::NoDate;
        }
        cause = found.source();
    }
    ChatError::Failed(told(error))
}

fn told(error: &minijinja::Error) -> String {
    let what = error
        .detail()
        .map_or_else(|| error.kind().to_string(), str::to_owned);
    match error.line() {
        Some(line) => format!("line {line}: {what}"),
        None => what,
    }
}
