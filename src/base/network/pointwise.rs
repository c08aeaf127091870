//! Row-wise and element-wise kernels: exp, erf, GELU, layer norm, softmax cross-entropy.
//!
//! Sums over a row run in sixteen lanes that are added up in a fixed order, so every instruction set gives the same bits.

use std::f32::consts::{FRAC_1_SQRT_2, LOG2_E};

use rayon::prelude::*;

use super::simd::{vectorised, zeros};

/// Elements that one task of an element-wise kernel handles.
const PIECE: usize = 16 * 1024;

/// eˣ to about one unit in the last place; 0 below −87.3. Cephes' `expf`.
#[inline(always)]
pub(super) fn exp(x: f32) -> f32 {
    /// Adding it rounds to the nearest integer, which is then in the low bits.
    const ROUND: f32 = 12_582_912.0;
    let clamped = x.clamp(-87.336, 88.0);
    let rounded = clamped.mul_add(LOG2_E, ROUND);
    let n = rounded - ROUND;
    let r = n.mul_add(-0.693_359_4, clamped);
    let r = n.mul_add(2.121_944_4e-4, r);
    let mut p = 1.987_569_2e-4;
    for c in [1.398_2e-3, 8.333_452e-3, 4.166_579_6e-2, 0.166_666_66, 0.5] {
        p = r.mul_add(p, c);
    }
    let y = (r * r).mul_add(p, r) + 1.0;
    // The exponent of 2ⁿ: the bits of ROUND itself are shifted out.
    let scale = f32::from_bits(rounded.to_bits().wrapping_add(127) << 23);
    if x < -87.336 { 0.0 } else { y * scale }
}

/// The hyperbolic tangent to a few units in the last place. Cephes' `tanhf`.
#[inline(always)]
pub(super) fn tanh(x: f32) -> f32 {
    let z = x * x;
    let mut p = -5.704_988_7e-3_f32;
    for c in [2.063_909e-2, -5.373_971_6e-2, 0.133_314_42, -0.333_332_8] {
        p = z.mul_add(p, c);
    }
    let near = (p * z).mul_add(x, x);
    let far = 1.0 - 2.0 / (exp(2.0 * x.abs()) + 1.0);
    if x.abs() < 0.625 {
        near
    } else {
        far.copysign(x)
    }
}

/// The error function to about 5e-7. The rational approximation of Eigen (`generic_fast_erf_float`).
#[inline(always)]
fn erf(x: f32) -> f32 {
    let x = x.clamp(-4.0, 4.0);
    let z = x * x;
    let mut p = -2.726_142_3e-10_f32;
    for c in [
        2.770_681_4e-8,
        -2.101_024e-6,
        -5.692_506_4e-5,
        -7.349_906e-4,
        -2.954_6e-3,
        -1.609_603_3e-2,
    ] {
        p = z.mul_add(p, c);
    }
    let mut q = -1.456_607_2e-5_f32;
    for c in [
        -2.133_740_6e-4,
        -1.682_827e-3,
        -7.373_329_2e-3,
        -1.426_474e-2,
    ] {
        q = z.mul_add(q, c);
    }
    x * p / q
}

/// The standard normal distribution function.
#[inline(always)]
pub(super) fn normal_cdf(x: f32) -> f32 {
    0.5 * (1.0 + erf(x * FRAC_1_SQRT_2))
}

/// `x·Φ(x)`, the exact GELU.
pub(super) fn gelu(x: &[f32]) -> Vec<f32> {
    let mut y = zeros(x.len());
    y.par_chunks_mut(PIECE)
        .zip(x.par_chunks(PIECE))
        .for_each(|(y, x)| gelu_piece(x, y));
    y
}

vectorised! {
    fn gelu_piece(x: &[f32], y: &mut [f32]) {
        for (y, &x) in y.iter_mut().zip(x) {
            *y = x * normal_cdf(x);
        }
    }
}

/// `dy · (Φ(x) + x·φ(x))`.
pub(super) fn gelu_backward(x: &[f32], dy: &[f32]) -> Vec<f32> {
    let mut dx = zeros(x.len());
    dx.par_chunks_mut(PIECE)
        .zip(x.par_chunks(PIECE))
        .zip(dy.par_chunks(PIECE))
        .for_each(|((dx, x), dy)| gelu_backward_piece(x, dy, dx));
    dx
}

vectorised! {
    fn gelu_backward_piece(x: &[f32], dy: &[f32], dx: &mut [f32]) {
        /// 1/√(2π).
        const DENSITY: f32 = 0.398_942_3;
        for ((dx, &x), &dy) in dx.iter_mut().zip(x).zip(dy) {
            let slope = x.mul_add(DENSITY * exp(-0.5 * x * x), normal_cdf(x));
            *dx = dy * slope;
        }
    }
}

