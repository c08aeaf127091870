//! Which rows go into which batch.

use super::streams::Draws;

/// Batches sorted together when rows are grouped by length; transformers uses the same number.
const MEGA_BATCH: usize = 50;

/// The order of the training rows. It is computed from the seed and the epoch, so a position in it is (epoch, batch).
#[derive(Debug, Clone)]
pub(super) struct Order {
    /// Tokens of each row.
    lengths: Vec<usize>,
    /// Rows of a batch.
    batch: usize,
    grouped: bool,
    seed: u64,
}

impl Order {
    /// An order of rows with these lengths in batches of `batch`, of similar lengths where `grouped`.
    pub(super) fn new(lengths: Vec<usize>, batch: usize, grouped: bool, seed: u64) -> Self {
        Self {
            lengths,
            batch,
            grouped,
            seed,
        }
    }

    /// Batches of an epoch.
    pub(super) fn batches(&self) -> usize {
        self.lengths.len().div_ceil(self.batch)
    }

    /// The rows of every batch of an epoch, from 0. Each row occurs once; one batch may be smaller than the others.
    ///
    /// Grouping shuffles the rows, sorts each 50 batches' worth of them by length, and shuffles the batches.
    pub(super) fn epoch(&self, epoch: u64) -> Vec<Vec<usize>> {
        let mut draws = Draws::new(self.seed, epoch);
        let mut rows: Vec<usize> = (0..self.lengths.len()).collect();
        draws.shuffle(&mut rows);
        if self.grouped {
            for part in rows.chunks_mut(self.batch * MEGA_BATCH) {
                part.sort_by_key(|row| self.lengths[*row]);
            }
        }
        let mut batches: Vec<Vec<usize>> = rows.chunks(self.batch).map(<[_]>::to_vec).collect();
        if self.grouped {
            draws.shuffle(&mut batches);
        }
        batches
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lengths() -> Vec<usize> {
        (0..1003).map(|row| 3 + row * 7 % 40).collect()
    }

    #[test]
    fn every_row_occurs_once_and_epochs_differ() {
        for grouped in [false, true] {
            let order = Order::new(lengths(), 8, grouped, 5);
            let epoch = order.epoch(0);
            assert_eq!(epoch.len(), order.batches());
            assert_eq!(epoch.iter().filter(|batch| batch.len() < 8).count(), 1);
            let mut rows: Vec<usize> = epoch.concat();
            rows.sort_unstable();
            assert!(rows.iter().copied().eq(0..1003));
            assert_eq!(epoch, Order::new(lengths(), 8, grouped, 5).epoch(0));
            assert_ne!(epoch, order.epoch(1));
            assert_ne!(epoch, Order::new(lengths(), 8, grouped, 6).epoch(0));
        }
    }

    #[test]
    fn grouped_batches_have_similar_lengths() {
        let spread = |grouped| {
            let lengths = lengths();
            let epoch = Order::new(lengths.clone(), 8, grouped, 5).epoch(0);
            let waste = epoch.iter().map(|batch| {
                let longest = batch.iter().map(|row| lengths[*row]).max().unwrap_or(0);
                batch
                    .iter()
                    .map(|row| longest - lengths[*row])
                    .sum::<usize>()
            });
            waste.sum::<usize>()
        };
        assert!(spread(true) * 10 < spread(false));
    }
}
