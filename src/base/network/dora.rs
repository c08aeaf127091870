//! Weight-decomposed adaptation (DoRA): the norms of the adapted weight's rows.

use rayon::prelude::*;

use super::linear::{Block, Linear};

/// Factors of one module and their scale.
#[derive(Debug, Clone, Copy)]
pub(super) struct Delta<'a> {
    /// `[r × inputs]`.
    pub(super) a: &'a [f32],
    /// `[outputs × r]`.
    pub(super) b: &'a [f32],
    pub(super) r: usize,
    pub(super) scale: f32,
}

/// `‖W + s·B·A‖` of each row of a block; of `W` alone without factors.
pub(super) fn norms(linear: &Linear, block: Block, delta: Option<Delta<'_>>) -> Vec<f32> {
    (0..block.count)
        .into_par_iter()
        .map(|output| {
            let mut row = linear.weight().column(block.first + output);
            if let Some(Delta { a, b, r, scale }) = delta {
                for (q, factor) in b[output * r..][..r].iter().enumerate() {
                    let line = &a[q * row.len()..][..row.len()];
                    row.iter_mut()
                        .zip(line)
                        .for_each(|(w, a)| *w = (scale * factor).mul_add(*a, *w));
                }
            }
            let square: f64 = row.iter().map(|w| f64::from(*w).powi(2)).sum();
            square.sqrt() as f32
        })
        .collect()
}
