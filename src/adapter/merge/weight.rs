//! One weight, merged.

use crate::adapter::Factors;

/// How the base stores a weight.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::adapter) enum Orientation {
    /// `[outputs × inputs]`, as `nn.Linear` does.
    Linear,
    /// `[inputs × outputs]`, as GPT-2's `Conv1D` does.
    Transposed,
}

/// Adds `s·B·A` to `weight`, and gives every output the magnitude of DoRA.
///
/// The sums over the rank run in f64 and are rounded once.
pub(super) fn merge(weight: &mut [f32], orientation: Orientation, factors: &Factors<'_>) {
    let Factors {
        inputs, outputs, ..
    } = *factors;
    let at = |output: usize, input: usize| match orientation {
        Orientation::Linear => output * inputs + input,
        Orientation::Transposed => input * outputs + output,
    };
    let mut row = vec![0f64; inputs];
    for output in 0..outputs {
        delta(factors, output, &mut row);
        for (input, value) in row.iter_mut().enumerate() {
            *value += f64::from(weight[at(output, input)]);
        }
        let factor = match factors.magnitude {
            Some(magnitude) => f64::from(magnitude[output]) / norm(&row),
            None => 1.0,
        };
        for (input, value) in row.iter().enumerate() {
            weight[at(output, input)] = (factor * value) as f32;
        }
    }
}

/// Row `output` of `s·B·A`.
fn delta(factors: &Factors<'_>, output: usize, row: &mut [f64]) {
    row.fill(0.0);
    let b = &factors.b[output * factors.r..][..factors.r];
    for (b, a) in b.iter().zip(factors.a.chunks_exact(factors.inputs)) {
        let b = factors.scale * f64::from(*b);
        for (value, a) in row.iter_mut().zip(a) {
            *value += b * f64::from(*a);
        }
    }
}

fn norm(row: &[f64]) -> f64 {
    row.iter().map(|value| value * value).sum::<f64>().sqrt()
}
