//! A linear layer and the softmax cross-entropy of its outputs, some rows at a time: the logits of all tokens never exist
//! together.
//!
//! The gradient with respect to the input is formed with the loss, while the logits are there. Rows without a target cost
//! nothing.

use rayon::prelude::*;

use super::linear::Linear;
use super::pointwise::{exp, largest, tanh};
use super::product::{Right, Start, Term, UNIT, add_transposed, product};
use super::simd::vectorised;

/// The target of a row that has none: its loss is zero.
pub(super) const NONE: u32 = u32::MAX;

/// Rows whose logits exist together.
const CHUNK: usize = UNIT;

/// The losses of some rows, and where they lead.
#[derive(Debug, Clone)]
pub(super) struct Losses {
    /// −ln softmax(logits)[target] of each row.
    pub(super) losses: Vec<f32>,
    /// The gradient of each row's loss with respect to its input, `[rows × inputs]`; empty unless asked for.
    pub(super) slopes: Vec<f32>,
}

/// The losses of `x` `[rows × inputs]` under the outputs of `head`; logits `z` become `cap·tanh(z/cap)` first.
pub(super) fn forward(
    x: &[f32],
    head: &Linear,
    targets: &[u32],
    softcap: Option<f32>,
    with_slopes: bool,
) -> Losses {
    let mut found = Losses {
        losses: vec![0.0; targets.len()],
        slopes: vec![0.0; if with_slopes { x.len() } else { 0 }],
    };
    let inputs = head.inputs;
    each_chunk(x, head, targets, softcap, |mut chunk| {
        for (row, loss) in chunk.rows.iter().zip(chunk.losses()) {
            found.losses[*row] = loss;
        }
        if with_slopes {
            chunk.slope(&vec![1.0; chunk.rows.len()]);
            let slopes = product(
                chunk.rows.len(),
                inputs,
                Start::Zero,
                &[chunk.back_term(head)],
            );
            for (row, slope) in chunk.rows.iter().zip(slopes.chunks_exact(inputs)) {
                found.slopes[row * inputs..][..inputs].copy_from_slice(slope);
            }
        }
    });
    found
}

/// The gradient of `Σ weight·loss` with respect to the head's weight, `[outputs × inputs]`: the logits are made again.
pub(super) fn weight_gradient(
    x: &[f32],
    head: &Linear,
    targets: &[u32],
    softcap: Option<f32>,
    weights: &[f32],
) -> Vec<f32> {
    let mut gradient = vec![0.0; head.outputs * head.inputs];
    each_chunk(x, head, targets, softcap, |mut chunk| {
        chunk.losses();
        let weights: Vec<f32> = chunk.rows.iter().map(|row| weights[*row]).collect();
        chunk.slope(&weights);
        add_transposed(
            &mut gradient,
            chunk.logits,
            head.outputs,
            &chunk.x,
            head.inputs,
        );
    });
    gradient
}

/// Some rows that have a target, with their logits.
struct Chunk<'a> {
    /// Which rows they are.
    rows: &'a [usize],
    targets: Vec<u32>,
    x: Vec<f32>,
    /// Logits first, then what [`losses`](Self::losses) and [`slope`](Self::slope) make of them, and four elements more.
    logits: &'a mut [f32],
    softcap: Option<f32>,
    sums: Vec<Sum>,
}

/// `Σ exp(z − top)` of a row.
#[derive(Clone, Copy)]
struct Sum {
    top: f32,
    total: f64,
}

