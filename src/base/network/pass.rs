//! One walk through a body: which tokens, which values, and whether gradients are wanted.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::sync::Arc;

use burn::tensor::{Device, Gradients, Tensor, TensorData};

use super::attention::Heads;
use super::body::{Body, Layer, NormId, NormKind, ProjectionId, Table};
use super::dora::{self, Delta};
use super::dropout::{DropoutKey, Mask};
use super::linear::{Block, Linear};
use super::memory::Memory;
use super::norms::HeadNorm;
use super::operations::{self, Site, Targets};
use super::plan::{Adaptation, AdaptedModule, Applied, Plan, TrainedModule};
use super::rotation::{Rotation, Span};
use super::{Batch, NetworkError};
use crate::base::Precision;

/// Everything that layers ask for while they run.
pub(super) struct Pass<'a> {
    pub(super) body: &'a Body,
    plan: &'a Plan,
    values: &'a [Vec<f32>],
    device: Device,
    tracked: bool,
    /// Parameters that were used, by their place in the plan.
    leaves: RefCell<BTreeMap<usize, Tensor<2>>>,
    dropout: Option<DropoutKey>,
    spans: Vec<Span>,
    /// One per layer.
    heads: Vec<Arc<Heads>>,
    /// One per rope of the configuration.
    rotations: Vec<Arc<Rotation>>,
    /// Keys and values of earlier tokens.
    memory: Option<&'a RefCell<Memory>>,
}

impl<'a> Pass<'a> {
    /// A pass over `batch`. On a device with autodiff, parameters are leaves of a graph.
    pub(super) fn new(
        body: &'a Body,
        plan: &'a Plan,
        values: &'a [Vec<f32>],
        batch: &Batch,
        device: Device,
    ) -> Self {
        let spans = batch.offsets.windows(2).map(|pair| Span {
            first: 0,
            count: pair[1] - pair[0],
        });
        let mut pass = Self {
            body,
            plan,
            values,
            tracked: device.is_autodiff(),
            device,
            leaves: RefCell::default(),
            dropout: None,
            spans: spans.collect(),
            heads: Vec::new(),
            rotations: Vec::new(),
            memory: None,
        };
        pass.prepare(&batch.offsets);
        pass
    }

    /// The same with the dropout of one training step.
    pub(super) fn with_dropout(mut self, dropout: Option<DropoutKey>) -> Self {
        self.dropout = dropout.filter(|_| self.plan.dropout > 0.0);
        self
    }

    /// The same after what `memory` holds, to which this pass's keys and values are added.
    pub(super) fn with_memory(mut self, memory: &'a RefCell<Memory>, batch: &Batch) -> Self {
        for (span, length) in self.spans.iter_mut().zip(memory.borrow().lengths()) {
            span.first = *length;
        }
        self.memory = Some(memory);
        self.prepare(&batch.offsets);
        self
    }

    fn prepare(&mut self, offsets: &[usize]) {
        let config = &self.body.config;
        let (heads, kv_heads, size) = (
            config.num_attention_heads,
            config.num_key_value_heads,
            config.head_dim,
        );
        let of_layer = config.layers.iter().map(|layer| {
            Arc::new(Heads {
                offsets: offsets.to_vec(),
                heads,
                kv_heads,
                size,
                scale: layer.scale as f32,
                causal: config.is_decoder(),
                reach: layer.reach,
                softcap: config.attention_softcap.map(|cap| cap as f32),
            })
        });
        self.heads = of_layer.collect();
        let width = (heads + 2 * kv_heads) * size;
        let turned = heads + kv_heads;
        let of_rope = config
            .ropes
            .iter()
            .map(|rope| Arc::new(Rotation::new(rope, &self.spans, width, turned, size)));
        self.rotations = of_rope.collect();
    }

    /// A constant of this pass's device.
    pub(super) fn constant(&self, values: Vec<f32>, columns: usize) -> Tensor<2> {
        let shape = [values.len() / columns, columns];
        Tensor::from_data(TensorData::new(values, shape), &self.device)
    }

