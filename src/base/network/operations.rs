//! The fused operations as burn operations, each with a hand-written gradient.
//!
//! burn keeps the tensors and the graph; a frozen layer is not a tensor of that graph, so it can never get a gradient,
//! and nothing below the first adapted layer is tracked.
//!
//! All of this is for the processor; on other devices the same operations are composed of burn's own (`stock`).

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

use super::activations;
use super::attention::{self, Heads};
use super::dropout::Mask;
use super::linear::{self, Adapted, Factors, Linear};
use super::loss;
use super::norms::{self, HeadNorm};
use super::pointwise::{self, Normalised};
use super::pooling::{self, Pool};
use super::rotation::{self, Rotation};
use super::stock;
use crate::base::{Activation, Precision};

/// An adapted layer in one forward pass.
#[derive(Debug, Clone)]
pub(super) struct Site {
    pub(super) layer: Adapted,
    /// One per block, where dropout is on.
    pub(super) masks: Option<Vec<Mask>>,
}

/// `x·Wᵀ + b`, frozen.
pub(super) fn linear(x: Tensor<2>, layer: &Arc<Linear>) -> Tensor<2> {
    if stock::must_run(&x) {
        return stock::linear(x, layer);
    }
    Tensor::from_dispatch(Dispatch::linear(x.into_dispatch(), layer.clone()))
}

/// `x·Wᵀ + b + s·(x·Aᵀ)·Bᵀ`, the factors trained.
pub(super) fn lora_linear(x: Tensor<2>, a: Tensor<2>, b: Tensor<2>, site: Arc<Site>) -> Tensor<2> {
    if stock::must_run(&x) {
        return stock::lora_linear(x, a, b, &site);
    }
    let (x, a, b) = (x.into_dispatch(), a.into_dispatch(), b.into_dispatch());
    Tensor::from_dispatch(Dispatch::lora_linear(x, a, b, site))
}

/// Attention within each sequence; `[tokens × (heads + 2·kv_heads)·size]` to `[tokens × heads·size]`.
pub(super) fn attention(qkv: Tensor<2>, heads: &Arc<Heads>) -> Tensor<2> {
    if stock::must_run(&qkv) {
        return stock::attention(qkv, heads);
    }
    Tensor::from_dispatch(Dispatch::packed_attention(
        qkv.into_dispatch(),
        heads.clone(),
    ))
}

/// Queries and keys turned by their positions; values as they are.
pub(super) fn rotate(qkv: Tensor<2>, rotation: &Arc<Rotation>) -> Tensor<2> {
    if stock::must_run(&qkv) {
        return stock::rotate(qkv, rotation);
    }
    Tensor::from_dispatch(Dispatch::rotate(qkv.into_dispatch(), rotation.clone()))
}

/// Each head of queries and of keys normed; values as they are. Gains are `[1 × size]`.
pub(super) fn head_norm(
    qkv: Tensor<2>,
    query: Tensor<2>,
    key: Tensor<2>,
    shape: HeadNorm,
) -> Tensor<2> {
    if stock::must_run(&qkv) {
        return stock::head_norm(qkv, query, key, shape);
    }
    let (qkv, query, key) = (
        qkv.into_dispatch(),
        query.into_dispatch(),
        key.into_dispatch(),
    );
    Tensor::from_dispatch(Dispatch::head_norm(qkv, query, key, shape))
}

/// The layer norm of `x + residual`, or of `x` alone. Gain and bias are `[1 × width]`.
pub(super) fn layer_norm(
    x: Tensor<2>,
    residual: Option<Tensor<2>>,
    gain: Tensor<2>,
    bias: Tensor<2>,
    eps: f32,
) -> Tensor<2> {
    if stock::must_run(&x) {
        let x = match residual {
            Some(residual) => x + residual,
            None => x,
        };
        return stock::layer_norm(x, gain, bias, eps);
    }
    let (x, gain, bias) = (
        x.into_dispatch(),
        gain.into_dispatch(),
        bias.into_dispatch(),
    );
    Tensor::from_dispatch(match residual {
        Some(residual) => Dispatch::add_norm(x, residual.into_dispatch(), gain, bias, eps),
        None => Dispatch::plain_norm(x, gain, bias, eps),
    })
}

