//! Attention over packed sequences of different lengths: no padding, every token sees its own sequence or a part of it.
//!
//! Queries, keys and values lie side by side in one row per token: `[tokens × (heads + 2·kv_heads)·size]`. Scores exist for
//! a block of queries at a time; only the logarithm of each softmax sum is kept for the backward pass. Tiles that no query
//! may see are never computed. Tasks are cut by the shape alone, and each sums in one order, so threads change no bit.

use std::ops::Range;

use rayon::prelude::*;

use super::pointwise::{exp, lanes, largest, tanh};
use super::simd::{self, Cell, Left, ROWS, Sums, Tile, WIDTH, vectorised};

/// Where the sequences of a packed batch begin and end, how many heads look at them, and what each token sees.
#[derive(Debug, Clone)]
pub(super) struct Heads {
    /// `rows + 1` positions, the first 0, strictly increasing.
    pub(super) offsets: Vec<usize>,
    /// Query heads, a multiple of `kv_heads`: each group of neighbours shares one key and one value head.
    pub(super) heads: usize,
    pub(super) kv_heads: usize,
    /// Elements of one head.
    pub(super) size: usize,
    /// What scores are multiplied with.
    pub(super) scale: f32,
    /// A token sees itself and what is before it.
    pub(super) causal: bool,
    /// A token sees what is at most so far away.
    pub(super) reach: Option<usize>,
    /// Scaled scores `s` become `cap·tanh(s/cap)`.
    pub(super) softcap: Option<f32>,
}

/// Queries of one forward task: enough to make up for packing the keys.
const QUERIES: usize = 22 * ROWS;
/// Scores that a block may have, so that it stays in the cache.
const SCORES: usize = 48 * 1024;
/// Windows of keys begin at a multiple of it: whole panels and whole row tiles.
const ALIGNED: usize = 96;

impl Heads {
    /// Elements of a packed row.
    pub(super) fn width(&self) -> usize {
        (self.heads + 2 * self.kv_heads) * self.size
    }

    /// Elements of a row of the context.
    pub(super) fn context_width(&self) -> usize {
        self.heads * self.size
    }

    /// The keys that one or another of these queries sees, in a sequence of `length`.
    fn keys(&self, queries: &Range<usize>, length: usize) -> Range<usize> {
        let reach = self.reach.unwrap_or(length);
        let start = queries.start.saturating_sub(reach);
        let end = if self.causal {
            queries.end
        } else {
            queries.end.saturating_add(reach)
        };
        start..end.min(length)
    }

    /// The queries that see one or another of these keys.
    fn queries(&self, keys: &Range<usize>, length: usize) -> Range<usize> {
        let reach = self.reach.unwrap_or(length);
        let start = if self.causal {
            keys.start
        } else {
            keys.start.saturating_sub(reach)
        };
        start..keys.end.saturating_add(reach).min(length)
    }

    /// The sequences, cut into pieces of at most `longest` tokens.
    fn pieces(&self, longest: usize) -> Vec<Piece> {
        let sequences = self
            .offsets
            .windows(2)
            .map(|pair| (pair[0], pair[1] - pair[0]));
        sequences
            .flat_map(|(start, length)| {
                (0..length).step_by(longest).map(move |first| Piece {
                    start,
                    length,
                    queries: first..length.min(first + longest),
                })
            })
            .collect()
    }
}

/// Some queries of a sequence.
struct Piece {
    /// The sequence's first token.
    start: usize,
    /// The sequence's tokens.
    length: usize,
    queries: Range<usize>,
}

