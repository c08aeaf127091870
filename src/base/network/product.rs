//! Matrix products whose result does not depend on the number of threads.
//!
//! Every element is one sum in the order of the inner index, so how rows and columns are dealt out to threads cannot
//! change a bit. Right factors are stored in panels of 32 columns, which is what the tile reads; a product with the
//! transpose turns them over panel by panel, so that a weight is held once.
//!
//! Panels in bf16 are multiplied with left factors rounded to bf16, and summed in `f32`: two steps at a time, the odd one
//! first. Where the processor has no such instruction, the same numbers are summed as `f32` in the same order: the same
//! bits, unless a number is subnormal, which the instruction takes for zero. Where the processor has tiles for them, they
//! are summed on those, in an order of their own (`tiles.rs`), before the summands of the same product in `f32`.
//!
//! A weight that is multiplied as `f32` and was stored in bf16 is held in bf16, in half the memory: its panels are widened
//! as they are read, which loses nothing.

use std::ops::Range;

use rayon::prelude::*;

use super::simd::{self, Left, ROWS, Tile, WIDTH, vectorised};
use super::tiles;
use crate::base::Precision;

/// A right factor `[depth × columns]` in panels of 32 columns, the last one filled up with zeros.
#[derive(Debug, Clone)]
pub(super) struct Panels {
    numbers: Numbers,
    depth: usize,
    columns: usize,
    /// The steps of each panel outside which it is zero.
    kept: Vec<Range<usize>>,
}

#[derive(Debug, Clone)]
enum Numbers {
    /// `[panel][step][32]`.
    F32(Vec<f32>),
    /// `[panel][two steps][32]`: the even step in the low half, the odd one, or nothing, in the high half.
    Bf16(Vec<u32>),
    /// As in `F32`, of which only the upper halves are held: the lower ones are zero.
    Widened(Vec<u16>),
}

