//! Adapters: LoRA factors and a classification head in PEFT's on-disk format.
//!
//! A directory holds `adapter_config.json` and `adapter_model.safetensors` exactly as PEFT 0.21.2 writes them, our own
//! record `retune.json` (labels, pooling, digests of everything the adapter was made from) and a model card. Writing and
//! reading need no burn; [`Classifier::load_adapter`](crate::base::network::Classifier::load_adapter) does.

mod card;
#[cfg(feature = "train")]
mod classifier;
mod config;
mod error;
mod files;
mod record;
mod tensors;

pub use crate::base::{LoraSpec, Pooling, TargetModules};
pub use config::{AdapterConfig, PEFT_VERSION};
pub use error::AdapterError;
pub use files::{Adapter, AdapterId};
pub use record::{BaseReference, RetuneRecord};
pub use tensors::{Tensors, read_tensors, write_tensors};
