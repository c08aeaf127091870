//! Matrix products whose result does not depend on the number of threads.
//!
//! Every element is one sum in the order of the inner index, so how rows and columns are dealt out to threads cannot
//! change a bit. Right factors are stored in panels of 32 columns, which is what the tile reads; a product with the
//! transpose turns them over panel by panel, so that a weight is held once.
//!
//! Panels in bf16 are multiplied with left factors rounded to bf16, and summed in `f32`: two steps at a time, the odd one
//! first. Where the processor has no such instruction, the same numbers are summed as `f32` in the same order: the same
//! bits, unless a number is subnormal, which the instruction takes for zero. A weight that is multiplied as `f32` and was
//! stored in bf16 is held in bf16, in half the memory: its panels are widened as they are read, which loses nothing.
//!
//! Where the processor has tiles, panels held in bf16 are multiplied on those, in an order of their own (`blocks.rs`,
//! `tiles.rs`), before the other summands of the same product.

use std::ops::Range;

use rayon::prelude::*;

use super::blocks::{self, Blocks};
use super::panels::{Form, Numbers, Panels, high, low, pair};
use super::simd::{self, Left, ROWS, Sums, Tile, WIDTH, vectorised};
use super::tiles;

/// One summand `left · right` of a product.
#[derive(Debug, Clone, Copy)]
pub(super) struct Term<'a> {
    /// Row-major, `[rows × stride]`, of which the first columns count, as many as `right` has rows.
    pub(super) left: &'a [f32],
    pub(super) stride: usize,
    pub(super) right: Right<'a>,
}

/// The right factor of a [`Term`].
#[derive(Debug, Clone, Copy)]
pub(super) enum Right<'a> {
    Plain(&'a Panels),
    Transposed(&'a Panels),
}

impl<'a> Right<'a> {
    pub(super) fn panels(self) -> &'a Panels {
        let (Self::Plain(panels) | Self::Transposed(panels)) = self;
        panels
    }

    /// Its rows.
    pub(super) fn depth(self) -> usize {
        match self {
            Self::Plain(panels) => panels.depth,
            Self::Transposed(panels) => panels.columns,
        }
    }
}

/// What sums begin with.
#[derive(Debug, Clone, Copy)]
pub(super) enum Start<'a> {
    Zero,
    /// The same row for every row.
    Row(&'a [f32]),
}

/// Rows that are worked on together: their left factor stays in the cache while the panels pass by.
const BAND: usize = 48 * ROWS;
/// Steps that are worked on together: a panel of so many stays in the cache. A multiple of 32.
const DEPTH: usize = 2048;

/// `start + Σ terms`, row-major `[rows × columns]`.
pub(super) fn product(
    rows: usize,
    columns: usize,
    start: Start<'_>,
    terms: &[Term<'_>],
) -> Vec<f32> {
    let mut out = Vec::with_capacity(rows * columns);
    append_product(&mut out, rows, columns, start, terms);
    out
}

/// Appends the rows of a [`product`] to a matrix.
pub(super) fn append_product(
    out: &mut Vec<f32>,
    rows: usize,
    columns: usize,
    start: Start<'_>,
    terms: &[Term<'_>],
) {
    for first in (0..rows).step_by(BAND) {
        let rows = BAND.min(rows - first);
        let summands = Summands::of(terms, first, rows);
        let size = summands.cell_size(rows, columns);
        simd::append_rows(out, (rows, columns), size, Rooms::default, |rooms, cell| {
            summands.fill(cell, start, rooms);
        });
    }
}

/// Rows of whole tiles of either kind.
pub(super) const UNIT: usize = 96;
const _: () = assert!(
    UNIT.is_multiple_of(ROWS) && UNIT.is_multiple_of(tiles::ROWS) && BAND.is_multiple_of(UNIT)
);

/// How a term is multiplied.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Way {
    /// On the processor's tiles.
    Tiles(tiles::Pieces),
    /// As pairs of bf16 numbers, by the processor's vector instruction.
    Pairs,
    /// As `f32`, rounded to bf16 first.
    Rounded,
    /// As `f32`.
    Floats,
}

/// The terms of a product, their left factors ready for the rows of one band.
struct Summands<'a> {
    blocks: Vec<Blocks<'a>>,
    factors: Vec<Factor<'a>>,
}

/// Working space for both kinds of summands.
#[derive(Default)]
struct Rooms {
    pairs: Vec<u32>,
    factors: Vec<Room>,
}

