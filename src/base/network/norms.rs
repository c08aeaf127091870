//! Root-mean-square norms, of whole rows and of the heads of packed queries and keys; gradients of gains and biases.

use rayon::prelude::*;

use super::pointwise::lanes;
use super::simd::{vectorised, zeros};

/// Elements that one task handles.
const PIECE: usize = 16 * 1024;

/// `x/√(mean x² + ε) · gain`, row by row, and 1/√(…) of each row.
pub(super) fn rms_norm(x: &[f32], gain: &[f32], eps: f32) -> (Vec<f32>, Vec<f32>) {
    let width = gain.len();
    let rows = (PIECE / width).max(1);
    let mut y = zeros(x.len());
    let mut inverse = vec![0.0; x.len() / width];
    y.par_chunks_mut(rows * width)
        .zip(inverse.par_chunks_mut(rows))
        .zip(x.par_chunks(rows * width))
        .for_each(|((y, inverse), x)| rms_rows(x, gain, eps, y, inverse));
    (y, inverse)
}

vectorised! {
    fn rms_rows(x: &[f32], gain: &[f32], eps: f32, y: &mut [f32], inverse: &mut [f32]) {
        let width = gain.len();
        let rows = x.chunks_exact(width).zip(y.chunks_exact_mut(width));
        for ((x, y), inverse) in rows.zip(inverse) {
            *inverse = 1.0 / (lanes(x, |_, v| v * v) / width as f32 + eps).sqrt();
            for ((y, x), gain) in y.iter_mut().zip(x).zip(gain) {
                *y = x * *inverse * gain;
            }
        }
    }
}

/// The gradient of [`rms_norm`] with respect to `x`.
pub(super) fn rms_norm_backward(dy: &[f32], x: &[f32], inverse: &[f32], gain: &[f32]) -> Vec<f32> {
    let width = gain.len();
    let rows = (PIECE / width).max(1);
    let mut dx = zeros(x.len());
    dx.par_chunks_mut(rows * width)
        .zip(dy.par_chunks(rows * width))
        .zip(x.par_chunks(rows * width))
        .zip(inverse.par_chunks(rows))
        .for_each(|(((dx, dy), x), inverse)| rms_backward_rows(dy, x, inverse, gain, dx));
    dx
}

vectorised! {
    fn rms_backward_rows(dy: &[f32], x: &[f32], inverse: &[f32], gain: &[f32], dx: &mut [f32]) {
        let width = gain.len();
        let rows = dx.chunks_exact_mut(width).zip(dy.chunks_exact(width));
        for ((dx, dy), (x, inverse)) in rows.zip(x.chunks_exact(width).zip(inverse)) {
            for ((d, dy), g) in dx.iter_mut().zip(dy).zip(gain) {
                *d = dy * g;
            }
            let along = lanes(dx, |i, d| d * x[i]) * inverse * inverse / width as f32;
            for (d, x) in dx.iter_mut().zip(x) {
                *d = inverse * x.mul_add(-along, *d);
            }
        }
    }
}

/// The gradient of [`rms_norm`] with respect to the gain: a sum over rows in their order.
pub(super) fn rms_gain_gradient(dy: &[f32], x: &[f32], inverse: &[f32], width: usize) -> Vec<f32> {
    let mut out = vec![0.0; width];
    for ((dy, x), inverse) in dy
        .chunks_exact(width)
        .zip(x.chunks_exact(width))
        .zip(inverse)
    {
        for ((sum, dy), x) in out.iter_mut().zip(dy).zip(x) {
            *sum += dy * x * inverse;
        }
    }
    out
}

/// `Σ dy·unit` over rows: the gradient of a layer norm's gain.
pub(super) fn gain_gradient(dy: &[f32], unit: &[f32], width: usize) -> Vec<f32> {
    let mut out = vec![0.0; width];
    for (dy, unit) in dy.chunks_exact(width).zip(unit.chunks_exact(width)) {
        for ((sum, dy), unit) in out.iter_mut().zip(dy).zip(unit) {
            *sum += dy * unit;
        }
    }
    out
}

/// `Σ dy` over rows: the gradient of a bias.
pub(super) fn bias_gradient(dy: &[f32], width: usize) -> Vec<f32> {
    let mut out = vec![0.0; width];
    for dy in dy.chunks_exact(width) {
        out.iter_mut().zip(dy).for_each(|(sum, dy)| *sum += dy);
    }
    out
}

/// Where the normed heads of a packed row are.
#[derive(Debug, Clone, Copy)]
pub(super) struct HeadNorm {
    /// Elements of a row.
    pub(super) width: usize,
    pub(super) heads: usize,
    pub(super) kv_heads: usize,
    pub(super) size: usize,
    pub(super) eps: f32,
}

impl HeadNorm {
    /// The elements of a part of every row as rows of their own: queries, then keys.
    fn part(&self, rows: &[f32], keys: bool) -> Vec<f32> {
        let (first, count) = self.span(keys);
        rows.chunks_exact(self.width)
            .flat_map(|row| &row[first..first + count])
            .copied()
            .collect()
    }

    fn put(&self, rows: &mut [f32], keys: bool, values: &[f32]) {
        let (first, count) = self.span(keys);
        for (row, values) in rows
            .chunks_exact_mut(self.width)
            .zip(values.chunks_exact(count))
        {
            row[first..first + count].copy_from_slice(values);
        }
    }

    fn span(&self, keys: bool) -> (usize, usize) {
        match keys {
            false => (0, self.heads * self.size),
            true => (self.heads * self.size, self.kv_heads * self.size),
        }
    }
}

/// Each query head normed with one gain, each key head with another; values as they are.
pub(super) fn head_norm(rows: &[f32], gains: [&[f32]; 2], shape: &HeadNorm) -> Vec<f32> {
    let mut out = rows.to_vec();
    for (keys, gain) in [(false, gains[0]), (true, gains[1])] {
        let (y, _) = rms_norm(&shape.part(rows, keys), gain, shape.eps);
        shape.put(&mut out, keys, &y);
    }
    out
}

/// The gradients of [`head_norm`] with respect to the rows and to both gains.
pub(super) fn head_norm_backward(
    dy: &[f32],
    rows: &[f32],
    gains: [&[f32]; 2],
    shape: &HeadNorm,
) -> (Vec<f32>, [Vec<f32>; 2]) {
    let mut out = dy.to_vec();
    let mut part = |keys: bool, gain: &[f32]| {
        let (x, dy) = (shape.part(rows, keys), shape.part(dy, keys));
        let (_, inverse) = rms_norm(&x, gain, shape.eps);
        shape.put(&mut out, keys, &rms_norm_backward(&dy, &x, &inverse, gain));
        rms_gain_gradient(&dy, &x, &inverse, shape.size)
    };
    let found = [part(false, gains[0]), part(true, gains[1])];
    (out, found)
}
