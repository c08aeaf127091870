//! Pretrained models: a Hugging Face checkpoint's configuration, weights and tokenizer, and the networks in burn.
//!
//! Reading needs no burn. [`Weights`] maps the safetensors shards and hands out `f32` tensors of the shape that the
//! configuration demands; [`network`] (feature `train`) builds models from them.

mod checkpoint;
mod config;
mod error;
mod lora;
mod mapped;
#[cfg(feature = "train")]
pub mod network;
mod pooling;
mod stored;
#[cfg(feature = "train")]
mod tokenizer;
mod weights;

pub use checkpoint::Checkpoint;
pub use config::BertConfig;
pub use error::{CheckpointError, LoraError};
pub use lora::{LoraSpec, TargetModules};
pub use pooling::Pooling;
pub use stored::{
    BaseError, BaseId, BaseManifest, BaseReport, Facts, FileFault, Imported, Source, SourceError,
    import, inspect, open, verify,
};
#[cfg(feature = "train")]
pub use tokenizer::{Encoding, Tokenizer, TokenizerError};
pub use weights::Weights;