impl<'a> Summands<'a> {
    fn of(terms: &[Term<'a>], first: usize, rows: usize) -> Self {
        let (mut blocks, mut factors) = (Vec::new(), Vec::new());
        for term in terms {
            match term.way() {
                Way::Tiles(pieces) => blocks.push(Blocks::of(term, first, rows, pieces)),
                way => factors.push(term.factor(first, rows, way)),
            }
        }
        Self { blocks, factors }
    }

    /// Rows and columns of cells that keep all threads busy: whole columns where there are enough panels, so that each
    /// panel is read once, and no more rows than stay in the cache.
    fn cell_size(&self, rows: usize, columns: usize) -> (usize, usize) {
        let most = self.blocks.iter().map(|blocks| blocks.rows_at_once());
        let (unit, most) = match most.min() {
            Some(rows) => (UNIT, (rows / UNIT).max(1)),
            None => (ROWS, usize::MAX),
        };
        let tasks = 3 * rayon::current_num_threads();
        let panels = columns.div_ceil(WIDTH);
        let units = rows.div_ceil(unit);
        let wide = (panels * units.div_ceil(most) / tasks).clamp(1, panels.max(1));
        let across = panels.div_ceil(wide).max(1);
        let high = units.div_ceil(tasks.div_ceil(across)).clamp(1, most);
        (high * unit, wide * WIDTH)
    }

    /// Sums all of them into a cell of zeros, those on tiles first.
    fn fill(&self, mut cell: simd::Cell<'_>, start: Start<'_>, rooms: &mut Rooms) {
        if let Start::Row(values) = start {
            for row in 0..cell.rows {
                let (first, count) = (cell.first_column, cell.columns);
                simd::copy(&values[first..first + count], cell.line(row, 0, count));
            }
        }
        let mut zero = matches!(start, Start::Zero);
        for blocks in &self.blocks {
            blocks.add(&mut cell, std::mem::take(&mut zero), &mut rooms.pairs);
        }
        add(cell, &self.factors, &mut rooms.factors);
    }
}

/// A term whose left factor is ready for the vector instructions, for the rows of one band.
struct Factor<'a> {
    left: Rows<'a>,
    stride: usize,
    right: Right<'a>,
}

enum Rows<'a> {
    Plain(&'a [f32]),
    /// Two steps in each.
    Pairs(Vec<u32>),
    /// Rounded to bf16, the odd step of two first.
    Swapped(Vec<f32>),
}

/// Some steps of a factor: its rows from the first of them on, and a panel's lines.
enum Part<'a> {
    F32 {
        left: &'a [f32],
        stride: usize,
        lines: &'a [f32],
    },
    Pairs {
        left: &'a [u32],
        stride: usize,
        lines: &'a [u32],
    },
}

/// Working space for the lines of a panel that are not stored as the kernel reads them.
#[derive(Default)]
struct Room {
    floats: Vec<f32>,
    pairs: Vec<u32>,
}

impl<'a> Term<'a> {
    /// The fastest way that this processor has.
    fn way(&self) -> Way {
        let panels = self.right.panels();
        match blocks::pieces(panels).filter(|_| tiles::available()) {
            Some(pieces) => Way::Tiles(pieces),
            None if panels.form != Form::Bf16 => Way::Floats,
            None if simd::has_pairs() => Way::Pairs,
            None => Way::Rounded,
        }
    }

    /// Its rows from `first` on, for vector instructions.
    fn factor(&self, first: usize, rows: usize, way: Way) -> Factor<'a> {
        let left = &self.left[first * self.stride..];
        let depth = self.right.depth();
        let rounded = || to_pairs(left, self.stride, rows, depth);
        let (left, stride) = match way {
            Way::Pairs => (Rows::Pairs(rounded()), depth.div_ceil(2)),
            Way::Rounded => {
                let pairs = rounded();
                let swapped = pairs.iter().flat_map(|pair| [high(*pair), low(*pair)]);
                (Rows::Swapped(swapped.collect()), depth.next_multiple_of(2))
            }
            Way::Floats | Way::Tiles(_) => (Rows::Plain(left), self.stride),
        };
        Factor {
            left,
            stride,
            right: self.right,
        }
    }
}

/// The first `depth` columns of a matrix as pairs of bf16 numbers.
fn to_pairs(matrix: &[f32], stride: usize, rows: usize, depth: usize) -> Vec<u32> {
    let across = depth.div_ceil(2).max(1);
    let mut out = vec![0; rows * across];
    out.par_chunks_mut(across)
        .with_min_len(16)
        .zip(matrix.par_chunks(stride))
        .for_each(|(out, row)| pairs_of_row(&row[..depth], out));
    out
}

