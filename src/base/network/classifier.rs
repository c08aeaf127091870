//! A BERT sequence classifier, optionally with LoRA. The only type of this module that others need.

use std::collections::BTreeMap;
use std::sync::Arc;

use burn::tensor::{Device, Tensor, TensorData};

use super::encoder::{Encoder, Leaf, SiteShape};
use super::{Batch, DropoutKey, NetworkError, operations, random};
use crate::base::{BertConfig, Checkpoint, LoraSpec, Pooling, Weights};

/// A sequence classifier: frozen encoder, LoRA factors and classification head.
///
/// Without LoRA only the head is trained. Results depend on the inputs alone: not on threads, not on the instruction set.
#[derive(Debug)]
pub struct Classifier {
    encoder: Encoder,
    labels: usize,
    sites: Vec<SiteShape>,
    parameters: Vec<Parameter>,
    /// Row-major, in the order of `parameters`.
    weights: Vec<Vec<f32>>,
}

/// A trained tensor.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Parameter {
    /// Its name in PEFT's `adapter_model.safetensors`.
    pub name: String,
    /// Its shape there.
    pub shape: Vec<usize>,
}

/// What one forward and backward pass gives.
#[derive(Debug, Clone, PartialEq)]
pub struct StepOutput {
    /// Σ over the rows of the cross-entropy, not scaled.
    pub loss_sum: f64,
    /// The gradient of `scale · Σ loss` with respect to each parameter, row-major, in their order.
    pub gradients: Vec<Vec<f32>>,
}

impl Classifier {
    /// A classifier with fresh factors and a fresh head.
    ///
    /// `A` is U(−1/√in, 1/√in) and `B` zero as PEFT makes them, the head N(0, `initializer_range`²) with a zero bias as
    /// transformers makes it; each from its own stream of `seed`.
    pub fn load(
        checkpoint: &Checkpoint,
        pooling: Pooling,
        labels: usize,
        lora: Option<&LoraSpec>,
        seed: u64,
    ) -> Result<Self, NetworkError> {
        if labels < 2 {
            return Err(NetworkError::Labels(labels));
        }
        let config = BertConfig::parse(&checkpoint.config)?;
        let weights = Weights::open(checkpoint)?;
        let encoder = Encoder::load(&weights, config, pooling, lora)?;
        let sites = encoder.sites();
        let r = lora.map_or(0, |lora| lora.r);
        let parameters = parameters(&sites, r, encoder.config.hidden_size, labels);
        let deviation = encoder.config.initializer_range;
        let weights = parameters
            .iter()
            .map(|parameter| fresh(parameter, seed, deviation))
            .collect();
        Ok(Self {
            encoder,
            labels,
            sites,
            parameters,
            weights,
        })
    }

    /// A classifier with these trained values: every parameter must be there with its shape, and nothing else.
    pub fn load_trained(
        checkpoint: &Checkpoint,
        pooling: Pooling,
        labels: usize,
        lora: Option<&LoraSpec>,
        tensors: &BTreeMap<String, (Vec<usize>, Vec<f32>)>,
    ) -> Result<Self, NetworkError> {
        let mut classifier = Self::load(checkpoint, pooling, labels, lora, 0)?;
        let fault = |why: String| Err(NetworkError::Weights(why));
        let mut weights = Vec::new();
        for Parameter { name, shape } in &classifier.parameters {
            match tensors.get(name) {
                Some((found, values)) if found == shape => weights.push(values.clone()),
                Some((found, _)) => {
                    return fault(format!("{name} has shape {found:?}, not {shape:?}"));
                }
                None => return fault(format!("{name} is missing")),
            }
        }
        let known = |name: &&String| classifier.parameters.iter().any(|p| &p.name == *name);
        if let Some(extra) = tensors.keys().find(|name| !known(name)) {
            return fault(format!("{extra} is not a parameter of this model"));
        }
        classifier.set_weights(&weights)?;
        Ok(classifier)
    }

    /// The trained tensors, in the order of weights and gradients.
    pub fn parameters(&self) -> &[Parameter] {
        &self.parameters
    }

