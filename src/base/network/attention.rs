//! Attention over packed sequences of different lengths: no padding, no mask, every token sees its own sequence.
//!
//! Queries, keys and values lie side by side in one row per token: `[tokens × 3·hidden]`. Only the logarithm of each
//! softmax sum is kept for the backward pass.

use rayon::prelude::*;

use super::pointwise::{exp, lanes};
use super::simd::{self, Left, ROWS, WIDTH, vectorised};

/// Where the sequences of a packed batch begin and end, and how many heads look at them.
#[derive(Debug, Clone)]
pub(super) struct Heads {
    /// `rows + 1` positions, the first 0, strictly increasing.
    pub(super) offsets: Vec<usize>,
    pub(super) heads: usize,
    pub(super) hidden: usize,
}

impl Heads {
    fn size(&self) -> usize {
        self.hidden / self.heads
    }

    fn scale(&self) -> f32 {
        1.0 / (self.size() as f32).sqrt()
    }

    /// Cuts a buffer with `width` elements a token into one slice per sequence.
    fn split<'a>(&self, mut data: &'a mut [f32], width: usize) -> Vec<&'a mut [f32]> {
        let mut parts = Vec::with_capacity(self.offsets.len());
        for pair in self.offsets.windows(2) {
            let (part, rest) = data.split_at_mut((pair[1] - pair[0]) * width);
            parts.push(part);
            data = rest;
        }
        parts
    }
}

/// The context `[tokens × hidden]`, and the log-sum-exp of each (token, head).
pub(super) fn forward(qkv: &[f32], shape: &Heads) -> (Vec<f32>, Vec<f32>) {
    let tokens = qkv.len() / (3 * shape.hidden);
    let mut context = vec![0.0; tokens * shape.hidden];
    let mut sums = vec![0.0; tokens * shape.heads];
    let outputs = shape.split(&mut context, shape.hidden);
    outputs
        .into_par_iter()
        .zip(shape.split(&mut sums, shape.heads))
        .enumerate()
        .for_each(|(row, (context, sums))| {
            let sequence = Sequence::of(qkv, shape, row);
            let mut scratch = Scratch::default();
            for head in 0..shape.heads {
                sequence.forward(head, context, sums, &mut scratch);
            }
        });
    (context, sums)
}

/// The gradient with respect to `qkv`.
pub(super) fn backward(
    qkv: &[f32],
    context: &[f32],
    sums: &[f32],
    gradient: &[f32],
    shape: &Heads,
) -> Vec<f32> {
    let mut out = vec![0.0; qkv.len()];
    shape
        .split(&mut out, 3 * shape.hidden)
        .into_par_iter()
        .enumerate()
        .for_each(|(row, out)| {
            let sequence = Sequence::of(qkv, shape, row);
            let tokens = shape.offsets[row]..shape.offsets[row + 1];
            let hidden = tokens.start * shape.hidden..tokens.end * shape.hidden;
            let heads = tokens.start * shape.heads..tokens.end * shape.heads;
            let known = Known {
                context: &context[hidden.clone()],
                sums: &sums[heads],
                gradient: &gradient[hidden],
            };
            let mut scratch = Scratch::default();
            for head in 0..shape.heads {
                sequence.backward(head, &known, out, &mut scratch);
            }
        });
    out
}

struct Sequence<'a> {
    qkv: &'a [f32],
    shape: &'a Heads,
    length: usize,
    /// `length` rounded up to whole tiles: the stride of score rows.
    stride: usize,
}

struct Known<'a> {
    context: &'a [f32],
    sums: &'a [f32],
    gradient: &'a [f32],
}

/// Buffers that one task uses again for every head.
#[derive(Default)]
struct Scratch {
    lines: Vec<f32>,
    scores: Vec<f32>,
    slopes: Vec<f32>,
}

impl<'a> Sequence<'a> {
    fn of(qkv: &'a [f32], shape: &'a Heads, row: usize) -> Self {
        let (start, end) = (shape.offsets[row], shape.offsets[row + 1]);
        let width = 3 * shape.hidden;
        Self {
            qkv: &qkv[start * width..end * width],
            shape,
            length: end - start,
            stride: (end - start).next_multiple_of(WIDTH),
        }
    }

