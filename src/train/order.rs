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
    /// Tokens that stand in for a row of a batch, where rows are packed.
    pack: Option<usize>,
    seed: u64,
}

impl Order {
    /// An order of rows with these lengths in batches of `batch`, of similar lengths where `grouped`.
    pub(super) fn new(lengths: Vec<usize>, batch: usize, grouped: bool, seed: u64) -> Self {
        Self {
            lengths,
            batch,
            grouped,
            pack: None,
            seed,
        }
    }

    /// The same order, but a batch is `batch` times as many rows as `pack` tokens hold.
    pub(super) fn packed(self, pack: usize) -> Self {
        Self {
            pack: Some(pack),
            ..self
        }
    }

    /// Batches of an epoch.
    pub(super) fn batches(&self, epoch: u64) -> usize {
        match self.pack {
            None => self.lengths.len().div_ceil(self.batch),
            Some(_) => self.epoch(epoch).len(),
        }
    }

    /// Whether all epochs have as many batches.
    pub(super) fn is_even(&self) -> bool {
        self.pack.is_none()
    }

    /// Rows in their order as batches of packs; a pack is closed by the first row that does not fit.
    fn packs(&self, rows: &[usize], pack: usize) -> Vec<Vec<usize>> {
        let mut packs: Vec<Vec<usize>> = Vec::new();
        let mut room = 0;
        for row in rows {
            let length = self.lengths[*row];
            match packs.last_mut() {
                Some(last) if length <= room => last.push(*row),
                _ => {
                    packs.push(vec![*row]);
                    room = pack;
                }
            }
            room = room.saturating_sub(length);
        }
        packs.chunks(self.batch).map(<[_]>::concat).collect()
    }

    /// The rows of every batch of an epoch, from 0. Each row occurs once; one batch may be smaller than the others.
    ///
    /// Grouping shuffles the rows, sorts each 50 batches' worth of them by length, and shuffles the batches.
    pub(super) fn epoch(&self, epoch: u64) -> Vec<Vec<usize>> {
        let mut draws = Draws::new(self.seed, epoch);
        let mut rows: Vec<usize> = (0..self.lengths.len()).collect();
        draws.shuffle(&mut rows);
        if let Some(pack) = self.pack {
            return self.packs(&rows, pack);
        }
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
            assert_eq!(epoch.len(), order.batches(0));
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
    fn packs_hold_what_fits_and_every_row_once() {
        let order = Order::new(lengths(), 2, false, 5).packed(64);
        let mut batches = std::collections::BTreeSet::new();
        for epoch in 0..20 {
            let rows = order.epoch(epoch);
            assert_eq!(rows.len(), order.batches(epoch));
            batches.insert(rows.len());
            for batch in &rows {
                let tokens: usize = batch.iter().map(|row| lengths()[*row]).sum();
                assert!(tokens <= 2 * 64, "{tokens}");
            }
            let mut all = rows.concat();
            all.sort_unstable();
            assert!(all.into_iter().eq(0..1003));
        }
        assert!(!order.is_even());
        assert!(batches.len() > 1, "the order decides how many there are");
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
