//! From an adapter back to the network.

use super::tensors::PREFIX;
use super::{Adapter, AdapterTask, Product, RetuneRecord};
use crate::base::network::{Model, NetworkError, Setup, Task, Trained};
use crate::base::{Checkpoint, Precision, Weights};

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

    /// The model that `product` is, on `base` where it is an adapter.
    pub fn load_product(base: &Checkpoint, product: &Product) -> Result<Self, NetworkError> {
        match product {
            Product::Adapter(adapter) => Self::load_adapter(base, adapter),
            Product::Model(model, checkpoint) => Self::load_whole(checkpoint, &model.record),
        }
    }

    /// The model that a checkpoint with our record is. A head that the checkpoint lacks is an error.
    pub fn load_whole(
        checkpoint: &Checkpoint,
        record: &RetuneRecord,
    ) -> Result<Self, NetworkError> {
        let setup = Setup {
            task: match record.labels.len() {
                0 => Task::CausalLm,
                labels => Task::SeqCls {
                    labels,
                    pooling: record.pooling,
                },
            },
            trained: Trained::Head,
            precision: Precision::F32,
            seed: 0,
        };
        let mut model = Self::load(checkpoint, &setup)?;
        let weights = Weights::open(checkpoint)?;
        let mut heads = Vec::new();
        for parameter in model.parameters() {
            let name = parameter.name.strip_prefix(PREFIX);
            let name = name.unwrap_or(&parameter.name);
            heads.push(weights.read(name, &parameter.shape)?);
        }
        model.set_weights(&heads)?;
        Ok(model)
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