    /// One of query (0), key (1), value (2) of a head, as columns of the packed rows.
    fn part(&self, which: usize, head: usize) -> Matrix<'a> {
        let size = self.shape.size();
        Matrix {
            data: &self.qkv[which * self.shape.hidden + head * size..],
            stride: 3 * self.shape.hidden,
            rows: self.length,
            columns: size,
        }
    }

    /// A head's columns of a buffer `[length × hidden]`.
    fn head<'b>(&self, data: &'b [f32], head: usize) -> Matrix<'b> {
        let size = self.shape.size();
        Matrix {
            data: &data[head * size..],
            stride: self.shape.hidden,
            rows: self.length,
            columns: size,
        }
    }

    fn forward(&self, head: usize, context: &mut [f32], sums: &mut [f32], scratch: &mut Scratch) {
        let (length, hidden) = (self.length, self.shape.hidden);
        let Scratch { lines, scores, .. } = scratch;
        self.part(0, head)
            .times_transposed(self.part(1, head), lines, scores, self.stride);
        let found = softmax(scores, self.stride, length, self.shape.scale());
        for (i, sum) in found.into_iter().enumerate() {
            sums[i * self.shape.heads + head] = sum;
        }
        let value = self.part(2, head).padded(lines);
        let first = head * value.columns;
        value.weighted(by_rows(scores, self.stride), length, |i, line| {
            context[i * hidden + first..][..line.len()].copy_from_slice(line);
        });
    }

    fn backward(&self, head: usize, known: &Known<'_>, out: &mut [f32], scratch: &mut Scratch) {
        let (length, stride, hidden) = (self.length, self.stride, self.shape.hidden);
        let Scratch {
            lines,
            scores,
            slopes,
        } = scratch;
        let (query, key, value) = (self.part(0, head), self.part(1, head), self.part(2, head));
        let gradient = self.head(known.gradient, head);
        query.times_transposed(key, lines, scores, stride);
        gradient.times_transposed(value, lines, slopes, stride);
        let rows = self.rows(head, known, gradient);
        slopes_of_softmax(scores, slopes, stride, length, self.shape.scale(), &rows);
        let mut put = |part: usize, i: usize, line: &[f32]| {
            let at = (3 * i + part) * hidden + head * line.len();
            out[at..][..line.len()].copy_from_slice(line);
        };
        let dq = key.padded(lines);
        dq.weighted(by_rows(slopes, stride), length, |i, line| put(0, i, line));
        let dk = query.padded(lines);
        dk.weighted(by_columns(slopes, stride), length, |i, line| {
            put(1, i, line)
        });
        let dv = gradient.padded(lines);
        dv.weighted(by_columns(scores, stride), length, |i, line| {
            put(2, i, line)
        });
    }

    /// For each token: the log-sum-exp of its scores, and the product of its context with the gradient.
    fn rows(&self, head: usize, known: &Known<'_>, gradient: Matrix<'_>) -> Vec<(f32, f32)> {
        let context = self.head(known.context, head);
        let along = |i: usize| {
            let gradient = gradient.row(i);
            lanes(context.row(i), |d, value| value * gradient[d])
        };
        (0..self.length)
            .map(|i| (known.sums[i * self.shape.heads + head], along(i)))
            .collect()
    }
}

/// Some columns of a row-major matrix.
#[derive(Clone, Copy)]
struct Matrix<'a> {
    data: &'a [f32],
    stride: usize,
    rows: usize,
    columns: usize,
}

impl<'a> Matrix<'a> {
    fn row(&self, i: usize) -> &'a [f32] {
        &self.data[i * self.stride..][..self.columns]
    }

    /// `self · otherᵀ` into `out` with rows of `stride`; `across` is working space.
    fn times_transposed(
        self,
        other: Matrix<'_>,
        across: &mut Vec<f32>,
        out: &mut Vec<f32>,
        stride: usize,
    ) {
        across.clear();
        across.resize(self.columns * stride, 0.0);
        for j in 0..other.rows {
            for (value, slot) in other
                .row(j)
                .iter()
                .zip(across[j..].iter_mut().step_by(stride))
            {
                *slot = *value;
            }
        }
        out.clear();
        out.resize(self.rows * stride, 0.0);
        let across = Lines {
            data: across,
            stride,
            rows: self.columns,
            columns: other.rows,
        };
        across.weighted(by_rows(self.data, self.stride), self.rows, |i, line| {
            out[i * stride..][..line.len()].copy_from_slice(line);
        });
    }

    /// A copy whose rows are filled up to whole tiles.
    fn padded<'b>(&self, lines: &'b mut Vec<f32>) -> Lines<'b> {
        let stride = self.columns.next_multiple_of(WIDTH);
        lines.clear();
        lines.resize(self.rows * stride, 0.0);
        for (i, line) in lines.chunks_exact_mut(stride).enumerate() {
            line[..self.columns].copy_from_slice(self.row(i));
        }
        Lines {
            data: lines,
            stride,
            rows: self.rows,
            columns: self.columns,
        }
    }
}

