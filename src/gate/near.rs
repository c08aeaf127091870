//! Texts that are nearly the same: MinHash finds candidates, the exact Jaccard index decides.

use std::collections::{HashMap, HashSet};

/// Hash functions per text, in bands: two texts of Jaccard index s meet in some band with probability
/// 1 − (1 − s⁴)⁶⁴. From s = 0.7 on, the smallest threshold a policy may have, one pair in forty million is missed.
const BANDS: usize = 64;
const ROWS: usize = 4;

/// Characters per shingle. Short texts, such as what people ask for, differ in few words but many shingles.
const SHINGLE: usize = 5;

/// An index of texts to look for.
pub(super) struct Index {
    shingles: Vec<HashSet<u64>>,
    bands: HashMap<(usize, u64), Vec<usize>>,
}

impl Index {
    /// Of normalised texts.
    pub(super) fn new<'a>(texts: impl Iterator<Item = &'a str>) -> Self {
        let mut index = Self {
            shingles: Vec::new(),
            bands: HashMap::new(),
        };
        for text in texts {
            let shingles = shingles(text);
            for key in bands(&shingles) {
                index
                    .bands
                    .entry(key)
                    .or_default()
                    .push(index.shingles.len());
            }
            index.shingles.push(shingles);
        }
        index
    }

    /// The texts whose Jaccard index with `text`, normalised, is at least `threshold`.
    pub(super) fn like(&self, text: &str, threshold: f64) -> Vec<usize> {
        let shingles = shingles(text);
        let mut met: Vec<usize> = bands(&shingles)
            .filter_map(|key| self.bands.get(&key))
            .flatten()
            .copied()
            .collect();
        met.sort_unstable();
        met.dedup();
        met.retain(|index| jaccard(&self.shingles[*index], &shingles) >= threshold);
        met
    }
}

fn jaccard(a: &HashSet<u64>, b: &HashSet<u64>) -> f64 {
    let common = a.intersection(b).count();
    common as f64 / (a.len() + b.len() - common).max(1) as f64
}

/// The character sequences of a text, hashed; a text shorter than one is its own.
fn shingles(text: &str) -> HashSet<u64> {
    let chars: Vec<char> = text.chars().collect();
    if chars.len() <= SHINGLE {
        return HashSet::from([hash(&chars)]);
    }
    chars.windows(SHINGLE).map(hash).collect()
}

fn bands(shingles: &HashSet<u64>) -> impl Iterator<Item = (usize, u64)> {
    let smallest: Vec<u64> = (0..BANDS * ROWS)
        .map(|function| {
            let seed = mix(function as u64 + 1);
            let least = shingles.iter().map(|shingle| mix(shingle ^ seed)).min();
            least.unwrap_or_default()
        })
        .collect();
    (0..BANDS).map(move |band| {
        let rows = &smallest[band * ROWS..(band + 1) * ROWS];
        (band, rows.iter().fold(0, |key, value| mix(key ^ value)))
    })
}

/// FNV-1a over the characters.
fn hash(chars: &[char]) -> u64 {
    chars.iter().fold(0xcbf2_9ce4_8422_2325, |key: u64, c| {
        (key ^ u64::from(u32::from(*c))).wrapping_mul(0x0100_0000_01b3)
    })
}

/// The finaliser of SplitMix64: every bit of the output depends on every bit of the input.
fn mix(value: u64) -> u64 {
    let mut x = value.wrapping_add(0x9e37_79b9_7f4a_7c15);
    x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    x ^ (x >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn near_texts_are_found_and_others_are_not() {
        let texts = [
            "please give me my money back for the order i placed on monday",
            "where is my parcel, it should have arrived last week already",
            "hi",
        ];
        let index = Index::new(texts.into_iter());
        let near = "please give me my money back for the order i placed on sunday";
        assert_eq!(index.like(near, 0.7), [0]);
        assert_eq!(index.like(texts[1], 0.99), [1]);
        assert_eq!(index.like("hi", 0.99), [2]);
        assert!(
            index
                .like("what is the weather like in lisbon", 0.7)
                .is_empty()
        );
        assert!(index.like(near, 0.95).is_empty());
    }

    #[test]
    fn nothing_above_the_threshold_is_missed() {
        // Every pair is also compared directly.
        let word = |i: u64| format!("{:04x}", mix(i) & 0xffff);
        let texts: Vec<String> = (0..200u64)
            .map(|i| {
                let words = (0..20).map(|w| {
                    word(if w == i % 20 {
                        1000 + i
                    } else {
                        i / 20 * 100 + w
                    })
                });
                words.collect::<Vec<_>>().join(" ")
            })
            .collect();
        let index = Index::new(texts.iter().map(String::as_str));
        let mut pairs = 0;
        for text in &texts {
            let own = shingles(text);
            let expected: Vec<usize> = (0..texts.len())
                .filter(|i| jaccard(&index.shingles[*i], &own) >= 0.7)
                .collect();
            pairs += expected.len();
            assert_eq!(index.like(text, 0.7), expected);
        }
        assert!(pairs > 1000, "{pairs}");
    }
}
