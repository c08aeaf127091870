//! Element-wise functions, alone and as the gate of a feed-forward layer, with their slopes.

use std::f32::consts::FRAC_2_SQRT_PI;

use rayon::prelude::*;

use super::pointwise::{exp, normal_cdf, tanh};
use super::simd::{vectorised, zeros};
use crate::base::Activation;

/// Elements that one task handles.
const PIECE: usize = 16 * 1024;

/// `f(x)` of every element.
pub(super) fn activate(x: &[f32], activation: Activation) -> Vec<f32> {
    let mut y = zeros(x.len());
    y.par_chunks_mut(PIECE)
        .zip(x.par_chunks(PIECE))
        .for_each(|(y, x)| activate_piece(x, y, activation));
    y
}

/// `dy · f′(x)`.
pub(super) fn activate_backward(x: &[f32], dy: &[f32], activation: Activation) -> Vec<f32> {
    let mut dx = zeros(x.len());
    dx.par_chunks_mut(PIECE)
        .zip(x.par_chunks(PIECE))
        .zip(dy.par_chunks(PIECE))
        .for_each(|((dx, x), dy)| activate_backward_piece(x, dy, dx, activation));
    dx
}

/// `f(a) · b` for rows `a|b` of `2·width` elements.
pub(super) fn gated(rows: &[f32], width: usize, activation: Activation) -> Vec<f32> {
    let mut y = zeros(rows.len() / 2);
    y.par_chunks_mut(width)
        .zip(rows.par_chunks(2 * width))
        .for_each(|(y, row)| gated_row(row, y, activation));
    y
}

/// The gradient of [`gated`] with respect to the rows.
pub(super) fn gated_backward(
    rows: &[f32],
    dy: &[f32],
    width: usize,
    activation: Activation,
) -> Vec<f32> {
    let mut out = zeros(rows.len());
    out.par_chunks_mut(2 * width)
        .zip(rows.par_chunks(2 * width))
        .zip(dy.par_chunks(width))
        .for_each(|((out, row), dy)| gated_backward_row(row, dy, out, activation));
    out
}

/// Runs a loop with the value and slope of one function, so that the choice is made once and not for every element.
macro_rules! with_function {
    ($activation:expr, |$f:ident| $body:expr) => {
        match $activation {
            Activation::Silu => {
                let $f = silu;
                $body
            }
            Activation::Gelu => {
                let $f = gelu;
                $body
            }
            Activation::GeluTanh => {
                let $f = gelu_tanh;
                $body
            }
            Activation::Relu => {
                let $f = relu;
                $body
            }
            Activation::Tanh => {
                let $f = tangent;
                $body
            }
        }
    };
}

vectorised! {
    fn activate_piece(x: &[f32], y: &mut [f32], activation: Activation) {
        with_function!(activation, |f| for (y, &x) in y.iter_mut().zip(x) {
            *y = f(x).0;
        });
    }
}

vectorised! {
    fn activate_backward_piece(x: &[f32], dy: &[f32], dx: &mut [f32], activation: Activation) {
        with_function!(activation, |f| for ((dx, &x), &dy) in dx.iter_mut().zip(x).zip(dy) {
            *dx = dy * f(x).1;
        });
    }
}

vectorised! {
    fn gated_row(row: &[f32], y: &mut [f32], activation: Activation) {
        let (a, b) = row.split_at(y.len());
        with_function!(activation, |f| for ((y, &a), &b) in y.iter_mut().zip(a).zip(b) {
            *y = f(a).0 * b;
        });
    }
}

vectorised! {
    fn gated_backward_row(row: &[f32], dy: &[f32], out: &mut [f32], activation: Activation) {
        let (a, b) = row.split_at(dy.len());
        let (da, db) = out.split_at_mut(dy.len());
        with_function!(activation, |f| {
            let inputs = a.iter().zip(b).zip(dy);
            for ((da, db), ((&a, &b), &dy)) in da.iter_mut().zip(db).zip(inputs) {
                let (value, slope) = f(a);
                *da = dy * b * slope;
                *db = dy * value;
            }
        });
    }
}

#[inline(always)]
fn silu(x: f32) -> (f32, f32) {
    let sigmoid = 1.0 / (1.0 + exp(-x));
    let value = x * sigmoid;
    (value, sigmoid * (1.0 + x - value))
}

#[inline(always)]
fn gelu(x: f32) -> (f32, f32) {
    /// 1/√(2π).
    const DENSITY: f32 = 0.398_942_3;
    let cdf = normal_cdf(x);
    (x * cdf, x.mul_add(DENSITY * exp(-0.5 * x * x), cdf))
}

#[inline(always)]
fn gelu_tanh(x: f32) -> (f32, f32) {
    /// √(2/π).
    const ROOT: f32 = FRAC_2_SQRT_PI * std::f32::consts::FRAC_1_SQRT_2;
    let square = x * x;
    let t = tanh(ROOT * (square * x).mul_add(0.044_715, x));
    let inner = ROOT * square.mul_add(3.0 * 0.044_715, 1.0);
    let half = 0.5 * (1.0 + t);
    (x * half, (0.5 * x * (1.0 - t * t)).mul_add(inner, half))
}

#[inline(always)]
fn relu(x: f32) -> (f32, f32) {
    if x > 0.0 { (x, 1.0) } else { (0.0, 0.0) }
}

#[inline(always)]
fn tangent(x: f32) -> (f32, f32) {
    let t = tanh(x);
    (t, 1.0 - t * t)
}
