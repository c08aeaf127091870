//! What `tiles.rs` sums, for single rows, by vector instructions: a tile takes as long for one row as for sixteen.
//!
//! The order is the tiles' and so are the bits, unless a number is subnormal, which a tile takes for zero.
#![allow(unsafe_code)]

use super::simd::Sums;
#[cfg(target_arch = "x86_64")]
use super::tiles::Pieces;
use super::tiles::{Factors, available};

/// Adds `left · lines` to the first row of sums, which begin at zero where they are `fresh`.
pub(super) fn add(mut sums: Sums<'_>, factors: Factors<'_>, fresh: bool) {
    assert!(available(), "the processor has no tiles");
    let sums = sums.line(0);
    if fresh {
        sums.fill(0.0);
    }
    #[cfg(target_arch = "x86_64")]
    // SAFETY: a processor with tiles has these instructions.
    unsafe {
        match factors.pieces {
            Pieces::One => avx512::add::<1>(sums, factors),
            Pieces::Three => avx512::add::<3>(sums, factors),
        }
    }
    #[cfg(not(target_arch = "x86_64"))]
    let _ = factors;
}

#[cfg(target_arch = "x86_64")]
mod avx512 {
    use std::arch::x86_64::{
        __m512, __m512i, _mm512_add_ps, _mm512_and_si512, _mm512_castsi512_ps, _mm512_fmadd_ps,
        _mm512_loadu_ps, _mm512_loadu_si512, _mm512_set1_epi32, _mm512_set1_ps, _mm512_setzero_ps,
        _mm512_slli_epi32, _mm512_storeu_ps,
    };

    use super::Factors;
    use crate::base::network::simd::WIDTH;
    use crate::base::network::tiles::STEP;

    /// Sixteen pairs of bf16 numbers: the even ones, then the odd ones.
    #[target_feature(enable = "avx512f")]
    #[inline]
    fn halves(pairs: &[u32; 16]) -> [__m512; 2] {
        // SAFETY: sixteen numbers are read.
        let pairs: __m512i = unsafe { _mm512_loadu_si512(pairs.as_ptr().cast()) };
        let upper = _mm512_set1_epi32(0xffff_0000_u32 as i32);
        [
            _mm512_castsi512_ps(_mm512_slli_epi32::<16>(pairs)),
            _mm512_castsi512_ps(_mm512_and_si512(pairs, upper)),
        ]
    }

    #[target_feature(enable = "avx512f")]
    pub(super) fn add<const PIECES: usize>(sums: &mut [f32], factors: Factors<'_>) {
        assert_eq!(sums.len(), WIDTH);
        let (low, high) = sums.split_at_mut(16);
        // SAFETY: both halves are of sixteen numbers.
        let mut all = unsafe {
            [
                _mm512_loadu_ps(low.as_ptr()),
                _mm512_loadu_ps(high.as_ptr()),
            ]
        };
        let steps = factors.left.as_chunks::<STEP>().0.chunks_exact(PIECES);
        let (lines, _) = factors.lines.as_chunks::<WIDTH>();
        for (left, lines) in steps.zip(lines.chunks(STEP)) {
            let mut numbers = [[[0.0; STEP]; 2]; PIECES];
            for (numbers, pairs) in numbers.iter_mut().zip(left) {
                for (numbers, half) in numbers.iter_mut().zip(halves(pairs)) {
                    // SAFETY: sixteen numbers are written.
                    unsafe { _mm512_storeu_ps(numbers.as_mut_ptr(), half) }
                }
            }
            let mut parts = [[[_mm512_setzero_ps(); 2]; 2]; PIECES];
            for (k, line) in lines.iter().enumerate() {
                let (columns, _) = line.as_chunks::<16>();
                for (column, pairs) in columns.iter().enumerate() {
                    for (odd, y) in halves(pairs).into_iter().enumerate() {
                        for piece in 0..PIECES {
                            let x = _mm512_set1_ps(numbers[piece][odd][k]);
                            let part = &mut parts[piece][odd][column];
                            *part = _mm512_fmadd_ps(x, y, *part);
                        }
                    }
                }
            }
            for [even, odd] in parts {
                for column in 0..2 {
                    all[column] =
                        _mm512_add_ps(all[column], _mm512_add_ps(even[column], odd[column]));
                }
            }
        }
        // SAFETY: as above.
        unsafe {
            _mm512_storeu_ps(low.as_mut_ptr(), all[0]);
            _mm512_storeu_ps(high.as_mut_ptr(), all[1]);
        }
    }
}