/// The root-mean-square norm. The gain is `[1 × width]`.
pub(super) fn rms_norm(x: Tensor<2>, gain: Tensor<2>, eps: f32) -> Tensor<2> {
    if stock::must_run(&x) {
        return stock::rms_norm(x, gain, eps);
    }
    Tensor::from_dispatch(Dispatch::rms_norm(
        x.into_dispatch(),
        gain.into_dispatch(),
        eps,
    ))
}

/// `f(x)` of every element.
pub(super) fn activate(x: Tensor<2>, activation: Activation) -> Tensor<2> {
    if stock::must_run(&x) {
        return stock::activate(x, activation);
    }
    Tensor::from_dispatch(Dispatch::activated(x.into_dispatch(), activation))
}

/// `f(a)·b` of rows `a|b`.
pub(super) fn gated(rows: Tensor<2>, activation: Activation) -> Tensor<2> {
    if stock::must_run(&rows) {
        return stock::gated(rows, activation);
    }
    Tensor::from_dispatch(Dispatch::gated(rows.into_dispatch(), activation))
}

/// Rows `ids` of the trained table `[vocabulary × width]`.
pub(super) fn lookup(table: Tensor<2>, ids: Arc<[u32]>) -> Tensor<2> {
    if stock::must_run(&table) {
        return stock::lookup(table, &ids);
    }
    Tensor::from_dispatch(Dispatch::lookup(table.into_dispatch(), ids))
}

/// One row per sequence.
pub(super) fn pool(x: Tensor<2>, pool: &Arc<Pool>) -> Tensor<2> {
    if stock::must_run(&x) {
        return stock::pool(x, pool);
    }
    Tensor::from_dispatch(Dispatch::pool(x.into_dispatch(), pool.clone()))
}

/// Some rows of `x`, which has `count`.
pub(super) fn rows(x: Tensor<2>, rows: Vec<usize>, count: usize) -> Tensor<2> {
    let [_, hidden] = x.dims();
    let single = rows.into_iter().map(|row| row..row + 1);
    let pool = Pool {
        rows: single.collect(),
        tokens: count,
        hidden,
    };
    self::pool(x, &Arc::new(pool))
}

/// `x·Wᵀ + b`, weight and bias trained.
pub(super) fn affine(x: Tensor<2>, weight: Tensor<2>, bias: Tensor<1>) -> Tensor<2> {
    if stock::must_run(&x) {
        return stock::affine(x, weight, bias);
    }
    let (x, weight, bias) = (
        x.into_dispatch(),
        weight.into_dispatch(),
        bias.into_dispatch(),
    );
    Tensor::from_dispatch(Dispatch::affine(x, weight, bias))
}

/// The loss of each row.
pub(super) fn cross_entropy(logits: Tensor<2>, labels: Arc<[u32]>) -> Tensor<1> {
    if stock::must_run(&logits) {
        return stock::cross_entropy(logits, &labels);
    }
    Tensor::from_dispatch(Dispatch::row_losses(logits.into_dispatch(), labels))
}

/// What the losses of a linear layer's outputs are about.
#[derive(Debug, Clone)]
pub(super) struct Targets {
    /// One per row; [`loss::NONE`] where there is none.
    pub(super) targets: Arc<[u32]>,
    pub(super) softcap: Option<f32>,
}

/// The loss of each row under the outputs of a frozen head, whose logits never exist together.
pub(super) fn head_losses(x: Tensor<2>, head: &Arc<Linear>, targets: &Targets) -> Tensor<1> {
    if stock::must_run(&x) {
        return stock::head_losses(x, head, targets);
    }
    let (head, targets) = (head.clone(), targets.clone());
    Tensor::from_dispatch(Dispatch::head_losses(x.into_dispatch(), head, targets))
}

