//! The fused operations, composed of stock operations of burn: what runs on devices that the fused ones have no code for.
//!
//! Everything is f32. The tests in `reference` compare the two, with their gradients, on the CPU.

use std::sync::Arc;

use burn::tensor::activation::{gelu, log_softmax, relu, silu, softmax};
use burn::tensor::{Device, Int, Tensor, TensorData};

use super::attention::Heads;
use super::linear::Linear;
use super::loss::NONE;
use super::norms::HeadNorm;
use super::operations::{Site, Targets};
use super::pooling::Pool;
use super::rotation::Rotation;
use crate::base::Activation;

/// A score that no softmax sees.
const UNSEEN: f32 = -1e30;

/// Whether the fused operations have no code for the device of `x`.
#[cfg(any(feature = "cuda", feature = "wgpu"))]
pub(super) fn must_run(x: &Tensor<2>) -> bool {
    x.device().inner() != Device::flex()
}

/// Whether the fused operations have no code for the device of `x`: there is only the CPU in this build.
#[cfg(not(any(feature = "cuda", feature = "wgpu")))]
pub(super) fn must_run(_: &Tensor<2>) -> bool {
    #[cfg(test)]
    return FORCED.with(std::cell::Cell::get);
    #[cfg(not(test))]
    false
}

#[cfg(all(test, not(any(feature = "cuda", feature = "wgpu"))))]
thread_local! {
    /// Tests run a whole model on these operations.
    pub(super) static FORCED: std::cell::Cell<bool> = const { std::cell::Cell::new(false) };
}

fn constant(values: Vec<f32>, columns: usize, device: &Device) -> Tensor<2> {
    let shape = [values.len() / columns, columns];
    Tensor::from_data(TensorData::new(values, shape), device)
}

fn indices(ids: &[u32], device: &Device) -> Tensor<1, Int> {
    let ids: Vec<i64> = ids.iter().map(|id| i64::from(*id)).collect();
    let shape = [ids.len()];
    Tensor::from_data(TensorData::new(ids, shape), device)
}

pub(super) fn linear(x: Tensor<2>, layer: &Linear) -> Tensor<2> {
    let device = x.device().inner();
    let y = x.matmul(layer.on(&device).transpose());
    match layer.bias() {
        Some(bias) => y + constant(bias.to_vec(), layer.outputs, &device),
        None => y,
    }
}

pub(super) fn lora_linear(x: Tensor<2>, a: Tensor<2>, b: Tensor<2>, site: &Site) -> Tensor<2> {
    let layer = &site.layer;
    let device = x.device().inner();
    let [rows, inputs] = x.dims();
    let mut parts = Vec::new();
    let (mut end, mut before) = (0, 0);
    let nothing = |count: usize| Tensor::zeros([rows, count], &device);
    for (index, block) in layer.blocks.iter().enumerate() {
        if block.first > end {
            parts.push(nothing(block.first - end));
        }
        end = block.first + block.count;
        let seen = match &site.masks {
            Some(masks) => {
                let kept = masks[index].apply(&vec![1.0; rows * inputs]);
                x.clone() * constant(kept, inputs, &device)
            }
            None => x.clone(),
        };
        let a = a.clone().narrow(0, index * layer.r, layer.r);
        let b = b.clone().narrow(0, before, block.count);
        before += block.count;
        let low = seen.matmul(a.transpose());
        parts.push(low.matmul(b.transpose()).mul_scalar(layer.scale));
    }
    if layer.linear.outputs > end {
        parts.push(nothing(layer.linear.outputs - end));
    }
    linear(x, &layer.linear) + Tensor::cat(parts, 1)
}

