//! Chat templates: from a conversation to the text that the model was pretrained to read.
//!
//! A template is a Jinja program that came with a checkpoint, so it is run as data from strangers is run: without files, without a
//! clock of its own, and with a limit on its steps. [`ChatTemplate`] renders what transformers' `apply_chat_template` renders; tests
//! compare the two. Home of the crates `minijinja_contrib` and, for templates that are not ours, `minijinja`.

mod environment;
mod error;
mod generation;
mod python;
mod template;
#[cfg(test)]
mod tests;

pub use error::ChatError;
pub use template::{ChatTemplate, Rendered};
