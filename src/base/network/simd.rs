//! `unsafe` code for speed: choosing an instruction set at run time, and the matrix tile.
//!
//! Every function here computes the same bits on every instruction set: sums run in one fixed order, one fused
//! multiply-add after the other, and the vector width only decides how many independent sums run side by side.
//! [`multiply_add_portable`] is the scalar reference; a test holds the others to it bit by bit.
#![allow(unsafe_code)]

#[cfg(target_arch = "x86_64")]
use std::arch::x86_64::{__m512, _mm512_loadu_ps, _mm512_setzero_ps, _mm512_storeu_ps};
use std::mem::MaybeUninit;

use rayon::prelude::*;

/// Columns of a tile.
pub(super) const WIDTH: usize = 32;
/// Rows of a tile.
pub(super) const ROWS: usize = 12;
/// A block of a matrix product while it is being summed.
pub(super) type Tile = [[f32; WIDTH]; ROWS];

/// Rows of 32 sums each, wherever they lie.
pub(super) struct Sums<'a> {
    pub(super) data: *mut f32,
    /// Elements from one row to the next.
    pub(super) apart: usize,
    pub(super) rows: usize,
    lines: std::marker::PhantomData<&'a mut [f32]>,
}

impl<'a> Sums<'a> {
    pub(super) fn of(lines: &'a mut [[f32; WIDTH]]) -> Self {
        Self {
            data: lines.as_mut_ptr().cast(),
            apart: WIDTH,
            rows: lines.len(),
            lines: std::marker::PhantomData,
        }
    }

    /// The same sums, for less long.
    pub(super) fn reborrow(&mut self) -> Sums<'_> {
        Sums { ..*self }
    }

    pub(super) fn line(&mut self, row: usize) -> &mut [f32] {
        assert!(row < self.rows);
        // SAFETY: each row has 32 elements that are borrowed for as long as `self` is.
        unsafe { std::slice::from_raw_parts_mut(self.data.add(row * self.apart), WIDTH) }
    }

    /// The left and, where `WIDE`, the right half of `M` rows; the last row stands for those that there are not.
    #[cfg(target_arch = "x86_64")]
    #[target_feature(enable = "avx512f")]
    #[inline]
    fn load<const M: usize, const WIDE: bool>(&self) -> [[__m512; M]; 2] {
        let mut low = [_mm512_setzero_ps(); M];
        let mut high = low;
        for i in 0..M {
            // SAFETY: the row is one of the sums and has 32 elements.
            unsafe {
                let row = self.data.add(i.min(self.rows - 1) * self.apart);
                low[i] = _mm512_loadu_ps(row);
                if WIDE {
                    high[i] = _mm512_loadu_ps(row.add(16));
                }
            }
        }
        [low, high]
    }

    /// Puts what [`load`](Self::load) took.
    #[cfg(target_arch = "x86_64")]
    #[target_feature(enable = "avx512f")]
    #[inline]
    fn store<const M: usize, const WIDE: bool>(&self, low: [__m512; M], high: [__m512; M]) {
        for i in 0..M {
            if i == self.rows {
                break;
            }
            // SAFETY: the row is one of the sums and has 32 elements.
            unsafe {
                let row = self.data.add(i * self.apart);
                _mm512_storeu_ps(row, low[i]);
                if WIDE {
                    _mm512_storeu_ps(row.add(16), high[i]);
                }
            }
        }
    }
}

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