    /// A hidden state from outside of this pass; with `wanted`, its gradient can be asked for.
    pub(super) fn input(&self, values: Vec<f32>, wanted: bool) -> Tensor<2> {
        let x = self.constant(values, self.body.config.hidden_size);
        match wanted && self.tracked {
            true => x.require_grad(),
            false => x,
        }
    }

    /// The first hidden state.
    pub(super) fn embed(&self, batch: &Batch) -> Result<Tensor<2>, NetworkError> {
        let embeddings = &self.body.embeddings;
        let config = &self.body.config;
        let mut x = self.lookup(&embeddings.words, &batch.ids)?;
        if let Some(scale) = config.embedding_scale {
            x = x.mul_scalar(scale as f32);
        }
        let first = config.position_offset;
        let positions: Vec<u32> = self
            .spans
            .iter()
            .flat_map(|span| span.first..span.first + span.count)
            .map(|position| (first + position) as u32)
            .collect();
        let mut beside = match &embeddings.positions {
            Some(table) => Some(self.lookup(table, &positions)?),
            None => None,
        };
        if let Some(types) = &embeddings.types {
            let types = self.lookup(types, &vec![0; batch.tokens()])?;
            beside = Some(match beside {
                Some(positions) => positions + types,
                None => types,
            });
        }
        Ok(match (embeddings.norm, beside) {
            (Some(norm), Some(beside)) => self.add_norm(norm, x, beside),
            (Some(norm), None) => self.norm(norm, x),
            (None, Some(beside)) => x + beside,
            (None, None) => x,
        })
    }

    fn lookup(&self, table: &Table, ids: &[u32]) -> Result<Tensor<2>, NetworkError> {
        if let Some(parameter) = self.plan.tables.get(&table.path) {
            return Ok(operations::lookup(self.leaf(*parameter), Arc::from(ids)));
        }
        let hidden = self.body.config.hidden_size;
        let mut known: BTreeMap<u32, usize> = BTreeMap::new();
        let mut values: Vec<f32> = Vec::with_capacity(ids.len() * hidden);
        for id in ids {
            let at = values.len();
            match known.get(id) {
                Some(at) => values.extend_from_within(*at..at + hidden),
                None => {
                    values.extend(self.body.row(table, *id as usize)?);
                    known.insert(*id, at);
                }
            }
        }
        Ok(self.constant(values, hidden))
    }

    /// The layers from `layers.start` on, one after the other; `seen` hears of each hidden state.
    pub(super) fn layers(
        &self,
        layers: std::ops::Range<usize>,
        mut x: Tensor<2>,
        mut seen: impl FnMut(&Tensor<2>),
    ) -> Result<Tensor<2>, NetworkError> {
        for index in layers {
            seen(&x);
            x = match &self.body.layers[index] {
                Layer::Decoder(layer) => layer.forward(self, index, x)?,
                Layer::Encoder(layer) => layer.forward(self, index, x)?,
            };
        }
        Ok(x)
    }

    /// A projection, with what is adapted or trained of it.
    pub(super) fn project(&self, id: ProjectionId, x: Tensor<2>) -> Tensor<2> {
        match self.plan.applied(id) {
            Applied::Frozen(linear) => operations::linear(x, linear),
            Applied::Adapted(adaptation) => self.adapted(adaptation, x),
            Applied::Trained(modules) => self.trained(id, modules, x),
        }
    }

    /// The losses of the vocabulary's scores, which never exist together.
    pub(super) fn vocabulary_losses(
        &self,
        id: ProjectionId,
        x: Tensor<2>,
        targets: &Targets,
    ) -> Tensor<1> {
        match self.plan.applied(id) {
            Applied::Frozen(linear) => operations::head_losses(x, linear, targets),
            Applied::Adapted(adaptation) => {
                operations::head_losses(x, &adaptation.layer.linear, targets)
            }
            Applied::Trained(modules) => {
                let weights = modules.iter().map(|module| self.leaf(module.weight));
                let weight = joined(weights.collect(), 0);
                operations::trained_head_losses(x, weight, targets, Precision::F32)
            }
        }
    }

