//! Text to token ids. Home of the `tokenizers` crate.

use tokenizers::processors::bert::BertProcessing;
use tokenizers::{PostProcessor, TruncationDirection};

/// Turns texts into ids as `tokenizer.json` says, with `[CLS]` and `[SEP]` around them.
///
/// Padding and truncation settings inside `tokenizer.json` are ignored: batches here are packed, and the longest
/// length is the caller's decision.
#[derive(Debug, Clone)]
pub struct Tokenizer {
    inner: tokenizers::Tokenizer,
    max_len: usize,
    added: usize,
}

/// The ids of one text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Encoding {
    /// At most the tokenizer's longest length, the closing `[SEP]` kept.
    pub ids: Vec<u32>,
    /// How many ids the whole text has, special tokens included.
    pub length: usize,
}

impl Encoding {
    /// Whether the end of the text was cut off.
    pub fn truncated(&self) -> bool {
        self.length > self.ids.len()
    }
}

/// A `tokenizer.json` that cannot be used, or a text that it cannot encode.
#[derive(Debug, thiserror::Error)]
pub enum TokenizerError {
    /// Not the file format.
    #[error("tokenizer.json cannot be read: {0}")]
    Format(String),
    /// Neither a template for special tokens nor the tokens to make one.
    #[error("tokenizer.json adds no special tokens and has no {0} to add")]
    NoSpecialTokens(&'static str),
    /// No room for text beside the special tokens.
    #[error(
        "a longest length of {max_len} tokens leaves no room for text: {added} are special tokens"
    )]
    TooShort {
        /// What was asked.
        max_len: usize,
        /// Special tokens of every sequence.
        added: usize,
    },
    /// The tokenizer refused the text.
    #[error("a text cannot be encoded: {0}")]
    Encode(String),
}

impl Tokenizer {
    /// Reads the bytes of `tokenizer.json`; encodings will have at most `max_len` ids.
    pub fn from_bytes(bytes: &[u8], max_len: usize) -> Result<Self, TokenizerError> {
        let format = |error: tokenizers::Error| TokenizerError::Format(error.to_string());
        let mut inner = tokenizers::Tokenizer::from_bytes(bytes).map_err(format)?;
        inner.with_padding(None);
        inner.with_truncation(None).map_err(format)?;
        if added_tokens(&inner) == 0 {
            let id = |token| {
                inner
                    .token_to_id(token)
                    .map(|id| (token.to_owned(), id))
                    .ok_or(TokenizerError::NoSpecialTokens(token))
            };
            let template = BertProcessing::new(id("[SEP]")?, id("[CLS]")?);
            inner.with_post_processor(Some(template));
        }
        let added = added_tokens(&inner);
        if max_len <= added {
            return Err(TokenizerError::TooShort { max_len, added });
        }
        Ok(Self {
            inner,
            max_len,
            added,
        })
    }

    /// The ids of `text`.
    pub fn encode(&self, text: &str) -> Result<Encoding, TokenizerError> {
        let refused = |error: tokenizers::Error| TokenizerError::Encode(error.to_string());
        let mut plain = self.inner.encode_fast(text, false).map_err(refused)?;
        let length = plain.len() + self.added;
        plain.truncate(self.max_len - self.added, 0, TruncationDirection::Right);
        let whole = self
            .inner
            .post_process(plain, None, true)
            .map_err(refused)?;
        Ok(Encoding {
            ids: whole.get_ids().to_vec(),
            length,
        })
    }

    /// The size of the vocabulary, added tokens included.
    pub fn vocab_size(&self) -> usize {
        self.inner.get_vocab_size(true)
    }
}

fn added_tokens(tokenizer: &tokenizers::Tokenizer) -> usize {
    tokenizer
        .get_post_processor()
        .map_or(0, |processor| processor.added_tokens(false))
}
