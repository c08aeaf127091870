//! Products of bf16 numbers on the tile registers of processors with AMX: 16 × 16 sums at a time.
//!
//! A step of the instruction takes 32 numbers of the inner index: the even ones are summed up by themselves, the odd ones
//! too, and both sums are added to what was there. That is another order than that of the vector instructions
//! (`simd.rs`), so these are other bits than every other processor's, and a run's identity tells.
//! Intel® 64 and IA-32 Architectures Software Developer's Manual, volume 2, TDPBF16PS; volume 1, chapter 18.
#![allow(unsafe_code)]

use super::row;
use super::simd::{Cell, Sums, WIDTH};

/// Rows that are summed together.
pub(super) const ROWS: usize = 32;
/// Pairs of numbers that a step takes.
pub(super) const STEP: usize = 16;

/// Whether this processor has tiles for bf16 numbers, and the system lets this process use them.
pub fn available() -> bool {
    #[cfg(all(target_arch = "x86_64", target_os = "linux"))]
    {
        static ANSWER: std::sync::OnceLock<bool> = std::sync::OnceLock::new();
        *ANSWER.get_or_init(|| amx::is_there() && amx::is_permitted())
    }
    #[cfg(not(all(target_arch = "x86_64", target_os = "linux")))]
    {
        false
    }
}

/// Of how many pieces in bf16 the left factor's numbers are the sum; the right one's are of one piece.
///
/// Three pieces hold the 24 binary digits of an `f32`, and the product of two pieces is exact.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Pieces {
    One,
    Three,
}

impl Pieces {
    pub(super) const fn count(self) -> usize {
        match self {
            Self::One => 1,
            Self::Three => 3,
        }
    }
}

/// What is multiplied.
#[derive(Clone, Copy)]
pub(super) struct Factors<'a> {
    pub(super) pieces: Pieces,
    /// `[row][step][piece][16 pairs]`, the last step of a row filled up with zeros.
    pub(super) left: &'a [u32],
    /// Pairs of a left row, all its pieces.
    pub(super) stride: usize,
    /// `[pair of steps][32]`.
    pub(super) lines: &'a [u32],
}

/// Adds `left · lines` to 32 columns of a cell, or as many as are left of it, from `column` on. The first row of `left` is
/// the cell's. Where the sums are `fresh`, they begin at zero, whatever the cell holds.
pub(super) fn add(cell: &mut Cell<'_>, column: usize, factors: Factors<'_>, fresh: bool) {
    assert!(available(), "the processor has no tiles");
    for row in (0..cell.rows).step_by(ROWS) {
        let rows = ROWS.min(cell.rows - row);
        let factors = factors.from(row);
        cell.on_sums::<ROWS>((row, column), rows, |sums| match rows {
            1 => row::add(sums, factors, fresh),
            // SAFETY: the processor has tiles.
            _ => unsafe { Block { factors, fresh }.add_to(&sums) },
        });
    }
}

impl Factors<'_> {
    fn from(self, row: usize) -> Self {
        Self {
            left: &self.left[row * self.stride..],
            ..self
        }
    }

    /// Pairs of the inner index.
    fn pairs(&self) -> usize {
        self.lines.len() / WIDTH
    }

    /// Without the first `steps`.
    fn after(self, steps: usize) -> Self {
        Self {
            left: &self.left[steps * STEP * self.pieces.count()..],
            lines: &self.lines[steps * STEP * WIDTH..],
            ..self
        }
    }
}

/// At most 32 × 32 sums and what is added to them.
struct Block<'a> {
    factors: Factors<'a>,
    fresh: bool,
}

