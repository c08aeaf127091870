//! Packed batches.

use super::{NetworkError, loss};

/// Rows of tokens, one after the other, without padding.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Batch {
    /// Token ids of all rows.
    pub ids: Vec<u32>,
    /// Where each row begins, and at last the number of ids: `rows + 1` positions.
    pub offsets: Vec<usize>,
    /// A classifier's label of each row, or for a language model the token that should come next at each token, or
    /// [`Batch::NONE`]; may be empty for inference.
    pub labels: Vec<u32>,
}

impl Batch {
    /// Nothing is to be learnt at this token.
    pub const NONE: u32 = loss::NONE;

    /// A batch of these rows.
    pub fn new<'a>(rows: impl IntoIterator<Item = &'a [u32]>, labels: Vec<u32>) -> Self {
        let mut batch = Self {
            offsets: vec![0],
            labels,
            ..Self::default()
        };
        for row in rows {
            batch.ids.extend_from_slice(row);
            batch.offsets.push(batch.ids.len());
        }
        batch
    }

    /// How many rows there are.
    pub fn rows(&self) -> usize {
        self.offsets.len().saturating_sub(1)
    }

    /// How many tokens there are.
    pub fn tokens(&self) -> usize {
        self.ids.len()
    }

    /// Checks the shape of the batch, and its ids and lengths against the model's limits.
    pub(super) fn check(&self, vocabulary: usize, longest: usize) -> Result<(), NetworkError> {
        let refuse = |why: String| Err(NetworkError::Batch(why));
        if self.rows() == 0 || self.offsets.first() != Some(&0) {
            return refuse("it has no rows".to_owned());
        }
        if self.offsets.last() != Some(&self.ids.len()) {
            return refuse("the last offset is not the number of ids".to_owned());
        }
        for (row, pair) in self.offsets.windows(2).enumerate() {
            if pair[1] <= pair[0] {
                return refuse(format!("row {row} is empty"));
            }
            if pair[1] - pair[0] > longest {
                let length = pair[1] - pair[0];
                return refuse(format!(
                    "row {row} has {length} tokens; the model's longest is {longest}"
                ));
            }
        }
        match self.ids.iter().find(|id| **id as usize >= vocabulary) {
            Some(id) => refuse(format!(
                "token id {id} is outside the vocabulary of {vocabulary}"
            )),
            None => Ok(()),
        }
    }

    /// Checks that every row has a label below `labels`.
    pub(super) fn check_labels(&self, labels: usize) -> Result<(), NetworkError> {
        let refuse = |why: String| Err(NetworkError::Batch(why));
        if self.labels.len() != self.rows() {
            return refuse(format!(
                "{} labels for {} rows",
                self.labels.len(),
                self.rows()
            ));
        }
        match self.labels.iter().find(|label| **label as usize >= labels) {
            Some(label) => refuse(format!("label {label} of {labels}")),
            None => Ok(()),
        }
    }

    /// Checks that every token has a target of the vocabulary or none, and that there is one at all.
    pub(super) fn check_targets(&self, vocabulary: usize) -> Result<(), NetworkError> {
        let refuse = |why: String| Err(NetworkError::Batch(why));
        if self.labels.len() != self.tokens() {
            return refuse(format!(
                "{} labels for {} tokens",
                self.labels.len(),
                self.tokens()
            ));
        }
        let mut targets = self.labels.iter().filter(|label| **label != Self::NONE);
        match targets.clone().find(|label| **label as usize >= vocabulary) {
            Some(label) => refuse(format!("label {label} of a vocabulary of {vocabulary}")),
            None if targets.next().is_none() => refuse("no token has a label".to_owned()),
            None => Ok(()),
        }
    }
}
