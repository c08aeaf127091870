//! Keys and values of tokens that were already seen, so that each new token costs one row.

use rayon::prelude::*;

use super::attention::Heads;
use super::pointwise::{lanes, tanh};
use super::simd::vectorised;

/// The keys and values of every layer and row.
#[derive(Debug)]
pub(super) struct Memory {
    /// `[layer][row]`.
    layers: Vec<Vec<Seen>>,
    /// Tokens of each row before the pass that runs.
    lengths: Vec<usize>,
}

/// Of one row in one layer, `[tokens × kv_heads·size]` each.
#[derive(Debug, Default, Clone)]
struct Seen {
    keys: Vec<f32>,
    values: Vec<f32>,
}

impl Memory {
    pub(super) fn new(layers: usize, rows: usize) -> Self {
        Self {
            layers: vec![vec![Seen::default(); rows]; layers],
            lengths: vec![0; rows],
        }
    }

    /// Tokens of each row.
    pub(super) fn lengths(&self) -> &[usize] {
        &self.lengths
    }

    /// Counts the tokens of a pass that has gone through all layers.
    pub(super) fn advance(&mut self, counts: &[usize]) {
        for (length, count) in self.lengths.iter_mut().zip(counts) {
            *length += count;
        }
    }

    /// Leaves out rows that are done.
    pub(super) fn keep(&mut self, rows: &[bool]) {
        let mut flags = rows.iter();
        self.lengths.retain(|_| *flags.next().unwrap_or(&false));
        for layer in &mut self.layers {
            let mut flags = rows.iter();
            layer.retain(|_| *flags.next().unwrap_or(&false));
        }
    }

    /// Remembers the keys and values of a pass. The context, where each row has one new token; nothing for first passes,
    /// whose tokens are all there is to see.
    pub(super) fn attend(&mut self, layer: usize, qkv: &[f32], heads: &Heads) -> Option<Vec<f32>> {
        let (width, keys) = (heads.width(), heads.kv_heads * heads.size);
        let first = heads.heads * heads.size;
        let rows = &mut self.layers[layer];
        for (row, pair) in rows.iter_mut().zip(heads.offsets.windows(2)) {
            for token in qkv[pair[0] * width..pair[1] * width].chunks_exact(width) {
                row.keys.extend_from_slice(&token[first..first + keys]);
                row.values.extend_from_slice(&token[first + keys..]);
            }
        }
        if self.lengths.iter().all(|length| *length == 0) {
            return None;
        }
        let mut context = vec![0.0; rows.len() * first];
        context
            .par_chunks_mut(first)
            .zip(rows.par_iter())
            .zip(qkv.par_chunks(width))
            .for_each(|((context, row), token)| row.attend(&token[..first], heads, context));
        Some(context)
    }
}

impl Seen {
    /// What the last token sees, head by head.
    fn attend(&self, queries: &[f32], heads: &Heads, context: &mut [f32]) {
        let size = heads.size;
        let stride = heads.kv_heads * size;
        let group = heads.heads / heads.kv_heads;
        let last = self.keys.len() / stride - 1;
        let start = heads.reach.map_or(0, |reach| last.saturating_sub(reach));
        let outputs = context.chunks_exact_mut(size);
        for (head, (query, out)) in queries.chunks_exact(size).zip(outputs).enumerate() {
            let column = head / group * size;
            let score = |token: usize| {
                let key = &self.keys[token * stride + column..][..size];
                let score = lanes(query, |i, q| q * key[i]) * heads.scale;
                match heads.softcap {
                    Some(cap) => cap * tanh(score / cap),
                    None => score,
                }
            };
            let scores: Vec<f32> = (start..=last).map(score).collect();
            let top = scores.iter().copied().fold(f32::NEG_INFINITY, f32::max);
            let weights: Vec<f32> = scores.iter().map(|score| (score - top).exp()).collect();
            let total = lanes(&weights, |_, w| w);
            for (weight, token) in weights.iter().zip(start..) {
                let value = &self.values[token * stride + column..][..size];
                add_weighted(out, value, weight / total);
            }
        }
    }
}

vectorised! {
    fn add_weighted(sums: &mut [f32], values: &[f32], weight: f32) {
        for (sum, value) in sums.iter_mut().zip(values) {
            *sum = weight.mul_add(*value, *sum);
        }
    }
}