fn each_chunk(
    x: &[f32],
    head: &Linear,
    targets: &[u32],
    softcap: Option<f32>,
    mut each: impl FnMut(Chunk<'_>),
) {
    let inputs = head.inputs;
    let rows: Vec<usize> = (0..targets.len())
        .filter(|row| targets[*row] != NONE)
        .collect();
    let mut logits = Vec::with_capacity(CHUNK.min(rows.len()) * head.outputs + 4);
    for rows in rows.chunks(CHUNK) {
        let x: Vec<f32> = rows
            .iter()
            .flat_map(|row| &x[row * inputs..][..inputs])
            .copied()
            .collect();
        logits.clear();
        head.append_forward(&x, &mut logits);
        logits.extend([0.0; 4]);
        each(Chunk {
            rows,
            targets: rows.iter().map(|row| targets[*row]).collect(),
            x,
            logits: &mut logits,
            softcap,
            sums: Vec::new(),
        });
    }
}

impl Chunk<'_> {
    fn lines(&mut self) -> rayon::slice::ChunksExactMut<'_, f32> {
        let outputs = (self.logits.len() - 4) / self.rows.len();
        self.logits.par_chunks_exact_mut(outputs)
    }

    /// The losses; logits are capped from here on.
    fn losses(&mut self) -> Vec<f32> {
        let (softcap, targets) = (self.softcap, std::mem::take(&mut self.targets));
        let found: Vec<(Sum, f32)> = self
            .lines()
            .zip(&targets)
            .map(|(line, target)| {
                if let Some(cap) = softcap {
                    cap_line(line, cap);
                }
                let sum = sum_of(line);
                let own = f64::from(line[*target as usize]) - f64::from(sum.top);
                (sum, (sum.total.ln() - own) as f32)
            })
            .collect();
        self.targets = targets;
        self.sums = found.iter().map(|(sum, _)| *sum).collect();
        found.into_iter().map(|(_, loss)| loss).collect()
    }

    /// Logits become the gradient of `Σ weight·loss` with respect to them.
    fn slope(&mut self, weights: &[f32]) {
        let (softcap, sums) = (self.softcap, std::mem::take(&mut self.sums));
        let targets = std::mem::take(&mut self.targets);
        let known = sums.par_iter().zip(&targets).zip(weights);
        self.lines()
            .zip(known)
            .for_each(|(line, ((sum, target), weight))| {
                slope_line(line, *sum, *target as usize, softcap, *weight);
            });
    }

    /// Slopes of logits on their way through the head.
    fn back_term<'t>(&'t self, head: &'t Linear) -> Term<'t> {
        Term {
            left: &self.logits[..self.logits.len() - 4],
            stride: head.outputs,
            right: Right::Transposed(head.weight()),
        }
    }
}

vectorised! {
    fn cap_line(line: &mut [f32], cap: f32) {
        line.iter_mut().for_each(|z| *z = cap * tanh(*z / cap));
    }
}

vectorised! {
    /// Added up in double precision in sixteen lanes, which are then added in order.
    fn sum_of(line: &[f32]) -> Sum {
        let top = largest(line);
        let mut sums = [0.0f64; 16];
        let mut chunks = line.chunks_exact(16);
        for chunk in &mut chunks {
            for (sum, z) in sums.iter_mut().zip(chunk) {
                *sum += f64::from(exp(z - top));
            }
        }
        for (sum, z) in sums.iter_mut().zip(chunks.remainder()) {
            *sum += f64::from(exp(z - top));
        }
        Sum { top, total: sums.iter().sum() }
    }
}

