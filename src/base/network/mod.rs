//! The models in burn: decoders and encoders of every family, for language modelling and classification, with LoRA or
//! trained whole, on packed batches.
//!
//! A batch has no padding: the ids of all rows one after the other, and where each row begins. A [`Model`] is a frozen body
//! (`body.rs`, read by `layout.rs`, which knows every family's names), a plan of what is trained (`plan.rs`), and passes
//! through its layers (`pass.rs`, `decoder.rs`, `encoder.rs`, `head.rs`). burn keeps tensors and the autodiff graph; the
//! operations that dominate a training step are fused kernels behind burn's backend extension (`operations.rs`), each with a
//! hand-written gradient that a test compares with the composition of stock operations.
//!
//! Results are the same bits for the same inputs, whatever the number of threads and whichever instruction set runs:
//! every sum has one order. With weights in bf16 one thing is left open: processors that multiply pairs of bf16 numbers take
//! subnormal ones for zero, others do not (`product.rs`), and those
//! with tiles for such pairs sum in an order of their own (`tiles.rs`), which a run's identity tells.
//! Home of burn and of the kernels' `unsafe` code (`simd.rs`, `tiles.rs`).

mod activations;
mod attention;
mod batch;
mod blocks;
mod body;
mod decoder;
mod device;
mod dora;
mod dropout;
mod encoder;
mod error;
mod generate;
mod head;
mod layout;
mod linear;
mod loss;
mod memory;
mod model;
mod norms;
mod operations;
mod panels;
mod pass;
mod plan;
mod pointwise;
mod pooling;
mod product;
mod random;
#[cfg(test)]
mod reference;
mod rotation;
mod row;
mod simd;
mod stock;
mod tiles;

pub use batch::Batch;
pub use device::check_device;
pub use dropout::DropoutKey;
pub use error::NetworkError;
pub use generate::{End, Generated, Sampling};
pub use model::{Model, Parameter, Setup, StepOutput, Task, Trained};
pub use tiles::available as has_tiles;

pub use super::Pooling;