    fn trained(&self, id: ProjectionId, modules: &[TrainedModule], x: Tensor<2>) -> Tensor<2> {
        let transposed = self.body.projection(id).transposed;
        let weight = |module: &TrainedModule| match transposed {
            true => self.leaf(module.weight).transpose(),
            false => self.leaf(module.weight),
        };
        let bias = |module: &TrainedModule| match module.bias {
            Some(bias) => self.leaf(bias),
            None => self.constant(vec![0.0; module.outputs], module.outputs),
        };
        let weight = joined(modules.iter().map(weight).collect(), 0);
        let bias = joined(modules.iter().map(bias).collect(), 1);
        let [_, outputs] = bias.dims();
        operations::affine(x, weight, bias.reshape([outputs]))
    }

    fn adapted(&self, adaptation: &Adaptation, x: Tensor<2>) -> Tensor<2> {
        let layer = &adaptation.layer;
        let modules = &adaptation.modules;
        let decomposed = modules.iter().any(|module| module.magnitude.is_some());
        if let (Some(key), true) = (self.dropout, decomposed) {
            return self.decomposed_with_dropout(adaptation, x, key);
        }
        let a = modules.iter().map(|module| self.filled_a(module, layer.r));
        let a = joined(a.collect(), 0);
        let alike = |module: &AdaptedModule| module.scale == layer.scale;
        let b = modules.iter().map(|module| {
            let b = self.filled_b(module, layer.r);
            match alike(module) {
                true => b,
                false => b.mul_scalar(module.scale / layer.scale),
            }
        });
        let b = joined(b.collect(), 0);
        let masks = self.dropout.map(|key| {
            let mask = |module: &AdaptedModule| Mask::new(key, &module.path, self.plan.dropout);
            modules.iter().map(mask).collect()
        });
        let site = Site {
            layer: layer.clone(),
            masks,
        };
        let y = operations::lora_linear(x, a, b, Arc::new(site));
        match decomposed {
            true => self.decomposed(adaptation, y),
            false => y,
        }
    }

    /// `A` with rows of zeros up to rank `r`.
    fn filled_a(&self, module: &AdaptedModule, r: usize) -> Tensor<2> {
        let a = self.leaf(module.a);
        let [_, inputs] = a.dims();
        match r - module.r {
            0 => a,
            missing => {
                let zeros = self.constant(vec![0.0; missing * inputs], inputs);
                Tensor::cat(vec![a, zeros], 0)
            }
        }
    }

    /// `B` with columns of zeros up to rank `r`.
    fn filled_b(&self, module: &AdaptedModule, r: usize) -> Tensor<2> {
        let b = self.leaf(module.b);
        match r - module.r {
            0 => b,
            missing => {
                let zeros = self.constant(vec![0.0; missing * module.block.count], missing);
                Tensor::cat(vec![b, zeros], 1)
            }
        }
    }

    /// `(y − bias)·m/‖W + s·B·A‖ + bias`, the norm a constant of the graph as in PEFT.
    fn decomposed(&self, adaptation: &Adaptation, y: Tensor<2>) -> Tensor<2> {
        let linear = &adaptation.layer.linear;
        let ones = |count: usize| self.constant(vec![1.0; count], count);
        let mut parts = Vec::new();
        let mut end = 0;
        for module in &adaptation.modules {
            let Block { first, count } = module.block;
            if first > end {
                parts.push(ones(first - end));
            }
            end = first + count;
            parts.push(self.gains(linear, module));
        }
        if linear.outputs > end {
            parts.push(ones(linear.outputs - end));
        }
        let gains = joined(parts, 1);
        match linear.bias() {
            None => y * gains,
            Some(bias) => {
                let bias = self.constant(bias.to_vec(), linear.outputs);
                (y - bias.clone()) * gains + bias
            }
        }
    }

