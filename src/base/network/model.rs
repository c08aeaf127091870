//! A model: a frozen body, what is trained of it, and the task. The face of this module.

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::Arc;

use burn::tensor::{Device as Opened, Tensor};

use super::body::{Body, TaskHead};
use super::operations::{self, Targets};
use super::pass::{Pass, numbers};
use super::plan::{Applied, Origin, Plan};
use super::{Batch, DropoutKey, NetworkError, device, head, layout};
use crate::base::{Checkpoint, Config, Device, LoraSpec, Pooling, Precision, Weights};

/// A model of any family, for one task, optionally with LoRA.
///
/// Results depend on the inputs alone: not on threads, not on the instruction set. Models made by
/// [`with_adapter`](Self::with_adapter) share the frozen weights.
#[derive(Debug, Clone)]
pub struct Model {
    body: Arc<Body>,
    task: Task,
    plan: Arc<Plan>,
    /// Row-major, in the order of the parameters.
    values: Vec<Vec<f32>>,
    /// Layers that are recomputed together in training; all layers are kept without it.
    segment: Option<usize>,
    device: (Device, Opened),
}

/// What a model is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Task {
    /// The next token of a text.
    CausalLm,
    /// One of some labels for a text.
    SeqCls {
        /// How many labels there are.
        labels: usize,
        /// What stands for the text.
        pooling: Pooling,
    },
}

/// What is trained.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Trained<'a> {
    /// The classification head alone; nothing of a language model.
    Head,
    /// Low-rank factors, and the classification head.
    Lora(&'a LoraSpec),
    /// Every weight.
    Everything,
}

impl<'a> From<Option<&'a LoraSpec>> for Trained<'a> {
    fn from(lora: Option<&'a LoraSpec>) -> Self {
        lora.map_or(Self::Head, Self::Lora)
    }
}

/// How a model is made of a checkpoint.
#[derive(Debug, Clone, Copy)]
pub struct Setup<'a> {
    /// What it is for.
    pub task: Task,
    /// What is trained of it.
    pub trained: Trained<'a>,
    /// How frozen weights are held.
    pub precision: Precision,
    /// From which fresh parameters are drawn.
    pub seed: u64,
}

/// A trained tensor.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Parameter {
    /// Its name in PEFT's `adapter_model.safetensors`; where everything is trained, its name in the checkpoint.
    pub name: String,
    /// Its shape there.
    pub shape: Vec<usize>,
}

/// Tensors by name, with their shapes.
type Tensors = BTreeMap<String, (Vec<usize>, Vec<f32>)>;

/// What one forward and backward pass gives.
#[derive(Debug, Clone, PartialEq)]
pub struct StepOutput {
    /// Σ over labelled rows or tokens of the cross-entropy, not scaled.
    pub loss_sum: f64,
    /// The gradient of `scale · Σ loss` with respect to each parameter, row-major, in their order.
    pub gradients: Vec<Vec<f32>>,
}

impl Model {
    /// Reads a checkpoint. Factors are fresh; a classification head is the checkpoint's where it has one of this shape.
    ///
    /// `A` is U(−1/√in, 1/√in) and `B` zero as PEFT makes them, a fresh head N(0, `initializer_range`²) with a zero bias
    /// as transformers makes it; each from its own stream of the seed.
    pub fn load(checkpoint: &Checkpoint, setup: &Setup<'_>) -> Result<Self, NetworkError> {
        Self::of(checkpoint, setup, Origin::Fresh(setup.seed))
    }

    fn of(
        checkpoint: &Checkpoint,
        setup: &Setup<'_>,
        origin: Origin,
    ) -> Result<Self, NetworkError> {
        let config = Config::parse(&checkpoint.config)?;
        let weights = Weights::open(checkpoint)?;
        let frozen = setup.trained != Trained::Everything;
        let body = layout::load(weights, config, setup.task, setup.precision, frozen)?;
        let (plan, values) = Plan::new(&body, setup.trained, origin)?;
        Ok(Self {
            body: Arc::new(body),
            task: setup.task,
            plan: Arc::new(plan),
            values,
            segment: None,
            device: (Device::Cpu, device::open(Device::Cpu)?),
        })
    }

    /// A model with these trained values: every parameter must be there with its shape, and nothing else.
    pub fn load_trained(
        checkpoint: &Checkpoint,
        setup: &Setup<'_>,
        tensors: &Tensors,
    ) -> Result<Self, NetworkError> {
        let mut model = Self::of(checkpoint, setup, Origin::Stored)?;
        model.set_tensors(tensors)?;
        Ok(model)
    }

