//! What training makes: LoRA factors and a classification head in PEFT's on-disk format, or a checkpoint of which every
//! weight was trained ([`WholeModel`]).
//!
//! A directory holds `adapter_config.json` and `adapter_model.safetensors` exactly as PEFT 0.21.2 writes them, our own
//! record `retune.json` (labels, pooling, digests of everything the adapter was made from) and a model card. Writing and
//! reading need no burn; [`Model::load_adapter`](crate::base::network::Model::load_adapter) does.

mod card;
#[cfg(feature = "train")]
mod classifier;
mod config;
mod config_file;
mod error;
mod factors;
mod files;
mod import;
mod merge;
mod profile;
mod record;
mod storage;
mod tensors;
mod whole;

pub use crate::base::{ExcludeModules, Init, LoraSpec, Pooling, TargetModules};
pub use config::{AdapterConfig, AdapterTask, PEFT_VERSION};
pub use error::AdapterError;
pub use factors::{Factors, Parts};
pub use files::{Adapter, AdapterId};
pub use import::{Imported, import};
pub use merge::{BaseFile, Merged, PendingMerge, WholeTensor, merge};
pub use profile::{Profile, Served};
pub use record::{BaseReference, RetuneRecord};
pub use storage::Storage;
pub use tensors::{Tensors, read_named, read_tensors, write_named, write_tensors};
pub use whole::{MODEL_FORMAT, Product, WholeModel};