/// What layer norm's backward needs.
#[derive(Debug, Clone)]
pub(super) struct Normalised {
    /// `(v − mean)/σ`, `[rows × width]`.
    pub(super) unit: Vec<f32>,
    /// 1/σ of each row.
    pub(super) inverse: Vec<f32>,
}

/// The layer norm of `x + residual`, its gain and bias applied, and what the backward needs.
pub(super) fn add_norm(
    x: &[f32],
    residual: &[f32],
    gain: &[f32],
    bias: &[f32],
    eps: f32,
) -> (Vec<f32>, Normalised) {
    let width = gain.len();
    let rows = (PIECE / width).max(1);
    let mut y = zeros(x.len());
    let mut unit = zeros(x.len());
    let mut inverse = vec![0.0; x.len() / width];
    y.par_chunks_mut(rows * width)
        .zip(unit.par_chunks_mut(rows * width))
        .zip(inverse.par_chunks_mut(rows))
        .zip(
            x.par_chunks(rows * width)
                .zip(residual.par_chunks(rows * width)),
        )
        .for_each(|(((y, unit), inverse), (x, residual))| {
            add_norm_rows(x, residual, gain, bias, eps, y, unit, inverse);
        });
    (y, Normalised { unit, inverse })
}

vectorised! {
    #[allow(clippy::too_many_arguments)]
    fn add_norm_rows(
        x: &[f32],
        residual: &[f32],
        gain: &[f32],
        bias: &[f32],
        eps: f32,
        y: &mut [f32],
        unit: &mut [f32],
        inverse: &mut [f32],
    ) {
        let width = gain.len();
        let count = width as f32;
        let rows = y.chunks_exact_mut(width).zip(unit.chunks_exact_mut(width)).zip(inverse);
        let inputs = x.chunks_exact(width).zip(residual.chunks_exact(width));
        for (((y, unit), inverse), (x, residual)) in rows.zip(inputs) {
            for ((v, x), r) in unit.iter_mut().zip(x).zip(residual) {
                *v = x + r;
            }
            let mean = lanes(unit, |_, v| v) / count;
            for v in unit.iter_mut() {
                *v -= mean;
            }
            let variance = lanes(unit, |_, v| v * v) / count;
            *inverse = 1.0 / (variance + eps).sqrt();
            for (((v, y), g), b) in unit.iter_mut().zip(y).zip(gain).zip(bias) {
                *v *= *inverse;
                *y = v.mul_add(*g, *b);
            }
        }
    }
}

/// The gradient of [`add_norm`] with respect to `x + residual`.
pub(super) fn add_norm_backward(dy: &[f32], saved: &Normalised, gain: &[f32]) -> Vec<f32> {
    let width = gain.len();
    let rows = (PIECE / width).max(1);
    let mut dx = zeros(dy.len());
    dx.par_chunks_mut(rows * width)
        .zip(dy.par_chunks(rows * width))
        .zip(saved.unit.par_chunks(rows * width))
        .zip(saved.inverse.par_chunks(rows))
        .for_each(|(((dx, dy), unit), inverse)| {
            add_norm_backward_rows(dy, unit, inverse, gain, dx);
        });
    dx
}

vectorised! {
    fn add_norm_backward_rows(
        dy: &[f32],
        unit: &[f32],
        inverse: &[f32],
        gain: &[f32],
        dx: &mut [f32],
    ) {
        let width = gain.len();
        let count = width as f32;
        let rows = dx.chunks_exact_mut(width).zip(dy.chunks_exact(width));
        for ((dx, dy), (unit, inverse)) in rows.zip(unit.chunks_exact(width).zip(inverse)) {
            for ((d, dy), g) in dx.iter_mut().zip(dy).zip(gain) {
                *d = dy * g;
            }
            let mean = lanes(dx, |_, d| d) / count;
            let along = lanes(dx, |i, d| d * unit[i]) / count;
            for (d, u) in dx.iter_mut().zip(unit) {
                *d = inverse * (u.mul_add(-along, *d) - mean);
            }
        }
    }
}

/// The sum of `element(i, values[i])` in sixteen lanes, which are then added pairwise.
#[inline(always)]
pub(super) fn lanes(values: &[f32], element: impl Fn(usize, f32) -> f32) -> f32 {
    let mut sums = [0.0f32; 16];
    let whole = values.len() / 16 * 16;
    for start in (0..whole).step_by(16) {
        for (lane, sum) in sums.iter_mut().enumerate() {
            *sum += element(start + lane, values[start + lane]);
        }
    }
    for (lane, i) in (whole..values.len()).enumerate() {
        sums[lane] += element(i, values[i]);
    }
    for half in [8, 4, 2, 1] {
        for lane in 0..half {
            sums[lane] += sums[lane + half];
        }
    }
    sums[0]
}