/// Whether this processor multiplies pairs of bf16 numbers.
#[inline]
pub(super) fn has_pairs() -> bool {
    #[cfg(target_arch = "x86_64")]
    {
        level() == Level::Avx512 && is_x86_feature_detected!("avx512bf16")
    }
    #[cfg(not(target_arch = "x86_64"))]
    {
        false
    }
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

/// `sums[i][j] += Σₖ left(i, k) · right[k · stride + j]` for at most 12 rows and `j < 32` (`wide`) or `j < 16`.
///
/// Each element is summed in the order of `k` with fused multiply-adds.
pub(super) fn multiply_add(
    sums: Sums<'_>,
    wide: bool,
    left: Left<'_>,
    right: &[f32],
    stride: usize,
    steps: usize,
) {
    if steps == 0 {
        return;
    }
    check(sums.rows, wide, left, right, stride, steps);
    #[cfg(target_arch = "x86_64")]
    {
        let product = Product {
            left,
            right: right.as_ptr(),
            stride,
            steps,
        };
        // SAFETY: `check` established that every element that a kernel of this shape touches lies inside `left` and
        // `right`; `level` found the instructions.
        match level() {
            Level::Avx512 => return unsafe { product.avx512(sums, wide) },
            Level::Avx2 => return unsafe { product.avx2(sums, wide) },
            Level::Portable => {}
        }
    }
    multiply_add_portable(sums, wide, left, right, stride, steps);
}

/// [`multiply_add`] of pairs of bf16 numbers, two steps each: the odd step in the high half of a pair is added first.
///
/// `left` is `[rows × left_stride]` pairs, `right` `[steps × 32]`. Only where [`has_pairs`]; the bits are those of
/// [`multiply_add`] over the same numbers in the same order, except that the processor takes subnormal numbers for zero.
pub(super) fn multiply_add_pairs(
    sums: Sums<'_>,
    wide: bool,
    left: &[u32],
    left_stride: usize,
    right: &[u32],
    steps: usize,
) {
    assert!(has_pairs(), "the processor has no bf16 products");
    if steps == 0 {
        return;
    }
    assert!((1..=ROWS).contains(&sums.rows), "a tile has 1 to 12 rows");
    assert!(
        right.len() >= steps * WIDTH,
        "the right factor is too short"
    );
    assert!(
        left.len() >= (sums.rows - 1) * left_stride + steps,
        "the left factor is too short"
    );
    #[cfg(target_arch = "x86_64")]
    {
        let product = PairProduct {
            left: left.as_ptr(),
            left_stride,
            right: right.as_ptr(),
            steps,
        };
        // SAFETY: the instructions are there, and the assertions cover every element that a kernel of this shape reads.
        unsafe { product.avx512(sums, wide) }
    }
    #[cfg(not(target_arch = "x86_64"))]
    let _ = wide;
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
fn multiply_add_portable(
    mut sums: Sums<'_>,
    wide: bool,
    left: Left<'_>,
    right: &[f32],
    stride: usize,
    steps: usize,
) {
    let width = if wide { WIDTH } else { WIDTH / 2 };
    for k in 0..steps {
        let line = &right[k * stride..][..width];
        for i in 0..sums.rows {
            let x = match left {
                Left::Rows { data, stride } => data[i * stride + k],
                Left::Columns { data, stride } => data[k * stride + i],
            };
            for (sum, y) in sums.line(i).iter_mut().zip(line) {
                *sum = x.mul_add(*y, *sum);
            }
        }
    }
}

#[cfg(target_arch = "x86_64")]
struct Product<'a> {
    left: Left<'a>,
    right: *const f32,
    stride: usize,
    steps: usize,
}

#[cfg(target_arch = "x86_64")]
impl Product<'_> {
    /// Safety: the features are there and `check` passed.
    #[target_feature(enable = "avx512f")]
    unsafe fn avx512(&self, sums: Sums<'_>, wide: bool) {
        // SAFETY: passed on; a kernel of M rows reads at most `rows` rounded up to a multiple of four of `Columns`,
        // and clamps to the last row of `Rows`.
        unsafe {
            match ((sums.rows - 1) / 4, wide) {
                (0, true) => self.tile512::<4, true>(sums),
                (0, false) => self.tile512::<4, false>(sums),
                (1, true) => self.tile512::<8, true>(sums),
                (1, false) => self.tile512::<8, false>(sums),
                (_, true) => self.tile512::<12, true>(sums),
                (_, false) => self.tile512::<12, false>(sums),
            }
        }
    }

    #[target_feature(enable = "avx512f")]
    #[inline]
    unsafe fn tile512<const M: usize, const WIDE: bool>(&self, sums: Sums<'_>) {
        use std::arch::x86_64::{_mm512_fmadd_ps, _mm512_set1_ps};
        // SAFETY: the factors' reads were checked by the caller; left rows are clamped to the last one.
        unsafe {
            let [mut low, mut high] = sums.load::<M, WIDE>();
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
                        data.as_ptr().wrapping_add(i.min(sums.rows - 1) * stride)
                    });
                    sum!((|i: usize, k: usize| row[i].add(k)));
                }
                Left::Columns { data, stride } => {
                    let data = data.as_ptr();
                    sum!((|i: usize, k: usize| data.add(k * stride + i)));
                }
            }
            sums.store::<M, WIDE>(low, high);
        }
    }

    /// Safety: the features are there and `check` passed.
    #[target_feature(enable = "avx2,fma")]
    unsafe fn avx2(&self, sums: Sums<'_>, wide: bool) {
        // SAFETY: passed on. Sixteen columns and four rows at a time fit the sixteen registers; each group of four
        // rows starts at or below the last row.
        unsafe {
            for column in (0..if wide { WIDTH } else { WIDTH / 2 }).step_by(16) {
                for row in (0..sums.rows).step_by(4) {
                    self.tile256(&sums, row, column);
                }
            }
        }
    }

    #[target_feature(enable = "avx2,fma")]
    #[inline]
    unsafe fn tile256(&self, sums: &Sums<'_>, first: usize, column: usize) {
        use std::arch::x86_64::{
            _mm256_fmadd_ps, _mm256_loadu_ps, _mm256_set1_ps, _mm256_setzero_ps, _mm256_storeu_ps,
        };
        const M: usize = 4;
        // SAFETY: `column + 16 ≤ 32`, and rows are clamped to the last one; the factors' reads were checked by the caller.
        unsafe {
            let mut low = [_mm256_setzero_ps(); M];
            let mut high = [_mm256_setzero_ps(); M];
            for i in 0..M {
                let row = (first + i).min(sums.rows - 1);
                let sums = sums.data.add(row * sums.apart + column);
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
                            .wrapping_add((first + i).min(sums.rows - 1) * stride)
                    });
                    sum!((|i: usize, k: usize| row[i].add(k)));
                }
                Left::Columns { data, stride } => {
                    let data = data.as_ptr().add(first);
                    sum!((|i: usize, k: usize| data.add(k * stride + i)));
                }
            }
            for i in 0..M {
                if first + i == sums.rows {
                    break;
                }
                let sums = sums.data.add((first + i) * sums.apart + column);
                _mm256_storeu_ps(sums, low[i]);
                _mm256_storeu_ps(sums.add(8), high[i]);
            }
        }
    }
}

