//! How long texts are.

use std::collections::BTreeMap;

/// How long the texts of a split are, counted in two ways.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Lengths {
    /// In Unicode characters.
    pub characters: Distribution,
    /// In pieces between blanks.
    pub words: Distribution,
}

/// Four points of a distribution, each a length that occurs (nearest rank).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Distribution {
    /// The shortest.
    pub min: u64,
    /// At least half are no longer than this.
    pub p50: u64,
    /// At least 95 in 100 are no longer than this.
    pub p95: u64,
    /// The longest.
    pub max: u64,
}

/// Counts texts by length; memory grows with the number of different lengths only.
#[derive(Debug, Default)]
pub(super) struct LengthCounter {
    characters: BTreeMap<u64, u64>,
    words: BTreeMap<u64, u64>,
}

impl LengthCounter {
    pub(super) fn add(&mut self, text: &str) {
        *self
            .characters
            .entry(text.chars().count() as u64)
            .or_default() += 1;
        *self
            .words
            .entry(text.split_whitespace().count() as u64)
            .or_default() += 1;
    }

    /// `None` when nothing was counted.
    pub(super) fn finish(&self) -> Option<Lengths> {
        Some(Lengths {
            characters: distribution(&self.characters)?,
            words: distribution(&self.words)?,
        })
    }
}

fn distribution(counts: &BTreeMap<u64, u64>) -> Option<Distribution> {
    let total: u64 = counts.values().sum();
    let rank = |percent: u64| (total * percent).div_ceil(100);
    let at = |rank: u64| {
        let mut seen = 0;
        counts.iter().find_map(|(length, count)| {
            seen += count;
            (seen >= rank).then_some(*length)
        })
    };
    Some(Distribution {
        min: *counts.keys().next()?,
        p50: at(rank(50))?,
        p95: at(rank(95))?,
        max: *counts.keys().next_back()?,
    })
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn nearest_ranks() {
        let mut counter = LengthCounter::default();
        assert_eq!(counter.finish(), None);
        for length in 1..=100 {
            counter.add(&"é ".repeat(length));
        }
        let lengths = counter.finish().unwrap();
        let expected = |unit: u64| Distribution {
            min: unit,
            p50: 50 * unit,
            p95: 95 * unit,
            max: 100 * unit,
        };
        assert_eq!(lengths.words, expected(1));
        assert_eq!(lengths.characters, expected(2));
    }
}