/// The context `[tokens × heads·size]`, and the log-sum-exp of each (token, head).
pub(super) fn forward(qkv: &[f32], shape: &Heads) -> (Vec<f32>, Vec<f32>) {
    let tokens = qkv.len() / shape.width();
    let mut context = simd::zeros(tokens * shape.context_width());
    let mut sums = vec![0.0; tokens * shape.heads];
    let pieces = shape.pieces(QUERIES);
    let ends: Vec<usize> = pieces
        .iter()
        .map(|piece| piece.start + piece.queries.end)
        .collect();
    let contexts = simd::cells_between(&mut context, shape.context_width(), &ends, shape.size);
    let totals = simd::cells_between(&mut sums, shape.heads, &ends, 1);
    contexts
        .into_par_iter()
        .zip(totals)
        .enumerate()
        .for_each_init(Scratch::default, |scratch, (task, (context, sums))| {
            let piece = &pieces[task / shape.heads];
            let head = Head::of(qkv, shape, piece, task % shape.heads);
            head.forward(&piece.queries, context, sums, scratch);
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
    // Every query head has its own part of the gradients of keys and values at first.
    let width = shape.context_width();
    let tokens = qkv.len() / shape.width();
    let mut parts = simd::zeros(tokens * 3 * width);
    let pieces = shape.pieces(usize::MAX);
    let ends: Vec<usize> = pieces
        .iter()
        .map(|piece| piece.start + piece.length)
        .collect();
    let cells = simd::cells_between(&mut parts, 3 * width, &ends, shape.size);
    by_head(cells, shape.heads)
        .into_par_iter()
        .enumerate()
        .for_each_init(Scratch::default, |scratch, (task, cells)| {
            let piece = &pieces[task / shape.heads];
            let head = Head::of(qkv, shape, piece, task % shape.heads);
            let known = Known {
                context,
                sums,
                gradient,
            };
            head.backward(&known, cells, scratch);
        });
    if shape.heads == shape.kv_heads {
        return parts;
    }
    fold(&parts, shape)
}

/// For each (sequence, head): the cells of its query, key and value.
fn by_head(cells: Vec<Cell<'_>>, heads: usize) -> Vec<[Cell<'_>; 3]> {
    let mut all = Vec::with_capacity(cells.len() / 3);
    let mut cells = cells.into_iter();
    loop {
        let queries: Vec<_> = cells.by_ref().take(heads).collect();
        let keys: Vec<_> = cells.by_ref().take(heads).collect();
        let values: Vec<_> = cells.by_ref().take(heads).collect();
        if values.is_empty() {
            return all;
        }
        let triples = queries.into_iter().zip(keys).zip(values);
        all.extend(triples.map(|((query, key), value)| [query, key, value]));
    }
}

/// Adds up what the query heads of each group gave to their key and value.
fn fold(parts: &[f32], shape: &Heads) -> Vec<f32> {
    let (size, group) = (shape.size, shape.heads / shape.kv_heads);
    let queries = shape.context_width();
    let mut out = simd::zeros(parts.len() / (3 * queries) * shape.width());
    out.par_chunks_mut(shape.width())
        .with_min_len(16)
        .zip(parts.par_chunks(3 * queries))
        .for_each(|(out, parts)| {
            let (query, shared) = out.split_at_mut(queries);
            query.copy_from_slice(&parts[..queries]);
            let groups = parts[queries..].chunks_exact(group * size);
            for (out, parts) in shared.chunks_exact_mut(size).zip(groups) {
                for part in parts.chunks_exact(size) {
                    out.iter_mut()
                        .zip(part)
                        .for_each(|(sum, part)| *sum += part);
                }
            }
        });
    out
}

/// One head of one sequence.
struct Head<'a> {
    shape: &'a Heads,
    head: usize,
    /// The sequence's first token.
    start: usize,
    length: usize,
    query: Matrix<'a>,
    key: Matrix<'a>,
    value: Matrix<'a>,
}

struct Known<'a> {
    context: &'a [f32],
    sums: &'a [f32],
    gradient: &'a [f32],
}

/// Buffers that one task after the other uses.
#[derive(Default)]
struct Scratch {
    keys: Panels,
    values: Panels,
    key_lines: Lines,
    query_lines: Lines,
    gradient_lines: Lines,
    scores: Vec<f32>,
    slopes: Vec<f32>,
    key_sums: Vec<Tile>,
    value_sums: Vec<Tile>,
}

/// The queries that are worked on together, and the keys that their scores are about.
struct Block {
    queries: Range<usize>,
    /// Begins at a multiple of [`ALIGNED`].
    first_key: usize,
    /// Scores of one query.
    stride: usize,
}

impl<'a> Head<'a> {
    fn of(qkv: &'a [f32], shape: &'a Heads, piece: &Piece, head: usize) -> Self {
        let shared = head * shape.kv_heads / shape.heads;
        let part = |head: usize| Matrix {
            data: &qkv[piece.start * shape.width() + head * shape.size..],
            stride: shape.width(),
            columns: shape.size,
        };
        Self {
            shape,
            head,
            start: piece.start,
            length: piece.length,
            query: part(head),
            key: part(shape.heads + shared),
            value: part(shape.heads + shape.kv_heads + shared),
        }
    }