    /// Another adapter on the same frozen weights, which are not read again. The task stays.
    pub fn with_adapter(&self, lora: &LoraSpec, tensors: &Tensors) -> Result<Self, NetworkError> {
        let (plan, values) = Plan::new(&self.body, Trained::Lora(lora), Origin::Stored)?;
        let mut model = Self {
            plan: Arc::new(plan),
            values,
            ..self.clone()
        };
        model.set_tensors(tensors)?;
        Ok(model)
    }

    /// Puts another adapter in the place of this one.
    pub fn set_adapter(&mut self, lora: &LoraSpec, tensors: &Tensors) -> Result<(), NetworkError> {
        *self = self.with_adapter(lora, tensors)?;
        Ok(())
    }

    /// The trained tensors, in the order of weights and gradients.
    pub fn parameters(&self) -> &[Parameter] {
        &self.plan.parameters
    }

    /// The trained values, row-major.
    pub fn weights(&self) -> &[Vec<f32>] {
        &self.values
    }

    /// Replaces the trained values.
    pub fn set_weights(&mut self, weights: &[Vec<f32>]) -> Result<(), NetworkError> {
        self.check_weights(weights)?;
        for (values, new) in self.values.iter_mut().zip(weights) {
            values.clone_from(new);
        }
        Ok(())
    }

    /// Changes the trained values where they are; with an error they are not to be used any more.
    pub fn update_weights(
        &mut self,
        update: impl FnOnce(&mut [Vec<f32>]),
    ) -> Result<(), NetworkError> {
        update(&mut self.values);
        self.check_weights(&self.values)
    }