vectorised! {
    fn pairs_of_row(row: &[f32], out: &mut [u32]) {
        for (out, two) in out.iter_mut().zip(row.chunks_exact(2)) {
            *out = pair(two[0], two[1]);
        }
        if let [rest] = row.chunks_exact(2).remainder() {
            out[row.len() / 2] = pair(*rest, 0.0);
        }
    }
}

impl Factor<'_> {
    /// The steps of a panel that are not zero.
    fn steps(&self, panel: usize) -> Range<usize> {
        match (self.right, &self.left) {
            (Right::Plain(panels), Rows::Plain(_)) => panels.kept[panel].clone(),
            (right, Rows::Plain(_)) => 0..right.depth(),
            (right, _) => 0..right.depth().next_multiple_of(2),
        }
    }

    fn part<'r>(&'r self, panel: usize, steps: &Range<usize>, room: &'r mut Room) -> Part<'r> {
        match (self.right, &self.right.panels().numbers) {
            (Right::Plain(panels), Numbers::Floats(values)) => {
                let at = panel * panels.depth + steps.start;
                self.floats(steps, &values[at * WIDTH..])
            }
            (Right::Plain(panels), Numbers::Pairs(pairs)) => {
                let at = panel * panels.depth.div_ceil(2) + steps.start / 2;
                self.pairs(steps, &pairs[at * WIDTH..], &mut room.floats)
            }
            (Right::Transposed(panels), Numbers::Floats(values)) => {
                turn_panel(values, panels.depth, panel, steps, &mut room.floats);
                self.floats(steps, &room.floats)
            }
            (Right::Transposed(panels), Numbers::Pairs(pairs)) => {
                turn_panel_of_pairs(pairs, panels.depth, panel, steps, &mut room.pairs);
                self.pairs(steps, &room.pairs, &mut room.floats)
            }
        }
    }

    /// The first lines, as many as there are steps.
    fn floats<'r>(&'r self, steps: &Range<usize>, lines: &'r [f32]) -> Part<'r> {
        let left: &[f32] = match &self.left {
            Rows::Plain(values) => values,
            Rows::Swapped(values) => values,
            Rows::Pairs(..) => &[],
        };
        Part::F32 {
            left: &left[steps.start..],
            stride: self.stride,
            lines: &lines[..steps.len() * WIDTH],
        }
    }

    /// The first lines of pairs as they are, or spread over `room` in the order of the left factor.
    fn pairs<'r>(
        &'r self,
        steps: &Range<usize>,
        pairs: &'r [u32],
        room: &'r mut Vec<f32>,
    ) -> Part<'r> {
        let pairs = &pairs[..steps.len().div_ceil(2) * WIDTH];
        if let Rows::Pairs(left) = &self.left {
            return Part::Pairs {
                left: &left[steps.start / 2..],
                stride: self.stride,
                lines: pairs,
            };
        }
        room.resize(room.len().max(2 * pairs.len()), 0.0);
        spread(pairs, matches!(self.left, Rows::Swapped(_)), room);
        self.floats(steps, room)
    }
}

vectorised! {
    /// Two lines for each line of pairs, the even step first or the odd one.
    fn spread(pairs: &[u32], odd_first: bool, out: &mut [f32]) {
        for (line, out) in pairs.chunks_exact(WIDTH).zip(out.chunks_exact_mut(2 * WIDTH)) {
            let (mut even, mut odd) = ([0.0; WIDTH], [0.0; WIDTH]);
            for ((pair, even), odd) in line.iter().zip(&mut even).zip(&mut odd) {
                (*even, *odd) = (low(*pair), high(*pair));
            }
            let (first, second) = if odd_first { (odd, even) } else { (even, odd) };
            out[..WIDTH].copy_from_slice(&first);
            out[WIDTH..].copy_from_slice(&second);
        }
    }
}

/// Lines `steps` of panel `panel` of the transpose of a matrix in panels of `depth` steps, 32 lines at a time.
pub(super) fn turn_panel(
    values: &[f32],
    depth: usize,
    panel: usize,
    steps: &Range<usize>,
    out: &mut Vec<f32>,
) {
    out.resize(steps.len().next_multiple_of(WIDTH) * WIDTH, 0.0);
    let used = WIDTH.min(depth - panel * WIDTH);
    for (block, out) in out.chunks_exact_mut(WIDTH * WIDTH).enumerate() {
        let at = (steps.start / WIDTH + block) * depth + panel * WIDTH;
        simd::transpose(&values[at * WIDTH..], WIDTH, used, out);
    }
}

