//! One vector per sequence.

use crate::base::Pooling;

/// Where the sequences of a packed batch are.
#[derive(Debug)]
pub(super) struct Pool {
    pub(super) offsets: Vec<usize>,
    pub(super) hidden: usize,
    pub(super) pooling: Pooling,
}

impl Pool {
    /// The tokens of a sequence that count, and what each counts.
    fn weights(&self, start: usize, end: usize) -> (std::ops::Range<usize>, f32) {
        match self.pooling {
            Pooling::Cls => (start..start + 1, 1.0),
            Pooling::Mean => (start..end, 1.0 / (end - start) as f32),
        }
    }
}

/// `[tokens × hidden]` to `[rows × hidden]`.
pub(super) fn forward(x: &[f32], pool: &Pool) -> Vec<f32> {
    let mut out = vec![0.0; (pool.offsets.len() - 1) * pool.hidden];
    for (pair, out) in pool
        .offsets
        .windows(2)
        .zip(out.chunks_exact_mut(pool.hidden))
    {
        let (tokens, weight) = pool.weights(pair[0], pair[1]);
        for token in tokens {
            let row = &x[token * pool.hidden..][..pool.hidden];
            out.iter_mut()
                .zip(row)
                .for_each(|(sum, value)| *sum += value);
        }
        out.iter_mut().for_each(|sum| *sum *= weight);
    }
    out
}

/// The gradient with respect to the tokens.
pub(super) fn backward(gradient: &[f32], pool: &Pool) -> Vec<f32> {
    let tokens = pool.offsets.last().copied().unwrap_or_default();
    let mut out = vec![0.0; tokens * pool.hidden];
    for (pair, gradient) in pool
        .offsets
        .windows(2)
        .zip(gradient.chunks_exact(pool.hidden))
    {
        let (tokens, weight) = pool.weights(pair[0], pair[1]);
        for token in tokens {
            let row = &mut out[token * pool.hidden..][..pool.hidden];
            row.iter_mut()
                .zip(gradient)
                .for_each(|(out, g)| *out = g * weight);
        }
    }
    out
}
