//! Rotary position embeddings on packed rows of queries, keys and values.

use rayon::prelude::*;

use super::simd::{vectorised, zeros};
use crate::base::Rope;

/// Which angle each token's queries and keys are turned by.
#[derive(Debug)]
pub(super) struct Rotation {
    /// Elements of a row, of which the first `turned` heads turn.
    pub(super) width: usize,
    /// Query and key heads.
    pub(super) turned: usize,
    /// Elements of one head.
    pub(super) size: usize,
    /// Pairs of a head that turn: element `i` with element `i + pairs`.
    pub(super) pairs: usize,
    /// For each token, the line of its angles.
    lines: Vec<usize>,
    cosines: Vec<f32>,
    sines: Vec<f32>,
}

/// A row's first position and how many tokens follow from there.
#[derive(Debug, Clone, Copy)]
pub(super) struct Span {
    pub(super) first: usize,
    pub(super) count: usize,
}

impl Rotation {
    /// The rotation of the tokens of `spans`, one after the other.
    pub(super) fn new(
        rope: &Rope,
        spans: &[Span],
        width: usize,
        turned: usize,
        size: usize,
    ) -> Self {
        let pairs = rope.angles.len();
        let mut rotation = Self {
            width,
            turned,
            size,
            pairs,
            lines: Vec::new(),
            cosines: Vec::new(),
            sines: Vec::new(),
        };
        let is_long = |span: &Span| {
            rope.long
                .as_ref()
                .is_some_and(|(limit, _)| span.first + span.count > *limit)
        };
        let reach = |long: bool| {
            let of_kind = spans.iter().filter(|span| is_long(span) == long);
            let ends = of_kind.map(|span| span.first + span.count);
            let starts = spans.iter().map(|span| span.first);
            (starts.min().unwrap_or(0), ends.max().unwrap_or(0))
        };
        let (start, end) = reach(false);
        let (_, long_end) = reach(true);
        rotation.add_lines(&rope.angles, start..end, rope.factor);
        let short_lines = end.saturating_sub(start);
        if let Some((_, angles)) = &rope.long {
            rotation.add_lines(angles, start..long_end, rope.factor);
        }
        for span in spans {
            let base = if is_long(span) { short_lines } else { 0 };
            let positions = span.first..span.first + span.count;
            rotation
                .lines
                .extend(positions.map(|position| base + position - start));
        }
        rotation
    }

    /// Cosines and sines of each token's angles, `[tokens × pairs]`.
    pub(super) fn angles(&self) -> (Vec<f32>, Vec<f32>) {
        let of = |table: &[f32]| {
            let lines = self.lines.iter().map(|line| line * self.pairs);
            lines
                .flat_map(|at| table[at..at + self.pairs].iter().copied())
                .collect()
        };
        (of(&self.cosines), of(&self.sines))
    }

    fn add_lines(&mut self, angles: &[f32], positions: std::ops::Range<usize>, factor: f32) {
        for position in positions {
            for angle in angles {
                let turn = f64::from(position as f32 * angle);
                self.cosines.push(turn.cos() as f32 * factor);
                self.sines.push(turn.sin() as f32 * factor);
            }
        }
    }
}

/// Turns queries and keys forward, or, for a gradient, back.
pub(super) fn rotate(rows: &[f32], rotation: &Rotation, back: bool) -> Vec<f32> {
    let sign = if back { -1.0 } else { 1.0 };
    let mut out = zeros(rows.len());
    out.par_chunks_mut(rotation.width)
        .zip(rows.par_chunks(rotation.width))
        .zip(&rotation.lines)
        .for_each(|((out, row), line)| {
            out.copy_from_slice(row);
            let at = line * rotation.pairs;
            let cosines = &rotation.cosines[at..][..rotation.pairs];
            let sines = &rotation.sines[at..][..rotation.pairs];
            turn(
                &mut out[..rotation.turned * rotation.size],
                rotation.size,
                cosines,
                sines,
                sign,
            );
        });
    out
}

vectorised! {
    fn turn(heads: &mut [f32], size: usize, cosines: &[f32], sines: &[f32], sign: f32) {
        let pairs = cosines.len();
        for head in heads.chunks_exact_mut(size) {
            let (first, rest) = head.split_at_mut(pairs);
            let turned = first.iter_mut().zip(rest).zip(cosines.iter().zip(sines));
            for ((a, b), (cosine, sine)) in turned {
                let sine = sign * sine;
                let (x, y) = (*a, *b);
                *a = x * cosine - y * sine;
                *b = y * cosine + x * sine;
            }
        }
    }
}