/// [`turn_panel`] of a matrix in pairs of bf16 numbers.
pub(super) fn turn_panel_of_pairs(
    pairs: &[u32],
    depth: usize,
    panel: usize,
    steps: &Range<usize>,
    out: &mut Vec<u32>,
) {
    const HALF: usize = WIDTH / 2;
    out.resize(steps.len().next_multiple_of(WIDTH) / 2 * WIDTH, 0);
    let half = depth.div_ceil(2);
    let used = HALF.min(half - panel * HALF);
    for (block, out) in out.chunks_exact_mut(HALF * WIDTH).enumerate() {
        let at = (steps.start / WIDTH + block) * half + panel * HALF;
        simd::turn_pairs(&pairs[at * WIDTH..][..used * WIDTH], out);
    }
}

/// Adds all factors to a cell. `rooms` is working space.
fn add(mut cell: simd::Cell<'_>, factors: &[Factor<'_>], rooms: &mut Vec<Room>) {
    rooms.resize_with(factors.len(), Room::default);
    for column in (0..cell.columns).step_by(WIDTH) {
        let used = WIDTH.min(cell.columns - column);
        let panel = (cell.first_column + column) / WIDTH;
        for steps in passes(factors, panel) {
            let parts: Vec<Part<'_>> = steps
                .iter()
                .zip(rooms.iter_mut())
                .map(|((factor, steps), room)| factor.part(panel, steps, room))
                .collect();
            for row in (0..cell.rows).step_by(ROWS) {
                let height = ROWS.min(cell.rows - row);
                let first = cell.first_row + row;
                cell.on_sums::<ROWS>((row, column), height, |mut sums| {
                    for part in &parts {
                        part.add(sums.reborrow(), first, used > WIDTH / 2);
                    }
                });
            }
        }
    }
}

/// The steps of all factors in order, cut so that the lines of one pass stay in the cache.
fn passes<'a>(factors: &'a [Factor<'a>], panel: usize) -> Vec<Vec<(&'a Factor<'a>, Range<usize>)>> {
    let mut all = vec![Vec::new()];
    let mut room = DEPTH;
    for factor in factors {
        let mut steps = factor.steps(panel);
        while !steps.is_empty() {
            // A factor is cut only at multiples of DEPTH.
            let next = steps.start..steps.end.min(steps.start + DEPTH);
            if next.len() > room {
                all.push(Vec::new());
                room = DEPTH;
            }
            room -= next.len();
            steps.start = next.end;
            if let Some(pass) = all.last_mut() {
                pass.push((factor, next));
            }
        }
    }
    all
}

impl Part<'_> {
    /// Adds this part to the sums of the rows from `row` on.
    fn add(&self, sums: Sums<'_>, row: usize, wide: bool) {
        match *self {
            Part::F32 {
                left,
                stride,
                lines,
            } => {
                let left = Left::Rows {
                    data: &left[row * stride..],
                    stride,
                };
                simd::multiply_add(sums, wide, left, lines, WIDTH, lines.len() / WIDTH);
            }
            Part::Pairs {
                left,
                stride,
                lines,
                ..
            } => {
                let left = &left[row * stride..];
                simd::multiply_add_pairs(sums, wide, left, stride, lines, lines.len() / WIDTH);
            }
        }
    }
}

/// `leftᵀ · right`, row-major `[rows × columns]`: a sum over the lines that both factors share, in their order.
///
/// `left` is `[lines × left_stride]`, of which `rows` columns from `first` count (their number rounded up to a multiple of
/// four must still be inside the line); `right` is `[lines × right_stride]`, of which `columns` from `column` count.
pub(super) fn transposed_product(left: Columns<'_>, right: Columns<'_>, lines: usize) -> Vec<f32> {
    let (rows, columns) = (left.count, right.count);
    let strips: Vec<Vec<Tile>> = (0..columns.div_ceil(WIDTH))
        .into_par_iter()
        .map(|panel| strip(left, right, lines, panel * WIDTH))
        .collect();
    let mut out = vec![0.0; rows * columns];
    for (panel, tiles) in strips.iter().enumerate() {
        let column = panel * WIDTH;
        let used = WIDTH.min(columns - column);
        for row in 0..rows {
            let sums = &tiles[row / ROWS][row % ROWS];
            out[row * columns + column..][..used].copy_from_slice(&sums[..used]);
        }
    }
    out
}

