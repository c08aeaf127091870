//! Fresh weights from named random streams: one seed, one independent stream per parameter.

use rand_chacha::ChaCha12Rng;
use rand_chacha::rand_core::{RngCore, SeedableRng};

use crate::digest::Hasher;

/// One stream, for draws that come one at a time.
pub(super) struct Stream(ChaCha12Rng);

impl Stream {
    /// The stream called `name` of `seed`.
    pub(super) fn new(seed: u64, name: &str) -> Self {
        Self(stream(seed, name))
    }

    /// A number in [0, 1).
    pub(super) fn unit(&mut self) -> f64 {
        unit(&mut self.0)
    }
}

/// The stream called `name` of `seed`. Adding or removing parameters does not move the others' streams.
fn stream(seed: u64, name: &str) -> ChaCha12Rng {
    let mut hasher = Hasher::new();
    hasher.update(b"retune.stream/1\n");
    hasher.update(&seed.to_le_bytes());
    hasher.update(name.as_bytes());
    ChaCha12Rng::from_seed(*hasher.finish().as_bytes())
}

/// `count` values from U(−bound, bound).
pub(super) fn uniform(seed: u64, name: &str, count: usize, bound: f64) -> Vec<f32> {
    let mut stream = stream(seed, name);
    (0..count)
        .map(|_| ((2.0 * unit(&mut stream) - 1.0) * bound) as f32)
        .collect()
}

/// `count` values from N(0, deviation²), by Box and Muller.
pub(super) fn normal(seed: u64, name: &str, count: usize, deviation: f64) -> Vec<f32> {
    let mut stream = stream(seed, name);
    let mut value = || {
        // 1 − u is in (0, 1], so the logarithm is finite.
        let radius = (-2.0 * (1.0 - unit(&mut stream)).ln()).sqrt();
        let angle = 2.0 * std::f64::consts::PI * unit(&mut stream);
        (deviation * radius * angle.cos()) as f32
    };
    (0..count).map(|_| value()).collect()
}

/// 53 random bits as a number in [0, 1).
fn unit(stream: &mut ChaCha12Rng) -> f64 {
    (stream.next_u64() >> 11) as f64 / (1u64 << 53) as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    // For n draws the mean of a distribution with deviation σ is within 5σ/√n of its expectation but for one key in two
    // million, and the key is fixed; the variance likewise, with the fourth moment.
    #[test]
    fn moments_are_those_of_the_distribution() {
        let n = 100_000;
        let moments = |values: &[f32]| {
            let mean = values.iter().map(|v| f64::from(*v)).sum::<f64>() / n as f64;
            let square = values.iter().map(|v| f64::from(*v).powi(2)).sum::<f64>() / n as f64;
            (mean, square)
        };
        let bound = 0.05;
        let (mean, square) = moments(&uniform(1, "a", n, bound));
        let variance = bound * bound / 3.0;
        assert!(mean.abs() < 5.0 * (variance / n as f64).sqrt());
        assert!(
            (square - variance).abs()
                < 5.0 * (bound.powi(4) * (1.0 / 5.0 - 1.0 / 9.0) / n as f64).sqrt()
        );
        let (mean, square) = moments(&normal(1, "a", n, 0.02));
        assert!(mean.abs() < 5.0 * 0.02 / (n as f64).sqrt());
        assert!((square - 0.0004).abs() < 5.0 * 0.0004 * (2.0 / n as f64).sqrt());
    }

    #[test]
    fn streams_are_named() {
        assert_eq!(uniform(1, "a", 8, 1.0), uniform(1, "a", 8, 1.0));
        assert_ne!(uniform(1, "a", 8, 1.0), uniform(1, "b", 8, 1.0));
        assert_ne!(uniform(1, "a", 8, 1.0), uniform(2, "a", 8, 1.0));
    }
}