#[cfg(target_arch = "x86_64")]
struct PairProduct {
    left: *const u32,
    left_stride: usize,
    right: *const u32,
    steps: usize,
}

#[cfg(target_arch = "x86_64")]
impl PairProduct {
    /// Safety: the features are there and the reads were checked.
    #[target_feature(enable = "avx512f,avx512bf16")]
    unsafe fn avx512(&self, sums: Sums<'_>, wide: bool) {
        // SAFETY: passed on; rows are clamped to the last one.
        unsafe {
            match ((sums.rows - 1) / 4, wide) {
                (0, true) => self.tile::<4, true>(sums),
                (0, false) => self.tile::<4, false>(sums),
                (1, true) => self.tile::<8, true>(sums),
                (1, false) => self.tile::<8, false>(sums),
                (_, true) => self.tile::<12, true>(sums),
                (_, false) => self.tile::<12, false>(sums),
            }
        }
    }

    #[target_feature(enable = "avx512f,avx512bf16")]
    #[inline]
    unsafe fn tile<const M: usize, const WIDE: bool>(&self, sums: Sums<'_>) {
        use std::arch::x86_64::{
            __m512bh, __m512i, _mm512_dpbf16_ps, _mm512_loadu_si512, _mm512_set1_epi32,
        };
        // SAFETY: as above; sixteen pairs are thirty-two bf16 numbers.
        unsafe {
            let pairs = |bits: __m512i| std::mem::transmute::<__m512i, __m512bh>(bits);
            let [mut low, mut high] = sums.load::<M, WIDE>();
            let row: [*const u32; M] = std::array::from_fn(|i| {
                self.left
                    .wrapping_add(i.min(sums.rows - 1) * self.left_stride)
            });
            let mut line = self.right;
            for k in 0..self.steps {
                let y0 = pairs(_mm512_loadu_si512(line.cast()));
                let y1 = if WIDE {
                    pairs(_mm512_loadu_si512(line.add(16).cast()))
                } else {
                    y0
                };
                for i in 0..M {
                    let x = pairs(_mm512_set1_epi32(*row[i].add(k) as i32));
                    low[i] = _mm512_dpbf16_ps(low[i], x, y0);
                    if WIDE {
                        high[i] = _mm512_dpbf16_ps(high[i], x, y1);
                    }
                }
                line = line.wrapping_add(WIDTH);
            }
            sums.store::<M, WIDE>(low, high);
        }
    }
}