    fn check_weights(&self, weights: &[Vec<f32>]) -> Result<(), NetworkError> {
        if weights.len() != self.parameters().len() {
            let (got, want) = (weights.len(), self.parameters().len());
            return Err(NetworkError::Weights(format!(
                "{got} tensors for {want} parameters"
            )));
        }
        for (parameter, values) in self.parameters().iter().zip(weights) {
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
        Ok(())
    }

    fn set_tensors(&mut self, tensors: &Tensors) -> Result<(), NetworkError> {
        let fault = |why: String| Err(NetworkError::Weights(why));
        let mut weights = Vec::new();
        for Parameter { name, shape } in self.parameters() {
            match tensors.get(name) {
                Some((found, values)) if found == shape => weights.push(values.clone()),
                Some((found, _)) => {
                    return fault(format!("{name} has shape {found:?}, not {shape:?}"));
                }
                None => return fault(format!("{name} is missing")),
            }
        }
        let known = |name: &&String| self.parameters().iter().any(|p| &p.name == *name);
        if let Some(extra) = tensors.keys().find(|name| !known(name)) {
            return fault(format!("{extra} is not a parameter of this model"));
        }
        self.set_weights(&weights)
    }

    /// Paths of the modules that have factors.
    pub fn adapted_modules(&self) -> Vec<String> {
        let adapted = self
            .plan
            .projections
            .iter()
            .filter_map(|applied| match applied {
                Applied::Adapted(adaptation) => Some(&adaptation.modules),
                Applied::Frozen(_) | Applied::Trained(_) => None,
            });
        adapted
            .flatten()
            .map(|module| module.path.clone())
            .collect()
    }

    /// Keeps hidden states only at every `layers` layers in training and computes the others again for their gradients:
    /// the same gradients for less memory and more time. `None` keeps all.
    pub fn set_segment(&mut self, layers: Option<usize>) {
        self.segment = layers.filter(|layers| *layers > 0);
    }

    /// Has the model run on another device than the processor. There, everything is computed in f32 by stock operations of
    /// burn, and sums may have another order each time.
    pub fn set_device(&mut self, device: Device) -> Result<(), NetworkError> {
        self.device = (device, device::open(device)?);
        Ok(())
    }

    /// What the model runs on.
    pub fn device(&self) -> Device {
        self.device.0
    }

    /// What the model is for.
    pub fn task(&self) -> Task {
        self.task
    }

    /// How many labels a classifier tells apart; 0 for a language model.
    pub fn labels(&self) -> usize {
        match self.task {
            Task::SeqCls { labels, .. } => labels,
            Task::CausalLm => 0,
        }
    }

    /// The shape of the model.
    pub fn config(&self) -> &Config {
        &self.body.config
    }

    /// One forward and backward pass over a labelled batch; nothing is updated.
    ///
    /// With `scale` one over the number of labels the gradients are those of the mean loss. LoRA dropout is on where a key is
    /// given and the specification has a probability.
    pub fn train_step(
        &self,
        batch: &Batch,
        scale: f32,
        dropout: Option<DropoutKey>,
    ) -> Result<StepOutput, NetworkError> {
        self.check(batch)?;
        self.check_labels(batch)?;
        let segments = self.segments();
        let inputs = self.inputs(batch, &segments, dropout)?;
        let mut gradients = Collected::new(self.parameters().len());
        let mut loss_sum = 0.0;
        let mut upstream = None;
        for (layers, input) in segments.iter().zip(inputs).rev() {
            let pass = self.pass(batch, true).with_dropout(dropout);
            let wanted = !self.plan.tables.is_empty() || layers.start > self.plan.lowest;
            let x = pass.input(input, wanted);
            let y = pass.layers(layers.clone(), x.clone(), |_| ())?;
            let total = match upstream {
                None => {
                    let losses = self.losses(&pass, batch, y);
                    loss_sum = sum(numbers(losses.clone().inner())?)?;
                    losses.sum().mul_scalar(scale)
                }
                Some(gradient) => along(&pass, y, gradient),
            };
            let mut found = total.backward();
            upstream = match wanted {
                true => x.grad_remove(&mut found).map(numbers).transpose()?,
                false => None,
            };
            gradients.add(pass.gradients(&mut found)?);
            if upstream.is_none() {
                break;
            }
        }
        if let (Some(gradient), false) = (upstream, self.plan.tables.is_empty()) {
            let pass = self.pass(batch, true);
            let mut found = along(&pass, pass.embed(batch)?, gradient).backward();
            gradients.add(pass.gradients(&mut found)?);
        }
        Ok(StepOutput {
            loss_sum,
            gradients: gradients.all(self.parameters())?,
        })
    }

    /// The loss of each labelled row or token, in their order.
    pub fn token_losses(&self, batch: &Batch) -> Result<Vec<f32>, NetworkError> {
        self.check(batch)?;
        self.check_labels(batch)?;
        let pass = self.pass(batch, false);
        let hidden = self.hidden(&pass, batch)?;
        let losses = numbers(self.losses(&pass, batch, hidden))?;
        let labelled = losses.into_iter().zip(&batch.labels);
        Ok(labelled
            .filter(|(_, label)| **label != Batch::NONE)
            .map(|(loss, _)| loss)
            .collect())
    }

    /// The logits, row-major: `[rows × labels]` of a classifier, `[tokens × vocabulary]` of a language model.
    /// Labels in the batch are not looked at.
    pub fn logits(&self, batch: &Batch) -> Result<Vec<f32>, NetworkError> {
        self.check(batch)?;
        let pass = self.pass(batch, false);
        let hidden = self.hidden(&pass, batch)?;
        numbers(self.scores(&pass, batch, hidden))
    }

    /// One vector per row, row-major `[rows × hidden]`: what `pooling` makes of the last hidden states.
    pub fn embeddings(&self, batch: &Batch, pooling: Pooling) -> Result<Vec<f32>, NetworkError> {
        self.check(batch)?;
        let pass = self.pass(batch, false);
        let x = self.hidden(&pass, batch)?;
        let x = pass.norm_if(self.body.final_norm, x);
        numbers(head::pooled(&pass, batch, x, pooling))
    }

    /// The hidden states, row-major `[tokens × hidden]`: before the first layer, after each, the last one normed.
    pub fn hidden_states(&self, batch: &Batch) -> Result<Vec<Vec<f32>>, NetworkError> {
        self.check(batch)?;
        let pass = self.pass(batch, false);
        let mut seen = Vec::new();
        let x = pass.embed(batch)?;
        let x = pass.layers(0..self.body.layers.len(), x, |x| {
            seen.push(numbers(x.clone()));
        })?;
        seen.push(numbers(pass.norm_if(self.body.final_norm, x)));
        seen.into_iter().collect()
    }

    pub(super) fn body(&self) -> &Body {
        &self.body
    }

    pub(super) fn pass(&self, batch: &Batch, tracked: bool) -> Pass<'_> {
        Pass::new(
            &self.body,
            &self.plan,
            &self.values,
            batch,
            match tracked {
                true => self.device.1.clone().autodiff(),
                false => self.device.1.clone(),
            },
        )
    }

