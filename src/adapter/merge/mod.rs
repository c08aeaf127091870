//! Base and adapter as one checkpoint that transformers loads on its own.
//!
//! Every adapted weight becomes `W + s·B·A` in f32 (DoRA: its rows scaled to the magnitude), every whole tensor of the
//! adapter takes the place of the base's. Shards, names and storage types stay those of the base.

mod config;
mod files;
mod layout;
mod shard;
mod weight;
mod write;

pub use files::BaseFile;
pub(super) use files::{Base, misfit};
pub use write::{Merged, PendingMerge, WholeTensor, merge};
pub(super) use write::{check_whole, write_whole};