/// How a weight is held, and how it is multiplied.
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
    /// The smallest that gives what `precision` asks for. `narrow` promises that bf16 holds the numbers exactly.
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
        match precision {
            Precision::F32 => Self::of_transposed(weight, outputs, inputs),
            Precision::Bf16 => {
                let mut panels = Self::empty(Form::Bf16, inputs, outputs);
                panels.round(weight);
                panels
            }
        }
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
        let (width, pairs) = (inputs * WIDTH, inputs.div_ceil(2) * WIDTH);
        let rows = Gathered {
            outputs,
            inputs,
            read,
        };
        match &mut panels.numbers {
            Numbers::F32(values) => {
                rows.put(values, width, |panel, out| out.copy_from_slice(panel))?;
            }
            Numbers::Widened(halves) => rows.put(halves, width, narrow)?,
            Numbers::Bf16(values) => rows.put(values, pairs, round_panel)?,
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
        Self {
            numbers: match form {
                Form::F32 => Numbers::F32(vec![0.0; count * depth * WIDTH]),
                Form::Bf16 => Numbers::Bf16(vec![0; count * depth.div_ceil(2) * WIDTH]),
                Form::Widened => Numbers::Widened(vec![0; count * depth * WIDTH]),
            },
            depth,
            columns,
            kept: vec![0..depth; count],
        }
    }

    /// Fills panels of pairs from the row-major matrix `[columns × depth]`, without a turned copy of the whole.
    fn round(&mut self, matrix: &[f32]) {
        let depth = self.depth;
        let Numbers::Bf16(pairs) = &mut self.numbers else {
            return;
        };
        pairs
            .par_chunks_mut((depth.div_ceil(2) * WIDTH).max(1))
            .zip(matrix.par_chunks((depth * WIDTH).max(1)))
            .for_each_init(
                || vec![0.0; depth * WIDTH],
                |turned, (out, rows)| {
                    simd::transpose(rows, depth, rows.len() / depth, turned);
                    round_panel(turned, out);
                },
            );
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
            Numbers::F32(values) => {
                let panel = &values[panel * self.depth * WIDTH..];
                let lane = panel[lane..].iter().step_by(WIDTH);
                lane.take(self.depth).copied().collect()
            }
            Numbers::Widened(halves) => {
                let panel = &halves[panel * self.depth * WIDTH..];
                let lane = panel[lane..].iter().step_by(WIDTH);
                lane.take(self.depth).map(|half| wide(*half)).collect()
            }
            Numbers::Bf16(pairs) => {
                let panel = &pairs[panel * self.depth.div_ceil(2) * WIDTH..];
                let lane = panel[lane..].iter().step_by(WIDTH);
                let both = lane.flat_map(|pair| [low(*pair), high(*pair)]);
                both.take(self.depth).collect()
            }
        }
    }

    fn floats(&mut self) -> &mut [f32] {
        match &mut self.numbers {
            Numbers::F32(values) => values,
            Numbers::Bf16(_) | Numbers::Widened(_) => &mut [],
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

vectorised! {
    /// The numbers whose upper halves these are.
    fn widen(halves: &[u16], out: &mut [f32]) {
        for (out, half) in out.iter_mut().zip(halves) {
            *out = wide(*half);
        }
    }
}

vectorised! {
    /// The upper halves of numbers whose lower halves are zero.
    fn narrow(values: &[f32], out: &mut [u16]) {
        for (out, value) in out.iter_mut().zip(values) {
            *out = (value.to_bits() >> 16) as u16;
        }
    }
}

#[inline(always)]
fn wide(half: u16) -> f32 {
    f32::from_bits(u32::from(half) << 16)
}

/// Two numbers rounded to bf16, to nearest and ties to even.
#[inline(always)]
fn pair(low: f32, high: f32) -> u32 {
    upper(low) >> 16 | upper(high)
}

/// The bits of a number rounded to bf16, the lower half zero. A number that is none stays none.
#[inline(always)]
fn upper(x: f32) -> u32 {
    let bits = x.to_bits();
    let rounded = bits.wrapping_add(0x7fff + (bits >> 16 & 1));
    (if x.is_nan() {
        bits | 0x0040_0000
    } else {
        rounded
    }) & 0xffff_0000
}

#[inline(always)]
fn low(pair: u32) -> f32 {
    f32::from_bits(pair << 16)
}

#[inline(always)]
fn high(pair: u32) -> f32 {
    f32::from_bits(pair & 0xffff_0000)
}

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

/// What sums begin with.
#[derive(Debug, Clone, Copy)]
pub(super) enum Start<'a> {
    Zero,
    /// The same row for every row.
    Row(&'a [f32]),
}

impl Start<'_> {
    /// Writes what the sums of the columns from `first` on begin with.
    fn put(self, first: usize, sums: &mut [f32]) {
        match self {
            Self::Zero => sums.fill(0.0),
            Self::Row(values) => sums.copy_from_slice(&values[first..][..sums.len()]),
        }
    }
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
    let mut out = vec![0.0; rows * columns];
    product_into(&mut out, columns, start, terms);
    out
}

/// [`product`] into a matrix that is there already; what it held is lost.
pub(super) fn product_into(out: &mut [f32], columns: usize, start: Start<'_>, terms: &[Term<'_>]) {
    for (band, out) in out.chunks_mut((BAND * columns).max(1)).enumerate() {
        let rows = out.len() / columns;
        let factors: Vec<Factor<'_>> = terms
            .iter()
            .map(|term| term.of(band * BAND, rows, Way::best()))
            .collect();
        let on_tiles = factors.iter().any(Factor::is_on_tiles);
        let unit = if on_tiles { UNIT } else { ROWS };
        let (high, wide) = cell_size(rows, columns, unit);
        simd::cells(out, columns, high, wide)
            .into_par_iter()
            .for_each_init(Vec::new, |rooms, cell| fill(cell, start, &factors, rooms));
    }
}

/// Rows of whole tiles of either kind.
const UNIT: usize = 96;
const _: () = assert!(
    UNIT.is_multiple_of(ROWS) && UNIT.is_multiple_of(tiles::ROWS) && BAND.is_multiple_of(UNIT)
);

/// Cells that keep all threads busy: whole columns where there are enough panels, so that each panel is read once.
fn cell_size(rows: usize, columns: usize, unit: usize) -> (usize, usize) {
    let tasks = 3 * rayon::current_num_threads();
    let panels = columns.div_ceil(WIDTH);
    let wide = (panels / tasks).max(1);
    let across = panels.div_ceil(wide);
    let units = rows.div_ceil(unit);
    let high = units.div_ceil(tasks.div_ceil(across)).max(1);
    (high * unit, wide * WIDTH)
}

