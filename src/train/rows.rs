//! The rows of a split as tokens.

use super::tokens::TokenAccount;
use crate::base::network::Batch;

/// The rows of a split that are used, in the order of the file.
pub(super) struct Rows {
    /// Token ids.
    pub(super) ids: Vec<Vec<u32>>,
    pub(super) goals: Goals,
    pub(super) account: TokenAccount,
}

/// What is learned of each row.
pub(super) enum Goals {
    /// Its class.
    Classes(Vec<u32>),
    /// Some of its tokens.
    Tokens(Vec<Vec<bool>>),
}

impl Rows {
    /// How many there are.
    pub(super) fn count(&self) -> usize {
        self.ids.len()
    }

    /// Tokens of each row.
    pub(super) fn lengths(&self) -> Vec<usize> {
        self.ids.iter().map(Vec::len).collect()
    }

    /// What a loss is summed over: one per class, one per learned token.
    pub(super) fn goals_of(&self, rows: &[usize]) -> usize {
        match &self.goals {
            Goals::Classes(_) => rows.len(),
            Goals::Tokens(learned) => rows
                .iter()
                .map(|row| learned[*row].iter().filter(|learned| **learned).count())
                .sum(),
        }
    }

    /// These rows as a packed batch: each sees itself alone, and its positions begin at zero.
    pub(super) fn batch(&self, rows: &[usize]) -> Batch {
        let labels = match &self.goals {
            Goals::Classes(classes) => rows.iter().map(|row| classes[*row]).collect(),
            Goals::Tokens(learned) => rows
                .iter()
                .flat_map(|row| targets(&self.ids[*row], &learned[*row]))
                .collect(),
        };
        Batch::new(rows.iter().map(|row| self.ids[*row].as_slice()), labels)
    }

    /// Tokens of these rows.
    pub(super) fn tokens_of(&self, rows: &[usize]) -> u64 {
        rows.iter().map(|row| self.ids[*row].len() as u64).sum()
    }
}

/// At each token, the learned one that should come next.
fn targets<'a>(ids: &'a [u32], learned: &'a [bool]) -> impl Iterator<Item = u32> + 'a {
    (1..=ids.len()).map(|next| match learned.get(next) {
        Some(true) => ids[next],
        _ => Batch::NONE,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_told_from_the_one_before_it() {
        let rows = Rows {
            ids: vec![vec![7, 8, 9], vec![1, 2]],
            goals: Goals::Tokens(vec![vec![false, false, true], vec![false, true]]),
            account: TokenAccount::default(),
        };
        let batch = rows.batch(&[1, 0]);
        assert_eq!(batch.ids, [1, 2, 7, 8, 9]);
        assert_eq!(batch.offsets, [0, 2, 5]);
        let none = Batch::NONE;
        assert_eq!(batch.labels, [2, none, none, 9, none]);
        assert_eq!(rows.goals_of(&[0, 1]), 2);
    }
}
