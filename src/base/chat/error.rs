//! Why a conversation has no text.

/// A template that cannot be used, or a conversation that it refuses.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ChatError {
    /// Not a template.
    #[error("the chat template is not valid: {0}")]
    Syntax(String),
    /// The template itself refuses the conversation (`raise_exception`).
    #[error("the chat template refuses the conversation: {0}")]
    Refused(String),
    /// The template wants to know what day it is, and nobody said.
    #[error(
        "the chat template writes today's date into the text, so that the same job would give other tokens tomorrow; \
         write the date that it shall use: `chat_template: {{date: 2026-11-25}}`"
    )]
    NoDate,
    /// The template did not come to an end.
    #[error("the chat template takes more than {0} steps for one conversation")]
    Endless(u64),
    /// Anything else that goes wrong while it runs.
    #[error("the chat template failed: {0}")]
    Failed(String),
}