/// All heads of a sequence at once, sequence by sequence.
pub(super) fn attention(qkv: Tensor<2>, heads: &Heads) -> Tensor<2> {
    let device = qkv.device().inner();
    let contexts = heads.offsets.windows(2).map(|pair| {
        let count = pair[1] - pair[0];
        let rows = qkv.clone().narrow(0, pair[0], count);
        let part = |first: usize, number: usize| {
            let part = rows
                .clone()
                .narrow(1, first * heads.size, number * heads.size);
            part.reshape([count, number, heads.size]).swap_dims(0, 1)
        };
        let group = heads.heads / heads.kv_heads;
        let shared = |part: Tensor<3>| match group {
            1 => part,
            _ => part
                .reshape([heads.kv_heads, 1, count * heads.size])
                .repeat_dim(1, group)
                .reshape([heads.heads, count, heads.size]),
        };
        let queries = part(0, heads.heads);
        let keys = shared(part(heads.heads, heads.kv_heads));
        let values = shared(part(heads.heads + heads.kv_heads, heads.kv_heads));
        let mut scores = queries.matmul(keys.swap_dims(1, 2)).mul_scalar(heads.scale);
        if let Some(cap) = heads.softcap {
            scores = scores.div_scalar(cap).tanh().mul_scalar(cap);
        }
        if let Some(unseen) = unseen(heads, count) {
            let unseen = constant(unseen, count, &device);
            scores = scores + unseen.reshape([1, count, count]);
        }
        let context = softmax(scores, 2).matmul(values);
        context
            .swap_dims(0, 1)
            .reshape([count, heads.heads * heads.size])
    });
    Tensor::cat(contexts.collect(), 0)
}

/// What is added to the scores of a sequence, `[count × count]`; nothing where every token sees every other.
fn unseen(heads: &Heads, count: usize) -> Option<Vec<f32>> {
    if !heads.causal && heads.reach.is_none() {
        return None;
    }
    let reach = heads.reach.unwrap_or(count);
    let score = |at: usize| {
        let (query, key) = (at / count, at % count);
        let hidden = heads.causal && key > query || query.abs_diff(key) > reach;
        if hidden { UNSEEN } else { 0.0 }
    };
    Some((0..count * count).map(score).collect())
}

pub(super) fn rotate(qkv: Tensor<2>, rotation: &Rotation) -> Tensor<2> {
    let device = qkv.device().inner();
    let [tokens, _] = qkv.dims();
    let (turned, size, pairs) = (rotation.turned, rotation.size, rotation.pairs);
    let table = |values: Vec<f32>| constant(values, pairs, &device).reshape([tokens, 1, pairs]);
    let (cosines, sines) = rotation.angles();
    let (cosine, sine) = (table(cosines), table(sines));
    let heads = qkv.clone().narrow(1, 0, turned * size);
    let heads = heads.reshape([tokens, turned, size]);
    let (x, y) = (
        heads.clone().narrow(2, 0, pairs),
        heads.clone().narrow(2, pairs, pairs),
    );
    let mut parts = vec![
        x.clone() * cosine.clone() - y.clone() * sine.clone(),
        y * cosine + x * sine,
    ];
    if size > 2 * pairs {
        parts.push(heads.narrow(2, 2 * pairs, size - 2 * pairs));
    }
    let heads = Tensor::cat(parts, 2).reshape([tokens, turned * size]);
    let rest = rotation.width - turned * size;
    Tensor::cat(vec![heads, qkv.narrow(1, turned * size, rest)], 1)
}

pub(super) fn head_norm(
    qkv: Tensor<2>,
    query: Tensor<2>,
    key: Tensor<2>,
    shape: HeadNorm,
) -> Tensor<2> {
    let [tokens, _] = qkv.dims();
    let normed = |first: usize, heads: usize, gain: Tensor<2>| {
        let part = qkv
            .clone()
            .narrow(1, first * shape.size, heads * shape.size);
        let part = rms(part.reshape([tokens * heads, shape.size]), shape.eps) * gain;
        part.reshape([tokens, heads * shape.size])
    };
    let both = shape.heads + shape.kv_heads;
    let values = qkv
        .clone()
        .narrow(1, both * shape.size, shape.kv_heads * shape.size);
    Tensor::cat(
        vec![
            normed(0, shape.heads, query),
            normed(shape.heads, shape.kv_heads, key),
            values,
        ],
        1,
    )
}