/// A term whose left factor is ready for the kernel, for the rows of one band.
struct Factor<'a> {
    left: Rows<'a>,
    stride: usize,
    right: Right<'a>,
}

/// How pairs of bf16 numbers are multiplied.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Way {
    /// On the processor's tiles.
    Tiles,
    /// As pairs, by the processor's vector instruction.
    Pairs,
    /// As `f32`.
    Floats,
}

impl Way {
    /// The fastest that this processor has.
    fn best() -> Self {
        match (tiles::available(), simd::has_pairs()) {
            (true, _) => Self::Tiles,
            (false, true) => Self::Pairs,
            (false, false) => Self::Floats,
        }
    }
}

enum Rows<'a> {
    Plain(&'a [f32]),
    /// Two steps in each; for tiles with a block of zeros after the last row.
    Pairs(Vec<u32>, Way),
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
        way: Way,
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
    /// Its rows from `first` on, and how they are multiplied with panels of pairs.
    fn of(&self, first: usize, rows: usize, way: Way) -> Factor<'a> {
        let left = &self.left[first * self.stride..];
        let (Right::Plain(panels) | Right::Transposed(panels)) = self.right;
        let depth = match self.right {
            Right::Plain(panels) => panels.depth,
            Right::Transposed(panels) => panels.columns,
        };
        let (left, stride) = match panels.numbers {
            Numbers::F32(_) | Numbers::Widened(_) => (Rows::Plain(left), self.stride),
            Numbers::Bf16(_) if way != Way::Floats => {
                let beyond = match way {
                    Way::Tiles => tiles::ROWS,
                    _ => 0,
                };
                let pairs = to_pairs(left, self.stride, rows + beyond, depth);
                (Rows::Pairs(pairs, way), depth.div_ceil(2))
            }
            Numbers::Bf16(_) => {
                let stride = depth.next_multiple_of(2);
                let pairs = to_pairs(left, self.stride, rows, depth);
                let swapped = pairs.iter().flat_map(|pair| [high(*pair), low(*pair)]);
                (Rows::Swapped(swapped.collect()), stride)
            }
        };
        Factor {
            left,
            stride,
            right: self.right,
        }
    }
}

/// The first `depth` columns of a matrix as pairs of bf16 numbers, with rows of zeros where it has fewer.
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

impl<'a> Factor<'a> {
    fn is_on_tiles(&self) -> bool {
        matches!(self.left, Rows::Pairs(_, Way::Tiles))
    }

