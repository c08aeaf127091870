//! The one place with `unsafe` code for speed: choosing an instruction set at run time, and the matrix tile.
//!
//! Every function here computes the same bits on every instruction set: sums run in one fixed order, one fused
//! multiply-add after the other, and the vector width only decides how many independent sums run side by side.
//! [`tile_portable`] is the scalar reference; a test holds the others to it bit by bit.
#![allow(unsafe_code)]

/// Columns of a tile.
pub(super) const WIDTH: usize = 32;
/// Rows of a tile.
pub(super) const ROWS: usize = 12;
/// A block of a matrix product while it is being summed.
pub(super) type Tile = [[f32; WIDTH]; ROWS];

/// An instruction set that the running processor has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Level {
    Portable,
    #[cfg(target_arch = "x86_64")]
    Avx2,
    #[cfg(target_arch = "x86_64")]
    Avx512,
}

/// The best instruction set of this processor. The standard library remembers the answer.
#[inline]
pub(super) fn level() -> Level {
    #[cfg(target_arch = "x86_64")]
    {
        if is_x86_feature_detected!("avx512f")
            && is_x86_feature_detected!("avx512vl")
            && is_x86_feature_detected!("avx512bw")
            && is_x86_feature_detected!("avx512dq")
            && is_x86_feature_detected!("fma")
        {
            return Level::Avx512;
        }
        if is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma") {
            return Level::Avx2;
        }
    }
    Level::Portable
}