pub(super) fn layer_norm(x: Tensor<2>, gain: Tensor<2>, bias: Tensor<2>, eps: f32) -> Tensor<2> {
    let centred = x.clone() - x.mean_dim(1);
    let variance = centred.clone().powf_scalar(2.0).mean_dim(1);
    centred / variance.add_scalar(eps).sqrt() * gain + bias
}

pub(super) fn rms_norm(x: Tensor<2>, gain: Tensor<2>, eps: f32) -> Tensor<2> {
    rms(x, eps) * gain
}

fn rms(x: Tensor<2>, eps: f32) -> Tensor<2> {
    let square = x.clone().powf_scalar(2.0).mean_dim(1);
    x / square.add_scalar(eps).sqrt()
}

pub(super) fn activate(x: Tensor<2>, activation: Activation) -> Tensor<2> {
    match activation {
        Activation::Silu => silu(x),
        Activation::Gelu => gelu(x),
        Activation::GeluTanh => {
            let cube = x.clone().powf_scalar(3.0).mul_scalar(0.044_715);
            let inner = (x.clone() + cube).mul_scalar((2.0 / std::f64::consts::PI).sqrt());
            x.mul_scalar(0.5) * inner.tanh().add_scalar(1.0)
        }
        Activation::Relu => relu(x),
        Activation::Tanh => x.tanh(),
    }
}

pub(super) fn gated(rows: Tensor<2>, activation: Activation) -> Tensor<2> {
    let [_, columns] = rows.dims();
    let width = columns / 2;
    let gate = activate(rows.clone().narrow(1, 0, width), activation);
    gate * rows.narrow(1, width, width)
}

pub(super) fn lookup(table: Tensor<2>, ids: &[u32]) -> Tensor<2> {
    let ids = indices(ids, &table.device().inner());
    table.select(0, ids)
}

pub(super) fn pool(x: Tensor<2>, pool: &Pool) -> Tensor<2> {
    let rows = pool.rows.iter().map(|rows| {
        let part = x.clone().narrow(0, rows.start, rows.len());
        match rows.len() {
            1 => part,
            _ => part.mean_dim(0),
        }
    });
    Tensor::cat(rows.collect(), 0)
}

pub(super) fn affine(x: Tensor<2>, weight: Tensor<2>, bias: Tensor<1>) -> Tensor<2> {
    let [outputs] = bias.dims();
    x.matmul(weight.transpose()) + bias.reshape([1, outputs])
}

/// The loss of each row; 0 where there is no label.
pub(super) fn cross_entropy(logits: Tensor<2>, labels: &[u32]) -> Tensor<1> {
    let device = logits.device().inner();
    let count = labels.len();
    let known: Vec<u32> = labels
        .iter()
        .map(|label| if *label == NONE { 0 } else { *label })
        .collect();
    let seen = labels
        .iter()
        .map(|label| f32::from(u8::from(*label != NONE)));
    let seen = constant(seen.collect(), 1, &device);
    let picked = indices(&known, &device).reshape([count, 1]);
    let losses = log_softmax(logits, 1).gather(1, picked).neg() * seen;
    losses.reshape([count])
}

pub(super) fn head_losses(x: Tensor<2>, head: &Arc<Linear>, targets: &Targets) -> Tensor<1> {
    losses(linear(x, head), targets)
}

pub(super) fn trained_head_losses(x: Tensor<2>, weight: Tensor<2>, targets: &Targets) -> Tensor<1> {
    losses(x.matmul(weight.transpose()), targets)
}

fn losses(logits: Tensor<2>, targets: &Targets) -> Tensor<1> {
    let logits = match targets.softcap {
        Some(cap) => logits.div_scalar(cap).tanh().mul_scalar(cap),
        None => logits,
    };
    cross_entropy(logits, &targets.targets)
}