/// `count` zeros that all threads put there: for one alone it takes as long as they need to compute on them.
pub(super) fn zeros(count: usize) -> Vec<f32> {
    const PIECE: usize = 64 * 1024;
    let mut room: Vec<f32> = Vec::with_capacity(count);
    room.spare_capacity_mut()[..count]
        .par_chunks_mut(PIECE)
        .for_each(|piece| piece.fill(MaybeUninit::new(0.0)));
    // SAFETY: the first `count` have been written.
    unsafe { room.set_len(count) }
    room
}

/// Copies a line that is often as short as a tile's, without a call for each eight elements.
#[inline(always)]
pub(super) fn copy(from: &[f32], to: &mut [f32]) {
    assert_eq!(from.len(), to.len());
    let (whole, rest) = from.as_chunks::<8>();
    let (whole_to, rest_to) = to.as_chunks_mut::<8>();
    for (from, to) in whole.iter().zip(whole_to) {
        *to = *from;
    }
    if !rest.is_empty() {
        rest_to.copy_from_slice(rest);
    }
}

/// `out[k · 32 + lane] = rows[lane · stride + k]`, zero from lane `used` on: rows become the columns of a panel.
pub(super) fn transpose(rows: &[f32], stride: usize, used: usize, out: &mut [f32]) {
    let depth = out.len() / WIDTH;
    if depth == 0 {
        return;
    }
    assert!(used <= WIDTH, "a panel has 32 columns");
    assert!(
        used == 0 || rows.len() >= (used - 1) * stride + depth,
        "the rows are too short"
    );
    #[cfg(target_arch = "x86_64")]
    if level() == Level::Avx512 {
        for lane in [0, 16] {
            for k in (0..depth).step_by(16) {
                let block = Square {
                    from: rows.as_ptr().wrapping_add(lane * stride + k),
                    stride,
                    rows: used.saturating_sub(lane).min(16),
                    columns: (depth - k).min(16),
                    to: out[k * WIDTH + lane..].as_mut_ptr(),
                };
                // SAFETY: the instructions are there; the block's rows and columns lie inside `rows`, and its columns
                // are lines of `out`, each of which has 16 elements from `lane` on.
                unsafe { block.turn() };
            }
        }
        return;
    }
    for lane in 0..WIDTH {
        let slots = out[lane..].iter_mut().step_by(WIDTH);
        if lane < used {
            let row = &rows[lane * stride..][..depth];
            slots.zip(row).for_each(|(slot, value)| *slot = *value);
        } else {
            slots.for_each(|slot| *slot = 0.0);
        }
    }
}

/// A block of at most sixteen lines of pairs of bf16 numbers, transposed: what lay in one pair lies in one line, and the
/// other way round. The block is sixteen lines to `out`, those that it lacks zero.
pub(super) fn turn_pairs(block: &[u32], out: &mut [u32]) {
    const LINES: usize = WIDTH / 2;
    assert!(block.len() <= LINES * WIDTH && out.len() == LINES * WIDTH);
    #[cfg(target_arch = "x86_64")]
    if level() == Level::Avx512 && block.len() == out.len() {
        // SAFETY: the instructions are there, and both are of sixteen lines.
        return unsafe { turn_pairs_avx512(block.as_ptr().cast(), out.as_mut_ptr().cast()) };
    }
    for i in 0..LINES {
        for j in 0..LINES {
            let at = i * WIDTH + 2 * j;
            let two = block.get(at..at + 2).unwrap_or(&[0, 0]);
            out[j * WIDTH + 2 * i] = two[0] & 0xffff | two[1] << 16;
            out[j * WIDTH + 2 * i + 1] = two[0] >> 16 | two[1] & 0xffff_0000;
        }
    }
}

