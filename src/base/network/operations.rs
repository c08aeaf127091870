//! The fused operations as burn operations, each with a hand-written gradient.
//!
//! burn keeps the tensors and the graph; a frozen layer is not a tensor of that graph, so it can never get a gradient,
//! and nothing below the first adapted layer is tracked.

use std::borrow::Cow;
use std::sync::Arc;

use burn::backend::autodiff::checkpoint::base::Checkpointer;
use burn::backend::autodiff::checkpoint::strategy::CheckpointStrategy;
use burn::backend::autodiff::grads::Gradients;
use burn::backend::autodiff::ops::{Backward, Ops, OpsKind};
use burn::backend::tensor::FloatTensor;
use burn::backend::{Autodiff, Backend, Dispatch, Flex, backend_extension};
use burn::tensor::{Tensor, TensorData};
use burn_flex::FlexTensor;

use super::attention::{self, Heads};
use super::dropout::Mask;
use super::linear::{self, Adapted, Factors, Linear};
use super::pointwise::{self, Normalised};
use super::pooling::{self, Pool};

/// A frozen layer norm.
#[derive(Debug)]
pub(super) struct Norm {
    pub(super) gain: Vec<f32>,
    pub(super) bias: Vec<f32>,
    pub(super) eps: f32,
}

/// An adapted layer in one forward pass.
#[derive(Debug, Clone)]
pub(super) struct Site {
    pub(super) layer: Adapted,
    /// One per block, where dropout is on.
    pub(super) masks: Option<Vec<Mask>>,
}

/// `x·Wᵀ + b`, frozen.
pub(super) fn linear(x: Tensor<2>, layer: &Arc<Linear>) -> Tensor<2> {
    Tensor::from_dispatch(Dispatch::linear(x.into_dispatch(), layer.clone()))
}

/// `x·Wᵀ + b + s·(x·Aᵀ)·Bᵀ`, the factors trained.
pub(super) fn lora_linear(x: Tensor<2>, a: Tensor<2>, b: Tensor<2>, site: Arc<Site>) -> Tensor<2> {
    let (x, a, b) = (x.into_dispatch(), a.into_dispatch(), b.into_dispatch());
    Tensor::from_dispatch(Dispatch::lora_linear(x, a, b, site))
}

/// Attention within each sequence; `[tokens × 3·hidden]` to `[tokens × hidden]`.
pub(super) fn attention(qkv: Tensor<2>, heads: &Arc<Heads>) -> Tensor<2> {
    Tensor::from_dispatch(Dispatch::packed_attention(
        qkv.into_dispatch(),
        heads.clone(),
    ))
}

/// The layer norm of `x + residual`.
pub(super) fn add_norm(x: Tensor<2>, residual: Tensor<2>, norm: &Arc<Norm>) -> Tensor<2> {
    let (x, residual) = (x.into_dispatch(), residual.into_dispatch());
    Tensor::from_dispatch(Dispatch::add_norm(x, residual, norm.clone()))
}

/// The exact GELU.
pub(super) fn gelu(x: Tensor<2>) -> Tensor<2> {
    Tensor::from_dispatch(Dispatch::exact_gelu(x.into_dispatch()))
}

/// One row per sequence.
pub(super) fn pool(x: Tensor<2>, pool: &Arc<Pool>) -> Tensor<2> {
    Tensor::from_dispatch(Dispatch::pool(x.into_dispatch(), pool.clone()))
}

/// `x·Wᵀ + b`, weight and bias trained.
pub(super) fn affine(x: Tensor<2>, weight: Tensor<2>, bias: Tensor<1>) -> Tensor<2> {
    let (x, weight, bias) = (
        x.into_dispatch(),
        weight.into_dispatch(),
        bias.into_dispatch(),
    );
    Tensor::from_dispatch(Dispatch::affine(x, weight, bias))
}

/// The loss of each row.
pub(super) fn cross_entropy(logits: Tensor<2>, labels: Arc<[u32]>) -> Tensor<1> {
    Tensor::from_dispatch(Dispatch::row_losses(logits.into_dispatch(), labels))
}