impl Block<'_> {
    /// Adds the product to the sums: whole steps first, then what is left of one.
    ///
    /// # Safety
    /// The processor has tiles and the process may use them.
    unsafe fn add_to(&self, sums: &Sums<'_>) {
        let factors = self.factors;
        let width = STEP * factors.pieces.count();
        assert!((1..=ROWS).contains(&sums.rows) && factors.pairs() > 0);
        assert!(
            factors.left.len()
                >= (sums.rows - 1) * factors.stride + factors.pairs().div_ceil(STEP) * width,
            "the left factor is too short"
        );
        #[cfg(all(target_arch = "x86_64", target_os = "linux"))]
        {
            let (whole, rest) = (factors.pairs() / STEP, factors.pairs() % STEP);
            let part = |factors, steps, pairs| amx::Part {
                factors,
                steps,
                pairs,
            };
            // SAFETY: passed on; the left rows were counted above, and the lines are as many as `pairs` counted.
            unsafe {
                if whole > 0 {
                    part(factors, whole, STEP).add_to(sums, self.fresh);
                }
                if rest > 0 {
                    let fresh = self.fresh && whole == 0;
                    part(factors.after(whole), 1, rest).add_to(sums, fresh);
                }
            }
        }
        #[cfg(not(all(target_arch = "x86_64", target_os = "linux")))]
        let _ = (sums.data, self.fresh, factors.after(0));
    }
}

#[cfg(all(target_arch = "x86_64", target_os = "linux"))]
mod amx {
    use std::arch::asm;
    use std::arch::x86_64::__cpuid_count;

    use super::{Factors, Pieces, ROWS, STEP, Sums, WIDTH};
    use crate::base::network::simd::{Level, level};

    const HALF: usize = ROWS / 2;

    /// What LDTILECFG reads.
    #[repr(C, align(64))]
    struct Shapes {
        palette: u8,
        start: u8,
        reserved: [u8; 14],
        bytes_of_a_row: [u16; 16],
        rows: [u8; 16],
    }

    impl Shapes {
        /// In tiles 0 to 3 the sums, 2 and 3 those of the lower rows; in 4 and 5 upper and lower left rows with `pairs` pairs
        /// each, in 6 and 7 the halves of so many lines.
        const fn of(upper: usize, lower: usize, pairs: usize) -> Self {
            let mut shapes = Self {
                palette: 1,
                start: 0,
                reserved: [0; 14],
                bytes_of_a_row: [0; 16],
                rows: [0; 16],
            };
            let mut tile = 0;
            while tile < 8 {
                let (rows, bytes) = match tile {
                    0 | 1 => (upper, 64),
                    2 | 3 => (lower, 64),
                    4 => (upper, 4 * pairs),
                    5 => (lower, 4 * pairs),
                    _ => (pairs, 64),
                };
                shapes.rows[tile] = rows as u8;
                shapes.bytes_of_a_row[tile] = bytes as u16;
                tile += 1;
            }
            shapes
        }
    }

    pub(super) fn is_there() -> bool {
        const TILES_AND_BF16: u32 = 1 << 24 | 1 << 22;
        level() == Level::Avx512
            && __cpuid_count(0, 0).eax >= 7
            && __cpuid_count(7, 0).edx & TILES_AND_BF16 == TILES_AND_BF16
    }

    /// Asks Linux for the state of the tile registers, for all threads of the process.
    pub(super) fn is_permitted() -> bool {
        const ARCH_PRCTL: i64 = 158;
        const ARCH_REQ_XCOMP_PERM: u64 = 0x1023;
        const XFEATURE_XTILEDATA: u64 = 18;
        let answer: i64;
        // SAFETY: the call changes nothing but what this process may use.
        unsafe {
            asm!(
                "syscall",
                inlateout("rax") ARCH_PRCTL => answer,
                in("rdi") ARCH_REQ_XCOMP_PERM,
                in("rsi") XFEATURE_XTILEDATA,
                out("rcx") _,
                out("r11") _,
                options(nostack),
            );
        }
        answer == 0
    }