/// Adds `leftᵀ · right` to a matrix `[left_columns × right_columns]`; `left` has four elements more than its rows need.
pub(super) fn add_transposed(
    out: &mut [f32],
    left: &[f32],
    left_columns: usize,
    right: &[f32],
    right_columns: usize,
) {
    let lines = right.len() / right_columns;
    let panels = Panels::of(right, lines, right_columns);
    let Numbers::Floats(values) = &panels.numbers else {
        return;
    };
    out.par_chunks_mut(ROWS * right_columns)
        .enumerate()
        .for_each(|(index, out)| {
            let left = Left::Columns {
                data: &left[index * ROWS..],
                stride: left_columns,
            };
            let height = out.len() / right_columns;
            for (panel, lines_of_panel) in values.chunks_exact(lines * WIDTH).enumerate() {
                let (column, mut tile): (usize, Tile) = (panel * WIDTH, [[0.0; WIDTH]; ROWS]);
                let used = WIDTH.min(right_columns - column);
                let places =
                    |i: usize| i * right_columns + column..i * right_columns + column + used;
                for (i, sums) in tile.iter_mut().enumerate().take(height) {
                    sums[..used].copy_from_slice(&out[places(i)]);
                }
                simd::multiply_add(
                    Sums::of(&mut tile[..height]),
                    used > WIDTH / 2,
                    left,
                    lines_of_panel,
                    WIDTH,
                    lines,
                );
                for (i, sums) in tile.iter().enumerate().take(height) {
                    out[places(i)].copy_from_slice(&sums[..used]);
                }
            }
        });
}

/// Some neighbouring columns of a row-major matrix.
#[derive(Debug, Clone, Copy)]
pub(super) struct Columns<'a> {
    data: &'a [f32],
    stride: usize,
    first: usize,
    count: usize,
}

impl<'a> Columns<'a> {
    /// The `count` columns from `first` of a matrix with `stride` columns.
    pub(super) fn of(data: &'a [f32], stride: usize, first: usize, count: usize) -> Self {
        Self {
            data,
            stride,
            first,
            count,
        }
    }
}

fn strip(left: Columns<'_>, right: Columns<'_>, lines: usize, column: usize) -> Vec<Tile> {
    let used = WIDTH.min(right.count - column);
    let first = right.first + column;
    // A full strip is read where it is; a narrow one is copied so that no read leaves the matrix.
    let copy: Vec<f32>;
    let (data, stride) = if used == WIDTH {
        (&right.data[first..], right.stride)
    } else {
        copy = padded(right, lines, first, used);
        (copy.as_slice(), WIDTH)
    };
    let tiles = (0..left.count).step_by(ROWS).map(|row| {
        let mut tile: Tile = [[0.0; WIDTH]; ROWS];
        let columns = Left::Columns {
            data: &left.data[left.first + row..],
            stride: left.stride,
        };
        let height = ROWS.min(left.count - row);
        simd::multiply_add(
            Sums::of(&mut tile[..height]),
            used > WIDTH / 2,
            columns,
            data,
            stride,
            lines,
        );
        tile
    });
    tiles.collect()
}

fn padded(right: Columns<'_>, lines: usize, first: usize, used: usize) -> Vec<f32> {
    let mut copy = vec![0.0; lines * WIDTH];
    for (line, copy) in copy.chunks_exact_mut(WIDTH).enumerate() {
        copy[..used].copy_from_slice(&right.data[line * right.stride + first..][..used]);
    }
    copy
}

#[cfg(test)]
mod tests {
    use super::super::panels::upper;
    use super::super::tiles::Pieces;
    use super::*;
    use crate::base::Precision;

    fn values(count: usize, seed: u32) -> Vec<f32> {
        (0..count as u32)
            .map(|i| {
                (i.wrapping_mul(2_654_435_761).wrapping_add(seed) >> 8) as f32 / (1 << 23) as f32
                    - 1.0
            })
            .collect()
    }

    /// The definition, in the same order of summation.
    fn expected(
        rows: usize,
        columns: usize,
        depth: usize,
        bias: Option<&[f32]>,
        left: impl Fn(usize, usize) -> f32,
        right: impl Fn(usize, usize) -> f32,
    ) -> Vec<f32> {
        let element = |i: usize, j: usize| {
            let start = bias.map_or(0.0, |bias| bias[j]);
            (0..depth).fold(start, |sum, k| left(i, k).mul_add(right(k, j), sum))
        };
        (0..rows * columns)
            .map(|at| element(at / columns, at % columns))
            .collect()
    }