/// A matrix whose rows are filled up to whole tiles.
struct Lines<'a> {
    data: &'a [f32],
    stride: usize,
    rows: usize,
    columns: usize,
}

impl Lines<'_> {
    /// `left · self`, handed to `store` in pieces of rows: whole rows when they fit one tile's width.
    fn weighted<'l>(
        &self,
        left: impl Fn(usize) -> Left<'l>,
        rows: usize,
        mut store: impl FnMut(usize, &[f32]),
    ) {
        let mut lines = [[0.0f32; WIDTH]; ROWS];
        let mut whole = vec![
            0.0;
            if self.columns > WIDTH {
                ROWS * self.columns
            } else {
                0
            }
        ];
        for row in (0..rows).step_by(ROWS) {
            let height = ROWS.min(rows - row);
            for column in (0..self.columns).step_by(WIDTH) {
                let used = WIDTH.min(self.columns - column);
                lines = [[0.0; WIDTH]; ROWS];
                let right = &self.data[column..];
                simd::multiply_add(
                    &mut lines,
                    height,
                    used > WIDTH / 2,
                    left(row),
                    right,
                    self.stride,
                    self.rows,
                );
                if self.columns > WIDTH {
                    for i in 0..height {
                        whole[i * self.columns + column..][..used]
                            .copy_from_slice(&lines[i][..used]);
                    }
                }
            }
            for i in 0..height {
                match self.columns {
                    narrow @ ..=WIDTH => store(row + i, &lines[i][..narrow]),
                    wide => store(row + i, &whole[i * wide..][..wide]),
                }
            }
        }
    }
}

fn by_rows<'a>(data: &'a [f32], stride: usize) -> impl Fn(usize) -> Left<'a> {
    move |row| Left::Rows {
        data: &data[row * stride..],
        stride,
    }
}

fn by_columns<'a>(data: &'a [f32], stride: usize) -> impl Fn(usize) -> Left<'a> {
    move |row| Left::Columns {
        data: &data[row..],
        stride,
    }
}

vectorised! {
    /// Scores to probabilities, row by row; returns the log-sum-exp of each row's scaled scores.
    fn softmax(scores: &mut [f32], stride: usize, length: usize, scale: f32) -> Vec<f32> {
        let rows = scores.chunks_exact_mut(stride).take(length);
        let mut sums = Vec::with_capacity(length);
        for row in rows {
            let row = &mut row[..length];
            let mut top = f32::NEG_INFINITY;
            for score in row.iter_mut() {
                *score *= scale;
                top = if *score > top { *score } else { top };
            }
            for score in row.iter_mut() {
                *score = exp(*score - top);
            }
            let sum = lanes(row, |_, p| p);
            let inverse = 1.0 / sum;
            for p in row.iter_mut() {
                *p *= inverse;
            }
            sums.push(top + sum.ln());
        }
        sums
    }
}

vectorised! {
    /// Scores to probabilities, and gradients of probabilities to gradients of unscaled scores.
    fn slopes_of_softmax(
        scores: &mut [f32],
        slopes: &mut [f32],
        stride: usize,
        length: usize,
        scale: f32,
        rows: &[(f32, f32)],
    ) {
        let pairs = scores.chunks_exact_mut(stride).zip(slopes.chunks_exact_mut(stride));
        for ((scores, slopes), &(sum, along)) in pairs.zip(rows) {
            for (p, slope) in scores[..length].iter_mut().zip(&mut slopes[..length]) {
                *p = exp(p.mul_add(scale, -sum));
                *slope = *p * (*slope - along) * scale;
            }
        }
    }
}