/// [`turn_pairs`] of sixteen lines, each of them sixteen times two pairs.
///
/// Safety: AVX-512 is there, sixteen lines of sixteen can be read and written.
#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx512f,avx512bw")]
unsafe fn turn_pairs_avx512(block: *const u64, out: *mut u64) {
    use std::arch::x86_64::{
        __m512i, _mm512_loadu_si512, _mm512_set4_epi32, _mm512_setzero_si512, _mm512_shuffle_epi8,
        _mm512_shuffle_i64x2, _mm512_storeu_si512, _mm512_unpackhi_epi64, _mm512_unpacklo_epi64,
    };
    const LINES: usize = WIDTH / 2;
    // The two numbers in the middle of two pairs change places.
    let swap = _mm512_set4_epi32(0x0f0e_0b0a, 0x0d0c_0908, 0x0706_0302, 0x0504_0100);
    for (i, j) in [(0, 0), (0, 8), (8, 0), (8, 8)] {
        let mut a: [__m512i; 8] = std::array::from_fn(|k| {
            // SAFETY: eight of a line.
            let two_pairs = unsafe { _mm512_loadu_si512(block.add((i + k) * LINES + j).cast()) };
            _mm512_shuffle_epi8(two_pairs, swap)
        });
        let mut b = [_mm512_setzero_si512(); 8];
        for k in (0..8).step_by(2) {
            b[k] = _mm512_unpacklo_epi64(a[k], a[k + 1]);
            b[k + 1] = _mm512_unpackhi_epi64(a[k], a[k + 1]);
        }
        // Every other quarter of four lines, then of all eight.
        for k in [0, 1, 4, 5] {
            a[k] = _mm512_shuffle_i64x2::<0x88>(b[k], b[k + 2]);
            a[k + 2] = _mm512_shuffle_i64x2::<0xdd>(b[k], b[k + 2]);
        }
        for k in 0..4 {
            b[k] = _mm512_shuffle_i64x2::<0x88>(a[k], a[k + 4]);
            b[k + 4] = _mm512_shuffle_i64x2::<0xdd>(a[k], a[k + 4]);
        }
        for (k, line) in b.into_iter().enumerate() {
            // SAFETY: eight of a line.
            unsafe { _mm512_storeu_si512(out.add((j + k) * LINES + i).cast(), line) }
        }
    }
}

/// At most 16 × 16 elements on their way to lines of 32.
#[cfg(target_arch = "x86_64")]
struct Square {
    from: *const f32,
    stride: usize,
    rows: usize,
    columns: usize,
    to: *mut f32,
}