    #[test]
    fn product_is_the_sum_in_order() {
        for (rows, columns, depth) in [
            (1, 1, 1),
            (13, 33, 7),
            (50, 100, 40),
            (5, 16, 3),
            (24, 8, 9),
        ] {
            let (x, w, bias) = (
                values(rows * depth, 1),
                values(columns * depth, 2),
                values(columns, 3),
            );
            let right = Panels::of_transposed(&w, columns, depth);
            let term = Term {
                left: &x,
                stride: depth,
                right: Right::Plain(&right),
            };
            let got = product(rows, columns, Start::Row(&bias), &[term]);
            let want = expected(
                rows,
                columns,
                depth,
                Some(&bias),
                |i, k| x[i * depth + k],
                |k, j| w[j * depth + k],
            );
            assert_eq!(got, want, "{rows} {columns} {depth}");
            // The same product from the other side, and twice of it.
            let across = Panels::of(&w, columns, depth);
            let right = Right::Transposed(&across);
            let again = product(rows, columns, Start::Row(&bias), &[Term { right, ..term }]);
            assert_eq!(again, want, "{rows} {columns} {depth}");
            let twice = product(rows, columns, Start::Row(&bias), &[term, term]);
            let step = |sum: f32, i: usize, j: usize| {
                (0..depth).fold(sum, |sum, k| {
                    x[i * depth + k].mul_add(w[j * depth + k], sum)
                })
            };
            let sums = (0..rows * columns).map(|at| step(want[at], at / columns, at % columns));
            assert_eq!(
                twice,
                sums.collect::<Vec<f32>>(),
                "{rows} {columns} {depth}"
            );
        }
    }

    // Read in pieces or there as a whole: the same elements, and a row that cannot be read is nobody's panel.
    #[test]
    fn a_weight_gathered_in_pieces_is_the_weight() {
        for (columns, depth) in [(1, 1), (33, 7), (100, 40), (64, 33)] {
            let w = values(columns * depth, 2);
            for precision in [Precision::F32, Precision::Bf16] {
                let whole = Panels::of_weight(&w, columns, precision);
                let read = |rows: Range<usize>, out: &mut [f32]| {
                    out.copy_from_slice(&w[rows.start * depth..rows.end * depth]);
                    Ok::<(), usize>(())
                };
                let form = Form::of(precision, false);
                let pieces = Panels::gather(columns, depth, form, read);
                for j in 0..columns {
                    let column = pieces.as_ref().map(|panels| panels.column(j));
                    assert_eq!(column, Ok(whole.column(j)), "{columns} {depth} {j}");
                    let row = &w[j * depth..][..depth];
                    let stored = |x: &f32| match precision {
                        Precision::F32 => *x,
                        Precision::Bf16 => f32::from_bits(upper(*x)),
                    };
                    let want: Vec<f32> = row.iter().map(stored).collect();
                    assert_eq!(column, Ok(want), "{columns} {depth} {j}");
                }
                let failing =
                    |rows: Range<usize>, _: &mut [f32]| match rows.contains(&(columns - 1)) {
                        true => Err(columns),
                        false => Ok(()),
                    };
                let failed = Panels::gather(columns, depth, form, failing);
                assert_eq!(failed.map(|_| ()), Err(columns));
            }
        }
    }

    /// Every way of multiplying panels of a form that this processor has.
    fn ways(form: Form) -> Vec<Way> {
        let on_tiles = |pieces| (tiles::available(), Way::Tiles(pieces));
        let all = match form {
            Form::F32 => vec![(true, Way::Floats)],
            Form::Widened => vec![(true, Way::Floats), on_tiles(Pieces::Three)],
            Form::Bf16 => vec![
                (true, Way::Rounded),
                (simd::has_pairs(), Way::Pairs),
                on_tiles(Pieces::One),
            ],
        };
        let there = all.into_iter().filter(|(has, _)| *has);
        there.map(|(_, way)| way).collect()
    }

    /// One element in the order of the way: as it comes; in twos, the odd one first; or 32 at a time, the even ones and the
    /// odd ones by themselves, each piece of the left one after the other.
    fn summed(way: Way, depth: usize, factor: impl Fn(usize) -> (f32, f32)) -> f32 {
        let step = |sum: f32, k: usize| factor(k).0.mul_add(factor(k).1, sum);
        let below = |k: &usize| *k < depth;
        match way {
            Way::Tiles(pieces) => {
                let each = (0..depth).step_by(32);
                let each =
                    each.flat_map(|first| (0..pieces.count()).map(move |piece| (first, piece)));
                each.fold(0.0, |sum, (first, piece)| {
                    let step = |sum: f32, k: usize| {
                        let (x, y) = factor(k);
                        let rest = (0..piece).fold(x, |x, _| x - rounded(x));
                        rounded(rest).mul_add(y, sum)
                    };
                    let every_other =
                        |odd: usize| (first + odd..first + 32).step_by(2).filter(below);
                    sum + (every_other(0).fold(0.0, step) + every_other(1).fold(0.0, step))
                })
            }
            Way::Pairs | Way::Rounded => {
                let swapped = (0..depth.next_multiple_of(2)).map(|k| k ^ 1);
                swapped.filter(below).fold(0.0, step)
            }
            Way::Floats => (0..depth).fold(0.0, step),
        }
    }

