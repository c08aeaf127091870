//! What became of the rows on their way to tokens.

use serde::{Deserialize, Serialize};

use crate::document::Decimal;

/// Rows and tokens of one split, counted before the first step.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TokenAccount {
    /// Rows of the split.
    pub rows: u64,
    /// Rows that are used.
    pub kept: u64,
    /// Rows left out because they are too long.
    pub dropped: u64,
    /// Rows used without their end, or without the beginning of their prompt.
    pub truncated: u64,
    /// Tokens of the rows that are used, special tokens included.
    pub tokens: u64,
    /// Tokens of the longest row of the split, before anything was cut off.
    pub longest: u64,
    /// Tokens that stand for something the tokenizer does not know.
    pub unknown: u64,
    /// Rows that ask and answer what an earlier row of the split does, but for differences of no meaning.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub repeated: u64,
    /// Rows that ask what an earlier row does, and answer otherwise.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub conflicting: u64,
    /// Rows of another split that ask what training rows ask.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub leaked: u64,
    /// What is learned, in causal language modelling.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub learned: Option<LearnedAccount>,
}

/// What is learned of the rows that are used. A row without a learned token is an error, so there is none.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LearnedAccount {
    /// Tokens that are learned.
    pub tokens: u64,
    /// Rows whose end is learned.
    pub ended: u64,
    /// Rows that begin with exactly one BOS token.
    pub begun: u64,
    /// Rows whose prompt and answer were encoded apart, because a token would have spanned their border.
    pub parted: u64,
}

impl TokenAccount {
    /// The share of tokens that the tokenizer does not know.
    pub fn unknown_share(&self) -> Decimal {
        share(self.unknown, self.tokens)
    }

    /// The share of rows that were left out.
    pub fn dropped_share(&self) -> Decimal {
        share(self.dropped, self.rows)
    }

    /// The share of rows that ask and answer what an earlier one does.
    pub fn repeated_share(&self) -> Decimal {
        share(self.repeated, self.rows)
    }

    /// The share of rows that ask what training rows ask.
    pub fn leaked_share(&self) -> Decimal {
        share(self.leaked, self.rows)
    }

    /// The share of used rows whose end is learned; 0 where nothing of the kind is.
    pub fn ended_share(&self) -> Decimal {
        share(self.learned.map_or(0, |learned| learned.ended), self.kept)
    }

    /// The share of tokens that are learned; 0 in classification.
    pub fn learned_share(&self) -> Decimal {
        share(
            self.learned.map_or(0, |learned| learned.tokens),
            self.tokens,
        )
    }
}

fn is_zero(count: &u64) -> bool {
    *count == 0
}

fn share(part: u64, whole: u64) -> Decimal {
    let share = if whole == 0 {
        0.0
    } else {
        part as f64 / whole as f64
    };
    Decimal::new(share).unwrap_or_default()
}