/// What stock burn has no fast form of.
#[backend_extension(Autodiff, Flex)]
pub(super) trait Fused: Backend {
    fn linear(x: FloatTensor<Self>, layer: Arc<Linear>) -> FloatTensor<Self>;
    fn lora_linear(
        x: FloatTensor<Self>,
        a: FloatTensor<Self>,
        b: FloatTensor<Self>,
        site: Arc<Site>,
    ) -> FloatTensor<Self>;
    fn packed_attention(qkv: FloatTensor<Self>, heads: Arc<Heads>) -> FloatTensor<Self>;
    fn add_norm(
        x: FloatTensor<Self>,
        residual: FloatTensor<Self>,
        norm: Arc<Norm>,
    ) -> FloatTensor<Self>;
    fn exact_gelu(x: FloatTensor<Self>) -> FloatTensor<Self>;
    fn pool(x: FloatTensor<Self>, pool: Arc<Pool>) -> FloatTensor<Self>;
    fn affine(
        x: FloatTensor<Self>,
        weight: FloatTensor<Self>,
        bias: FloatTensor<Self>,
    ) -> FloatTensor<Self>;
    fn row_losses(logits: FloatTensor<Self>, labels: Arc<[u32]>) -> FloatTensor<Self>;
}

impl Fused for Flex {
    fn linear(x: FlexTensor, layer: Arc<Linear>) -> FlexTensor {
        matrix(layer.forward(&values(&x)), layer.outputs)
    }

    fn lora_linear(x: FlexTensor, a: FlexTensor, b: FlexTensor, site: Arc<Site>) -> FlexTensor {
        lora_forward(&x, &a, &b, &site).0
    }

    fn packed_attention(qkv: FlexTensor, heads: Arc<Heads>) -> FlexTensor {
        let (context, _) = attention::forward(&values(&qkv), &heads);
        matrix(context, heads.hidden)
    }

    fn add_norm(x: FlexTensor, residual: FlexTensor, norm: Arc<Norm>) -> FlexTensor {
        norm_forward(&x, &residual, &norm).0
    }

    fn exact_gelu(x: FlexTensor) -> FlexTensor {
        like(&x, pointwise::gelu(&values(&x)))
    }

    fn pool(x: FlexTensor, pool: Arc<Pool>) -> FlexTensor {
        matrix(pooling::forward(&values(&x), &pool), pool.hidden)
    }

    fn affine(x: FlexTensor, weight: FlexTensor, bias: FlexTensor) -> FlexTensor {
        let (x, weight, bias) = (values(&x), values(&weight), values(&bias));
        matrix(linear::affine(&x, &weight, &bias), bias.len())
    }

    fn row_losses(logits: FlexTensor, labels: Arc<[u32]>) -> FlexTensor {
        vector(pointwise::cross_entropy(&values(&logits), &labels).0)
    }
}

fn lora_forward(
    x: &FlexTensor,
    a: &FlexTensor,
    b: &FlexTensor,
    site: &Site,
) -> (FlexTensor, Vec<f32>) {
    let (a, b) = (values(a), values(b));
    let factors = Factors { a: &a, b: &b };
    let (y, low) = site
        .layer
        .forward(&values(x), factors, site.masks.as_deref());
    (matrix(y, site.layer.linear.outputs), low)
}

fn norm_forward(x: &FlexTensor, residual: &FlexTensor, norm: &Norm) -> (FlexTensor, Normalised) {
    let (y, saved) = pointwise::add_norm(
        &values(x),
        &values(residual),
        &norm.gain,
        &norm.bias,
        norm.eps,
    );
    (like(x, y), saved)
}

/// An operation whose output's gradient becomes gradients of its inputs.
trait Gradient<const N: usize>: std::fmt::Debug + Clone + Send + 'static {
    /// The gradient of each input; `wanted` says which ones anybody will look at.
    fn of(self, gradient: FlexTensor, wanted: [bool; N]) -> [Option<FlexTensor>; N];
}

/// Carries any [`Gradient`] through burn's graph.
#[derive(Debug)]
struct Step<G>(std::marker::PhantomData<G>);

impl<G: Gradient<N>, const N: usize> Backward<Flex, N> for Step<G> {
    type State = G;

    fn backward(self, ops: Ops<G, N>, grads: &mut Gradients, _: &mut Checkpointer) {
        let gradient = grads.consume::<Flex>(&ops.node);
        let wanted = ops.parents.each_ref().map(Option::is_some);
        let found = ops.state.of(gradient, wanted);
        for (parent, gradient) in ops.parents.into_iter().zip(found) {
            if let (Some(parent), Some(gradient)) = (parent, gradient) {
                grads.register::<Flex>(parent.id, gradient);
            }
        }
    }
}