    /// Steps of one shape.
    pub(super) struct Part<'a> {
        pub(super) factors: Factors<'a>,
        pub(super) steps: usize,
        /// Pairs of a step.
        pub(super) pairs: usize,
    }

    const _: () = assert!(STEP == 16 && WIDTH == 32, "the distances below are theirs");

    /// Adds the product of a piece of both halves of the left rows, so many bytes into its step, with the lines.
    macro_rules! piece {
        ($at:literal) => {
            concat!(
                "tileloadd tmm4, [{left} + {row} + ",
                $at,
                "]\n",
                "tdpbf16ps tmm0, tmm4, tmm6\n",
                "tdpbf16ps tmm1, tmm4, tmm7\n",
                "tileloadd tmm5, [{lower_left} + {row} + ",
                $at,
                "]\n",
                "tdpbf16ps tmm2, tmm5, tmm6\n",
                "tdpbf16ps tmm3, tmm5, tmm7"
            )
        };
    }

    impl Part<'_> {
        /// Adds the product to the sums, or to zeros in their place.
        ///
        /// # Safety
        /// The processor has tiles and the process may use them. The factors have the rows of the sums, and the steps.
        pub(super) unsafe fn add_to(&self, sums: &Sums<'_>, fresh: bool) {
            const WHOLE: Shapes = Shapes::of(HALF, HALF, STEP);
            let Factors {
                pieces,
                left,
                stride,
                lines,
            } = self.factors;
            // A tile has one row at least: where there is none, the lower ones take the first left row to a line of nobody.
            let mut nobody = [0.0f32; WIDTH];
            let (rows, apart, sums) = (sums.rows, sums.apart, sums.data);
            let (lower, lower_sums, lower_left) = match rows > HALF {
                true => (
                    rows - HALF,
                    sums.wrapping_add(HALF * apart),
                    left[HALF * stride..].as_ptr(),
                ),
                false => (1, nobody.as_mut_ptr(), left.as_ptr()),
            };
            let own;
            let shapes = match (lower, self.pairs) {
                (HALF, STEP) => &WHOLE,
                _ => {
                    own = Shapes::of(rows.min(HALF), lower, self.pairs);
                    &own
                }
            };
            macro_rules! run {
                ($pieces:expr, $($piece:expr),*) => {
                    asm!(
                        "ldtilecfg [{shapes}]",
                        "test {fresh:e}, {fresh:e}",
                        "jz 2f",
                        "tilezero tmm0",
                        "tilezero tmm1",
                        "tilezero tmm2",
                        "tilezero tmm3",
                        "jmp 3f",
                        "2:",
                        "tileloadd tmm0, [{upper} + {apart}]",
                        "tileloadd tmm1, [{upper} + {apart} + 64]",
                        "tileloadd tmm2, [{lower} + {apart}]",
                        "tileloadd tmm3, [{lower} + {apart} + 64]",
                        "3:",
                        "tileloadd tmm6, [{lines} + {line}]",
                        "tileloadd tmm7, [{lines} + {line} + 64]",
                        $($piece,)*
                        "add {left}, {left_step}",
                        "add {lower_left}, {left_step}",
                        "add {lines}, {lines_step}",
                        "dec {steps}",
                        "jnz 3b",
                        "tilestored [{upper} + {apart}], tmm0",
                        "tilestored [{upper} + {apart} + 64], tmm1",
                        "tilestored [{lower} + {apart}], tmm2",
                        "tilestored [{lower} + {apart} + 64], tmm3",
                        "tilerelease",
                        shapes = in(reg) shapes,
                        fresh = in(reg) u32::from(fresh),
                        upper = in(reg) sums,
                        lower = in(reg) lower_sums,
                        apart = in(reg) 4 * apart,
                        left = inout(reg) left.as_ptr() => _,
                        lower_left = inout(reg) lower_left => _,
                        row = in(reg) 4 * stride,
                        lines = inout(reg) lines.as_ptr() => _,
                        line = in(reg) 4 * WIDTH,
                        steps = inout(reg) self.steps => _,
                        left_step = const 4 * STEP * $pieces.count(),
                        lines_step = const 4 * STEP * WIDTH,
                        out("tmm0") _, out("tmm1") _, out("tmm2") _, out("tmm3") _,
                        out("tmm4") _, out("tmm5") _, out("tmm6") _, out("tmm7") _,
                        options(nostack),
                    )
                };
            }
            // SAFETY: the caller vouches for the instructions and for what they read; they write the sums alone, and
            // every tile register is given back.
            unsafe {
                match pieces {
                    Pieces::One => run!(Pieces::One, piece!(0)),
                    Pieces::Three => run!(Pieces::Three, piece!(0), piece!(64), piece!(128)),
                }
            }
        }
    }
}
