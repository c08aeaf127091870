//! From an adapter back to the network.

use super::{Adapter, AdapterTask};
use crate::base::network::{Model, NetworkError, Setup, Task, Trained};
use crate::base::{Checkpoint, Precision};

impl Model {
    /// The model that `adapter` was trained as: every tensor of the model must be in it, and nothing else.
    pub fn load_adapter(checkpoint: &Checkpoint, adapter: &Adapter) -> Result<Self, NetworkError> {
        let spec = adapter.config.spec();
        let setup = Setup {
            task: match adapter.config.task {
                Some(AdapterTask::CausalLm) => Task::CausalLm,
                _ => Task::SeqCls {
                    labels: adapter.record.labels.len(),
                    pooling: adapter.record.pooling,
                },
            },
            trained: Trained::Lora(&spec),
            precision: Precision::F32,
            seed: 0,
        };
        Self::load_trained(checkpoint, &setup, &adapter.tensors)
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
