//! In which numbers a network computes.

/// The numbers of the frozen weights' products. Everything else is `f32`, sums too.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Precision {
    /// 32 bits.
    #[default]
    F32,
    /// Weights are stored in, and what they are multiplied with is rounded to, the upper 16 bits of an `f32`.
    Bf16,
}
