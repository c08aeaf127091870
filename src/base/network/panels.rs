//! Right factors of matrix products, and how their numbers are held.

use std::ops::Range;

use rayon::prelude::*;

use super::simd::{self, WIDTH};
use crate::base::Precision;

/// A right factor `[depth × columns]` in panels of 32 columns, the last one filled up with zeros.
#[derive(Debug, Clone)]
pub(super) struct Panels {
    pub(super) numbers: Numbers,
    pub(super) form: Form,
    pub(super) depth: usize,
    pub(super) columns: usize,
    /// The steps of each panel outside which it is zero.
    pub(super) kept: Vec<Range<usize>>,
}

#[derive(Debug, Clone)]
pub(super) enum Numbers {
    /// `[panel][step][32]`.
    Floats(Vec<f32>),
    /// bf16, `[panel][two steps][32]`: the even step in the low half, the odd one, or nothing, in the high half.
    Pairs(Vec<u32>),
}

/// How a matrix is held, and how it is multiplied.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Form {
    /// In `f32`, both.
    F32,
    /// In bf16, both.
    Bf16,
    /// Held in bf16 and multiplied in `f32`: for numbers that bf16 holds exactly.
    Widened,
}

impl Form {
    /// The smallest that gives a weight what `precision` asks for. `narrow` promises that bf16 holds it exactly.
    pub(super) fn of(precision: Precision, narrow: bool) -> Self {
        match (precision, narrow) {
            (Precision::Bf16, _) => Self::Bf16,
            (Precision::F32, true) => Self::Widened,
            (Precision::F32, false) => Self::F32,
        }
    }
}

impl Panels {
    /// A weight `[outputs × inputs]` as the right factor of `x·Wᵀ`.
    pub(super) fn of_weight(weight: &[f32], outputs: usize, precision: Precision) -> Self {
        let inputs = weight.len() / outputs;
        let read = |rows: Range<usize>, out: &mut [f32]| {
            out.copy_from_slice(&weight[rows.start * inputs..rows.end * inputs]);
            Ok::<(), std::convert::Infallible>(())
        };
        let Ok(panels) = Self::gather(outputs, inputs, Form::of(precision, false), read);
        panels
    }

    /// [`of_weight`](Self::of_weight) with rows from elsewhere, some at a time, so that the weight never exists twice:
    /// `read` puts those of a range into a row-major matrix.
    pub(super) fn gather<E: Send>(
        outputs: usize,
        inputs: usize,
        form: Form,
        read: impl Fn(Range<usize>, &mut [f32]) -> Result<(), E> + Sync,
    ) -> Result<Self, E> {
        let mut panels = Self::empty(form, inputs, outputs);
        let rows = Gathered {
            outputs,
            inputs,
            read,
        };
        match &mut panels.numbers {
            Numbers::Floats(values) => {
                rows.put(values, inputs * WIDTH, |panel, out| {
                    out.copy_from_slice(panel);
                })?;
            }
            Numbers::Pairs(pairs) => rows.put(pairs, inputs.div_ceil(2) * WIDTH, round_panel)?,
        }
        Ok(panels)
    }

    /// From the row-major matrix `[depth × columns]`.
    pub(super) fn of(matrix: &[f32], depth: usize, columns: usize) -> Self {
        assert_eq!(matrix.len(), depth * columns);
        let mut panels = Self::zeros(depth, columns);
        for (k, row) in matrix.chunks_exact(columns).enumerate() {
            panels.put_row(k, row);
        }
        panels
    }

    /// From the row-major matrix `[columns × depth]`: the right factor is its transpose.
    pub(super) fn of_transposed(matrix: &[f32], columns: usize, depth: usize) -> Self {
        assert_eq!(matrix.len(), depth * columns);
        let mut panels = Self::zeros(depth, columns);
        let each = panels.floats().par_chunks_mut((depth * WIDTH).max(1));
        each.zip(matrix.par_chunks((depth * WIDTH).max(1)))
            .for_each(|(panel, rows)| {
                simd::transpose(rows, depth, rows.len() / depth.max(1), panel);
            });
        panels
    }

    /// All zero, in `f32`.
    pub(super) fn zeros(depth: usize, columns: usize) -> Self {
        Self::empty(Form::F32, depth, columns)
    }

    fn empty(form: Form, depth: usize, columns: usize) -> Self {
        let count = columns.div_ceil(WIDTH);
        let numbers = match form {
            Form::F32 => Numbers::Floats(vec![0.0; count * depth * WIDTH]),
            Form::Bf16 | Form::Widened => {
                Numbers::Pairs(vec![0; count * depth.div_ceil(2) * WIDTH])
            }
        };
        Self {
            numbers,
            form,
            depth,
            columns,
            kept: vec![0..depth; count],
        }
    }