    fn panels(&self) -> &'a Panels {
        let (Right::Plain(panels) | Right::Transposed(panels)) = self.right;
        panels
    }

    /// The steps of a panel that are not zero.
    fn steps(&self, panel: usize) -> Range<usize> {
        match (self.right, &self.left) {
            (Right::Plain(panels), Rows::Plain(_)) => panels.kept[panel].clone(),
            (Right::Plain(panels), _) => 0..panels.depth.next_multiple_of(2),
            (Right::Transposed(panels), Rows::Plain(_)) => 0..panels.columns,
            (Right::Transposed(panels), _) => 0..panels.columns.next_multiple_of(2),
        }
    }

    fn part<'r>(&'r self, panel: usize, steps: &Range<usize>, room: &'r mut Room) -> Part<'r> {
        match (self.right, &self.panels().numbers) {
            (Right::Plain(panels), Numbers::F32(values)) => {
                let at = panel * panels.depth + steps.start;
                self.floats(steps, &values[at * WIDTH..][..steps.len() * WIDTH])
            }
            (Right::Plain(panels), Numbers::Bf16(pairs)) => {
                let at = panel * panels.depth.div_ceil(2) + steps.start / 2;
                let pairs = &pairs[at * WIDTH..][..steps.len() / 2 * WIDTH];
                self.pairs(steps, pairs, &mut room.floats)
            }
            (Right::Plain(panels), Numbers::Widened(halves)) => {
                let at = panel * panels.depth + steps.start;
                let halves = &halves[at * WIDTH..][..steps.len() * WIDTH];
                room.floats.resize(room.floats.len().max(halves.len()), 0.0);
                widen(halves, &mut room.floats);
                self.floats(steps, &room.floats[..halves.len()])
            }
            (Right::Transposed(panels), Numbers::F32(values)) => {
                turn_panel(
                    panels.depth,
                    panel,
                    steps,
                    &mut room.floats,
                    |block, out| {
                        turn_block(&values[block], out);
                    },
                );
                self.floats(steps, &room.floats[..steps.len() * WIDTH])
            }
            (Right::Transposed(panels), Numbers::Bf16(pairs)) => {
                turn_panel_of_pairs(pairs, panels.depth, panel, steps, &mut room.pairs);
                let pairs = &room.pairs[..steps.len() / 2 * WIDTH];
                self.pairs(steps, pairs, &mut room.floats)
            }
            (Right::Transposed(panels), Numbers::Widened(halves)) => {
                let mut wide = [0.0; WIDTH * WIDTH];
                turn_panel(
                    panels.depth,
                    panel,
                    steps,
                    &mut room.floats,
                    |block, out| {
                        let wide = &mut wide[..block.len()];
                        widen(&halves[block], wide);
                        turn_block(wide, out);
                    },
                );
                self.floats(steps, &room.floats[..steps.len() * WIDTH])
            }
        }
    }

    fn floats<'r>(&'r self, steps: &Range<usize>, lines: &'r [f32]) -> Part<'r> {
        let left: &[f32] = match &self.left {
            Rows::Plain(values) => values,
            Rows::Swapped(values) => values,
            Rows::Pairs(..) => &[],
        };
        Part::F32 {
            left: &left[steps.start..],
            stride: self.stride,
            lines,
        }
    }

    /// Pairs as they are, or spread over `room` where the processor cannot multiply them.
    fn pairs<'r>(
        &'r self,
        steps: &Range<usize>,
        pairs: &'r [u32],
        room: &'r mut Vec<f32>,
    ) -> Part<'r> {
        if let Rows::Pairs(left, way) = &self.left {
            return Part::Pairs {
                way: *way,
                left: &left[steps.start / 2..],
                stride: self.stride,
                lines: pairs,
            };
        }
        room.clear();
        for line in pairs.chunks_exact(WIDTH) {
            room.extend(line.iter().map(|pair| high(*pair)));
            room.extend(line.iter().map(|pair| low(*pair)));
        }
        self.floats(steps, room)
    }
}

/// Lines `steps` of panel `panel` of the transpose of a matrix in panels of `depth` steps, 32 lines at a time: `turn` puts
/// them there from a range of the matrix's numbers.
fn turn_panel(
    depth: usize,
    panel: usize,
    steps: &Range<usize>,
    out: &mut Vec<f32>,
    mut turn: impl FnMut(Range<usize>, &mut [f32]),
) {
    out.resize(steps.len().next_multiple_of(WIDTH) * WIDTH, 0.0);
    let used = WIDTH.min(depth - panel * WIDTH);
    for (block, out) in out.chunks_exact_mut(WIDTH * WIDTH).enumerate() {
        let at = (steps.start / WIDTH + block) * depth + panel * WIDTH;
        turn(at * WIDTH..(at + used) * WIDTH, out);
    }
}

/// Lines of a panel, as its columns.
fn turn_block(lines: &[f32], out: &mut [f32]) {
    simd::transpose(lines, WIDTH, lines.len() / WIDTH, out);
}

/// [`turn_panel`] of a matrix in pairs of bf16 numbers.
fn turn_panel_of_pairs(
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
        turn_pairs(&pairs[at * WIDTH..][..used * WIDTH], out);
    }
}

vectorised! {
    /// A block of pairs of bf16 numbers, transposed: what lay in one pair lies in one line, and the other way round.
    fn turn_pairs(block: &[u32], out: &mut [u32]) {
        for (i, line) in block.chunks_exact(WIDTH).enumerate() {
            for (j, two) in line.chunks_exact(2).enumerate() {
                out[j * WIDTH + 2 * i] = two[0] & 0xffff | two[1] << 16;
                out[j * WIDTH + 2 * i + 1] = two[0] >> 16 | two[1] & 0xffff_0000;
            }
        }
    }
}