    /// The hidden states after the last layer.
    pub(super) fn hidden(&self, pass: &Pass<'_>, batch: &Batch) -> Result<Tensor<2>, NetworkError> {
        pass.layers(0..self.body.layers.len(), pass.embed(batch)?, |_| ())
    }

    /// Logits of what comes out of the last layer.
    pub(super) fn scores(&self, pass: &Pass<'_>, batch: &Batch, hidden: Tensor<2>) -> Tensor<2> {
        let hidden = pass.norm_if(self.body.final_norm, hidden);
        match &self.body.task {
            TaskHead::Labels(head) => head.forward(pass, batch, hidden),
            TaskHead::Vocabulary(head) => {
                let logits = pass.project(*head, hidden);
                match self.body.config.final_softcap {
                    Some(cap) => logits.div_scalar(cap as f32).tanh().mul_scalar(cap as f32),
                    None => logits,
                }
            }
        }
    }

    /// The loss of each row or token; 0 where there is no label.
    fn losses(&self, pass: &Pass<'_>, batch: &Batch, hidden: Tensor<2>) -> Tensor<1> {
        let labels = Arc::from(batch.labels.as_slice());
        match &self.body.task {
            TaskHead::Labels(_) => {
                let logits = self.scores(pass, batch, hidden);
                operations::cross_entropy(logits, labels)
            }
            TaskHead::Vocabulary(head) => {
                let targets = Targets {
                    targets: labels,
                    softcap: self.body.config.final_softcap.map(|cap| cap as f32),
                };
                let hidden = pass.norm_if(self.body.final_norm, hidden);
                pass.vocabulary_losses(*head, hidden, &targets)
            }
        }
    }

    /// The runs of layers that are kept together, first to last.
    fn segments(&self) -> Vec<Range<usize>> {
        let count = self.body.layers.len();
        let size = self.segment.unwrap_or(count).max(1);
        (0..count)
            .step_by(size)
            .map(|start| start..count.min(start + size))
            .collect()
    }

    /// What goes into each segment.
    fn inputs(
        &self,
        batch: &Batch,
        segments: &[Range<usize>],
        dropout: Option<DropoutKey>,
    ) -> Result<Vec<Vec<f32>>, NetworkError> {
        let pass = self.pass(batch, false).with_dropout(dropout);
        let mut x = pass.embed(batch)?;
        let mut inputs = Vec::with_capacity(segments.len());
        for (index, layers) in segments.iter().enumerate() {
            inputs.push(numbers(x.clone())?);
            if index + 1 < segments.len() {
                x = pass.layers(layers.clone(), x, |_| ())?;
            }
        }
        Ok(inputs)
    }

    pub(super) fn check(&self, batch: &Batch) -> Result<(), NetworkError> {
        let config = self.config();
        batch.check(config.vocab_size, config.longest())
    }

    fn check_labels(&self, batch: &Batch) -> Result<(), NetworkError> {
        match self.task {
            Task::SeqCls { labels, .. } => batch.check_labels(labels),
            Task::CausalLm => batch.check_targets(self.config().vocab_size),
        }
    }
}

/// A number whose gradient with respect to `y` is `gradient`.
fn along(pass: &Pass<'_>, y: Tensor<2>, gradient: Vec<f32>) -> Tensor<1> {
    let [_, columns] = y.dims();
    (y * pass.constant(gradient, columns)).sum()
}

fn sum(losses: Vec<f32>) -> Result<f64, NetworkError> {
    let sum: f64 = losses.iter().map(|loss| f64::from(*loss)).sum();
    match sum.is_finite() {
        true => Ok(sum),
        false => Err(NetworkError::NotFinite("the loss".to_owned())),
    }
}

/// Gradients from several passes; a parameter that is used in two of them gets their sum.
struct Collected(Vec<Option<Vec<f32>>>);

impl Collected {
    fn new(count: usize) -> Self {
        Self(vec![None; count])
    }

    fn add(&mut self, found: BTreeMap<usize, Vec<f32>>) {
        for (index, gradient) in found {
            match &mut self.0[index] {
                Some(sum) => sum.iter_mut().zip(&gradient).for_each(|(sum, g)| *sum += g),
                empty => *empty = Some(gradient),
            }
        }
    }

    fn all(self, parameters: &[Parameter]) -> Result<Vec<Vec<f32>>, NetworkError> {
        let named = self.0.into_iter().zip(parameters);
        named
            .map(|(gradient, parameter)| {
                let name = &parameter.name;
                gradient.ok_or_else(|| NetworkError::Tensor(format!("{name} got no gradient")))
            })
            .collect()
    }
}