    /// Sets the elements of row `k` from the first on. Only in panels of `f32`.
    pub(super) fn put_row(&mut self, k: usize, values: &[f32]) {
        let depth = self.depth;
        for (panel, values) in values.chunks(WIDTH).enumerate() {
            let at = (panel * depth + k) * WIDTH;
            self.floats()[at..at + values.len()].copy_from_slice(values);
        }
    }

    /// Sets the elements of column `j` from row `first` on. Only in panels of `f32`.
    pub(super) fn put_column(&mut self, j: usize, first: usize, values: impl Iterator<Item = f32>) {
        let at = (j / WIDTH * self.depth + first) * WIDTH + j % WIDTH;
        let slots = self.floats()[at..].iter_mut().step_by(WIDTH);
        slots.zip(values).for_each(|(slot, value)| *slot = value);
    }

    /// Promises that the columns `first..first + count` are zero outside the steps `kept`: they are then left out.
    pub(super) fn keep(&mut self, first: usize, count: usize, kept: &Range<usize>) {
        for panel in first.div_ceil(WIDTH)..(first + count) / WIDTH {
            self.kept[panel] = kept.clone();
        }
    }

    /// The elements of column `j`: a row of the weight, rounded as it is stored.
    pub(super) fn column(&self, j: usize) -> Vec<f32> {
        let (panel, lane) = (j / WIDTH, j % WIDTH);
        match &self.numbers {
            Numbers::Floats(values) => {
                let panel = &values[panel * self.depth * WIDTH..];
                let lane = panel[lane..].iter().step_by(WIDTH);
                lane.take(self.depth).copied().collect()
            }
            Numbers::Pairs(pairs) => {
                let panel = &pairs[panel * self.depth.div_ceil(2) * WIDTH..];
                let lane = panel[lane..].iter().step_by(WIDTH);
                let both = lane.flat_map(|pair| [low(*pair), high(*pair)]);
                both.take(self.depth).collect()
            }
        }
    }

    /// Nothing in panels of `f32`.
    pub(super) fn pairs(&self) -> &[u32] {
        match &self.numbers {
            Numbers::Floats(_) => &[],
            Numbers::Pairs(pairs) => pairs,
        }
    }

    /// Nothing in panels of pairs.
    fn floats(&mut self) -> &mut [f32] {
        match &mut self.numbers {
            Numbers::Floats(values) => values,
            Numbers::Pairs(_) => &mut [],
        }
    }
}

/// A weight `[outputs × inputs]` whose rows `read` puts, some at a time, into a row-major matrix.
struct Gathered<R> {
    outputs: usize,
    inputs: usize,
    read: R,
}

impl<R> Gathered<R> {
    /// Stores each panel of `size` numbers as `store` writes it.
    fn put<T: Send, E: Send>(
        &self,
        panels: &mut [T],
        size: usize,
        store: impl Fn(&[f32], &mut [T]) + Sync,
    ) -> Result<(), E>
    where
        R: Fn(Range<usize>, &mut [f32]) -> Result<(), E> + Sync,
    {
        let room = || vec![0.0; self.inputs * WIDTH];
        panels
            .par_chunks_mut(size.max(1))
            .enumerate()
            .try_for_each_init(
                || (room(), room()),
                |(rows, turned), (panel, out)| {
                    let wanted = panel * WIDTH..self.outputs.min((panel + 1) * WIDTH);
                    let used = wanted.len();
                    (self.read)(wanted, &mut rows[..used * self.inputs])?;
                    simd::transpose(rows, self.inputs, used, turned);
                    store(turned, out);
                    Ok(())
                },
            )
    }
}

/// A panel as pairs of bf16 numbers.
fn round_panel(panel: &[f32], out: &mut [u32]) {
    for (out, steps) in out.chunks_exact_mut(WIDTH).zip(panel.chunks(2 * WIDTH)) {
        let (even, odd) = steps.split_at(WIDTH);
        for (lane, out) in out.iter_mut().enumerate() {
            *out = pair(even[lane], odd.get(lane).copied().unwrap_or(0.0));
        }
    }
}

/// Two numbers rounded to bf16, to nearest and ties to even.
#[inline(always)]
pub(super) fn pair(low: f32, high: f32) -> u32 {
    upper(low) >> 16 | upper(high)
}

/// The bits of a number rounded to bf16, the lower half zero. A number that is none stays none.
#[inline(always)]
pub(super) fn upper(x: f32) -> u32 {
    let bits = x.to_bits();
    let rounded = bits.wrapping_add(0x7fff + (bits >> 16 & 1));
    (if x.is_nan() {
        bits | 0x0040_0000
    } else {
        rounded
    }) & 0xffff_0000
}

#[inline(always)]
pub(super) fn low(pair: u32) -> f32 {
    f32::from_bits(pair << 16)
}

#[inline(always)]
pub(super) fn high(pair: u32) -> f32 {
    f32::from_bits(pair & 0xffff_0000)
}