#[cfg(all(test, not(any(feature = "cuda", feature = "wgpu"))))]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::path::Path;

    use super::FORCED;
    use crate::base::network::random::uniform;
    use crate::base::network::{Batch, DropoutKey, Model, Setup, StepOutput, Task, Trained};
    use crate::base::{Checkpoint, LoraSpec, Pooling, Precision, TargetModules};

    const ROWS: [&[u32]; 3] = [&[5, 9, 7, 11, 4, 8, 6], &[3, 10, 12], &[14, 13, 9, 2]];

    fn model(name: &str, task: Task, lora: Option<&LoraSpec>) -> Model {
        let dir = format!("tests/fixtures/parity/{name}/model");
        let setup = Setup {
            task,
            trained: lora.map_or(Trained::Everything, Trained::Lora),
            precision: Precision::F32,
            seed: 3,
        };
        let checkpoint = Checkpoint::from_dir(Path::new(&dir)).unwrap();
        let mut model = Model::load(&checkpoint, &setup).unwrap();
        if lora.is_some() {
            // Factors of which none is zero.
            let values = model.parameters().iter().map(|parameter| {
                let count = parameter.shape.iter().product();
                uniform(7, &parameter.name, count, 0.2)
            });
            let values: Vec<Vec<f32>> = values.collect();
            model.set_weights(&values).unwrap();
        }
        model
    }

    fn step(model: &Model, batch: &Batch, forced: bool) -> (StepOutput, Vec<f32>) {
        FORCED.set(forced);
        let key = DropoutKey { seed: 1, step: 2 };
        let step = model.train_step(batch, 0.25, Some(key)).unwrap();
        let logits = model.logits(batch).unwrap();
        FORCED.set(false);
        (step, logits)
    }

    // Both sides are f32 with sums in other orders, through two layers and back.
    fn close(what: &str, got: &[f32], want: &[f32]) {
        assert_eq!(got.len(), want.len(), "{what}");
        let size = want.iter().fold(1e-6f32, |size, w| size.max(w.abs()));
        for (got, want) in got.iter().zip(want) {
            assert!((got - want).abs() <= 1e-4 * size, "{what}: {got} {want}");
        }
    }

    #[test]
    fn a_model_of_every_kind_computes_the_same_on_stock_operations() {
        let lora = LoraSpec {
            dropout: 0.25,
            ..LoraSpec::new(2, 4.0, TargetModules::AllLinear)
        };
        let dora = LoraSpec {
            use_dora: true,
            dropout: 0.0,
            ..lora.clone()
        };
        let classes = |pooling| Task::SeqCls { labels: 3, pooling };
        for (name, task, lora) in [
            ("bert", classes(Pooling::Mean), Some(&lora)),
            ("modernbert", classes(Pooling::Cls), Some(&lora)),
            ("llama3_rope", Task::CausalLm, Some(&lora)),
            ("gemma2", Task::CausalLm, Some(&lora)),
            ("qwen3", Task::CausalLm, Some(&dora)),
            ("phi3", classes(Pooling::Last), Some(&lora)),
            ("mistral", Task::CausalLm, None),
            ("gpt2", Task::CausalLm, None),
        ] {
            let model = model(name, task, lora);
            let labels = match task {
                Task::SeqCls { .. } => vec![2, 0, 1],
                Task::CausalLm => {
                    let mut labels = vec![5; ROWS.concat().len()];
                    labels[3] = Batch::NONE;
                    labels
                }
            };
            let batch = Batch::new(ROWS, labels);
            let (fused, fused_logits) = step(&model, &batch, false);
            let (stock, stock_logits) = step(&model, &batch, true);
            close(&format!("{name} logits"), &stock_logits, &fused_logits);
            close(
                &format!("{name} loss"),
                &[stock.loss_sum as f32],
                &[fused.loss_sum as f32],
            );
            let found = stock.gradients.iter().zip(&fused.gradients);
            for ((stock, fused), parameter) in found.zip(model.parameters()) {
                close(&format!("{name} {}", parameter.name), stock, fused);
            }
        }
    }
}