    /// The trained values, row-major.
    pub fn weights(&self) -> &[Vec<f32>] {
        &self.weights
    }

    /// Replaces the trained values.
    pub fn set_weights(&mut self, weights: &[Vec<f32>]) -> Result<(), NetworkError> {
        if weights.len() != self.parameters.len() {
            let (got, want) = (weights.len(), self.parameters.len());
            return Err(NetworkError::Weights(format!(
                "{got} tensors for {want} parameters"
            )));
        }
        for (parameter, values) in self.parameters.iter().zip(weights) {
            if values.len() != parameter.shape.iter().product::<usize>() {
                let (name, length) = (&parameter.name, values.len());
                return Err(NetworkError::Weights(format!(
                    "{name} has {length} elements"
                )));
            }
            if !values.iter().all(|value| value.is_finite()) {
                return Err(NetworkError::NotFinite(parameter.name.clone()));
            }
        }
        self.weights = weights.to_vec();
        Ok(())
    }

    /// How many classes the head tells apart.
    pub fn labels(&self) -> usize {
        self.labels
    }

    /// The shape of the encoder.
    pub fn config(&self) -> &BertConfig {
        &self.encoder.config
    }

    /// One forward and backward pass over a labelled batch; nothing is updated.
    ///
    /// With `scale = 1/rows` the gradients are those of the mean loss. LoRA dropout is on where a key is given and the
    /// specification has a probability.
    pub fn train_step(
        &self,
        batch: &Batch,
        scale: f32,
        dropout: Option<DropoutKey>,
    ) -> Result<StepOutput, NetworkError> {
        self.check(batch)?;
        batch.check_labels(self.labels)?;
        let device = Device::flex().autodiff();
        let leaves = self.leaves(&device, |tensor| tensor.require_grad());
        let (weight, bias) = self.head(&device);
        let (weight, bias) = (weight.require_grad(), bias.require_grad());
        let features = self.encoder.features(batch, &leaves, dropout, &device);
        let logits = operations::affine(features, weight.clone(), bias.clone());
        let losses = operations::cross_entropy(logits, Arc::from(batch.labels.as_slice()));
        let rows = numbers(losses.clone().inner())?;
        let loss_sum: f64 = rows.iter().map(|loss| f64::from(*loss)).sum();
        if !loss_sum.is_finite() {
            return Err(NetworkError::NotFinite("the loss".to_owned()));
        }
        let mut found = losses.sum().mul_scalar(scale).backward();
        let mut gradients = Vec::with_capacity(self.parameters.len());
        for (leaf, site) in leaves.iter().zip(&self.sites) {
            let a = gradient(leaf.a.grad_remove(&mut found))?;
            let b = gradient(leaf.b.grad_remove(&mut found))?;
            gradients.extend(unstack(site, a, b));
        }
        gradients.push(gradient(weight.grad_remove(&mut found))?);
        gradients.push(gradient(bias.grad_remove(&mut found))?);
        Ok(StepOutput {
            loss_sum,
            gradients,
        })
    }

    /// The logits, row-major `[rows × labels]`. Labels in the batch are not looked at.
    pub fn logits(&self, batch: &Batch) -> Result<Vec<f32>, NetworkError> {
        self.check(batch)?;
        let device = Device::flex();
        let leaves = self.leaves(&device, |tensor| tensor);
        let (weight, bias) = self.head(&device);
        let features = self.encoder.features(batch, &leaves, None, &device);
        numbers(operations::affine(features, weight, bias))
    }

    /// One vector per row, row-major `[rows × hidden]`: the mean of the last hidden states, or the first of them.
    pub fn embeddings(&self, batch: &Batch) -> Result<Vec<f32>, NetworkError> {
        self.check(batch)?;
        let device = Device::flex();
        let leaves = self.leaves(&device, |tensor| tensor);
        numbers(self.encoder.pooled(batch, &leaves, None, &device))
    }

    fn check(&self, batch: &Batch) -> Result<(), NetworkError> {
        let config = self.config();
        batch.check(config.vocab_size, config.max_position_embeddings)
    }

