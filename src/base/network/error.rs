//! Why a network cannot be built or run.

use crate::base::{CheckpointError, Device, LoraError};

/// A network operation that failed.
#[derive(Debug, thiserror::Error)]
pub enum NetworkError {
    /// The checkpoint is not what the network needs.
    #[error(transparent)]
    Checkpoint(#[from] CheckpointError),
    /// The LoRA specification does not fit the model.
    #[error(transparent)]
    Lora(#[from] LoraError),
    /// A variant of LoRA without code here.
    #[error("{0} no code in this version")]
    Variant(&'static str),
    /// `[CLS]` pooling of a checkpoint without a pooler.
    #[error("the checkpoint has no pooler, which cls pooling needs; use mean pooling")]
    NoPooler,
    /// A classifier needs something to choose from.
    #[error("a classifier needs at least two labels, not {0}")]
    Labels(usize),
    /// A model that cannot do what is asked.
    #[error("this model cannot be used for {task}: {why}")]
    Task {
        /// What was asked.
        task: &'static str,
        /// Why not.
        why: &'static str,
    },
    /// A device that this build has no code for.
    #[error("this build of retune runs on {built}, not on {device}", built = Device::BUILT)]
    NoDevice {
        /// What was asked for.
        device: Device,
        /// What it needs.
        feature: &'static str,
    },
    /// A device that cannot be opened.
    #[error("{0} does not answer: there is no such device, or its driver is missing")]
    Silent(Device),
    /// Sampling settings outside their range.
    #[error("the sampling settings are refused: {0}")]
    Sampling(String),
    /// A batch that is not well formed, or does not fit the model.
    #[error("the batch is refused: {0}")]
    Batch(String),
    /// Weights for other parameters than these.
    #[error("the weights do not fit the model: {0}")]
    Weights(String),
    /// The loss or a gradient is not finite.
    #[error("{0} is not finite")]
    NotFinite(String),
    /// burn returned something else than was put in.
    #[error("the tensor library failed: {0}")]
    Tensor(String),
}
