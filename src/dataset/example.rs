//! One row, in the domain's words.

use std::borrow::Cow;
use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// One row of a dataset.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Example {
    /// A text and the class it belongs to.
    Classification {
        /// The row's own name, where it has one.
        id: Option<String>,
        /// Exactly as it stands in the file.
        text: String,
        /// Without outer blanks.
        label: String,
    },
    /// A text to go on like.
    Text {
        /// The row's own name, where it has one.
        id: Option<String>,
        /// Exactly as it stands in the file.
        text: String,
    },
    /// A prompt and what should follow it.
    Completion {
        /// The row's own name, where it has one.
        id: Option<String>,
        /// Exactly as it stands in the file.
        prompt: String,
        /// Exactly as it stands in the file.
        completion: String,
    },
    /// A conversation that ends with the assistant.
    Messages {
        /// The row's own name, where it has one.
        id: Option<String>,
        /// At least one user message, and an assistant message at the end.
        messages: Vec<Message>,
    },
}

/// One turn of a conversation.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Message {
    /// Who speaks.
    pub role: Role,
    /// Exactly as it stands in the file.
    pub content: String,
}

/// Who speaks in a conversation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// Sets the scene; only as the first message.
    System,
    /// Asks.
    User,
    /// Answers; what is learned.
    Assistant,
}

/// The shape that all rows of a dataset have.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// `text` and `label`.
    Classification,
    /// `text` alone.
    Text,
    /// `prompt` and `completion`.
    Completion,
    /// `messages`.
    Messages,
    /// `instruction`, perhaps `input`, and `output`: a conversation of two messages.
    Alpaca,
    /// `conversations`, with `from` and `value`.
    Sharegpt,
}

/// Which part of a dataset.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum SplitName {
    /// Learned from.
    Train,
    /// Looked at while training.
    Validation,
    /// Kept for the end.
    Test,
}

/// Why a text is not the name of a split.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not a split: expected train, validation or test")]
pub struct ParseSplitError(String);

impl Example {
    /// The shape of this row, whatever the spelling it came in.
    pub fn kind(&self) -> Kind {
        match self {
            Self::Classification { .. } => Kind::Classification,
            Self::Text { .. } => Kind::Text,
            Self::Completion { .. } => Kind::Completion,
            Self::Messages { .. } => Kind::Messages,
        }
    }

    /// The row's own name, where it has one.
    pub fn id(&self) -> Option<&str> {
        match self {
            Self::Classification { id, .. }
            | Self::Text { id, .. }
            | Self::Completion { id, .. }
            | Self::Messages { id, .. } => id.as_deref(),
        }
    }

    /// The class, of a classification row.
    pub fn label(&self) -> Option<&str> {
        match self {
            Self::Classification { label, .. } => Some(label),
            _ => None,
        }
    }

    /// Everything the model is given: the text, the prompt, or all messages but the last (as JSON).
    pub fn input(&self) -> Cow<'_, str> {
        match self {
            Self::Classification { text, .. } | Self::Text { text, .. } => Cow::Borrowed(text),
            Self::Completion { prompt, .. } => Cow::Borrowed(prompt),
            Self::Messages { messages, .. } => {
                let given = messages.split_last().map_or(&[][..], |(_, given)| given);
                // A list of two strings each cannot fail to serialise.
                Cow::Owned(serde_json::to_string(given).unwrap_or_default())
            }
        }
    }

    /// What the model should answer: the label, the completion, the last message, or nothing.
    pub fn output(&self) -> &str {
        match self {
            Self::Classification { label, .. } => label,
            Self::Text { .. } => "",
            Self::Completion { completion, .. } => completion,
            Self::Messages { messages, .. } => messages.last().map_or("", |last| &last.content),
        }
    }

    /// What a person asked: the text, the prompt, or the last user message.
    pub fn question(&self) -> &str {
        match self {
            Self::Classification { text, .. } | Self::Text { text, .. } => text,
            Self::Completion { prompt, .. } => prompt,
            Self::Messages { messages, .. } => messages
                .iter()
                .rfind(|message| message.role == Role::User)
                .map_or("", |message| &message.content),
        }
    }
}

impl Role {
    /// The role as files spell it.
    pub fn as_str(&self) -> &'static str {
        match self {
            Self::System => "system",
            Self::User => "user",
            Self::Assistant => "assistant",
        }
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Classification => "classification",
            Self::Text => "text",
            Self::Completion => "completion",
            Self::Messages => "messages",
            Self::Alpaca => "alpaca",
            Self::Sharegpt => "sharegpt",
        })
    }
}

impl SplitName {
    /// All of them, in their order.
    pub const ALL: [Self; 3] = [Self::Train, Self::Validation, Self::Test];

    /// The name as text.
    pub fn as_str(&self) -> &'static str {
        match self {
            Self::Train => "train",
            Self::Validation => "validation",
            Self::Test => "test",
        }
    }
}

impl fmt::Display for SplitName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl FromStr for SplitName {
    type Err = ParseSplitError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::ALL
            .into_iter()
            .find(|split| split.as_str() == text)
            .ok_or_else(|| ParseSplitError(text.to_owned()))
    }
}