    /// `W·x + bias + (g − 1)·W·x̃ + g·s·B·A·x̃`, where `x̃` is what dropout leaves of `x` for a module and `g` its gains: with
    /// dropout, PEFT puts the frozen weight's correction behind the mask too.
    fn decomposed_with_dropout(
        &self,
        adaptation: &Adaptation,
        x: Tensor<2>,
        key: DropoutKey,
    ) -> Tensor<2> {
        let linear = &adaptation.layer.linear;
        let [tokens, inputs] = x.dims();
        let zeros = |count: usize| self.constant(vec![0.0; tokens * count], count);
        let product = |x: Tensor<2>, weight: Tensor<2>| {
            let [outputs, _] = weight.dims();
            let none = self.constant(vec![0.0; outputs], outputs);
            operations::affine(x, weight, none.reshape([outputs]))
        };
        let mut parts = Vec::new();
        let mut end = 0;
        for module in &adaptation.modules {
            let Block { first, count } = module.block;
            if first > end {
                parts.push(zeros(first - end));
            }
            end = first + count;
            let mask = Mask::new(key, &module.path, self.plan.dropout);
            let kept = x.clone() * self.constant(mask.apply(&vec![1.0; tokens * inputs]), inputs);
            let mut frozen = operations::linear(kept.clone(), linear).narrow(1, first, count);
            if let Some(bias) = linear.bias() {
                frozen = frozen - self.constant(bias[first..end].to_vec(), count);
            }
            let low = product(kept, self.leaf(module.a));
            let delta = product(low, self.leaf(module.b)).mul_scalar(module.scale);
            let gains = self.gains(linear, module);
            parts.push(frozen * gains.clone().sub_scalar(1.0) + delta * gains);
        }
        if linear.outputs > end {
            parts.push(zeros(linear.outputs - end));
        }
        operations::linear(x, linear) + joined(parts, 1)
    }

    /// `m/‖W + s·B·A‖` of a module's outputs; ones where it has no magnitudes.
    fn gains(&self, linear: &Linear, module: &AdaptedModule) -> Tensor<2> {
        let count = module.block.count;
        let Some(magnitude) = module.magnitude else {
            return self.constant(vec![1.0; count], count);
        };
        let delta = Delta {
            a: &self.values[module.a],
            b: &self.values[module.b],
            r: module.r,
            scale: module.scale,
        };
        let norms = dora::norms(linear, module.block, Some(delta));
        self.leaf(magnitude) / self.constant(norms, count)
    }

    /// A norm of a whole row.
    pub(super) fn norm(&self, id: NormId, x: Tensor<2>) -> Tensor<2> {
        let norm = self.body.norm(id);
        match norm.kind {
            NormKind::Layer | NormKind::Unbiased => {
                operations::layer_norm(x, None, self.gain(id), self.bias(id), norm.eps)
            }
            NormKind::Rms | NormKind::GemmaRms => operations::rms_norm(x, self.gain(id), norm.eps),
        }
    }

    pub(super) fn norm_if(&self, id: Option<NormId>, x: Tensor<2>) -> Tensor<2> {
        match id {
            Some(id) => self.norm(id, x),
            None => x,
        }
    }

    /// The layer norm of `x + residual`.
    pub(super) fn add_norm(&self, id: NormId, x: Tensor<2>, residual: Tensor<2>) -> Tensor<2> {
        let eps = self.body.norm(id).eps;
        operations::layer_norm(x, Some(residual), self.gain(id), self.bias(id), eps)
    }

