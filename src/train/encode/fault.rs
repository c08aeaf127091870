//! What can be wrong with a row on its way to tokens.

use crate::base::TokenizerError;
use crate::base::chat::ChatError;

/// Why a row cannot be learned from.
#[derive(Debug, thiserror::Error)]
pub enum RowFault {
    /// The template.
    #[error(transparent)]
    Chat(#[from] ChatError),
    /// The tokenizer.
    #[error(transparent)]
    Tokenizer(#[from] TokenizerError),
    /// A template that writes earlier turns in another way once there are later ones.
    #[error(
        "the chat template writes turn {turn} in another way when more turns follow, so its loss mask is not known; \
         train on the last answer alone (`train_on: last_assistant`) or give a template with {{% generation %}} blocks"
    )]
    Unstable {
        /// The message, from 1.
        turn: usize,
    },
    /// A template whose marks are not one per answer.
    #[error(
        "the chat template marks {found} passages with {{% generation %}}; the conversation has {turns} answers"
    )]
    Marks {
        /// Passages.
        found: usize,
        /// Messages of the assistant.
        turns: usize,
    },
    /// An answer without an end that the model could learn.
    #[error(
        "the chat template closes turn {turn} with no special token, so the model would never learn to stop; \
         give a template that does, or write `train_on_eos: none`"
    )]
    NoEnd {
        /// The message, from 1.
        turn: usize,
    },
    /// A token that is part prompt and part answer.
    #[error(
        "a token spans the border between {before:?} and {after:?}, and this tokenizer cannot encode the two parts apart; \
         end the prompt, or begin the completion, at a space or line break"
    )]
    Border {
        /// The end of what is given.
        before: String,
        /// The beginning of what is learned.
        after: String,
    },
    /// Not exactly one token for the beginning.
    #[error("{}", bos(*.found))]
    Bos {
        /// How many there are.
        found: usize,
    },
    /// Nothing to learn.
    #[error("none of its tokens is learned")]
    NoTarget,
}

fn bos(found: usize) -> String {
    match found {
        0 => "its text begins with no BOS token, which this tokenizer puts before every text; write `tokenizer: {add_bos: true}` \
              to put one there, or `{add_bos: false}` to do without, as the server will"
            .to_owned(),
        found => format!(
            "its text has {found} BOS tokens; take them out of the data, the chat template writes one"
        ),
    }
}