/// Defines a function whose body is compiled once per instruction set; the call goes to the best one.
macro_rules! vectorised {
    ($(#[$meta:meta])* $vis:vis fn $name:ident($($arg:ident: $ty:ty),* $(,)?) $(-> $ret:ty)? $body:block) => {
        $(#[$meta])*
        #[allow(unsafe_code)]
        $vis fn $name($($arg: $ty),*) $(-> $ret)? {
            #[inline(always)]
            fn body($($arg: $ty),*) $(-> $ret)? $body

            #[cfg(target_arch = "x86_64")]
            #[target_feature(enable = "avx2,fma,avx512f,avx512vl,avx512bw,avx512dq")]
            fn avx512($($arg: $ty),*) $(-> $ret)? {
                body($($arg),*)
            }

            #[cfg(target_arch = "x86_64")]
            #[target_feature(enable = "avx2,fma")]
            fn avx2($($arg: $ty),*) $(-> $ret)? {
                body($($arg),*)
            }

            match $crate::base::network::simd::level() {
                // SAFETY: `level` found these features on the running processor; the bodies are safe code.
                #[cfg(target_arch = "x86_64")]
                $crate::base::network::simd::Level::Avx512 => unsafe { avx512($($arg),*) },
                // SAFETY: as above.
                #[cfg(target_arch = "x86_64")]
                $crate::base::network::simd::Level::Avx2 => unsafe { avx2($($arg),*) },
                $crate::base::network::simd::Level::Portable => body($($arg),*),
            }
        }
    };
}
pub(super) use vectorised;

/// The left factor of a tile: which element row `i` has at step `k`.
#[derive(Debug, Clone, Copy)]
pub(super) enum Left<'a> {
    /// `data[i · stride + k]`: rows of a row-major matrix.
    Rows { data: &'a [f32], stride: usize },
    /// `data[k · stride + i]`: columns of a row-major matrix. Rows are read in fours, so `stride` is at least the
    /// number of rows rounded up to a multiple of four.
    Columns { data: &'a [f32], stride: usize },
}

/// `tile[i][j] += Σₖ left(i, k) · right[k · stride + j]` for `i < rows` and `j < 32` (`wide`) or `j < 16`.
///
/// Each element is summed in the order of `k` with fused multiply-adds. Rows from `rows` on are left undefined.
pub(super) fn multiply_add(
    tile: &mut Tile,
    rows: usize,
    wide: bool,
    left: Left<'_>,
    right: &[f32],
    stride: usize,
    steps: usize,
) {
    if steps == 0 {
        return;
    }
    check(rows, wide, left, right, stride, steps);
    #[cfg(target_arch = "x86_64")]
    {
        let product = Product {
            last: rows - 1,
            left,
            right: right.as_ptr(),
            stride,
            steps,
        };
        // SAFETY: `check` established that every element that a kernel of this shape touches lies inside `left` and
        // `right`; `level` found the instructions.
        match level() {
            Level::Avx512 => return unsafe { product.avx512(tile, wide) },
            Level::Avx2 => return unsafe { product.avx2(tile, wide) },
            Level::Portable => {}
        }
    }
    tile_portable(tile, rows, wide, left, right, stride, steps);
}

/// Panics unless a kernel may read what these arguments make it read.
fn check(rows: usize, wide: bool, left: Left<'_>, right: &[f32], stride: usize, steps: usize) {
    assert!((1..=ROWS).contains(&rows), "a tile has 1 to 12 rows");
    let width = if wide { WIDTH } else { WIDTH / 2 };
    assert!(
        right.len() >= (steps - 1) * stride + width,
        "the right factor is too short"
    );
    let reads = match left {
        Left::Rows { data, stride } => data.len() >= (rows - 1) * stride + steps,
        Left::Columns { data, stride } => {
            data.len() >= (steps - 1) * stride + rows.next_multiple_of(4)
        }
    };
    assert!(reads, "the left factor is too short");
}

/// The definition of [`multiply_add`], one scalar after the other.
fn tile_portable(
    tile: &mut Tile,
    rows: usize,
    wide: bool,
    left: Left<'_>,
    right: &[f32],
    stride: usize,
    steps: usize,
) {
    let width = if wide { WIDTH } else { WIDTH / 2 };
    for k in 0..steps {
        let line = &right[k * stride..][..width];
        for (i, sums) in tile.iter_mut().enumerate().take(rows) {
            let x = match left {
                Left::Rows { data, stride } => data[i * stride + k],
                Left::Columns { data, stride } => data[k * stride + i],
            };
            for (sum, y) in sums.iter_mut().zip(line) {
                *sum = x.mul_add(*y, *sum);
            }
        }
    }
}

#[cfg(target_arch = "x86_64")]
struct Product<'a> {
    last: usize,
    left: Left<'a>,
    right: *const f32,
    stride: usize,
    steps: usize,
}

#[cfg(target_arch = "x86_64")]
impl Product<'_> {
    /// Safety: the features are there and `check` passed.
    #[target_feature(enable = "avx512f")]
    unsafe fn avx512(&self, tile: &mut Tile, wide: bool) {
        // SAFETY: passed on; a kernel of M rows reads at most `rows` rounded up to a multiple of four of `Columns`,
        // and clamps to the last row of `Rows`.
        unsafe {
            match (self.last / 4, wide) {
                (0, true) => self.tile512::<4, true>(tile),
                (0, false) => self.tile512::<4, false>(tile),
                (1, true) => self.tile512::<8, true>(tile),
                (1, false) => self.tile512::<8, false>(tile),
                (_, true) => self.tile512::<12, true>(tile),
                (_, false) => self.tile512::<12, false>(tile),
            }
        }
    }

    #[target_feature(enable = "avx512f")]
    #[inline]
    unsafe fn tile512<const M: usize, const WIDE: bool>(&self, tile: &mut Tile) {
        use std::arch::x86_64::{
            _mm512_fmadd_ps, _mm512_loadu_ps, _mm512_set1_ps, _mm512_setzero_ps, _mm512_storeu_ps,
        };
        // SAFETY: a tile row has 32 elements; the factors' reads were checked by the caller.
        unsafe {
            let mut low = [_mm512_setzero_ps(); M];
            let mut high = [_mm512_setzero_ps(); M];
            for i in 0..M {
                low[i] = _mm512_loadu_ps(tile[i].as_ptr());
                if WIDE {
                    high[i] = _mm512_loadu_ps(tile[i].as_ptr().add(16));
                }
            }
            let mut line = self.right;
            macro_rules! sum {
                ($($element:tt)*) => {
                    for k in 0..self.steps {
                        let y0 = _mm512_loadu_ps(line);
                        let y1 = if WIDE { _mm512_loadu_ps(line.add(16)) } else { y0 };
                        for i in 0..M {
                            let x = _mm512_set1_ps(*$($element)*(i, k));
                            low[i] = _mm512_fmadd_ps(x, y0, low[i]);
                            if WIDE {
                                high[i] = _mm512_fmadd_ps(x, y1, high[i]);
                            }
                        }
                        line = line.wrapping_add(self.stride);
                    }
                };
            }
            match self.left {
                Left::Rows { data, stride } => {
                    let row: [*const f32; M] = std::array::from_fn(|i| {
                        data.as_ptr().wrapping_add(i.min(self.last) * stride)
                    });
                    sum!((|i: usize, k: usize| row[i].add(k)));
                }
                Left::Columns { data, stride } => {
                    let data = data.as_ptr();
                    sum!((|i: usize, k: usize| data.add(k * stride + i)));
                }
            }
            for i in 0..M {
                _mm512_storeu_ps(tile[i].as_mut_ptr(), low[i]);
                if WIDE {
                    _mm512_storeu_ps(tile[i].as_mut_ptr().add(16), high[i]);
                }
            }
        }
    }

    /// Safety: the features are there and `check` passed.
    #[target_feature(enable = "avx2,fma")]
    unsafe fn avx2(&self, tile: &mut Tile, wide: bool) {
        // SAFETY: passed on. Sixteen columns and four rows at a time fit the sixteen registers; each group of four
        // rows starts at or below the last row.
        unsafe {
            for column in (0..if wide { WIDTH } else { WIDTH / 2 }).step_by(16) {
                for row in (0..=self.last).step_by(4) {
                    self.tile256(tile, row, column);
                }
            }
        }
    }

    #[target_feature(enable = "avx2,fma")]
    #[inline]
    unsafe fn tile256(&self, tile: &mut Tile, first: usize, column: usize) {
        use std::arch::x86_64::{
            _mm256_fmadd_ps, _mm256_loadu_ps, _mm256_set1_ps, _mm256_setzero_ps, _mm256_storeu_ps,
        };
        const M: usize = 4;
        // SAFETY: `first + 4 ≤ 12` and `column + 16 ≤ 32`; the factors' reads were checked by the caller.
        unsafe {
            let mut low = [_mm256_setzero_ps(); M];
            let mut high = [_mm256_setzero_ps(); M];
            for i in 0..M {
                let sums = tile[first + i].as_ptr().add(column);
                low[i] = _mm256_loadu_ps(sums);
                high[i] = _mm256_loadu_ps(sums.add(8));
            }
            let mut line = self.right.add(column);
            macro_rules! sum {
                ($($element:tt)*) => {
                    for k in 0..self.steps {
                        let (y0, y1) = (_mm256_loadu_ps(line), _mm256_loadu_ps(line.add(8)));
                        for i in 0..M {
                            let x = _mm256_set1_ps(*$($element)*(i, k));
                            low[i] = _mm256_fmadd_ps(x, y0, low[i]);
                            high[i] = _mm256_fmadd_ps(x, y1, high[i]);
                        }
                        line = line.wrapping_add(self.stride);
                    }
                };
            }
            match self.left {
                Left::Rows { data, stride } => {
                    let row: [*const f32; M] = std::array::from_fn(|i| {
                        data.as_ptr()
                            .wrapping_add((first + i).min(self.last) * stride)
                    });
                    sum!((|i: usize, k: usize| row[i].add(k)));
                }
                Left::Columns { data, stride } => {
                    let data = data.as_ptr().add(first);
                    sum!((|i: usize, k: usize| data.add(k * stride + i)));
                }
            }
            for i in 0..M {
                let sums = tile[first + i].as_mut_ptr().add(column);
                _mm256_storeu_ps(sums, low[i]);
                _mm256_storeu_ps(sums.add(8), high[i]);
            }
        }
    }
}

/// A rectangle of a row-major matrix that one task fills while others fill theirs.
pub(super) struct Cell<'a> {
    data: *mut f32,
    stride: usize,
    /// Where the rectangle begins in the matrix.
    pub(super) first_row: usize,
    pub(super) first_column: usize,
    pub(super) rows: usize,
    pub(super) columns: usize,
    matrix: std::marker::PhantomData<&'a mut [f32]>,
}