    /// Each query head and each key head normed.
    pub(super) fn head_norm(&self, [query, key]: [NormId; 2], qkv: Tensor<2>) -> Tensor<2> {
        let config = &self.body.config;
        let shape = HeadNorm {
            width: (config.num_attention_heads + 2 * config.num_key_value_heads) * config.head_dim,
            heads: config.num_attention_heads,
            kv_heads: config.num_key_value_heads,
            size: config.head_dim,
            eps: self.body.norm(query).eps,
        };
        operations::head_norm(qkv, self.gain(query), self.gain(key), shape)
    }

    fn gain(&self, id: NormId) -> Tensor<2> {
        let norm = self.body.norm(id);
        match (self.plan.norms[id.0], norm.kind) {
            (Some((gain, _)), NormKind::GemmaRms) => self.leaf(gain).add_scalar(1.0),
            (Some((gain, _)), _) => self.leaf(gain),
            (None, _) => self.constant(norm.gain.clone(), norm.gain.len()),
        }
    }

    fn bias(&self, id: NormId) -> Tensor<2> {
        let norm = self.body.norm(id);
        match self.plan.norms[id.0] {
            Some((_, Some(bias))) => self.leaf(bias),
            _ => self.constant(norm.bias.clone(), norm.bias.len()),
        }
    }

    /// Queries and keys turned by their positions, where layer `index` does so.
    pub(super) fn rotate(&self, index: usize, qkv: Tensor<2>) -> Tensor<2> {
        match self.body.config.layers[index].rope {
            Some(rope) => operations::rotate(qkv, &self.rotations[rope]),
            None => qkv,
        }
    }

    /// Attention of layer `index`, over this pass's tokens and those that are remembered.
    pub(super) fn attend(&self, index: usize, qkv: Tensor<2>) -> Result<Tensor<2>, NetworkError> {
        let heads = &self.heads[index];
        let Some(memory) = self.memory else {
            return Ok(operations::attention(qkv, heads));
        };
        let values = numbers(qkv.clone())?;
        match memory.borrow_mut().attend(index, &values, heads) {
            Some(context) => Ok(self.constant(context, heads.context_width())),
            None => Ok(operations::attention(qkv, heads)),
        }
    }

    /// The gradients of the parameters that this pass used.
    pub(super) fn gradients(
        self,
        found: &mut Gradients,
    ) -> Result<BTreeMap<usize, Vec<f32>>, NetworkError> {
        let leaves = self.leaves.into_inner().into_iter();
        leaves
            .map(|(index, leaf)| {
                let name = &self.plan.parameters[index].name;
                let gradient = leaf
                    .grad_remove(found)
                    .ok_or_else(|| NetworkError::Tensor(format!("{name} got no gradient")))?;
                let values = numbers(gradient)?;
                match values.iter().all(|value| value.is_finite()) {
                    true => Ok((index, values)),
                    false => Err(NetworkError::NotFinite(format!("the gradient of {name}"))),
                }
            })
            .collect()
    }

    /// A parameter as `[rows × columns]`; vectors have one row.
    fn leaf(&self, index: usize) -> Tensor<2> {
        let make = || {
            let shape = &self.plan.parameters[index].shape;
            let columns = shape.last().copied().unwrap_or(1);
            let tensor = self.constant(self.values[index].clone(), columns);
            match self.tracked {
                true => tensor.require_grad(),
                false => tensor,
            }
        };
        self.leaves
            .borrow_mut()
            .entry(index)
            .or_insert_with(make)
            .clone()
    }
}

/// Side by side, or below each other.
fn joined(mut parts: Vec<Tensor<2>>, dimension: usize) -> Tensor<2> {
    match parts.len() {
        1 => parts.swap_remove(0),
        _ => Tensor::cat(parts, dimension),
    }
}

/// The elements in row-major order.
pub(super) fn numbers<const D: usize>(tensor: Tensor<D>) -> Result<Vec<f32>, NetworkError> {
    tensor
        .into_data()
        .try_into_vec::<f32>()
        .map_err(|error| NetworkError::Tensor(format!("{error:?}")))
}