type Tracked = FloatTensor<Autodiff<Flex>>;

/// Runs `forward`, and records its gradient if any input is tracked.
fn record<C: CheckpointStrategy, G: Gradient<N>, const N: usize>(
    inputs: [Tracked; N],
    forward: impl FnOnce([FlexTensor; N]) -> (FlexTensor, G),
) -> Tracked {
    let nodes = inputs.each_ref().map(|input| input.node());
    let primitives = inputs.map(|input| input.into_primitive());
    let (output, gradient) = forward(primitives);
    let step = Step::<G>(std::marker::PhantomData);
    match step.prepare::<C>(nodes).compute_bound().stateful() {
        OpsKind::Tracked(prepared) => prepared.finish(gradient, output),
        OpsKind::UnTracked(prepared) => prepared.finish(output),
    }
}

impl<C: CheckpointStrategy> Fused for Autodiff<Flex, C> {
    fn linear(x: Tracked, layer: Arc<Linear>) -> Tracked {
        record::<C, _, 1>([x], |[x]| {
            (Flex::linear(x, layer.clone()), LinearGradient(layer))
        })
    }

    fn lora_linear(x: Tracked, a: Tracked, b: Tracked, site: Arc<Site>) -> Tracked {
        record::<C, _, 3>([x, a, b], |[x, a, b]| {
            let (y, low) = lora_forward(&x, &a, &b, &site);
            let low = Arc::new(low);
            (y, LoraGradient { x, a, b, low, site })
        })
    }

    fn packed_attention(qkv: Tracked, heads: Arc<Heads>) -> Tracked {
        record::<C, _, 1>([qkv], |[qkv]| {
            let (context, sums) = attention::forward(&values(&qkv), &heads);
            let context = matrix(context, heads.hidden);
            let sums = Arc::new(sums);
            (
                context.clone(),
                AttentionGradient {
                    qkv,
                    context,
                    sums,
                    heads,
                },
            )
        })
    }

    fn add_norm(x: Tracked, residual: Tracked, norm: Arc<Norm>) -> Tracked {
        record::<C, _, 2>([x, residual], |[x, residual]| {
            let (y, saved) = norm_forward(&x, &residual, &norm);
            let saved = Arc::new(saved);
            (y, NormGradient { saved, norm })
        })
    }

    fn exact_gelu(x: Tracked) -> Tracked {
        record::<C, _, 1>([x], |[x]| (Flex::exact_gelu(x.clone()), GeluGradient(x)))
    }

    fn pool(x: Tracked, pool: Arc<Pool>) -> Tracked {
        record::<C, _, 1>([x], |[x]| (Flex::pool(x, pool.clone()), PoolGradient(pool)))
    }

    fn affine(x: Tracked, weight: Tracked, bias: Tracked) -> Tracked {
        record::<C, _, 3>([x, weight, bias], |[x, weight, bias]| {
            let y = Flex::affine(x.clone(), weight.clone(), bias);
            (y, AffineGradient { x, weight })
        })
    }

    fn row_losses(logits: Tracked, labels: Arc<[u32]>) -> Tracked {
        record::<C, _, 1>([logits], |[logits]| {
            let (losses, probabilities) = pointwise::cross_entropy(&values(&logits), &labels);
            let probabilities = Arc::new(probabilities);
            (
                vector(losses),
                LossGradient {
                    probabilities,
                    labels,
                },
            )
        })
    }
}

#[derive(Debug, Clone)]
struct LinearGradient(Arc<Linear>);

impl Gradient<1> for LinearGradient {
    fn of(self, gradient: FlexTensor, _: [bool; 1]) -> [Option<FlexTensor>; 1] {
        [Some(matrix(
            self.0.backward(&values(&gradient)),
            self.0.inputs,
        ))]
    }
}

#[derive(Debug, Clone)]
struct LoraGradient {
    x: FlexTensor,
    a: FlexTensor,
    b: FlexTensor,
    low: Arc<Vec<f32>>,
    site: Arc<Site>,
}