// SAFETY: a cell is the only way to its elements while it lives, as a `&mut [f32]` would be.
unsafe impl Send for Cell<'_> {}

/// Cuts a row-major matrix into cells of `high` rows and `wide` columns, smaller ones at the ends.
pub(super) fn cells(matrix: &mut [f32], columns: usize, high: usize, wide: usize) -> Vec<Cell<'_>> {
    assert!(columns > 0 && high > 0 && wide > 0 && matrix.len().is_multiple_of(columns));
    let rows = matrix.len() / columns;
    let data = matrix.as_mut_ptr();
    let starts = (0..rows).step_by(high);
    let each = starts.flat_map(|row| (0..columns).step_by(wide).map(move |column| (row, column)));
    each.map(|(first_row, first_column)| Cell {
        data,
        stride: columns,
        first_row,
        first_column,
        rows: high.min(rows - first_row),
        columns: wide.min(columns - first_column),
        matrix: std::marker::PhantomData,
    })
    .collect()
}

impl Cell<'_> {
    /// `count` elements of row `row` from `column` on, both counted from the cell's corner.
    pub(super) fn line(&mut self, row: usize, column: usize, count: usize) -> &mut [f32] {
        assert!(row < self.rows && column + count <= self.columns);
        let at = (self.first_row + row) * self.stride + self.first_column + column;
        // SAFETY: `cells` holds the matrix mutably borrowed for as long as any cell lives; its cells do not overlap, and
        // the assertion keeps the slice inside this one, which is borrowed mutably itself.
        unsafe { std::slice::from_raw_parts_mut(self.data.add(at), count) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Values of mixed sign and size, the same every time.
    fn values(count: usize, seed: u32) -> Vec<f32> {
        let mut state = seed;
        let mut next = || {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (state >> 8) as f32 / (1 << 23) as f32 - 1.0
        };
        (0..count).map(|_| next()).collect()
    }

    #[test]
    fn every_instruction_set_gives_the_bits_of_the_scalar_reference() {
        let steps = 37;
        let right = values(steps * 40, 1);
        let data = values(steps * 40, 2);
        for rows in 1..=ROWS {
            for wide in [false, true] {
                for left in [
                    Left::Rows {
                        data: &data,
                        stride: 40,
                    },
                    Left::Columns {
                        data: &data,
                        stride: 40,
                    },
                ] {
                    let start: Tile =
                        std::array::from_fn(|i| std::array::from_fn(|j| (i * 32 + j) as f32));
                    let mut expected = start;
                    tile_portable(&mut expected, rows, wide, left, &right, 40, steps);
                    let width = if wide { WIDTH } else { WIDTH / 2 };
                    for (name, got) in on_every_level(start, rows, wide, left, &right, 40, steps) {
                        for i in 0..rows {
                            assert_eq!(
                                got[i][..width],
                                expected[i][..width],
                                "{name} rows {rows} wide {wide} {i}"
                            );
                        }
                    }
                }
            }
        }
    }

    fn on_every_level(
        start: Tile,
        rows: usize,
        wide: bool,
        left: Left<'_>,
        right: &[f32],
        stride: usize,
        steps: usize,
    ) -> Vec<(&'static str, Tile)> {
        let mut tiles = Vec::new();
        let mut best = start;
        multiply_add(&mut best, rows, wide, left, right, stride, steps);
        tiles.push(("best", best));
        #[cfg(target_arch = "x86_64")]
        if level() != Level::Portable {
            check(rows, wide, left, right, stride, steps);
            let product = Product {
                last: rows - 1,
                left,
                right: right.as_ptr(),
                stride,
                steps,
            };
            let mut tile = start;
            // SAFETY: checked above; both higher levels have AVX2 and FMA.
            unsafe { product.avx2(&mut tile, wide) };
            tiles.push(("avx2", tile));
        }
        tiles
    }

    #[test]
    fn cells_cover_a_matrix_once() {
        let (rows, columns) = (7, 10);
        let mut matrix = vec![0.0; rows * columns];
        let mut all = cells(&mut matrix, columns, 3, 4);
        assert_eq!(all.len(), 9);
        for (number, cell) in all.iter_mut().enumerate() {
            for row in 0..cell.rows {
                let whole = cell.columns;
                cell.line(row, 0, whole)
                    .iter_mut()
                    .for_each(|v| *v += 1.0 + number as f32);
            }
        }
        let want = |at: usize| 1.0 + (at / columns / 3 * 3 + at % columns / 4) as f32;
        assert_eq!(matrix, (0..rows * columns).map(want).collect::<Vec<f32>>());
    }

    #[test]
    #[should_panic(expected = "assertion failed")]
    fn a_line_ends_with_its_cell() {
        cells(&mut [0.0; 8], 4, 1, 2)[0].line(0, 1, 2);
    }

    #[test]
    #[should_panic(expected = "too short")]
    fn a_short_factor_is_refused() {
        let left = Left::Rows {
            data: &[0.0; 7],
            stride: 4,
        };
        multiply_add(&mut [[0.0; 32]; 12], 2, true, left, &[0.0; 128], 32, 4);
    }
}