/// The largest element. Its bits do not depend on the order of looking.
#[inline(always)]
pub(super) fn largest(values: &[f32]) -> f32 {
    let mut tops = [f32::NEG_INFINITY; 16];
    let mut chunks = values.chunks_exact(16);
    for chunk in &mut chunks {
        for (top, value) in tops.iter_mut().zip(chunk) {
            *top = if *value > *top { *value } else { *top };
        }
    }
    let rest = chunks.remainder().iter().chain(&tops);
    rest.fold(
        f32::NEG_INFINITY,
        |top, value| {
            if *value > top { *value } else { top }
        },
    )
}

/// Softmax cross-entropy: the loss of each row, and the probabilities `[rows × classes]`.
///
/// In double precision inside: there are few rows, and the loss is what people compare.
pub(super) fn cross_entropy(logits: &[f32], labels: &[u32]) -> (Vec<f32>, Vec<f32>) {
    let classes = logits.len() / labels.len();
    let mut probabilities = Vec::with_capacity(logits.len());
    let mut losses = Vec::with_capacity(labels.len());
    for (row, &label) in logits.chunks_exact(classes).zip(labels) {
        let top = row.iter().copied().fold(f32::NEG_INFINITY, f32::max);
        let shifted = |z: f32| f64::from(z) - f64::from(top);
        let total: f64 = row.iter().map(|&z| shifted(z).exp()).sum();
        losses.push((total.ln() - shifted(row[label as usize])) as f32);
        probabilities.extend(row.iter().map(|&z| (shifted(z).exp() / total) as f32));
    }
    (losses, probabilities)
}

/// The gradient of `Σ weight·loss` with respect to the logits.
pub(super) fn cross_entropy_backward(
    probabilities: &[f32],
    labels: &[u32],
    weights: &[f32],
) -> Vec<f32> {
    let classes = probabilities.len() / labels.len();
    let mut gradient = probabilities.to_vec();
    for ((row, &label), weight) in gradient.chunks_exact_mut(classes).zip(labels).zip(weights) {
        row[label as usize] -= 1.0;
        row.iter_mut().for_each(|g| *g *= weight);
    }
    gradient
}

#[cfg(test)]
mod tests {
    use super::*;

    fn span(low: f32, high: f32) -> impl Iterator<Item = f32> {
        (0..=20_000).map(move |i| low + (high - low) * (i as f32 / 20_000.0))
    }

    // Tolerances: a few units in the last place of f32 (6e-8 relative) for exp. erf is an approximation to about 5e-7, which
    // GELU multiplies by |x|/2.
    #[test]
    fn exp_and_gelu_agree_with_double_precision() {
        for x in span(-87.0, 88.0) {
            let want = f64::from(x).exp();
            assert!((f64::from(exp(x)) / want - 1.0).abs() < 3e-7, "exp {x}");
        }
        assert_eq!(exp(-90.0), 0.0);
        let x: Vec<f32> = span(-6.0, 6.0).collect();
        let dy = vec![1.0; x.len()];
        for ((&x, y), dx) in x.iter().zip(gelu(&x)).zip(gelu_backward(&x, &dy)) {
            let wide = f64::from(x);
            let bound = 3e-7 * (1.0 + wide.abs());
            let cdf = 0.5 * statrs::function::erf::erfc(-wide / 2f64.sqrt());
            let density = (-0.5 * wide * wide).exp() / (2.0 * std::f64::consts::PI).sqrt();
            assert!((f64::from(y) - wide * cdf).abs() < bound, "gelu {x}: {y}");
            assert!(
                (f64::from(dx) - (cdf + wide * density)).abs() < bound,
                "slope {x}: {dx}"
            );
        }
    }

    // Cephes states 1.7e-7 of relative error, exp included.
    #[test]
    fn tanh_agrees_with_double_precision() {
        for x in span(-12.0, 12.0).chain(span(-0.7, 0.7)) {
            let want = f64::from(x).tanh();
            assert!(
                (f64::from(tanh(x)) - want).abs() <= 3e-7 * want.abs(),
                "tanh {x}"
            );
        }
    }

    // One kernel body is compiled three times; the plain one must give the same bits as what runs.
    #[test]
    fn lanes_add_in_a_fixed_order() {
        let values: Vec<f32> = (0..37).map(|i| (i as f32).sin()).collect();
        let mut sums = [0.0f32; 16];
        for (i, v) in values.iter().enumerate() {
            sums[i % 16] += v;
        }
        let pairs = |sums: &[f32]| -> Vec<f32> {
            let half = sums.len() / 2;
            (0..half).map(|i| sums[i] + sums[i + half]).collect()
        };
        let total = pairs(&pairs(&pairs(&pairs(&sums))));
        assert_eq!(lanes(&values, |_, v| v), total[0]);
    }
}
