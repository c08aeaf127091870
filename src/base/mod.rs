//! Pretrained models: a Hugging Face checkpoint's configuration, weights and tokenizer, and the networks in burn.
//!
//! Reading needs no burn. [`Weights`] maps the safetensors shards and hands out `f32` tensors of the shape that the
//! configuration demands; [`network`] (feature `train`) builds models from them.

pub mod chat;
mod checkpoint;
mod config;
mod device;
mod error;
mod lora;
mod mapped;
#[cfg(feature = "train")]
pub mod network;
mod pooling;
mod precision;
mod stored;
#[cfg(feature = "train")]
mod tokenizer;
mod tokenizer_config;
mod weights;

pub use checkpoint::Checkpoint;
pub use config::{Activation, Config, Family, LayerConfig, Rope};
pub use device::{Device, ParseDeviceError};
pub use error::{CheckpointError, LoraError};
pub use lora::{AdaptedModule, ExcludeModules, Init, LoraSpec, TargetModules};
pub(crate) use mapped::Mapped;
pub use pooling::Pooling;
pub use precision::Precision;
pub use stored::{
    BaseError, BaseId, BaseManifest, BaseReport, Facts, FileFault, Imported, Source, SourceError,
    import, inspect, open, verify,
};
#[cfg(feature = "train")]
pub use tokenizer::{Encoding, Piece, Tokenizer, TokenizerError};
pub use tokenizer_config::TokenizerConfig;
pub use weights::{MatrixRows, Weights};