    fn rounded(x: f32) -> f32 {
        f32::from_bits(upper(x))
    }

    /// `[rows × columns]`, in cells of 12 rows.
    fn multiplied(term: Term<'_>, way: Way, rows: usize, columns: usize) -> Vec<f32> {
        let mut summands = Summands {
            blocks: Vec::new(),
            factors: Vec::new(),
        };
        match way {
            Way::Tiles(pieces) => summands.blocks.push(Blocks::of(&term, 0, rows, pieces)),
            _ => summands.factors.push(term.factor(0, rows, way)),
        }
        let mut out = Vec::new();
        let size = ((rows, columns), (12, columns));
        simd::append_rows(&mut out, size.0, size.1, Rooms::default, |rooms, cell| {
            summands.fill(cell, Start::Zero, rooms);
        });
        out
    }

    /// `w` as it is stored and multiplied, from both sides.
    fn both_sides(w: &[f32], columns: usize, depth: usize, form: Form) -> [Panels; 2] {
        let turned: Vec<f32> = (0..depth * columns)
            .map(|at| w[at % columns * depth + at / columns])
            .collect();
        [(w, columns, depth), (&turned, depth, columns)].map(|(w, outputs, inputs)| {
            let read = |rows: Range<usize>, out: &mut [f32]| {
                out.copy_from_slice(&w[rows.start * inputs..rows.end * inputs]);
                Ok::<(), std::convert::Infallible>(())
            };
            let Ok(panels) = Panels::gather(outputs, inputs, form, read);
            panels
        })
    }

    const SHAPES: [(usize, usize, usize); 9] = [
        (1, 1, 1),
        (1, 70, 1607),
        (13, 33, 7),
        (50, 100, 40),
        (5, 16, 3),
        (33, 70, 64),
        (17, 64, 96),
        (3, 40, 2 * DEPTH + 65),
        (100, 33, 1600),
    ];

    #[test]
    fn every_way_is_the_sum_in_its_order() {
        for (rows, columns, depth) in SHAPES {
            let (x, w) = (values(rows * depth, 1), values(columns * depth, 2));
            for form in [Form::F32, Form::Bf16, Form::Widened] {
                let w: Vec<f32> = match form {
                    Form::Widened => w.iter().copied().map(rounded).collect(),
                    Form::F32 | Form::Bf16 => w.clone(),
                };
                let [plain, across] = both_sides(&w, columns, depth, form);
                let stored = |x: f32| match form {
                    Form::Bf16 => rounded(x),
                    Form::F32 | Form::Widened => x,
                };
                let last: Vec<f32> = w[(columns - 1) * depth..]
                    .iter()
                    .copied()
                    .map(stored)
                    .collect();
                assert_eq!(plain.column(columns - 1), last);
                for way in ways(form) {
                    let element = |at: usize| {
                        let (i, j) = (at / columns, at % columns);
                        summed(way, depth, |k| {
                            (stored(x[i * depth + k]), stored(w[j * depth + k]))
                        })
                    };
                    let want: Vec<f32> = (0..rows * columns).map(element).collect();
                    for right in [Right::Plain(&plain), Right::Transposed(&across)] {
                        let term = Term {
                            left: &x,
                            stride: depth,
                            right,
                        };
                        let got = multiplied(term, way, rows, columns);
                        assert_eq!(got, want, "{rows} {columns} {depth} {way:?}");
                    }
                }
            }
        }
    }