#[cfg(target_arch = "x86_64")]
impl Square {
    /// Safety: AVX-512 is there, `rows` rows of `columns` elements can be read, `columns` lines of 16 written.
    #[target_feature(enable = "avx512f")]
    unsafe fn turn(&self) {
        use std::arch::x86_64::{
            _mm512_castpd_ps, _mm512_castps_pd, _mm512_maskz_loadu_ps, _mm512_setzero_ps,
            _mm512_shuffle_f32x4, _mm512_storeu_ps, _mm512_unpackhi_pd, _mm512_unpackhi_ps,
            _mm512_unpacklo_pd, _mm512_unpacklo_ps,
        };
        // SAFETY: masked loads touch only the columns that are there; stores were checked by the caller.
        unsafe {
            let mask = ((1u32 << self.columns) - 1) as u16;
            let mut a = [_mm512_setzero_ps(); 16];
            for (i, row) in a.iter_mut().enumerate().take(self.rows) {
                *row = _mm512_maskz_loadu_ps(mask, self.from.wrapping_add(i * self.stride));
            }
            let mut b = a;
            for i in (0..16).step_by(2) {
                b[i] = _mm512_unpacklo_ps(a[i], a[i + 1]);
                b[i + 1] = _mm512_unpackhi_ps(a[i], a[i + 1]);
            }
            // Four columns of four rows in each quarter of a register.
            for i in (0..16).step_by(4) {
                for half in 0..2 {
                    let (x, y) = (
                        _mm512_castps_pd(b[i + half]),
                        _mm512_castps_pd(b[i + half + 2]),
                    );
                    a[i + 2 * half] = _mm512_castpd_ps(_mm512_unpacklo_pd(x, y));
                    a[i + 2 * half + 1] = _mm512_castpd_ps(_mm512_unpackhi_pd(x, y));
                }
            }
            for i in 0..4 {
                b[i] = _mm512_shuffle_f32x4::<0x88>(a[i], a[i + 4]);
                b[i + 4] = _mm512_shuffle_f32x4::<0xdd>(a[i], a[i + 4]);
                b[i + 8] = _mm512_shuffle_f32x4::<0x88>(a[i + 8], a[i + 12]);
                b[i + 12] = _mm512_shuffle_f32x4::<0xdd>(a[i + 8], a[i + 12]);
            }
            for i in 0..8 {
                a[i] = _mm512_shuffle_f32x4::<0x88>(b[i], b[i + 8]);
                a[i + 8] = _mm512_shuffle_f32x4::<0xdd>(b[i], b[i + 8]);
            }
            for (i, line) in a.iter().enumerate().take(self.columns) {
                _mm512_storeu_ps(self.to.wrapping_add(i * WIDTH), *line);
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

/// Appends rows to a row-major matrix. Tasks fill them in cells of `high` rows and `wide` columns, smaller ones at the ends,
/// which hold zeros at first: each task puts those of its own cell, so that they are in its core's cache.
pub(super) fn append_rows<R>(
    matrix: &mut Vec<f32>,
    (rows, columns): (usize, usize),
    (high, wide): (usize, usize),
    room: impl Fn() -> R + Send + Sync,
    fill: impl Fn(&mut R, Cell<'_>) + Send + Sync,
) {
    let ends: Vec<usize> = (1..=rows.div_ceil(high))
        .map(|band| rows.min(band * high))
        .collect();
    let (before, count) = (matrix.len(), rows * columns);
    matrix.reserve(count);
    let new = &mut matrix.spare_capacity_mut()[..count];
    cut(new.as_mut_ptr().cast(), columns, &ends, wide)
        .into_par_iter()
        .for_each_init(room, |room, mut cell| {
            cell.clear();
            fill(room, cell);
        });
    // SAFETY: the cells cover the new rows, and all of them have been cleared.
    unsafe { matrix.set_len(before + count) }
}

/// Cuts a row-major matrix into cells of `wide` columns, a smaller one at the end, whose rows end at `ends`; the last of
/// them is the number of rows. Cells of the same rows follow each other.
pub(super) fn cells_between<'a>(
    matrix: &'a mut [f32],
    columns: usize,
    ends: &[usize],
    wide: usize,
) -> Vec<Cell<'a>> {
    assert!(columns > 0 && matrix.len().is_multiple_of(columns));
    assert!(ends.last().is_none_or(|end| *end == matrix.len() / columns));
    cut(matrix.as_mut_ptr(), columns, ends, wide)
}

/// [`cells_between`] of a matrix that begins at `data`, which nobody else reads or writes while a cell lives.
fn cut<'a>(data: *mut f32, columns: usize, ends: &[usize], wide: usize) -> Vec<Cell<'a>> {
    assert!(wide > 0 && ends.is_sorted());
    let starts = std::iter::once(0).chain(ends.iter().copied());
    let bands = starts.zip(ends).filter(|(start, end)| start < *end);
    let each = bands.flat_map(|band| (0..columns).step_by(wide).map(move |column| (band, column)));
    each.map(|((first_row, end), first_column)| Cell {
        data,
        stride: columns,
        first_row,
        first_column,
        rows: end - first_row,
        columns: wide.min(columns - first_column),
        matrix: std::marker::PhantomData,
    })
    .collect()
}

impl Cell<'_> {
    /// Makes every element zero, whether there was one or not.
    fn clear(&mut self) {
        for row in 0..self.rows {
            let at = (self.first_row + row) * self.stride + self.first_column;
            // SAFETY: the row of the cell, which is nobody else's.
            unsafe { self.data.add(at).write_bytes(0, self.columns) }
        }
    }

    /// `count` elements of row `row` from `column` on, both counted from the cell's corner.
    pub(super) fn line(&mut self, row: usize, column: usize, count: usize) -> &mut [f32] {
        assert!(row < self.rows && column + count <= self.columns);
        let at = (self.first_row + row) * self.stride + self.first_column + column;
        // SAFETY: `cells` holds the matrix mutably borrowed for as long as any cell lives; its cells do not overlap, and
        // the assertion keeps the slice inside this one, which is borrowed mutably itself.
        unsafe { std::slice::from_raw_parts_mut(self.data.add(at), count) }
    }

    /// Has `work` done on 32 columns of at most `N` rows: where they lie or, where the cell ends before, in a copy.
    pub(super) fn on_sums<const N: usize>(
        &mut self,
        (row, column): (usize, usize),
        rows: usize,
        work: impl FnOnce(Sums<'_>),
    ) {
        let used = WIDTH.min(self.columns - column);
        if used == WIDTH {
            return work(self.sums(row, column, rows));
        }
        let mut edge = [[0.0; WIDTH]; N];
        for (i, sums) in edge.iter_mut().enumerate().take(rows) {
            copy(self.line(row + i, column, used), &mut sums[..used]);
        }
        work(Sums::of(&mut edge[..rows]));
        for (i, sums) in edge.iter().enumerate().take(rows) {
            copy(&sums[..used], self.line(row + i, column, used));
        }
    }

    /// 32 columns of some rows. Like [`line`](Self::line), they are read and written through this alone while the borrow
    /// lasts.
    fn sums(&mut self, row: usize, column: usize, rows: usize) -> Sums<'_> {
        assert!(row + rows <= self.rows && column + WIDTH <= self.columns);
        let at = (self.first_row + row) * self.stride + self.first_column + column;
        Sums {
            // SAFETY: the assertion keeps it inside the matrix.
            data: unsafe { self.data.add(at) },
            apart: self.stride,
            rows,
            lines: std::marker::PhantomData,
        }
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
                    let sums = Sums::of(&mut expected[..rows]);
                    multiply_add_portable(sums, wide, left, &right, 40, steps);
                    let width = if wide { WIDTH } else { WIDTH / 2 };
                    for (name, got) in on_every_level(start, rows, wide, left, &right, 40, steps) {
                        for i in 0..rows {
                            assert_eq!(
                                got[i][..width],
                                expected[i][..width],
                                "{name} rows {rows} wide {wide} {i}"
                            );
                        }
                        assert_eq!(got[rows..], start[rows..], "{name} rows {rows}");
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
        let sums = Sums::of(&mut best[..rows]);
        multiply_add(sums, wide, left, right, stride, steps);
        tiles.push(("best", best));
        #[cfg(target_arch = "x86_64")]
        if level() != Level::Portable {
            check(rows, wide, left, right, stride, steps);
            let product = Product {
                left,
                right: right.as_ptr(),
                stride,
                steps,
            };
            let mut tile = start;
            // SAFETY: checked above; both higher levels have AVX2 and FMA.
            unsafe { product.avx2(Sums::of(&mut tile[..rows]), wide) };
            tiles.push(("avx2", tile));
        }
        tiles
    }

    #[test]
    fn transposing_moves_every_element_to_its_place() {
        for (used, depth, stride) in [
            (32, 32, 32),
            (1, 1, 1),
            (14, 37, 40),
            (31, 16, 19),
            (17, 5, 5),
            (0, 3, 4),
        ] {
            let rows = values(used * stride, 7);
            let mut out = vec![9.0; depth * WIDTH];
            transpose(&rows, stride, used, &mut out);
            for (at, got) in out.iter().enumerate() {
                let (k, lane) = (at / WIDTH, at % WIDTH);
                let want = if lane < used {
                    rows[lane * stride + k]
                } else {
                    0.0
                };
                assert_eq!(*got, want, "{used} {depth} {stride}: {k} {lane}");
            }
        }
    }

    // The instruction is two fused multiply-adds, the high half first; the values are never subnormal here.
    #[test]
    fn pairs_are_summed_as_two_steps_each() {
        if !has_pairs() {
            return;
        }
        let steps = 19;
        let (left, right) = (values(2 * steps * ROWS, 1), values(2 * steps * WIDTH, 2));
        let half = |x: f32| x.to_bits() & 0xffff_0000;
        let pair = |low: f32, high: f32| half(low) >> 16 | half(high);
        let pairs_of_left: Vec<u32> = left.chunks_exact(2).map(|p| pair(p[0], p[1])).collect();
        let pairs_of_right: Vec<u32> = right.chunks_exact(2).map(|p| pair(p[0], p[1])).collect();
        let swapped = |values: &[f32]| -> Vec<f32> {
            let swap = |p: &[f32]| [half(p[1]), half(p[0])].map(f32::from_bits);
            values.chunks_exact(2).flat_map(swap).collect()
        };
        // `right` is [steps × 32] pairs: its numbers as [2·steps × 32], the odd step first.
        let spread: Vec<f32> = swapped(&right)
            .chunks_exact(2 * WIDTH)
            .flat_map(|line| {
                [0, 1].map(|odd| {
                    line.iter()
                        .skip(odd)
                        .step_by(2)
                        .copied()
                        .collect::<Vec<f32>>()
                })
            })
            .flatten()
            .collect();
        for rows in 1..=ROWS {
            for wide in [true, false] {
                let data = swapped(&left);
                let plain = Left::Rows {
                    data: &data,
                    stride: 2 * steps,
                };
                let mut want = [[0.25; WIDTH]; ROWS];
                let mut got = want;
                let sums = Sums::of(&mut want[..rows]);
                multiply_add(sums, wide, plain, &spread, WIDTH, 2 * steps);
                multiply_add_pairs(
                    Sums::of(&mut got[..rows]),
                    wide,
                    &pairs_of_left,
                    steps,
                    &pairs_of_right,
                    steps,
                );
                let width = if wide { WIDTH } else { WIDTH / 2 };
                for (got, want) in got.iter().zip(&want).take(rows) {
                    assert_eq!(got[..width], want[..width]);
                }
            }
        }
    }

    #[test]
    fn cells_cover_a_matrix_once() {
        let (rows, columns) = (7, 10);
        let mut matrix = vec![0.0; rows * columns];
        let mut all = cells_between(&mut matrix, columns, &[3, 6, 7], 4);
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
    fn appended_rows_are_zero_before_they_are_filled() {
        // Room that held something before.
        let mut matrix = vec![f32::NAN; 100];
        matrix.clear();
        matrix.push(7.0);
        let number = std::sync::atomic::AtomicUsize::new(0);
        for rows in [0, 5, 7] {
            append_rows(
                &mut matrix,
                (rows, 6),
                (3, 4),
                || (),
                |(), mut cell| {
                    number.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
                    for row in 0..cell.rows {
                        let (at, whole) = (cell.first_row + row, cell.columns);
                        cell.line(row, 0, whole)
                            .iter_mut()
                            .for_each(|v| *v += at as f32);
                    }
                },
            );
        }
        assert_eq!(number.into_inner(), 2 * 2 + 3 * 2);
        let rows = (0..5).chain(0..7).flat_map(|row| [row as f32; 6]);
        assert_eq!(
            matrix,
            std::iter::once(7.0).chain(rows).collect::<Vec<f32>>()
        );
    }

    #[test]
    fn zeros_are_zero() {
        for count in [0, 1, 64 * 1024, 200_001] {
            drop(vec![f32::NAN; count]);
            assert_eq!(zeros(count), vec![0.0; count]);
        }
    }

    #[test]
    fn turned_pairs_are_the_transpose() {
        let number = |line: usize, column: usize| (line * 100 + column) as u32;
        for lines in [0, 1, 15, 16] {
            let pairs = (0..lines * WIDTH).map(|at| {
                let (line, column) = (at / WIDTH, at % WIDTH);
                number(2 * line, column) | number(2 * line + 1, column) << 16
            });
            let mut out = [u32::MAX; 16 * WIDTH];
            turn_pairs(&pairs.collect::<Vec<u32>>(), &mut out);
            for (at, pair) in out.iter().enumerate() {
                let (column, line) = (at / WIDTH * 2, at % WIDTH);
                let want = match line < 2 * lines {
                    true => number(line, column) | number(line, column + 1) << 16,
                    false => 0,
                };
                assert_eq!(*pair, want, "{lines} {at}");
            }
        }
    }

    #[test]
    #[should_panic(expected = "assertion failed")]
    fn a_line_ends_with_its_cell() {
        cells_between(&mut [0.0; 8], 4, &[1, 2], 2)[0].line(0, 1, 2);
    }

    #[test]
    #[should_panic(expected = "too short")]
    fn a_short_factor_is_refused() {
        let left = Left::Rows {
            data: &[0.0; 7],
            stride: 4,
        };
        multiply_add(
            Sums::of(&mut [[0.0; 32]; 2]),
            true,
            left,
            &[0.0; 128],
            32,
            4,
        );
    }
}
