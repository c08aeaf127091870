//! Matrix products whose result does not depend on the number of threads.
//!
//! Every element is one sum in the order of the inner index, so how rows and columns are dealt out to threads cannot
//! change a bit. Right factors are stored in panels of 32 columns, which is what the tile reads.

use std::ops::Range;

use rayon::prelude::*;

use super::simd::{self, Left, ROWS, Tile, WIDTH};

/// A right factor `[depth × columns]` in panels of 32 columns, the last one filled up with zeros.
#[derive(Debug, Clone)]
pub(super) struct Panels {
    data: Vec<f32>,
    depth: usize,
    columns: usize,
    /// The steps of each panel outside which it is zero.
    kept: Vec<Range<usize>>,
}

impl Panels {
    /// All zero.
    pub(super) fn zeros(depth: usize, columns: usize) -> Self {
        let count = columns.div_ceil(WIDTH);
        Self {
            data: vec![0.0; count * depth * WIDTH],
            depth,
            columns,
            kept: vec![0..depth; count],
        }
    }

    /// Sets the elements of row `k` from the first on.
    pub(super) fn put_row(&mut self, k: usize, values: &[f32]) {
        for (panel, values) in values.chunks(WIDTH).enumerate() {
            let at = (panel * self.depth + k) * WIDTH;
            self.data[at..at + values.len()].copy_from_slice(values);
        }
    }

    /// Sets the elements of column `j` from row `first` on.
    pub(super) fn put_column(&mut self, j: usize, first: usize, values: impl Iterator<Item = f32>) {
        let at = (j / WIDTH * self.depth + first) * WIDTH + j % WIDTH;
        let slots = self.data[at..].iter_mut().step_by(WIDTH);
        slots.zip(values).for_each(|(slot, value)| *slot = value);
    }

    /// Promises that the columns `first..first + count` are zero outside the steps `kept`: they are then left out.
    pub(super) fn keep(&mut self, first: usize, count: usize, kept: &Range<usize>) {
        for panel in first.div_ceil(WIDTH)..(first + count) / WIDTH {
            self.kept[panel] = kept.clone();
        }
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

    /// From the row-major matrix `[columns × depth]`: the right factor is its transpose, as in `x·Wᵀ`.
    pub(super) fn of_transposed(matrix: &[f32], columns: usize, depth: usize) -> Self {
        assert_eq!(matrix.len(), depth * columns);
        let mut panels = Self::zeros(depth, columns);
        for (j, row) in matrix.chunks_exact(depth).enumerate() {
            panels.put_column(j, 0, row.iter().copied());
        }
        panels
    }

    /// The transpose, in panels again.
    pub(super) fn transpose(&self) -> Self {
        let mut across = Self::zeros(self.columns, self.depth);
        for j in 0..self.columns {
            let at = j / WIDTH * self.depth * WIDTH + j % WIDTH;
            let column: Vec<f32> = self.data[at..]
                .iter()
                .step_by(WIDTH)
                .take(self.depth)
                .copied()
                .collect();
            across.put_row(j, &column);
        }
        across
    }

    fn panel(&self, panel: usize) -> &[f32] {
        &self.data[panel * self.depth * WIDTH..][..self.depth * WIDTH]
    }
}

/// One summand `left · right` of a product.
#[derive(Debug, Clone, Copy)]
pub(super) struct Term<'a> {
    /// Row-major, `[rows × stride]`, of which the first `right.depth` columns count.
    pub(super) left: &'a [f32],
    pub(super) stride: usize,
    pub(super) right: &'a Panels,
}

/// Rows that are worked on together: their left factor stays in the cache while the panels pass by.
const BAND: usize = 42 * ROWS;

/// `bias + Σ terms`, row-major `[rows × columns]`. Without a bias, sums start at zero.
pub(super) fn product(
    rows: usize,
    columns: usize,
    bias: Option<&[f32]>,
    terms: &[Term<'_>],
) -> Vec<f32> {
    let mut out = vec![0.0; rows * columns];
    for (band, out) in out.chunks_mut((BAND * columns).max(1)).enumerate() {
        let (high, wide) = cell_size(out.len() / columns, columns);
        simd::cells(out, columns, high, wide)
            .into_par_iter()
            .for_each(|cell| fill(cell, band * BAND, bias, terms));
    }
    out
}

/// Cells that keep all threads busy: whole columns where there are enough panels, so that each panel is read once.
fn cell_size(rows: usize, columns: usize) -> (usize, usize) {
    let tasks = 3 * rayon::current_num_threads();
    let panels = columns.div_ceil(WIDTH);
    let wide = (panels / tasks).max(1);
    let across = panels.div_ceil(wide);
    let tiles = rows.div_ceil(ROWS);
    let high = tiles.div_ceil(tasks.div_ceil(across)).max(1);
    (high * ROWS, wide * WIDTH)
}

/// Sums all terms into a cell of the band that begins at row `first`.
fn fill(mut cell: simd::Cell<'_>, first: usize, bias: Option<&[f32]>, terms: &[Term<'_>]) {
    for column in (0..cell.columns).step_by(WIDTH) {
        let used = WIDTH.min(cell.columns - column);
        let panel = (cell.first_column + column) / WIDTH;
        for row in (0..cell.rows).step_by(ROWS) {
            let height = ROWS.min(cell.rows - row);
            let mut tile = start(bias, panel * WIDTH, used);
            for Term {
                left,
                stride,
                right,
            } in terms
            {
                let kept = &right.kept[panel];
                let left = Left::Rows {
                    data: &left[(first + cell.first_row + row) * stride + kept.start..],
                    stride: *stride,
                };
                let lines = &right.panel(panel)[kept.start * WIDTH..];
                let wide = used > WIDTH / 2;
                simd::multiply_add(&mut tile, height, wide, left, lines, WIDTH, kept.len());
            }
            for (i, sums) in tile.iter().enumerate().take(height) {
                cell.line(row + i, column, used)
                    .copy_from_slice(&sums[..used]);
            }
        }
    }
}

fn start(bias: Option<&[f32]>, column: usize, used: usize) -> Tile {
    let mut line = [0.0; WIDTH];
    if let Some(bias) = bias {
        line[..used].copy_from_slice(&bias[column..][..used]);
    }
    [line; ROWS]
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
                right: &right,
            };
            let got = product(rows, columns, Some(&bias), &[term]);
            let want = expected(
                rows,
                columns,
                depth,
                Some(&bias),
                |i, k| x[i * depth + k],
                |k, j| w[j * depth + k],
            );
            assert_eq!(got, want, "{rows} {columns} {depth}");
            // The transpose of the transpose, and the other way of building it.
            assert_eq!(right.transpose().transpose().data, right.data);
            assert_eq!(Panels::of(&w, columns, depth).data, right.transpose().data);
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
                right: &right,
            };
            pool.map(|pool| pool.install(|| product(rows, columns, None, &[term])))
                .ok()
        };
        assert_eq!(run(1), run(3));
    }
}
