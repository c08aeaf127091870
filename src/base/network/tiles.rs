//! Products of bf16 numbers on the tile registers of processors with AMX: 16 × 16 sums at a time.
//!
//! A step of the instruction takes 32 numbers of the inner index: the even ones are summed up by themselves, the odd ones
//! too, and both sums are added to what was there. That is another order than that of the vector instructions
//! (`simd.rs`), so these are other bits than every other processor's, and a run's identity tells.
//! Intel® 64 and IA-32 Architectures Software Developer's Manual, volume 2, TDPBF16PS; volume 1, chapter 18.
#![allow(unsafe_code)]

use super::simd::{Cell, WIDTH};

/// Rows that are summed together.
pub(super) const ROWS: usize = 32;
/// Pairs of numbers that a step takes.
const STEP: usize = 16;

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

/// Adds `left · lines` to 32 columns of a cell, or as many as are left of it, from `column` on.
///
/// `left` holds the pairs of the cell's rows from its first on, `stride` for each; as many rows as [`ROWS`] divides.
/// `lines` holds 32 pairs for each of its steps.
pub(super) fn add(cell: &mut Cell<'_>, column: usize, left: &[u32], stride: usize, lines: &[u32]) {
    assert!(available(), "the processor has no tiles");
    let steps = lines.len() / WIDTH;
    if steps == 0 {
        return;
    }
    let used = WIDTH.min(cell.columns - column);
    let mut edge = [[0.0; WIDTH]; ROWS];
    for row in (0..cell.rows).step_by(ROWS) {
        let height = ROWS.min(cell.rows - row);
        let left = &left[row * stride..];
        assert!(
            left.len() >= (ROWS - 1) * stride + steps,
            "the left factor is too short"
        );
        let factors = Factors {
            left,
            stride,
            lines,
        };
        if (height, used) == (ROWS, WIDTH) {
            let (sums, apart) = cell.corner((row, column), (ROWS, WIDTH));
            // SAFETY: the processor has tiles; the rectangle lies in the cell, the left rows were counted above.
            unsafe { factors.add_to(sums, apart) }
            continue;
        }
        for (i, sums) in edge.iter_mut().enumerate().take(height) {
            sums[..used].copy_from_slice(cell.line(row + i, column, used));
        }
        // SAFETY: as above; the rectangle is `edge`.
        unsafe { factors.add_to(edge.as_mut_ptr().cast(), WIDTH) }
        for (i, sums) in edge.iter().enumerate().take(height) {
            cell.line(row + i, column, used)
                .copy_from_slice(&sums[..used]);
        }
    }
}

/// What is multiplied: 32 rows of `stride` pairs, and lines of 32 pairs, as many as each row has.
#[derive(Clone, Copy)]
struct Factors<'a> {
    left: &'a [u32],
    stride: usize,
    lines: &'a [u32],
}

#[cfg(not(all(target_arch = "x86_64", target_os = "linux")))]
impl Factors<'_> {
    unsafe fn add_to(self, _: *mut f32, _: usize) {
        let _ = (self.left, self.stride, self.lines, STEP);
    }
}

#[cfg(all(target_arch = "x86_64", target_os = "linux"))]
mod amx {
    use std::arch::asm;
    use std::arch::x86_64::__cpuid_count;

