//! Text to token ids and back. Home of the `tokenizers` crate.

use std::collections::BTreeSet;

use tokenizers::processors::PostProcessorWrapper;
use tokenizers::processors::bert::BertProcessing;
use tokenizers::{PostProcessor, TruncationDirection};

/// Turns texts into ids as `tokenizer.json` says.
///
/// Padding and truncation settings inside `tokenizer.json` are ignored: batches here are packed, and the longest
/// length is the caller's decision.
#[derive(Debug, Clone)]
pub struct Tokenizer {
    inner: tokenizers::Tokenizer,
    /// Adds nothing, and moves no offsets.
    bare: tokenizers::Tokenizer,
    special: BTreeSet<u32>,
    unknown: Option<u32>,
    ids: usize,
    max_len: usize,
    added: usize,
}

/// The ids of one text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Encoding {
    /// At most the tokenizer's longest length, the closing special token kept.
    pub ids: Vec<u32>,
    /// How many ids the whole text has, special tokens included.
    pub length: usize,
}

/// One token and the bytes of the text that it stands for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Piece {
    /// Its id.
    pub id: u32,
    /// Where it begins.
    pub start: usize,
    /// Where it ends.
    pub end: usize,
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
    /// The tokenizer refused the ids.
    #[error("tokens cannot be decoded: {0}")]
    Decode(String),
}

impl Tokenizer {
    /// Reads the bytes of `tokenizer.json`; encodings will have at most `max_len` ids.
    pub fn from_bytes(bytes: &[u8], max_len: usize) -> Result<Self, TokenizerError> {
        let format = |error: tokenizers::Error| TokenizerError::Format(error.to_string());
        let mut inner = tokenizers::Tokenizer::from_bytes(bytes).map_err(format)?;
        inner.with_padding(None);
        inner.with_truncation(None).map_err(format)?;
        let id = |token| Some((token, inner.token_to_id(token)?));
        if added_tokens(&inner) == 0
            && let (Some(sep), Some(cls)) = (id("[SEP]"), id("[CLS]"))
        {
            // BERT files from before there were templates for special tokens.
            let [sep, cls] = [sep, cls].map(|(token, id)| (token.to_owned(), id));
            inner.with_post_processor(Some(BertProcessing::new(sep, cls)));
        }
        let added = added_tokens(&inner);
        if max_len <= added {
            return Err(TokenizerError::TooShort { max_len, added });
        }
        let mut bare = inner.clone();
        bare.with_post_processor(None::<PostProcessorWrapper>);
        let tokens = inner.get_added_tokens_decoder();
        let special = tokens.iter().filter(|(_, token)| token.special);
        Ok(Self {
            special: special.map(|(id, _)| *id).collect(),
            unknown: unknown_id(bytes),
            ids: inner
                .get_vocab(true)
                .values()
                .max()
                .map_or(0, |id| *id as usize + 1),
            inner,
            bare,
            max_len,
            added,
        })
    }

    /// The ids of `text`, with the special tokens around it that `tokenizer.json` asks for.
    pub fn encode(&self, text: &str) -> Result<Encoding, TokenizerError> {
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

    /// The tokens of `text` and nothing else; special tokens that are spelled out in it are special tokens.
    pub fn pieces(&self, text: &str) -> Result<Vec<Piece>, TokenizerError> {
        let encoding = self.bare.encode(text, false).map_err(refused)?;
        let pairs = encoding.get_ids().iter().zip(encoding.get_offsets());
        let piece = |(id, (start, end)): (&u32, &(usize, usize))| Piece {
            id: *id,
            start: *start,
            end: *end,
        };
        Ok(pairs.map(piece).collect())
    }

    /// The text that these tokens stand for; special tokens are spelled out.
    pub fn decode(&self, ids: &[u32]) -> Result<String, TokenizerError> {
        let decoded = self.inner.decode(ids, false);
        decoded.map_err(|error| TokenizerError::Decode(error.to_string()))
    }

    /// The first special token that [`encode`](Self::encode) puts before a text, if it puts one.
    pub fn leading(&self) -> Result<Option<u32>, TokenizerError> {
        let [with, without] = [true, false].map(|special| self.inner.encode_fast("a", special));
        let (with, without) = (with.map_err(refused)?, without.map_err(refused)?);
        let first = |ids: &[u32]| ids.first().copied();
        let (first, plain) = (first(with.get_ids()), first(without.get_ids()));
        Ok(first.filter(|id| Some(*id) != plain))
    }

    /// The id of a token that is spelled like this.
    pub fn id(&self, token: &str) -> Option<u32> {
        self.inner.token_to_id(token)
    }

    /// Whether `tokenizer.json` says that a token is special.
    pub fn is_special(&self, id: u32) -> bool {
        self.special.contains(&id)
    }

    /// The id that stands for what the tokenizer does not know, where it has one.
    pub fn unknown(&self) -> Option<u32> {
        self.unknown
    }

    /// One more than the largest id, added tokens included: the rows that an embedding must have.
    pub fn vocab_size(&self) -> usize {
        self.ids
    }
}

fn refused(error: tokenizers::Error) -> TokenizerError {
    TokenizerError::Encode(error.to_string())
}

fn added_tokens(tokenizer: &tokenizers::Tokenizer) -> usize {
    tokenizer
        .get_post_processor()
        .map_or(0, |processor| processor.added_tokens(false))
}

fn unknown_id(tokenizer: &[u8]) -> Option<u32> {
    let file: serde_json::Value = serde_json::from_slice(tokenizer).ok()?;
    let model = file.get("model")?;
    let by_name = || {
        model
            .get("vocab")?
            .get(model.get("unk_token")?.as_str()?)?
            .as_u64()
    };
    let by_number = || model.get("unk_id")?.as_u64();
    u32::try_from(by_name().or_else(by_number)?).ok()
}