impl Gradient<3> for LoraGradient {
    fn of(self, gradient: FlexTensor, wanted: [bool; 3]) -> [Option<FlexTensor>; 3] {
        let (x, a, b) = (values(&self.x), values(&self.a), values(&self.b));
        let layer = &self.site.layer;
        let factors = Factors { a: &a, b: &b };
        let masks = self.site.masks.as_deref();
        let found = layer.backward(&x, &self.low, factors, masks, &values(&gradient), wanted[0]);
        [
            found.x.map(|dx| matrix(dx, layer.linear.inputs)),
            Some(like(&self.a, found.a)),
            Some(like(&self.b, found.b)),
        ]
    }
}

#[derive(Debug, Clone)]
struct AttentionGradient {
    qkv: FlexTensor,
    context: FlexTensor,
    sums: Arc<Vec<f32>>,
    heads: Arc<Heads>,
}

impl Gradient<1> for AttentionGradient {
    fn of(self, gradient: FlexTensor, _: [bool; 1]) -> [Option<FlexTensor>; 1] {
        let (qkv, context) = (values(&self.qkv), values(&self.context));
        let dqkv = attention::backward(&qkv, &context, &self.sums, &values(&gradient), &self.heads);
        [Some(like(&self.qkv, dqkv))]
    }
}

#[derive(Debug, Clone)]
struct NormGradient {
    saved: Arc<Normalised>,
    norm: Arc<Norm>,
}

impl Gradient<2> for NormGradient {
    fn of(self, gradient: FlexTensor, _: [bool; 2]) -> [Option<FlexTensor>; 2] {
        let dx = pointwise::add_norm_backward(&values(&gradient), &self.saved, &self.norm.gain);
        let dx = like(&gradient, dx);
        [Some(dx.clone()), Some(dx)]
    }
}

#[derive(Debug, Clone)]
struct GeluGradient(FlexTensor);

impl Gradient<1> for GeluGradient {
    fn of(self, gradient: FlexTensor, _: [bool; 1]) -> [Option<FlexTensor>; 1] {
        let dx = pointwise::gelu_backward(&values(&self.0), &values(&gradient));
        [Some(like(&self.0, dx))]
    }
}

#[derive(Debug, Clone)]
struct PoolGradient(Arc<Pool>);

impl Gradient<1> for PoolGradient {
    fn of(self, gradient: FlexTensor, _: [bool; 1]) -> [Option<FlexTensor>; 1] {
        let dx = pooling::backward(&values(&gradient), &self.0);
        [Some(matrix(dx, self.0.hidden))]
    }
}

#[derive(Debug, Clone)]
struct AffineGradient {
    x: FlexTensor,
    weight: FlexTensor,
}

impl Gradient<3> for AffineGradient {
    fn of(self, gradient: FlexTensor, _: [bool; 3]) -> [Option<FlexTensor>; 3] {
        let inputs = self.x.layout().shape()[1];
        let (x, weight, gradient) = (values(&self.x), values(&self.weight), values(&gradient));
        let (dx, dweight, dbias) = linear::affine_backward(&x, &weight, &gradient, inputs);
        [
            Some(like(&self.x, dx)),
            Some(like(&self.weight, dweight)),
            Some(vector(dbias)),
        ]
    }
}

#[derive(Debug, Clone)]
struct LossGradient {
    probabilities: Arc<Vec<f32>>,
    labels: Arc<[u32]>,
}

impl Gradient<1> for LossGradient {
    fn of(self, gradient: FlexTensor, _: [bool; 1]) -> [Option<FlexTensor>; 1] {
        let classes = self.probabilities.len() / self.labels.len();
        let weights = values(&gradient);
        let dlogits =
            pointwise::cross_entropy_backward(&self.probabilities, &self.labels, &weights);
        [Some(matrix(dlogits, classes))]
    }
}

/// The elements in row-major order; copied only if the tensor is a view that is not.
fn values(tensor: &FlexTensor) -> Cow<'_, [f32]> {
    match tensor.as_slice::<f32>() {
        Some(values) => Cow::Borrowed(values),
        None => Cow::Owned(tensor.to_contiguous().storage::<f32>().to_vec()),
    }
}

fn matrix(values: Vec<f32>, columns: usize) -> FlexTensor {
    let rows = values.len() / columns;
    FlexTensor::from_data(TensorData::new(values, [rows, columns]))
}

fn vector(values: Vec<f32>) -> FlexTensor {
    let length = values.len();
    FlexTensor::from_data(TensorData::new(values, [length]))
}

fn like(tensor: &FlexTensor, values: Vec<f32>) -> FlexTensor {
    FlexTensor::from_data(TensorData::new(values, tensor.layout().shape().clone()))
}