    // Cutting a number into pieces loses nothing of it: on tiles, too, a sum of f32 is as near to the true one as can be asked
    // of f32, whatever the sizes of the numbers.
    #[test]
    fn products_in_f32_are_as_near_on_tiles() {
        let (rows, columns, depth) = (40, 64, 576);
        let x: Vec<f32> = values(rows * depth, 1)
            .iter()
            .enumerate()
            .map(|(at, x)| x * 10f32.powi(at as i32 % 9 - 4))
            .collect();
        let w: Vec<f32> = values(columns * depth, 2)
            .into_iter()
            .map(rounded)
            .collect();
        let [plain, _] = both_sides(&w, columns, depth, Form::Widened);
        let term = Term {
            left: &x,
            stride: depth,
            right: Right::Plain(&plain),
        };
        for way in ways(Form::Widened) {
            let got = multiplied(term, way, rows, columns);
            for (at, got) in got.iter().enumerate() {
                let (i, j) = (at / columns, at % columns);
                let products = |k: usize| f64::from(x[i * depth + k]) * f64::from(w[j * depth + k]);
                let (want, size) = (0..depth).fold((0.0, 0.0), |(sum, size), k| {
                    (sum + products(k), size + products(k).abs())
                });
                // Higham, Accuracy and Stability of Numerical Algorithms, 3.1: γₙ of the sum of sizes at worst; the root
                // of n in its place is what rounding at random comes to.
                let allowed = 4.0 * (depth as f64).sqrt() * f64::from(f32::EPSILON) / 2.0 * size;
                assert!(
                    (f64::from(*got) - want).abs() < allowed,
                    "{way:?} {i} {j}: {got} {want}"
                );
            }
        }
    }

    // Held in bf16 and multiplied as f32 by vector instructions: the bits of a weight that is held in f32.
    #[test]
    fn a_narrow_weight_is_multiplied_as_a_wide_one() {
        for (rows, columns, depth) in SHAPES {
            let x = values(rows * depth, 1);
            let w: Vec<f32> = values(columns * depth, 2)
                .into_iter()
                .map(rounded)
                .collect();
            let of = |form: Form| {
                let [plain, across] = both_sides(&w, columns, depth, form);
                [Right::Plain(&plain), Right::Transposed(&across)].map(|right| {
                    let term = Term {
                        left: &x,
                        stride: depth,
                        right,
                    };
                    multiplied(term, Way::Floats, rows, columns)
                })
            };
            assert_eq!(of(Form::Widened), of(Form::F32), "{rows} {columns} {depth}");
        }
    }

    // What is summed on tiles, as f32 and begun with is all there, whichever comes first.
    #[test]
    fn a_product_may_mix_precisions() {
        let (rows, columns, depth) = (100, 70, 50);
        let (x, w, bias) = (
            values(rows * depth, 1),
            values(columns * depth, 2),
            values(columns, 3),
        );
        let (small, large) = (
            Panels::of_weight(&w, columns, Precision::Bf16),
            Panels::of_weight(&w, columns, Precision::F32),
        );
        let term = |right| Term {
            left: &x,
            stride: depth,
            right: Right::Plain(right),
        };
        let got = product(
            rows,
            columns,
            Start::Row(&bias),
            &[term(&small), term(&large)],
        );
        for (at, got) in got.iter().enumerate() {
            let (i, j) = (at / columns, at % columns);
            let row = |k: usize| f64::from(x[i * depth + k]) * f64::from(w[j * depth + k]);
            let want = f64::from(bias[j]) + 2.0 * (0..depth).map(row).sum::<f64>();
            assert!(
                (f64::from(*got) - want).abs() < 0.05,
                "{i} {j}: {got} {want}"
            );
        }
    }

    #[test]
    fn transposed_product_is_the_sum_in_order() {
        for (lines, rows, columns) in [(1, 4, 1), (9, 24, 33), (40, 8, 96), (7, 12, 16)] {
            let (l, r) = (
                values(lines * (rows + 4), 1),
                values(lines * (columns + 3), 2),
            );
            let left = Columns {
                data: &l,
                stride: rows + 4,
                first: 4,
                count: rows,
            };
            let right = Columns {
                data: &r,
                stride: columns + 3,
                first: 2,
                count: columns,
            };
            let got = transposed_product(left, right, lines);
            let want = expected(
                rows,
                columns,
                lines,
                None,
                |i, k| l[k * (rows + 4) + 4 + i],
                |k, j| r[k * (columns + 3) + 2 + j],
            );
            assert_eq!(got, want, "{lines} {rows} {columns}");
        }
    }

    #[test]
    fn threads_do_not_change_a_bit() {
        let (rows, columns, depth) = (100, 70, 50);
        let (x, w) = (values(rows * depth, 1), values(columns * depth, 2));
        let right = Panels::of(&w, depth, columns);
        let run = |threads: usize| {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build();
            let term = Term {
                left: &x,
                stride: depth,
                right: Right::Plain(&right),
            };
            pool.map(|pool| pool.install(|| product(rows, columns, Start::Zero, &[term])))
                .ok()
        };
        assert_eq!(run(1), run(3));
    }
}
