//! One vector per sequence.

use std::ops::Range;

use super::Batch;
use crate::base::Pooling;

/// The tokens of each sequence whose mean stands for it.
#[derive(Debug)]
pub(super) struct Pool {
    pub(super) rows: Vec<Range<usize>>,
    pub(super) tokens: usize,
    pub(super) hidden: usize,
}

impl Pool {
    /// What `pooling` takes from the rows of `batch`. The last token is the last one that is not `padding`.
    pub(super) fn of(batch: &Batch, pooling: Pooling, padding: Option<u32>, hidden: usize) -> Self {
        let rows = batch.offsets.windows(2).map(|pair| {
            let (start, end) = (pair[0], pair[1]);
            match pooling {
                Pooling::Cls => start..start + 1,
                Pooling::Mean => start..end,
                Pooling::Last => {
                    let last = match padding {
                        // transformers takes the first token of a row that is nothing but padding.
                        Some(padding) => (start..end)
                            .rev()
                            .find(|t| batch.ids[*t] != padding)
                            .unwrap_or(start),
                        None => end - 1,
                    };
                    last..last + 1
                }
            }
        });
        Self {
            rows: rows.collect(),
            tokens: batch.tokens(),
            hidden,
        }
    }
}

/// `[tokens × hidden]` to `[rows × hidden]`.
pub(super) fn forward(x: &[f32], pool: &Pool) -> Vec<f32> {
    let mut out = vec![0.0; pool.rows.len() * pool.hidden];
    for (tokens, out) in pool.rows.iter().zip(out.chunks_exact_mut(pool.hidden)) {
        let weight = 1.0 / tokens.len() as f32;
        for token in tokens.clone() {
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
    let mut out = vec![0.0; pool.tokens * pool.hidden];
    for (tokens, gradient) in pool.rows.iter().zip(gradient.chunks_exact(pool.hidden)) {
        let weight = 1.0 / tokens.len() as f32;
        for token in tokens.clone() {
            let row = &mut out[token * pool.hidden..][..pool.hidden];
            row.iter_mut()
                .zip(gradient)
                .for_each(|(out, g)| *out = g * weight);
        }
    }
    out
}
