//! Summands of a product on the processor's tiles.
//!
//! Where a product is to be one of `f32`, its left factor is cut into numbers of bf16 whose sum it is.

use std::cell::Cell as Slot;
use std::ops::Range;

use rayon::prelude::*;

use super::panels::{Form, Panels, upper};
use super::product::{Right, Term, turn_panel_of_pairs};
use super::simd::{Cell, WIDTH, copy, vectorised};
use super::tiles::{self, Factors, Pieces, STEP};

/// Numbers of the inner index that a step takes.
const DEPTH: usize = 2 * STEP;
/// Numbers of the inner index that are worked on together.
const RUN: usize = 48 * DEPTH;
/// Bytes of a left factor that stay in a core's cache while the panels pass by.
const CACHED: usize = 900 << 10;

/// Of how many pieces the left factors of a matrix on tiles are.
///
/// None where it does not go there: a weight that is stored in `f32` would be cut too, and the six products of pieces that
/// count take longer than one by vector instructions.
pub(super) fn pieces(panels: &Panels) -> Option<Pieces> {
    match panels.form {
        Form::F32 => None,
        Form::Bf16 => Some(Pieces::One),
        Form::Widened => Some(Pieces::Three),
    }
}

/// A term whose left factor is cut, for the rows of one band.
pub(super) struct Blocks<'a> {
    pieces: Pieces,
    left: Vec<u32>,
    stride: usize,
    right: Right<'a>,
}

thread_local! {
    /// Room for the next left factor: getting and clearing it anew would take as long as filling it.
    static SPARE: Slot<Vec<u32>> = const { Slot::new(Vec::new()) };
}
/// Pairs that are kept for it at most.
const SPARE_PAIRS: usize = 8 << 20;

impl Drop for Blocks<'_> {
    fn drop(&mut self) {
        if self.left.len() <= SPARE_PAIRS {
            SPARE.set(std::mem::take(&mut self.left));
        }
    }
}

impl<'a> Blocks<'a> {
    /// The rows of a term from `first` on.
    pub(super) fn of(term: &Term<'a>, first: usize, rows: usize, pieces: Pieces) -> Self {
        let steps = term.right.depth().div_ceil(DEPTH);
        let stride = steps * STEP * pieces.count();
        let mut left = SPARE.take();
        left.resize(left.len().max(rows * stride), 0);
        left[..rows * stride]
            .par_chunks_mut(stride.max(1))
            .with_min_len(8)
            .zip(term.left[first * term.stride..].par_chunks(term.stride))
            .for_each(|(out, row)| cut_row(&row[..term.right.depth()], pieces.count(), out));
        Self {
            pieces,
            left,
            stride,
            right: term.right,
        }
    }

    /// Rows whose left factor stays in the cache.
    pub(super) fn rows_at_once(&self) -> usize {
        CACHED / (2 * self.pieces.count() * self.right.depth().clamp(1, RUN))
    }

    /// Adds the term to a cell, which holds zeros where it is `fresh`.
    pub(super) fn add(&self, cell: &mut Cell<'_>, mut fresh: bool, room: &mut Vec<u32>) {
        let depth = self.right.depth();
        for first in (0..depth).step_by(RUN) {
            let steps = first..depth.min(first + RUN);
            for column in (0..cell.columns).step_by(WIDTH) {
                let panel = (cell.first_column + column) / WIDTH;
                let left = cell.first_row * self.stride + first / 2 * self.pieces.count();
                let factors = Factors {
                    pieces: self.pieces,
                    left: &self.left[left..],
                    stride: self.stride,
                    lines: self.lines(panel, &steps, room),
                };
                tiles::add(cell, column, factors, fresh);
            }
            fresh = false;
        }
    }

    /// Some steps of a panel.
    fn lines<'r>(&self, panel: usize, steps: &Range<usize>, room: &'r mut Vec<u32>) -> &'r [u32]
    where
        'a: 'r,
    {
        let size = steps.len().div_ceil(2) * WIDTH;
        match self.right {
            Right::Plain(panels) => {
                let at = panel * panels.depth.div_ceil(2) + steps.start / 2;
                &panels.pairs()[at * WIDTH..][..size]
            }
            Right::Transposed(panels) => {
                turn_panel_of_pairs(panels.pairs(), panels.depth, panel, steps, room);
                &room[..size]
            }
        }
    }
}

vectorised! {
    /// A row of a left factor as `[step][piece][16 pairs]`: all of `out`, zeros at the end included.
    fn cut_row(row: &[f32], pieces: usize, out: &mut [u32]) {
        for (numbers, out) in row.chunks(DEPTH).zip(out.chunks_exact_mut(STEP * pieces)) {
            let mut rest = [0.0; DEPTH];
            copy(numbers, &mut rest[..numbers.len()]);
            for out in out.chunks_exact_mut(STEP) {
                for (two, out) in rest.chunks_exact_mut(2).zip(out) {
                    let (even, odd) = (upper(two[0]), upper(two[1]));
                    *out = even >> 16 | odd;
                    two[0] -= f32::from_bits(even);
                    two[1] -= f32::from_bits(odd);
                }
            }
        }
    }
}
