//! From an adapter back to the network.

use super::Adapter;
use crate::base::Checkpoint;
use crate::base::network::{Classifier, NetworkError};

impl Classifier {
    /// The classifier that `adapter` was trained as: every tensor of the model must be in it, and nothing else.
    pub fn load_adapter(checkpoint: &Checkpoint, adapter: &Adapter) -> Result<Self, NetworkError> {
        let spec = adapter.config.spec();
        let labels = adapter.record.labels.len();
        Self::load_trained(
            checkpoint,
            adapter.record.pooling,
            labels,
            Some(&spec),
            &adapter.tensors,
        )
    }

    /// The trained values by PEFT name, as an adapter holds them.
    pub fn tensors(&self) -> super::Tensors {
        let entries = self.parameters().iter().zip(self.weights());
        entries
            .map(|(parameter, values)| {
                (
                    parameter.name.clone(),
                    (parameter.shape.clone(), values.clone()),
                )
            })
            .collect()
    }
}