    /// This head's columns of a buffer `[tokens × heads·size]`.
    fn part<'b>(&self, data: &'b [f32]) -> Matrix<'b> {
        let width = self.shape.context_width();
        Matrix {
            data: &data[self.start * width + self.head * self.shape.size..],
            stride: width,
            columns: self.shape.size,
        }
    }

    fn keys(&self, queries: &Range<usize>) -> Range<usize> {
        self.shape.keys(queries, self.length)
    }

    /// Blocks whose scores stay in the cache.
    fn blocks(&self, queries: &Range<usize>) -> impl Iterator<Item = Block> {
        let keys = self.keys(queries).len().max(1).next_multiple_of(WIDTH);
        let high = ROWS * (SCORES / (keys * ROWS)).clamp(1, QUERIES / ROWS);
        queries.clone().step_by(high).map({
            let end = queries.end;
            move |first| {
                let queries = first..end.min(first + high);
                let keys = self.keys(&queries);
                let first_key = keys.start / ALIGNED * ALIGNED;
                let stride = (keys.end - first_key).next_multiple_of(WIDTH);
                Block {
                    queries,
                    first_key,
                    stride,
                }
            }
        })
    }

    fn forward(
        &self,
        queries: &Range<usize>,
        mut context: Cell<'_>,
        mut sums: Cell<'_>,
        scratch: &mut Scratch,
    ) {
        let keys = self.keys(queries);
        scratch.keys.fill(self.key, &keys);
        scratch.key_lines.fill(self.value, &keys);
        let (panels, values) = (&scratch.keys, &scratch.key_lines);
        for block in self.blocks(queries) {
            let scores = room(&mut scratch.scores, &block);
            self.scores(self.query, panels, &block, scores);
            let found = softmax(scores, self, &block);
            for (query, sum) in block.queries.clone().zip(found) {
                sums.line(query - queries.start, 0, 1)[0] = sum;
            }
            self.weighted(scores, &block, values, |query, column, line| {
                let out = context.line(query - queries.start, column, line.len());
                simd::copy(line, out);
            });
        }
    }

    fn backward(&self, known: &Known<'_>, cells: [Cell<'_>; 3], scratch: &mut Scratch) {
        let all = 0..self.length;
        let [mut query, key, value] = cells;
        let gradient = self.part(known.gradient);
        scratch.pack(self, gradient, &all);
        for block in self.blocks(&all) {
            let scores = room(&mut scratch.scores, &block);
            let slopes = room(&mut scratch.slopes, &block);
            self.scores(self.query, &scratch.keys, &block, scores);
            self.scores(gradient, &scratch.values, &block, slopes);
            slopes_of_softmax(scores, slopes, self, &block, &self.rows(known, &block));
            self.weighted(slopes, &block, &scratch.key_lines, |at, column, line| {
                simd::copy(line, query.line(at, column, line.len()));
            });
            self.gather(slopes, &block, &scratch.query_lines, &mut scratch.key_sums);
            self.gather(
                scores,
                &block,
                &scratch.gradient_lines,
                &mut scratch.value_sums,
            );
        }
        store(&scratch.key_sums, key);
        store(&scratch.value_sums, value);
    }

    /// For each query: the log-sum-exp of its scores, and the product of its context with the gradient.
    fn rows(&self, known: &Known<'_>, block: &Block) -> Vec<(f32, f32)> {
        let (context, gradient) = (self.part(known.context), self.part(known.gradient));
        let sum = |query: usize| known.sums[(self.start + query) * self.shape.heads + self.head];
        let queries = block.queries.clone();
        let along = products(context, gradient, &queries);
        queries.map(sum).zip(along).collect()
    }

    /// `left · keysᵀ` for the queries and keys of a block, as far as anybody may see them.
    fn scores(&self, left: Matrix<'_>, keys: &Panels, block: &Block, scores: &mut [f32]) {
        for (query, height) in tiles(&block.queries) {
            let seen = self.keys(&(query..query + height));
            let out = &mut scores[(query - block.queries.start) * block.stride..];
            for panel in seen.start / WIDTH..seen.end.div_ceil(WIDTH) {
                let mut tile = [[0.0; WIDTH]; ROWS];
                let wide = seen.end - panel * WIDTH > WIDTH / 2;
                let lines = keys.panel(panel);
                simd::multiply_add(
                    Sums::of(&mut tile[..height]),
                    wide,
                    left.rows(query),
                    lines,
                    WIDTH,
                    self.shape.size,
                );
                for (line, out) in tile.iter().zip(out.chunks_mut(block.stride)).take(height) {
                    out[panel * WIDTH - block.first_key..][..WIDTH].copy_from_slice(line);
                }
            }
        }
    }

    /// `weights · lines`, handed to `store` as (query, first column, elements).
    fn weighted(
        &self,
        weights: &[f32],
        block: &Block,
        lines: &Lines,
        mut store: impl FnMut(usize, usize, &[f32]),
    ) {
        for (query, height) in tiles(&block.queries) {
            let seen = self.keys(&(query..query + height));
            let row = (query - block.queries.start) * block.stride;
            let left = Left::Rows {
                data: &weights[row + seen.start - block.first_key..],
                stride: block.stride,
            };
            for column in (0..self.shape.size).step_by(WIDTH) {
                let mut tile = [[0.0; WIDTH]; ROWS];
                let used = WIDTH.min(self.shape.size - column);
                let right = lines.from(seen.start, column);
                simd::multiply_add(
                    Sums::of(&mut tile[..height]),
                    used > WIDTH / 2,
                    left,
                    right,
                    lines.stride,
                    seen.len(),
                );
                for (i, line) in tile.iter().enumerate().take(height) {
                    store(query + i, column, &line[..used]);
                }
            }
        }
    }

    /// Adds `weightsᵀ · lines` to the sums of the keys.
    fn gather(&self, weights: &[f32], block: &Block, lines: &Lines, sums: &mut [Tile]) {
        let across = self.shape.size.div_ceil(WIDTH);
        let end = self.keys(&block.queries).end;
        for (key, height) in tiles(&(block.first_key..end)) {
            let seeing = self.shape.queries(&(key..key + height), self.length);
            let (start, end) = (
                seeing.start.max(block.queries.start),
                seeing.end.min(block.queries.end),
            );
            if start >= end {
                continue;
            }
            let left = Left::Columns {
                data: &weights
                    [(start - block.queries.start) * block.stride + key - block.first_key..],
                stride: block.stride,
            };
            for (panel, sums) in sums[key / ROWS * across..][..across].iter_mut().enumerate() {
                let column = panel * WIDTH;
                let wide = self.shape.size - column > WIDTH / 2;
                simd::multiply_add(
                    Sums::of(&mut sums[..height]),
                    wide,
                    left,
                    lines.from(start, column),
                    lines.stride,
                    end - start,
                );
            }
        }
    }
}

