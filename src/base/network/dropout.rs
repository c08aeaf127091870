//! Dropout masks from a counter: the same key and position give the same answer, whatever was computed before.

use crate::digest::{Digest, Hasher};

use super::simd::vectorised;

/// Names the masks of one training step.
///
/// `step` must differ between any two calls that should drop different elements, micro-batches of one optimiser step included.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DropoutKey {
    /// The run's seed.
    pub seed: u64,
    /// The number of the forward pass.
    pub step: u64,
}

/// The mask of one module in one step: an element survives with probability `1 − p` and is then divided by it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Mask {
    key: [u32; 2],
    /// An element whose 32 random bits are below this is dropped.
    threshold: u32,
    factor: f32,
}

impl Mask {
    /// The mask of the module called `name`. `probability` is in `0..1`.
    pub(super) fn new(key: DropoutKey, name: &str, probability: f64) -> Self {
        let mut hasher = Hasher::new();
        hasher.update(b"retune.dropout/1\n");
        hasher.update(&key.seed.to_le_bytes());
        hasher.update(&key.step.to_le_bytes());
        hasher.update(name.as_bytes());
        Self {
            key: words(hasher.finish()),
            threshold: (probability * 4_294_967_296.0).round() as u32,
            factor: (1.0 / (1.0 - probability)) as f32,
        }
    }

    /// `x` with the mask applied; element `i` is at position `i`.
    pub(super) fn apply(&self, x: &[f32]) -> Vec<f32> {
        let mut out = x.to_vec();
        apply(self, &mut out);
        out
    }

    /// Adds `x` with the mask applied to `out`.
    pub(super) fn add(&self, x: &[f32], out: &mut [f32]) {
        add(self, x, out);
    }

    #[inline(always)]
    fn factor_at(&self, position: u32) -> f32 {
        let mut h = position.wrapping_mul(0x9e37_79b1) ^ self.key[0];
        h = (h ^ (h >> 16)).wrapping_mul(0x85eb_ca6b);
        h = (h ^ (h >> 13)).wrapping_add(self.key[1]);
        h = h.wrapping_mul(0xc2b2_ae35);
        h = (h ^ (h >> 16)).wrapping_mul(0x7feb_352d);
        h ^= h >> 15;
        if h < self.threshold { 0.0 } else { self.factor }
    }
}

fn words(digest: Digest) -> [u32; 2] {
    let b = digest.as_bytes();
    [
        u32::from_le_bytes([b[0], b[1], b[2], b[3]]),
        u32::from_le_bytes([b[4], b[5], b[6], b[7]]),
    ]
}

vectorised! {
    fn apply(mask: &Mask, values: &mut [f32]) {
        let mask = *mask;
        for (position, value) in values.iter_mut().enumerate() {
            *value *= mask.factor_at(position as u32);
        }
    }
}

vectorised! {
    fn add(mask: &Mask, values: &[f32], out: &mut [f32]) {
        let mask = *mask;
        for (position, (out, value)) in out.iter_mut().zip(values).enumerate() {
            *out = value.mul_add(mask.factor_at(position as u32), *out);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: DropoutKey = DropoutKey { seed: 7, step: 3 };

    #[test]
    fn masks_repeat_and_differ_by_key() {
        let ones = vec![1.0; 4096];
        let mask = |key, name| Mask::new(key, name, 0.1).apply(&ones);
        assert_eq!(mask(KEY, "query"), mask(KEY, "query"));
        assert_ne!(mask(KEY, "query"), mask(KEY, "value"));
        assert_ne!(
            mask(KEY, "query"),
            mask(DropoutKey { step: 4, ..KEY }, "query")
        );
        assert_ne!(
            mask(KEY, "query"),
            mask(DropoutKey { seed: 8, ..KEY }, "query")
        );
    }

    // Drops of n elements at p are binomial: five standard deviations hold except once in two million keys, and the key
    // is fixed. Neighbours must be independent: the same bound for pairs.
    #[test]
    fn drops_the_asked_share() {
        let n = 1 << 18;
        for p in [0.05, 0.1, 0.5] {
            let kept = Mask::new(KEY, "query", p).apply(&vec![1.0; n]);
            let bound = |q: f64| 5.0 * (n as f64 * q * (1.0 - q)).sqrt();
            let dropped = kept.iter().filter(|v| **v == 0.0).count() as f64;
            assert!((dropped - n as f64 * p).abs() < bound(p), "{p}: {dropped}");
            for apart in [1, 16, 384] {
                let pairs = (0..n - apart).filter(|i| kept[*i] == 0.0 && kept[i + apart] == 0.0);
                let pairs = pairs.count() as f64;
                assert!(
                    (pairs - n as f64 * p * p).abs() < bound(p * p),
                    "{p} {apart}: {pairs}"
                );
            }
            assert!(
                kept.iter()
                    .all(|v| *v == 0.0 || *v == (1.0 / (1.0 - p)) as f32)
            );
        }
    }
}
