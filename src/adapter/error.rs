//! What can be wrong with an adapter.

use crate::base::{CheckpointError, LoraError};
use crate::document::canonical::CanonicalError;
use crate::fsio::FileError;
use crate::store::{StoreError, TreeId};

/// An adapter that cannot be written, or files that are not one.
#[derive(Debug, thiserror::Error)]
pub enum AdapterError {
    /// The file system refused.
    #[error(transparent)]
    File(#[from] FileError),
    /// The store refused, or what it holds is damaged.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// A tree in the store that lacks a file of an adapter.
    #[error("tree {adapter} is not an adapter: it has no {file}")]
    Absent {
        /// The tree.
        adapter: TreeId,
        /// The file.
        file: &'static str,
    },
    /// Not JSON, or a value of the wrong type.
    #[error("adapter_config.json cannot be read: {0}")]
    Config(String),
    /// A key that PEFT 0.21.2 does not have: it may change what the adapter means.
    #[error("adapter_config.json has a key that is not known here: {0}")]
    UnknownKey(String),
    /// A PEFT feature without code here.
    #[error("adapter_config.json: {key} is {found}; this version supports {supported}")]
    Unsupported {
        /// The key.
        key: String,
        /// Its value.
        found: String,
        /// What would do.
        supported: String,
    },
    /// A configuration that selects none of the adapter's own modules, or that cannot be applied.
    #[error("adapter_config.json does not fit adapter_model.safetensors")]
    Selection(#[from] LoraError),
    /// The base's weights.
    #[error(transparent)]
    Checkpoint(#[from] CheckpointError),
    /// Base and adapter that do not make one model, or one that cannot be told.
    #[error("adapter and base cannot be merged: {0}")]
    Misfit(String),
    /// An adapter that a server cannot load, or would load as another one.
    #[error("{server} cannot serve this adapter: {}", faults.join("; and "))]
    Profile {
        /// The server.
        server: &'static str,
        /// Everything that stands against it.
        faults: Vec<String>,
    },
    /// A merged tensor that cannot be stored.
    #[error("merged tensor {name} {why}")]
    Merged {
        /// The tensor.
        name: String,
        /// What is wrong.
        why: String,
    },
    /// Not a safetensors file.
    #[error("adapter_model.safetensors cannot be read: {0}")]
    Format(String),
    /// A tensor that is empty, not finite, of a foreign type, or without its partner.
    #[error("adapter tensor {name} {why}")]
    Tensor {
        /// The tensor.
        name: String,
        /// What is wrong.
        why: String,
    },
    /// Factors as they were before the first step.
    #[error(
        "every lora_B of the adapter is zero: it changes nothing, so nothing was trained or nothing was saved"
    )]
    Untrained,
    /// Values on disk that are not those in memory.
    #[error("the adapter that was read back is not the one that was written: {0}")]
    Differs(String),
    /// `retune.json` is missing what makes it one.
    #[error("retune.json cannot be used")]
    Record(#[from] CanonicalError),
    /// `retune.json` and the tensors contradict each other.
    #[error("retune.json {0}")]
    Contradiction(String),
    /// The model card's template failed.
    #[error("the model card cannot be rendered: {0}")]
    Card(String),
}