impl Scratch {
    fn pack(&mut self, head: &Head<'_>, gradient: Matrix<'_>, all: &Range<usize>) {
        self.keys.fill(head.key, all);
        self.values.fill(head.value, all);
        self.key_lines.fill(head.key, all);
        self.query_lines.fill(head.query, all);
        self.gradient_lines.fill(gradient, all);
        let tiles = all.len().div_ceil(ROWS) * head.shape.size.div_ceil(WIDTH);
        for sums in [&mut self.key_sums, &mut self.value_sums] {
            sums.clear();
            sums.resize(tiles, [[0.0; WIDTH]; ROWS]);
        }
    }
}

/// The first row and the height of each row tile.
fn tiles(rows: &Range<usize>) -> impl Iterator<Item = (usize, usize)> {
    let end = rows.end;
    rows.clone()
        .step_by(ROWS)
        .map(move |row| (row, ROWS.min(end - row)))
}

/// Room for the scores of a block; what was there before may still be there.
fn room<'a>(buffer: &'a mut Vec<f32>, block: &Block) -> &'a mut [f32] {
    let needed = block.queries.len() * block.stride;
    if buffer.len() < needed {
        buffer.resize(needed, 0.0);
    }
    &mut buffer[..needed]
}

fn store(sums: &[Tile], mut out: Cell<'_>) {
    let across = out.columns.div_ceil(WIDTH);
    for row in 0..out.rows {
        for (panel, tile) in sums[row / ROWS * across..][..across].iter().enumerate() {
            let used = WIDTH.min(out.columns - panel * WIDTH);
            simd::copy(
                &tile[row % ROWS][..used],
                out.line(row, panel * WIDTH, used),
            );
        }
    }
}

/// Some columns of a row-major matrix.
#[derive(Clone, Copy)]
struct Matrix<'a> {
    data: &'a [f32],
    stride: usize,
    columns: usize,
}

