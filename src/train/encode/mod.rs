//! From a row to tokens, and to which of them are learned.
//!
//! A conversation is rendered by the model's chat template; what the assistant says is found by comparing renderings of longer
//! and longer beginnings, or is marked by the template itself. A template for which neither says clearly which text is the
//! assistant's is an error: there is no mask by guess. Special tokens come from the template or are placed here, never from
//! the tokenizer's own habit, so that there is exactly one BOS.

mod conversation;
mod fault;
mod overlong;
mod prompt;
mod sequence;
#[cfg(test)]
mod tests;

pub use fault::RowFault;
pub(super) use overlong::{Fit, fit};
pub use prompt::PromptEncoder;
pub(super) use sequence::{Bos, Encoder};