    use super::{Factors, ROWS, STEP, WIDTH};

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
        /// Four blocks of sums, two blocks of left rows with `steps` pairs each, two blocks of so many lines.
        const fn of(steps: usize) -> Self {
            let mut shapes = Self {
                palette: 1,
                start: 0,
                reserved: [0; 14],
                bytes_of_a_row: [0; 16],
                rows: [0; 16],
            };
            let mut tile = 0;
            while tile < 8 {
                let is_left = tile == 4 || tile == 5;
                let is_line = tile > 5;
                shapes.bytes_of_a_row[tile] = if is_left { 4 * steps as u16 } else { 64 };
                shapes.rows[tile] = if is_line { steps as u8 } else { 16 };
                tile += 1;
            }
            shapes
        }
    }

    pub(super) fn is_there() -> bool {
        const TILES_AND_BF16: u32 = 1 << 24 | 1 << 22;
        __cpuid_count(0, 0).eax >= 7 && __cpuid_count(7, 0).edx & TILES_AND_BF16 == TILES_AND_BF16
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

    impl Factors<'_> {
        /// Adds the product to 32 × 32 sums, whose rows are `apart`: whole steps first, then what is left of one.
        ///
        /// # Safety
        /// The processor has tiles and the process may use them. The sums are nobody else's, and `left` has 32 rows, the
        /// last of which may end after its pairs.
        pub(super) unsafe fn add_to(self, sums: *mut f32, apart: usize) {
            const WHOLE: Shapes = Shapes::of(STEP);
            let pairs = self.lines.len() / WIDTH;
            let (whole, rest) = (pairs / STEP, pairs % STEP);
            // SAFETY: passed on.
            unsafe {
                if whole > 0 {
                    self.add_steps(sums, apart, whole, &WHOLE);
                }
                if rest > 0 {
                    let done = whole * STEP;
                    let last = Self {
                        left: &self.left[done..],
                        lines: &self.lines[done * WIDTH..],
                        ..self
                    };
                    last.add_steps(sums, apart, 1, &Shapes::of(rest));
                }
            }
        }

        /// # Safety
        /// As [`add_to`](Self::add_to); there are at least `steps` times the shapes' pairs.
        unsafe fn add_steps(self, sums: *mut f32, apart: usize, steps: usize, shapes: &Shapes) {
            let half = ROWS / 2;
            let (left, lower_left) = (self.left.as_ptr(), self.left[half * self.stride..].as_ptr());
            // SAFETY: the caller vouches for the instructions and for what they read; they write the sums alone, and
            // every tile register is given back.
            unsafe {
                asm!(
                    "ldtilecfg [{shapes}]",
                    "tileloadd tmm0, [{upper} + {apart}]",
                    "tileloadd tmm1, [{upper} + {apart} + 64]",
                    "tileloadd tmm2, [{lower} + {apart}]",
                    "tileloadd tmm3, [{lower} + {apart} + 64]",
                    "2:",
                    "tileloadd tmm4, [{left} + {row}]",
                    "tileloadd tmm6, [{lines} + {line}]",
                    "tdpbf16ps tmm0, tmm4, tmm6",
                    "tileloadd tmm5, [{lower_left} + {row}]",
                    "tdpbf16ps tmm2, tmm5, tmm6",
                    "tileloadd tmm7, [{lines} + {line} + 64]",
                    "tdpbf16ps tmm1, tmm4, tmm7",
                    "tdpbf16ps tmm3, tmm5, tmm7",
                    "add {left}, 64",
                    "add {lower_left}, 64",
                    "add {lines}, 2048",
                    "dec {steps}",
                    "jnz 2b",
                    "tilestored [{upper} + {apart}], tmm0",
                    "tilestored [{upper} + {apart} + 64], tmm1",
                    "tilestored [{lower} + {apart}], tmm2",
                    "tilestored [{lower} + {apart} + 64], tmm3",
                    "tilerelease",
                    shapes = in(reg) shapes,
                    upper = in(reg) sums,
                    lower = in(reg) sums.add(half * apart),
                    apart = in(reg) 4 * apart,
                    left = inout(reg) left => _,
                    lower_left = inout(reg) lower_left => _,
                    row = in(reg) 4 * self.stride,
                    lines = inout(reg) self.lines.as_ptr() => _,
                    line = in(reg) 4 * WIDTH,
                    steps = inout(reg) steps => _,
                    out("tmm0") _, out("tmm1") _, out("tmm2") _, out("tmm3") _,
                    out("tmm4") _, out("tmm5") _, out("tmm6") _, out("tmm7") _,
                    options(nostack),
                );
            }
        }
    }
}