impl<'a> Matrix<'a> {
    fn row(&self, i: usize) -> &'a [f32] {
        &self.data[i * self.stride..][..self.columns]
    }

    fn rows(&self, first: usize) -> Left<'a> {
        Left::Rows {
            data: &self.data[first * self.stride..],
            stride: self.stride,
        }
    }
}

/// The transpose of some rows of a matrix, in panels of 32 rows.
#[derive(Default)]
struct Panels {
    data: Vec<f32>,
    depth: usize,
    /// The row that the first panel begins with.
    first: usize,
}

impl Panels {
    fn fill(&mut self, matrix: Matrix<'_>, rows: &Range<usize>) {
        self.depth = matrix.columns;
        self.first = rows.start / WIDTH * WIDTH;
        let count = (rows.end - self.first).div_ceil(WIDTH);
        self.data.resize(count * self.depth * WIDTH, 0.0);
        for (panel, out) in self.data.chunks_exact_mut(self.depth * WIDTH).enumerate() {
            let first = self.first + panel * WIDTH;
            let used = WIDTH.min(rows.end - first);
            simd::transpose(
                &matrix.data[first * matrix.stride..],
                matrix.stride,
                used,
                out,
            );
        }
    }

    fn panel(&self, panel: usize) -> &[f32] {
        &self.data[(panel - self.first / WIDTH) * self.depth * WIDTH..][..self.depth * WIDTH]
    }
}

/// A copy of some rows of a matrix, filled up to whole half tiles.
#[derive(Default)]
struct Lines {
    data: Vec<f32>,
    stride: usize,
    /// The row that the copy begins with.
    first: usize,
}

impl Lines {
    fn fill(&mut self, matrix: Matrix<'_>, rows: &Range<usize>) {
        self.first = rows.start;
        self.stride = matrix.columns.next_multiple_of(WIDTH / 2);
        self.data.resize(rows.len() * self.stride, 0.0);
        for (row, line) in rows.clone().zip(self.data.chunks_exact_mut(self.stride)) {
            simd::copy(matrix.row(row), &mut line[..matrix.columns]);
            line[matrix.columns..].fill(0.0);
        }
    }

    fn from(&self, row: usize, column: usize) -> &[f32] {
        &self.data[(row - self.first) * self.stride + column..]
    }
}

vectorised! {
    /// The scalar product of each of these rows of two matrices.
    fn products(left: Matrix<'_>, right: Matrix<'_>, rows: &Range<usize>) -> Vec<f32> {
        let mut found = Vec::with_capacity(rows.len());
        for row in rows.clone() {
            let right = right.row(row);
            found.push(lanes(left.row(row), |d, value| value * right[d]));
        }
        found
    }
}

/// Where the scores of one query lie in its row: those that it may see, and whole lanes around them.
#[inline(always)]
fn window(head: &Head<'_>, block: &Block, query: usize) -> (Range<usize>, Range<usize>) {
    const LANES: usize = 16;
    let keys = head.keys(&(query..query + 1));
    let seen = keys.start - block.first_key..keys.end - block.first_key;
    let whole = seen.start / LANES * LANES..seen.end.next_multiple_of(LANES);
    (seen, whole)
}

#[inline(always)]
fn fill_outside(row: &mut [f32], seen: &Range<usize>, value: f32) {
    row[..seen.start].fill(value);
    row[seen.end..].fill(value);
}