/// [`head_losses`], the head's weight trained.
pub(super) fn trained_head_losses(
    x: Tensor<2>,
    weight: Tensor<2>,
    targets: &Targets,
    precision: Precision,
) -> Tensor<1> {
    if stock::must_run(&x) {
        return stock::trained_head_losses(x, weight, targets);
    }
    let (x, weight) = (x.into_dispatch(), weight.into_dispatch());
    let losses = Dispatch::trained_head_losses(x, weight, targets.clone(), precision);
    Tensor::from_dispatch(losses)
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
    fn rotate(qkv: FloatTensor<Self>, rotation: Arc<Rotation>) -> FloatTensor<Self>;
    fn head_norm(
        qkv: FloatTensor<Self>,
        query: FloatTensor<Self>,
        key: FloatTensor<Self>,
        shape: HeadNorm,
    ) -> FloatTensor<Self>;
    fn add_norm(
        x: FloatTensor<Self>,
        residual: FloatTensor<Self>,
        gain: FloatTensor<Self>,
        bias: FloatTensor<Self>,
        eps: f32,
    ) -> FloatTensor<Self>;
    fn plain_norm(
        x: FloatTensor<Self>,
        gain: FloatTensor<Self>,
        bias: FloatTensor<Self>,
        eps: f32,
    ) -> FloatTensor<Self>;
    fn rms_norm(x: FloatTensor<Self>, gain: FloatTensor<Self>, eps: f32) -> FloatTensor<Self>;
    fn activated(x: FloatTensor<Self>, activation: Activation) -> FloatTensor<Self>;
    fn gated(rows: FloatTensor<Self>, activation: Activation) -> FloatTensor<Self>;
    fn lookup(table: FloatTensor<Self>, ids: Arc<[u32]>) -> FloatTensor<Self>;
    fn pool(x: FloatTensor<Self>, pool: Arc<Pool>) -> FloatTensor<Self>;
    fn affine(
        x: FloatTensor<Self>,
        weight: FloatTensor<Self>,
        bias: FloatTensor<Self>,
    ) -> FloatTensor<Self>;
    fn row_losses(logits: FloatTensor<Self>, labels: Arc<[u32]>) -> FloatTensor<Self>;
    fn head_losses(x: FloatTensor<Self>, head: Arc<Linear>, targets: Targets) -> FloatTensor<Self>;
    fn trained_head_losses(
        x: FloatTensor<Self>,
        weight: FloatTensor<Self>,
        targets: Targets,
        precision: Precision,
    ) -> FloatTensor<Self>;
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
        matrix(context, heads.context_width())
    }

    fn rotate(qkv: FlexTensor, rotation: Arc<Rotation>) -> FlexTensor {
        like(&qkv, rotation::rotate(&values(&qkv), &rotation, false))
    }

    fn head_norm(
        qkv: FlexTensor,
        query: FlexTensor,
        key: FlexTensor,
        shape: HeadNorm,
    ) -> FlexTensor {
        let gains = [&*values(&query), &*values(&key)];
        like(&qkv, norms::head_norm(&values(&qkv), gains, &shape))
    }

    fn add_norm(
        x: FlexTensor,
        residual: FlexTensor,
        gain: FlexTensor,
        bias: FlexTensor,
        eps: f32,
    ) -> FlexTensor {
        norm_forward(&x, Some(&residual), &gain, &bias, eps).0
    }

    fn plain_norm(x: FlexTensor, gain: FlexTensor, bias: FlexTensor, eps: f32) -> FlexTensor {
        norm_forward(&x, None, &gain, &bias, eps).0
    }

    fn rms_norm(x: FlexTensor, gain: FlexTensor, eps: f32) -> FlexTensor {
        like(&x, norms::rms_norm(&values(&x), &values(&gain), eps).0)
    }

    fn activated(x: FlexTensor, activation: Activation) -> FlexTensor {
        let y = match activation {
            Activation::Gelu => pointwise::gelu(&values(&x)),
            other => activations::activate(&values(&x), other),
        };
        like(&x, y)
    }

    fn gated(rows: FlexTensor, activation: Activation) -> FlexTensor {
        let width = rows.layout().shape()[1] / 2;
        matrix(activations::gated(&values(&rows), width, activation), width)
    }

    fn lookup(table: FlexTensor, ids: Arc<[u32]>) -> FlexTensor {
        let width = table.layout().shape()[1];
        let table = values(&table);
        let rows = ids
            .iter()
            .flat_map(|id| &table[*id as usize * width..][..width]);
        matrix(rows.copied().collect(), width)
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

    fn head_losses(x: FlexTensor, head: Arc<Linear>, targets: Targets) -> FlexTensor {
        vector(targets.losses(&x, &head, false).losses)
    }

    fn trained_head_losses(
        x: FlexTensor,
        weight: FlexTensor,
        targets: Targets,
        precision: Precision,
    ) -> FlexTensor {
        Self::head_losses(x, Arc::new(head_of(&weight, precision)), targets)
    }
}

