//! The models in burn: BERT sequence classification with LoRA, on packed batches.
//!
//! A batch has no padding: the ids of all rows one after the other, and where each row begins. burn keeps tensors and the
//! autodiff graph; the operations that dominate a training step are fused kernels behind burn's backend extension
//! (`operations.rs`), each with a hand-written gradient that a test compares with the composition of stock operations.
//!
//! Results are the same bits for the same inputs, whatever the number of threads and whichever instruction set runs:
//! every sum has one order. Home of burn and of the kernels' `unsafe` code (`simd.rs`).

mod attention;
mod batch;
mod classifier;
mod dropout;
mod encoder;
mod error;
mod linear;
mod operations;
mod pointwise;
mod pooling;
mod product;
mod random;
#[cfg(test)]
mod reference;
mod simd;

pub use batch::Batch;
pub use classifier::{Classifier, Parameter, StepOutput};
pub use dropout::DropoutKey;
pub use error::NetworkError;

pub use super::Pooling;