/// Sums all factors into a cell. `rooms` is working space.
fn fill(mut cell: simd::Cell<'_>, start: Start<'_>, factors: &[Factor<'_>], rooms: &mut Vec<Room>) {
    rooms.resize_with(factors.len(), Room::default);
    let mut tile: Tile = [[0.0; WIDTH]; ROWS];
    for column in (0..cell.columns).step_by(WIDTH) {
        let used = WIDTH.min(cell.columns - column);
        let panel = (cell.first_column + column) / WIDTH;
        for (pass, steps) in passes(factors, panel).into_iter().enumerate() {
            let parts: Vec<Part<'_>> = steps
                .iter()
                .zip(rooms.iter_mut())
                .map(|((factor, steps), room)| factor.part(panel, steps, room))
                .collect();
            let (blocks, parts): (Vec<_>, Vec<_>) = parts.into_iter().partition(Part::is_on_tiles);
            let mut begun = pass > 0;
            if !blocks.is_empty() {
                if !begun {
                    for row in 0..cell.rows {
                        start.put(panel * WIDTH, cell.line(row, column, used));
                    }
                    begun = true;
                }
                for part in &blocks {
                    part.add_blocks(&mut cell, column);
                }
            }
            if begun && parts.is_empty() {
                continue;
            }
            for row in (0..cell.rows).step_by(ROWS) {
                let height = ROWS.min(cell.rows - row);
                for (i, sums) in tile.iter_mut().enumerate().take(height) {
                    let sums = &mut sums[..used];
                    match begun {
                        true => sums.copy_from_slice(cell.line(row + i, column, used)),
                        false => start.put(panel * WIDTH, sums),
                    }
                }
                for part in &parts {
                    part.add(&mut tile, cell.first_row + row, height, used > WIDTH / 2);
                }
                for (i, sums) in tile.iter().enumerate().take(height) {
                    let line = cell.line(row + i, column, used);
                    line.copy_from_slice(&sums[..used]);
                }
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
    /// Adds this part to the tile of the rows from `row` on.
    fn add(&self, tile: &mut Tile, row: usize, height: usize, wide: bool) {
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
                simd::multiply_add(tile, height, wide, left, lines, WIDTH, lines.len() / WIDTH);
            }
            Part::Pairs {
                left,
                stride,
                lines,
                ..
            } => {
                let left = &left[row * stride..];
                simd::multiply_add_pairs(
                    tile,
                    height,
                    wide,
                    left,
                    stride,
                    lines,
                    lines.len() / WIDTH,
                );
            }
        }
    }

    fn is_on_tiles(&self) -> bool {
        matches!(
            self,
            Self::Pairs {
                way: Way::Tiles,
                ..
            }
        )
    }

    /// Adds this part to 32 columns of a cell, on tiles.
    fn add_blocks(&self, cell: &mut simd::Cell<'_>, column: usize) {
        if let Part::Pairs {
            left,
            stride,
            lines,
            ..
        } = *self
        {
            tiles::add(
                cell,
                column,
                &left[cell.first_row * stride..],
                stride,
                lines,
            );
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
    let Numbers::F32(values) = &panels.numbers else {
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
                    &mut tile,
                    height,
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
            &mut tile,
            height,
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
    use super::*;

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

    /// Every way of multiplying that this processor has.
    fn ways() -> Vec<Way> {
        let all = [
            (true, Way::Floats),
            (simd::has_pairs(), Way::Pairs),
            (tiles::available(), Way::Tiles),
        ];
        all.iter()
            .filter(|(has, _)| *has)
            .map(|(_, way)| *way)
            .collect()
    }

    /// One element in the order of the way: in twos, the odd one first; or 32 at a time, the even ones and the odd
    /// ones by themselves.
    fn summed(way: Way, depth: usize, factor: impl Fn(usize) -> (f32, f32)) -> f32 {
        let step = |sum: f32, k: usize| factor(k).0.mul_add(factor(k).1, sum);
        let below = |k: &usize| *k < depth;
        match way {
            Way::Tiles => (0..depth).step_by(32).fold(0.0, |sum, first| {
                let every_other = |odd: usize| (first + odd..first + 32).step_by(2).filter(below);
                sum + (every_other(0).fold(0.0, step) + every_other(1).fold(0.0, step))
            }),
            Way::Pairs | Way::Floats => {
                let swapped = (0..depth.next_multiple_of(2)).map(|k| k ^ 1);
                swapped.filter(below).fold(0.0, step)
            }
        }
    }

    #[test]
    fn bf16_is_the_sum_of_rounded_numbers() {
        for (rows, columns, depth) in [
            (1, 1, 1),
            (13, 33, 7),
            (50, 100, 40),
            (5, 16, 3),
            (33, 70, 64),
            (3, 40, 2 * DEPTH + 65),
        ] {
            let (x, w) = (values(rows * depth, 1), values(columns * depth, 2));
            let rounded = |x: f32| f32::from_bits(upper(x));
            let plain = Panels::of_weight(&w, columns, Precision::Bf16);
            let turned: Vec<f32> = (0..depth * columns)
                .map(|at| w[at % columns * depth + at / columns])
                .collect();
            let across = Panels::of_weight(&turned, depth, Precision::Bf16);
            let last: Vec<f32> = w[(columns - 1) * depth..]
                .iter()
                .map(|w| rounded(*w))
                .collect();
            assert_eq!(plain.column(columns - 1), last);
            for way in ways() {
                let element = |at: usize| {
                    let (i, j) = (at / columns, at % columns);
                    let factor = |k| (rounded(x[i * depth + k]), rounded(w[j * depth + k]));
                    summed(way, depth, factor)
                };
                let want: Vec<f32> = (0..rows * columns).map(element).collect();
                for right in [Right::Plain(&plain), Right::Transposed(&across)] {
                    let term = Term {
                        left: &x,
                        stride: depth,
                        right,
                    };
                    let factor = term.of(0, rows, way);
                    let mut got = vec![0.0; rows * columns];
                    for cell in simd::cells(&mut got, columns, 12, columns) {
                        fill(
                            cell,
                            Start::Zero,
                            std::slice::from_ref(&factor),
                            &mut Vec::new(),
                        );
                    }
                    assert_eq!(got, want, "{rows} {columns} {depth} {way:?}");
                }
            }
        }
    }

    // Held in bf16 and multiplied in f32: the bits of a weight that is held in f32.
    #[test]
    fn a_narrow_weight_is_multiplied_as_a_wide_one() {
        for (rows, columns, depth) in [
            (1, 1, 1),
            (13, 33, 7),
            (50, 100, 40),
            (33, 70, 64),
            (3, 40, 2 * DEPTH + 65),
        ] {
            let round = |x: f32| f32::from_bits(upper(x));
            let w: Vec<f32> = values(columns * depth, 2).into_iter().map(round).collect();
            let gather = |narrow: bool, outputs: usize, inputs: usize| {
                let read = |rows: Range<usize>, out: &mut [f32]| {
                    out.copy_from_slice(&w[rows.start * inputs..rows.end * inputs]);
                    Ok::<(), std::convert::Infallible>(())
                };
                let form = Form::of(Precision::F32, narrow);
                let Ok(panels) = Panels::gather(outputs, inputs, form, read);
                panels
            };
            let of = |narrow: bool| {
                let plain = gather(narrow, columns, depth);
                let across = gather(narrow, depth, columns);
                let times = |rights: &[Right<'_>], inputs: usize, outputs: usize| {
                    let x = values(rows * inputs, 1);
                    let terms = rights.iter().map(|right| Term {
                        left: &x,
                        stride: inputs,
                        right: *right,
                    });
                    let terms: Vec<Term<'_>> = terms.collect();
                    product(rows, outputs, Start::Zero, &terms)
                };
                [
                    times(&[Right::Plain(&plain)], depth, columns),
                    times(&[Right::Transposed(&across)], depth, columns),
                    times(
                        &[Right::Plain(&plain), Right::Transposed(&across)],
                        depth,
                        columns,
                    ),
                    times(&[Right::Transposed(&plain)], columns, depth),
                    plain.column(columns - 1),
                ]
            };
            assert_eq!(of(true), of(false), "{rows} {columns} {depth}");
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