impl Targets {
    fn losses(&self, x: &FlexTensor, head: &Linear, with_slopes: bool) -> loss::Losses {
        let Self { targets, softcap } = self;
        loss::forward(&values(x), head, targets, *softcap, with_slopes)
    }
}

fn head_of(weight: &FlexTensor, precision: Precision) -> Linear {
    let outputs = weight.layout().shape()[0];
    Linear::new(&values(weight), outputs, None, precision)
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

fn norm_forward(
    x: &FlexTensor,
    residual: Option<&FlexTensor>,
    gain: &FlexTensor,
    bias: &FlexTensor,
    eps: f32,
) -> (FlexTensor, Normalised) {
    let inputs = values(x);
    let residual = match residual {
        Some(residual) => values(residual),
        None => Cow::Owned(vec![0.0; inputs.len()]),
    };
    let (y, saved) = pointwise::add_norm(&inputs, &residual, &values(gain), &values(bias), eps);
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
            let context = matrix(context, heads.context_width());
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

    fn rotate(qkv: Tracked, rotation: Arc<Rotation>) -> Tracked {
        record::<C, _, 1>([qkv], |[qkv]| {
            (
                Flex::rotate(qkv, rotation.clone()),
                RotationGradient(rotation),
            )
        })
    }

    fn head_norm(qkv: Tracked, query: Tracked, key: Tracked, shape: HeadNorm) -> Tracked {
        record::<C, _, 3>([qkv, query, key], |[qkv, query, key]| {
            let y = Flex::head_norm(qkv.clone(), query.clone(), key.clone(), shape);
            let gradient = HeadNormGradient {
                qkv,
                gains: [query, key],
                shape,
            };
            (y, gradient)
        })
    }

    fn add_norm(x: Tracked, residual: Tracked, gain: Tracked, bias: Tracked, eps: f32) -> Tracked {
        record::<C, _, 4>([x, residual, gain, bias], |[x, residual, gain, bias]| {
            let (y, saved) = norm_forward(&x, Some(&residual), &gain, &bias, eps);
            let saved = Arc::new(saved);
            (y, NormGradient { saved, gain })
        })
    }

    fn plain_norm(x: Tracked, gain: Tracked, bias: Tracked, eps: f32) -> Tracked {
        record::<C, _, 3>([x, gain, bias], |[x, gain, bias]| {
            let (y, saved) = norm_forward(&x, None, &gain, &bias, eps);
            let saved = Arc::new(saved);
            (y, NormGradient { saved, gain })
        })
    }

    fn rms_norm(x: Tracked, gain: Tracked, eps: f32) -> Tracked {
        record::<C, _, 2>([x, gain], |[x, gain]| {
            let (y, inverse) = norms::rms_norm(&values(&x), &values(&gain), eps);
            let inverse = Arc::new(inverse);
            (like(&x, y), RmsGradient { x, gain, inverse })
        })
    }

    fn activated(x: Tracked, activation: Activation) -> Tracked {
        record::<C, _, 1>([x], |[x]| {
            (
                Flex::activated(x.clone(), activation),
                ActivationGradient(x, activation),
            )
        })
    }

    fn gated(rows: Tracked, activation: Activation) -> Tracked {
        record::<C, _, 1>([rows], |[rows]| {
            (
                Flex::gated(rows.clone(), activation),
                GatedGradient(rows, activation),
            )
        })
    }

    fn lookup(table: Tracked, ids: Arc<[u32]>) -> Tracked {
        record::<C, _, 1>([table], |[table]| {
            let [rows, width] = [table.layout().shape()[0], table.layout().shape()[1]];
            let y = Flex::lookup(table, ids.clone());
            (y, LookupGradient { ids, rows, width })
        })
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

    fn head_losses(x: Tracked, head: Arc<Linear>, targets: Targets) -> Tracked {
        let tracked = x.is_tracked();
        record::<C, _, 1>([x], |[x]| {
            let found = targets.losses(&x, &head, tracked);
            let slopes = Arc::new(found.slopes);
            (vector(found.losses), HeadLossGradient { slopes })
        })
    }

    fn trained_head_losses(
        x: Tracked,
        weight: Tracked,
        targets: Targets,
        precision: Precision,
    ) -> Tracked {
        record::<C, _, 2>([x, weight], |[x, weight]| {
            let head = Arc::new(head_of(&weight, precision));
            let found = targets.losses(&x, &head, true);
            let slopes = Arc::new(found.slopes);
            (
                vector(found.losses),
                TrainedHeadLossGradient {
                    x,
                    slopes,
                    head,
                    targets,
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
struct RotationGradient(Arc<Rotation>);

impl Gradient<1> for RotationGradient {
    fn of(self, gradient: FlexTensor, _: [bool; 1]) -> [Option<FlexTensor>; 1] {
        let back = rotation::rotate(&values(&gradient), &self.0, true);
        [Some(like(&gradient, back))]
    }
}

#[derive(Debug, Clone)]
struct HeadNormGradient {
    qkv: FlexTensor,
    gains: [FlexTensor; 2],
    shape: HeadNorm,
}

impl Gradient<3> for HeadNormGradient {
    fn of(self, gradient: FlexTensor, _: [bool; 3]) -> [Option<FlexTensor>; 3] {
        let [query, key] = &self.gains;
        let gains = [&*values(query), &*values(key)];
        let (dx, [dquery, dkey]) =
            norms::head_norm_backward(&values(&gradient), &values(&self.qkv), gains, &self.shape);
        [
            Some(like(&gradient, dx)),
            Some(like(query, dquery)),
            Some(like(key, dkey)),
        ]
    }
}

/// Of a layer norm with or without a residual: the first inputs share their gradient.
#[derive(Debug, Clone)]
struct NormGradient {
    saved: Arc<Normalised>,
    gain: FlexTensor,
}

impl NormGradient {
    fn input(&self, gradient: &FlexTensor) -> FlexTensor {
        let dx = pointwise::add_norm_backward(&values(gradient), &self.saved, &values(&self.gain));
        like(gradient, dx)
    }

    fn gain(&self, gradient: &FlexTensor) -> FlexTensor {
        let width = values(&self.gain).len();
        let sums = norms::gain_gradient(&values(gradient), &self.saved.unit, width);
        like(&self.gain, sums)
    }

    fn bias(&self, gradient: &FlexTensor) -> FlexTensor {
        let width = values(&self.gain).len();
        like(&self.gain, norms::bias_gradient(&values(gradient), width))
    }
}

impl Gradient<4> for NormGradient {
    fn of(self, gradient: FlexTensor, wanted: [bool; 4]) -> [Option<FlexTensor>; 4] {
        let dx = (wanted[0] || wanted[1]).then(|| self.input(&gradient));
        let gain = wanted[2].then(|| self.gain(&gradient));
        let bias = wanted[3].then(|| self.bias(&gradient));
        [dx.clone(), dx, gain, bias]
    }
}

impl Gradient<3> for NormGradient {
    fn of(self, gradient: FlexTensor, wanted: [bool; 3]) -> [Option<FlexTensor>; 3] {
        [
            wanted[0].then(|| self.input(&gradient)),
            wanted[1].then(|| self.gain(&gradient)),
            wanted[2].then(|| self.bias(&gradient)),
        ]
    }
}

#[derive(Debug, Clone)]
struct RmsGradient {
    x: FlexTensor,
    gain: FlexTensor,
    inverse: Arc<Vec<f32>>,
}

impl Gradient<2> for RmsGradient {
    fn of(self, gradient: FlexTensor, wanted: [bool; 2]) -> [Option<FlexTensor>; 2] {
        let (x, gain, dy) = (values(&self.x), values(&self.gain), values(&gradient));
        let input = || norms::rms_norm_backward(&dy, &x, &self.inverse, &gain);
        let sums = || norms::rms_gain_gradient(&dy, &x, &self.inverse, gain.len());
        [
            wanted[0].then(|| like(&self.x, input())),
            wanted[1].then(|| like(&self.gain, sums())),
        ]
    }
}

#[derive(Debug, Clone)]
struct ActivationGradient(FlexTensor, Activation);

impl Gradient<1> for ActivationGradient {
    fn of(self, gradient: FlexTensor, _: [bool; 1]) -> [Option<FlexTensor>; 1] {
        let (x, dy) = (values(&self.0), values(&gradient));
        let dx = match self.1 {
            Activation::Gelu => pointwise::gelu_backward(&x, &dy),
            other => activations::activate_backward(&x, &dy, other),
        };
        [Some(like(&self.0, dx))]
    }
}

#[derive(Debug, Clone)]
struct GatedGradient(FlexTensor, Activation);

impl Gradient<1> for GatedGradient {
    fn of(self, gradient: FlexTensor, _: [bool; 1]) -> [Option<FlexTensor>; 1] {
        let width = gradient.layout().shape()[1];
        let rows = values(&self.0);
        let out = activations::gated_backward(&rows, &values(&gradient), width, self.1);
        [Some(like(&self.0, out))]
    }
}

#[derive(Debug, Clone)]
struct LookupGradient {
    ids: Arc<[u32]>,
    rows: usize,
    width: usize,
}

impl Gradient<1> for LookupGradient {
    fn of(self, gradient: FlexTensor, _: [bool; 1]) -> [Option<FlexTensor>; 1] {
        let mut table = vec![0.0; self.rows * self.width];
        let gradient = values(&gradient);
        for (id, line) in self.ids.iter().zip(gradient.chunks_exact(self.width)) {
            let row = &mut table[*id as usize * self.width..][..self.width];
            row.iter_mut().zip(line).for_each(|(sum, g)| *sum += g);
        }
        [Some(matrix(table, self.width))]
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

#[derive(Debug, Clone)]
struct HeadLossGradient {
    /// `[rows × inputs]`, of one unit of each row's loss.
    slopes: Arc<Vec<f32>>,
}

impl Gradient<1> for HeadLossGradient {
    fn of(self, gradient: FlexTensor, _: [bool; 1]) -> [Option<FlexTensor>; 1] {
        [Some(weighted(&self.slopes, &values(&gradient)))]
    }
}

#[derive(Debug, Clone)]
struct TrainedHeadLossGradient {
    x: FlexTensor,
    slopes: Arc<Vec<f32>>,
    head: Arc<Linear>,
    targets: Targets,
}

impl Gradient<2> for TrainedHeadLossGradient {
    fn of(self, gradient: FlexTensor, wanted: [bool; 2]) -> [Option<FlexTensor>; 2] {
        let (weights, Targets { targets, softcap }) = (values(&gradient), &self.targets);
        let dweight = || {
            let x = values(&self.x);
            loss::weight_gradient(&x, &self.head, targets, *softcap, &weights)
        };
        [
            wanted[0].then(|| weighted(&self.slopes, &weights)),
            wanted[1].then(|| matrix(dweight(), self.head.inputs)),
        ]
    }
}

/// Each row times its weight.
fn weighted(rows: &[f32], weights: &[f32]) -> FlexTensor {
    let columns = rows.len() / weights.len();
    let lines = rows.chunks_exact(columns).zip(weights);
    let scaled = lines.flat_map(|(line, weight)| line.iter().map(move |value| value * weight));
    matrix(scaled.collect(), columns)
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