vectorised! {
    fn slope_line(line: &mut [f32], sum: Sum, target: usize, softcap: Option<f32>, weight: f32) {
        let share = (1.0 / sum.total) as f32;
        let own = line[target];
        let slope_of_cap = |z: f32| softcap.map_or(1.0, |cap| (z / cap).mul_add(-(z / cap), 1.0));
        match softcap {
            None => line.iter_mut().for_each(|z| *z = weight * share * exp(*z - sum.top)),
            Some(_) => line
                .iter_mut()
                .for_each(|z| *z = weight * share * exp(*z - sum.top) * slope_of_cap(*z)),
        }
        line[target] = weight * (share * exp(own - sum.top) - 1.0) * slope_of_cap(own);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::Precision;

    fn values(count: usize, seed: u32) -> Vec<f32> {
        let mut state = seed;
        let mut next = || {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (state >> 8) as f32 / (1 << 23) as f32 - 1.0
        };
        (0..count).map(|_| next()).collect()
    }

    // Everything in double precision, row by row. Sums of at most a hundred float32 products of size one, 600 rows of them
    // for the weight: 1e-5 of the largest element.
    #[test]
    fn agrees_with_double_precision() {
        let (rows, inputs, outputs) = (600, 37, 101);
        let (x, w) = (values(rows * inputs, 1), values(outputs * inputs, 2));
        let weights = values(rows, 3);
        let target = |row: usize| {
            if row % 3 == 1 {
                NONE
            } else {
                (row * 7 % outputs) as u32
            }
        };
        let targets: Vec<u32> = (0..rows).map(target).collect();
        let head = Linear::new(&w, outputs, None, Precision::F32);
        for softcap in [None, Some(1.5f32)] {
            let (mut losses, mut slopes) = (vec![0.0; rows], vec![0.0; rows * inputs]);
            let mut gradient = vec![0.0; outputs * inputs];
            for row in (0..rows).filter(|row| targets[*row] != NONE) {
                let input = |d: usize| f64::from(x[row * inputs + d]);
                let weight = |o: usize, d: usize| f64::from(w[o * inputs + d]);
                let raw: Vec<f64> = (0..outputs)
                    .map(|o| (0..inputs).map(|d| input(d) * weight(o, d)).sum())
                    .collect();
                let cap = softcap.map(f64::from);
                let z: Vec<f64> = raw
                    .iter()
                    .map(|z| cap.map_or(*z, |cap| cap * (z / cap).tanh()))
                    .collect();
                let total: f64 = z.iter().map(|z| z.exp()).sum();
                losses[row] = total.ln() - z[targets[row] as usize];
                for o in 0..outputs {
                    let hit = f64::from(u8::from(o == targets[row] as usize));
                    let through = cap.map_or(1.0, |cap| 1.0 - (raw[o] / cap).tanh().powi(2));
                    let slope = (z[o].exp() / total - hit) * through;
                    for d in 0..inputs {
                        slopes[row * inputs + d] += slope * weight(o, d);
                        gradient[o * inputs + d] += f64::from(weights[row]) * slope * input(d);
                    }
                }
            }
            let found = forward(&x, &head, &targets, softcap, true);
            close("loss", &found.losses, &losses);
            close("slope", &found.slopes, &slopes);
            let found = weight_gradient(&x, &head, &targets, softcap, &weights);
            close("gradient of the weight", &found, &gradient);
            let alone = forward(&x, &head, &targets, softcap, false);
            close("loss alone", &alone.losses, &losses);
            assert!(alone.slopes.is_empty());
        }
    }

    fn close(what: &str, got: &[f32], want: &[f64]) {
        assert_eq!(got.len(), want.len(), "{what}");
        let size = want.iter().fold(0.0, |size: f64, w| size.max(w.abs()));
        for (at, (got, want)) in got.iter().zip(want).enumerate() {
            let apart = (f64::from(*got) - want).abs();
            assert!(apart <= 1e-5 * size, "{what}[{at}]: {got}, not {want}");
        }
    }

    // A row's loss is its own: the same bits whatever lies beside it and however many threads there are.
    #[test]
    fn neighbours_and_threads_do_not_change_a_bit() {
        let (rows, inputs, outputs) = (300, 20, 70);
        let (x, w) = (values(rows * inputs, 1), values(outputs * inputs, 2));
        let targets: Vec<u32> = (0..rows).map(|row| (row % outputs) as u32).collect();
        for precision in [Precision::F32, Precision::Bf16] {
            let head = Linear::new(&w, outputs, None, precision);
            let run = |threads: usize, rows: std::ops::Range<usize>| {
                let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build();
                let x = &x[rows.start * inputs..rows.end * inputs];
                let losses = || forward(x, &head, &targets[rows], None, true);
                pool.map(|pool| pool.install(losses))
                    .map(|found| (found.losses, found.slopes))
                    .ok()
            };
            let whole = run(1, 0..rows);
            assert!(whole.is_some());
            assert_eq!(whole, run(3, 0..rows));
            let last = run(2, rows - 1..rows);
            let of = |(losses, slopes): (Vec<f32>, Vec<f32>)| {
                (
                    losses[losses.len() - 1],
                    slopes[slopes.len() - inputs..].to_vec(),
                )
            };
            assert_eq!(whole.map(of), last.map(of));
        }
    }
}
