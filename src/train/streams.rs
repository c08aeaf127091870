//! Named random streams of one seed.

use rand_chacha::ChaCha12Rng;
use rand_chacha::rand_core::{RngCore, SeedableRng};
use serde::{Deserialize, Serialize};

use crate::digest::Hasher;

/// The seeds of a run's random streams, each derived from the job's seed and the stream's name.
///
/// Using more of one stream does not move another: dropout does not change the order of the data.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Streams {
    /// Fresh factors and head.
    pub init: u64,
    /// The order of the rows.
    pub order: u64,
    /// Which elements LoRA dropout leaves out.
    pub dropout: u64,
}

impl Streams {
    /// The streams of a seed.
    pub fn of(seed: u64) -> Self {
        Self {
            init: derive(seed, "init"),
            order: derive(seed, "order"),
            dropout: derive(seed, "dropout"),
        }
    }
}

/// The seed by which rows are held out for validation. It is no stream: nothing is drawn, and no other moves.
pub(super) fn held_out_seed(seed: u64) -> u64 {
    derive(seed, "split")
}

/// The first 8 bytes of a SHA-256 over the seed and the name.
fn derive(seed: u64, name: &str) -> u64 {
    let mut hasher = Hasher::new();
    hasher.update(b"retune.train-stream/1\n");
    hasher.update(&seed.to_le_bytes());
    hasher.update(name.as_bytes());
    let digest = hasher.finish();
    let (first, _) = digest.as_bytes().split_at(8);
    first
        .iter()
        .rev()
        .fold(0, |sum, byte| sum << 8 | u64::from(*byte))
}

/// Random numbers for one purpose, such as one epoch's order.
pub(super) struct Draws(ChaCha12Rng);

impl Draws {
    /// The draws number `index` of the stream `seed`.
    pub(super) fn new(seed: u64, index: u64) -> Self {
        let mut hasher = Hasher::new();
        hasher.update(b"retune.train-draws/1\n");
        hasher.update(&seed.to_le_bytes());
        hasher.update(&index.to_le_bytes());
        Self(ChaCha12Rng::from_seed(*hasher.finish().as_bytes()))
    }

    /// Puts the items in an order that is as likely as any other.
    pub(super) fn shuffle<T>(&mut self, items: &mut [T]) {
        for last in (1..items.len()).rev() {
            items.swap(last, self.below(last as u64 + 1) as usize);
        }
    }

    /// A number below `bound`, each as likely as any other.
    fn below(&mut self, bound: u64) -> u64 {
        // The last, incomplete round of remainders is drawn again.
        let whole = u64::MAX - u64::MAX % bound;
        loop {
            let draw = self.0.next_u64();
            if draw < whole {
                return draw % bound;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn streams_differ_by_seed_and_name() {
        let (a, b) = (Streams::of(1), Streams::of(2));
        assert_eq!(a, Streams::of(1));
        let mut all = vec![a.init, a.order, a.dropout, b.init, b.order, b.dropout];
        all.sort_unstable();
        all.dedup();
        assert_eq!(all.len(), 6);
    }

    // 6000 shuffles of three items: each of the six orders is binomial(6000, 1/6) with deviation 28.9; five deviations
    // hold but for one key in a few hundred thousand, and the key is fixed.
    #[test]
    fn every_order_is_as_likely() {
        let mut counts = std::collections::BTreeMap::new();
        for index in 0..6000 {
            let mut items = [0, 1, 2];
            Draws::new(9, index).shuffle(&mut items);
            *counts.entry(items).or_insert(0i32) += 1;
        }
        assert_eq!(counts.len(), 6);
        assert!(
            counts.values().all(|n| (n - 1000).abs() < 145),
            "{counts:?}"
        );
    }
}