vectorised! {
    /// Scores to probabilities, row by row, zero where a query does not look; returns the log-sum-exp of each row's scores,
    /// scaled and capped.
    fn softmax(scores: &mut [f32], head: &Head<'_>, block: &Block) -> Vec<f32> {
        let scale = head.shape.scale;
        let mut sums = Vec::with_capacity(block.queries.len());
        for (query, row) in block.queries.clone().zip(scores.chunks_exact_mut(block.stride)) {
            let (seen, whole) = window(head, block, query);
            fill_outside(row, &seen, 0.0);
            let inside = seen.start - whole.start..seen.end - whole.start;
            let row = &mut row[whole];
            match head.shape.softcap {
                None => row.iter_mut().for_each(|score| *score *= scale),
                Some(cap) => row
                    .iter_mut()
                    .for_each(|score| *score = cap * tanh(*score * scale / cap)),
            }
            fill_outside(row, &inside, f32::NEG_INFINITY);
            let top = largest(row);
            for score in row.iter_mut() {
                *score = exp(*score - top);
            }
            let sum = lanes(row, |_, p| p);
            let inverse = 1.0 / sum;
            row.iter_mut().for_each(|p| *p *= inverse);
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
        head: &Head<'_>,
        block: &Block,
        rows: &[(f32, f32)],
    ) {
        let scale = head.shape.scale;
        let pairs = scores
            .chunks_exact_mut(block.stride)
            .zip(slopes.chunks_exact_mut(block.stride));
        for ((query, (scores, slopes)), &(sum, along)) in block.queries.clone().zip(pairs).zip(rows) {
            let (seen, whole) = window(head, block, query);
            let pairs = scores[whole.clone()].iter_mut().zip(&mut slopes[whole]);
            match head.shape.softcap {
                None => {
                    for (p, slope) in pairs {
                        *p = exp(p.mul_add(scale, -sum));
                        *slope = *p * (*slope - along) * scale;
                    }
                }
                Some(cap) => {
                    for (p, slope) in pairs {
                        let t = tanh(*p * scale / cap);
                        *p = exp(cap.mul_add(t, -sum));
                        *slope = *p * (*slope - along) * scale * t.mul_add(-t, 1.0);
                    }
                }
            }
            fill_outside(scores, &seen, 0.0);
            fill_outside(slopes, &seen, 0.0);
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn values(count: usize, seed: u32) -> Vec<f32> {
        let mut state = seed;
        let mut next = || {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (state >> 8) as f32 / (1 << 23) as f32 - 1.0
        };
        (0..count).map(|_| next()).collect()
    }

    /// Attention in double precision, token by token, and its gradient in closed form.
    struct Reference {
        context: Vec<f64>,
        sums: Vec<f64>,
        gradient: Vec<f64>,
    }

    fn reference(qkv: &[f32], gradient: &[f32], shape: &Heads) -> Reference {
        let (size, wide, narrow) = (shape.size, shape.width(), shape.context_width());
        let tokens = qkv.len() / wide;
        let mut found = Reference {
            context: vec![0.0; tokens * narrow],
            sums: vec![0.0; tokens * shape.heads],
            gradient: vec![0.0; qkv.len()],
        };
        let scale = f64::from(shape.scale);
        for pair in shape.offsets.windows(2) {
            for (i, head) in (pair[0]..pair[1]).flat_map(|i| (0..shape.heads).map(move |h| (i, h)))
            {
                let shared = head / (shape.heads / shape.kv_heads);
                let q = i * wide + head * size;
                let k = |j: usize| j * wide + (shape.heads + shared) * size;
                let v = |j: usize| k(j) + shape.kv_heads * size;
                let o = i * narrow + head * size;
                let dot = |a: usize, b: usize| {
                    (0..size)
                        .map(|d| f64::from(qkv[a + d]) * f64::from(qkv[b + d]))
                        .sum::<f64>()
                };
                let seen: Vec<usize> = (pair[0]..pair[1])
                    .filter(|&j| !shape.causal || j <= i)
                    .filter(|&j| shape.reach.is_none_or(|reach| i.abs_diff(j) <= reach))
                    .collect();
                let capped = |s: f64| match shape.softcap {
                    Some(cap) => f64::from(cap) * (s / f64::from(cap)).tanh(),
                    None => s,
                };
                let slope = |s: f64| match shape.softcap {
                    Some(cap) => 1.0 - (s / f64::from(cap)).tanh().powi(2),
                    None => 1.0,
                };
                let scores: Vec<f64> = seen.iter().map(|&j| scale * dot(q, k(j))).collect();
                let total: f64 = scores.iter().map(|s| capped(*s).exp()).sum();
                found.sums[i * shape.heads + head] = total.ln();
                let p: Vec<f64> = scores.iter().map(|s| capped(*s).exp() / total).collect();
                for (&j, p) in seen.iter().zip(&p) {
                    for d in 0..size {
                        found.context[o + d] += p * f64::from(qkv[v(j) + d]);
                    }
                }
                let dp = |j: usize| {
                    (0..size)
                        .map(|d| f64::from(gradient[o + d]) * f64::from(qkv[v(j) + d]))
                        .sum::<f64>()
                };
                let along: f64 = seen.iter().zip(&p).map(|(&j, p)| p * dp(j)).sum();
                for ((&j, p), s) in seen.iter().zip(&p).zip(&scores) {
                    let ds = p * (dp(j) - along) * slope(*s) * scale;
                    for d in 0..size {
                        found.gradient[q + d] += ds * f64::from(qkv[k(j) + d]);
                        found.gradient[k(j) + d] += ds * f64::from(qkv[q + d]);
                        found.gradient[v(j) + d] += p * f64::from(gradient[o + d]);
                    }
                }
            }
        }
        found
    }

    /// Shapes of every kind: grouped heads, windows, caps, sizes below, at and above a tile, lengths of several blocks.
    fn shapes() -> Vec<Heads> {
        let plain = |heads, kv_heads, size| Heads {
            offsets: vec![0, 1, 38, 43, 340],
            heads,
            kv_heads,
            size,
            scale: 0.3,
            causal: false,
            reach: None,
            softcap: None,
        };
        let causal = |heads, kv_heads, size| Heads {
            causal: true,
            ..plain(heads, kv_heads, size)
        };
        vec![
            plain(3, 3, 8),
            plain(2, 1, 32),
            Heads {
                reach: Some(7),
                ..plain(2, 2, 40)
            },
            Heads {
                reach: Some(130),
                ..plain(2, 2, 16)
            },
            causal(4, 2, 64),
            Heads {
                reach: Some(0),
                ..causal(1, 1, 12)
            },
            Heads {
                reach: Some(50),
                ..causal(2, 1, 80)
            },
            Heads {
                reach: Some(200),
                softcap: Some(0.7),
                ..causal(3, 1, 24)
            },
            Heads {
                softcap: Some(2.0),
                ..plain(2, 2, 32)
            },
        ]
    }

    // Sums of at most a few hundred float32 products of size one: 1e-5 of the largest element.
    fn close(what: &str, got: &[f32], want: &[f64]) {
        assert_eq!(got.len(), want.len(), "{what}");
        let size = want.iter().fold(0.0, |size: f64, w| size.max(w.abs()));
        for (at, (got, want)) in got.iter().zip(want).enumerate() {
            assert!(
                (f64::from(*got) - want).abs() <= 1e-5 * size,
                "{what}[{at}]: {got}, not {want}"
            );
        }
    }

    #[test]
    fn agrees_with_double_precision() {
        for shape in shapes() {
            let tokens = shape.offsets[shape.offsets.len() - 1];
            let qkv = values(tokens * shape.width(), 1);
            let gradient = values(tokens * shape.context_width(), 2);
            let want = reference(&qkv, &gradient, &shape);
            let (context, sums) = forward(&qkv, &shape);
            close(&format!("context {shape:?}"), &context, &want.context);
            close(&format!("sums {shape:?}"), &sums, &want.sums);
            let found = backward(&qkv, &context, &sums, &gradient, &shape);
            close(&format!("gradient {shape:?}"), &found, &want.gradient);
        }
    }

    // A packed batch gives each sequence what it gets alone, bit by bit, whatever the number of threads.
    #[test]
    fn neighbours_and_threads_do_not_change_a_bit() {
        for shape in shapes() {
            let tokens = shape.offsets[shape.offsets.len() - 1];
            let qkv = values(tokens * shape.width(), 1);
            let gradient = values(tokens * shape.context_width(), 2);
            let both = |qkv: &[f32], gradient: &[f32], shape: &Heads| {
                let (context, sums) = forward(qkv, shape);
                let back = backward(qkv, &context, &sums, gradient, shape);
                (context, back)
            };
            let run = |threads: usize| {
                let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build();
                pool.map(|pool| pool.install(|| both(&qkv, &gradient, &shape)))
                    .unwrap()
            };
            let whole = run(1);
            assert_eq!(whole, run(3));
            let (wide, narrow) = (shape.width(), shape.context_width());
            for pair in shape.offsets.windows(2) {
                let alone = Heads {
                    offsets: vec![0, pair[1] - pair[0]],
                    ..shape.clone()
                };
                let found = both(
                    &qkv[pair[0] * wide..pair[1] * wide],
                    &gradient[pair[0] * narrow..pair[1] * narrow],
                    &alone,
                );
                assert_eq!(found.0, whole.0[pair[0] * narrow..pair[1] * narrow]);
                assert_eq!(found.1, whole.1[pair[0] * wide..pair[1] * wide]);
            }
        }
    }
}