    /// The factors on `device`, those of one site stacked.
    fn leaves(&self, device: &Device, mark: impl Fn(Tensor<2>) -> Tensor<2>) -> Vec<Leaf> {
        let mut weights = self.weights.chunks_exact(2);
        let mut leaf = |site: &SiteShape| {
            let (mut a, mut b) = (Vec::new(), Vec::new());
            for pair in weights.by_ref().take(site.modules.len()) {
                a.extend_from_slice(&pair[0]);
                b.extend_from_slice(&pair[1]);
            }
            let matrix = |values: Vec<f32>, columns: usize| {
                let shape = [values.len() / columns, columns];
                mark(Tensor::from_data(TensorData::new(values, shape), device))
            };
            let r = a.len() / site.modules.len() / site.inputs;
            Leaf {
                a: matrix(a, site.inputs),
                b: matrix(b, r),
            }
        };
        self.sites.iter().map(&mut leaf).collect()
    }

    /// The head's weight and bias: always the last two parameters.
    fn head(&self, device: &Device) -> (Tensor<2>, Tensor<1>) {
        let first = self.weights.len() - 2;
        let (weight, bias) = (self.weights[first].clone(), self.weights[first + 1].clone());
        let shape = [self.labels, weight.len() / self.labels];
        (
            Tensor::from_data(TensorData::new(weight, shape), device),
            Tensor::from_data(TensorData::new(bias, [self.labels]), device),
        )
    }
}

fn parameters(sites: &[SiteShape], r: usize, hidden: usize, labels: usize) -> Vec<Parameter> {
    let parameter = |name: String, shape: &[usize]| Parameter {
        name: format!("base_model.model.{name}"),
        shape: shape.to_vec(),
    };
    let mut all = Vec::new();
    for site in sites {
        for (module, outputs) in site.modules.iter().zip(&site.outputs) {
            all.push(parameter(
                format!("{module}.lora_A.weight"),
                &[r, site.inputs],
            ));
            all.push(parameter(format!("{module}.lora_B.weight"), &[*outputs, r]));
        }
    }
    all.push(parameter("classifier.weight".to_owned(), &[labels, hidden]));
    all.push(parameter("classifier.bias".to_owned(), &[labels]));
    all
}

fn fresh(parameter: &Parameter, seed: u64, deviation: f64) -> Vec<f32> {
    let Parameter { name, shape } = parameter;
    let count = shape.iter().product();
    if name.ends_with("lora_A.weight") {
        random::uniform(seed, name, count, 1.0 / (shape[1] as f64).sqrt())
    } else if name.ends_with("classifier.weight") {
        random::normal(seed, name, count, deviation)
    } else {
        vec![0.0; count]
    }
}

/// The gradients of one site's modules, `A` and `B` in turn.
fn unstack(site: &SiteShape, a: Vec<f32>, b: Vec<f32>) -> Vec<Vec<f32>> {
    let each = a.len() / site.modules.len();
    let r = each / site.inputs;
    let mut rest = b.as_slice();
    let mut out = Vec::new();
    for (a, outputs) in a.chunks_exact(each).zip(&site.outputs) {
        let (b, after) = rest.split_at(outputs * r);
        out.push(a.to_vec());
        out.push(b.to_vec());
        rest = after;
    }
    out
}

fn gradient<const D: usize>(found: Option<Tensor<D>>) -> Result<Vec<f32>, NetworkError> {
    let missing = || NetworkError::Tensor("a parameter got no gradient".to_owned());
    let values = numbers(found.ok_or_else(missing)?)?;
    if values.iter().all(|value| value.is_finite()) {
        Ok(values)
    } else {
        Err(NetworkError::NotFinite("a gradient".to_owned()))
    }
}

fn numbers<const D: usize>(tensor: Tensor<D>) -> Result<Vec<f32>, NetworkError> {
    tensor
        .into_data()
        .try_into_vec::<f32>()
        .map_err(|error| NetworkError::Tensor(format!("{error:?}")))
}
