//! The fused operations composed from stock burn operations, and the tests that compare the two with their gradients.
//!
//! Tolerance: both sides are float32 with sums of at most a few hundred terms of size one in different orders; their
//! difference stays below 1e-5 of the largest element. The sizes are chosen so that no dimension fills whole tiles.

use std::sync::Arc;

use burn::tensor::activation::{log_softmax, softmax};
use burn::tensor::{Device, Int, Tensor, TensorData};

use super::Batch;
use super::attention::Heads;
use super::dropout::{DropoutKey, Mask};
use super::linear::{Adapted, Block, Linear};
use super::loss;
use super::norms::HeadNorm;
use super::operations::{self, Site};
use super::pooling::Pool;
use super::random::uniform;
use super::rotation::{Rotation, Span};
use super::stock;
use crate::base::{Activation, Pooling, Precision, Rope};

/// Three sequences of different lengths.
const OFFSETS: [usize; 4] = [0, 1, 38, 43];
const TOKENS: usize = 43;

/// A leaf of U(−1, 1).
fn leaf(name: &str, shape: [usize; 2]) -> Tensor<2> {
    let device = Device::flex().autodiff();
    let values = uniform(5, name, shape[0] * shape[1], 1.0);
    Tensor::from_data(TensorData::new(values, shape), &device).require_grad()
}

fn constant(values: &[f32], shape: [usize; 2]) -> Tensor<2> {
    Tensor::from_data(
        TensorData::new(values.to_vec(), shape),
        &Device::flex().autodiff(),
    )
}

/// Compares outputs, and the gradients of a random weighting of the outputs with respect to every leaf.
fn compare<const N: usize>(
    leaves: [Tensor<2>; N],
    fused: impl Fn([Tensor<2>; N]) -> Tensor<2>,
    stock: impl Fn([Tensor<2>; N]) -> Tensor<2>,
) {
    let (y, dy) = run(leaves.clone(), fused);
    let (want, dwant) = run(leaves, stock);
    close("output", &y, &want);
    for (index, (got, want)) in dy.iter().zip(&dwant).enumerate() {
        close(&format!("gradient of input {index}"), got, want);
    }
}

fn run<const N: usize>(
    leaves: [Tensor<2>; N],
    operation: impl Fn([Tensor<2>; N]) -> Tensor<2>,
) -> (Vec<f32>, Vec<Vec<f32>>) {
    let y = operation(leaves.clone());
    let [rows, columns] = y.dims();
    let weights = constant(&uniform(6, "weights", rows * columns, 1.0), [rows, columns]);
    let gradients = (y.clone() * weights).sum().backward();
    let of = |leaf: &Tensor<2>| leaf.grad(&gradients).map(numbers).unwrap_or_default();
    (numbers(y.inner()), leaves.iter().map(of).collect())
}

fn numbers(tensor: Tensor<2>) -> Vec<f32> {
    tensor.into_data().try_into_vec::<f32>().unwrap_or_default()
}

fn close(what: &str, got: &[f32], want: &[f32]) {
    assert!(!want.is_empty(), "{what}: nothing to compare");
    assert_eq!(got.len(), want.len(), "{what}");
    let size = want.iter().fold(0f32, |size, w| size.max(w.abs()));
    for (at, (got, want)) in got.iter().zip(want).enumerate() {
        assert!(
            (got - want).abs() <= 1e-5 * size,
            "{what}[{at}]: {got}, not {want}"
        );
    }
}

#[test]
fn frozen_linear() {
    let (inputs, outputs) = (37, 45);
    let weight = uniform(1, "w", inputs * outputs, 1.0);
    let bias = uniform(1, "b", outputs, 1.0);
    let layer = Arc::new(Linear::new(
        &weight,
        bias.len(),
        Some(bias.clone()),
        Precision::F32,
    ));
    compare(
        [leaf("x", [TOKENS, inputs])],
        |[x]| operations::linear(x, &layer),
        |[x]| {
            x.matmul(constant(&weight, [outputs, inputs]).transpose())
                + constant(&bias, [1, outputs])
        },
    );
}

#[test]
fn lora_linear_with_and_without_dropout() {
    let (inputs, each, scale) = (37, 21, 2.0);
    let weight = uniform(1, "w", inputs * 3 * each, 1.0);
    let bias = uniform(1, "b", 3 * each, 1.0);
    let linear = Arc::new(Linear::new(
        &weight,
        bias.len(),
        Some(bias.clone()),
        Precision::F32,
    ));
    // The first and the last of three packed modules are adapted; a rank that is no multiple of four.
    for r in [1, 4, 6] {
        for dropout in [None, Some(0.25)] {
            let blocks = [0, 2].map(|module| Block {
                first: module * each,
                count: each,
            });
            let layer = Adapted {
                linear: linear.clone(),
                blocks: Arc::new(blocks),
                r,
                scale,
            };
            let key = DropoutKey { seed: 1, step: 2 };
            let masks = dropout.map(|p| {
                ["query", "value"]
                    .map(|name| Mask::new(key, name, p))
                    .to_vec()
            });
            let site = Arc::new(Site {
                layer,
                masks: masks.clone(),
            });
            let stock = |[x, a, b]: [Tensor<2>; 3]| {
                let frozen = x
                    .clone()
                    .matmul(constant(&weight, [3 * each, inputs]).transpose())
                    + constant(&bias, [1, 3 * each]);
                let part = |block: usize| {
                    let seen = match &masks {
                        Some(masks) => {
                            x.clone()
                                * constant(
                                    &masks[block].apply(&[1.0; TOKENS * 37]),
                                    [TOKENS, inputs],
                                )
                        }
                        None => x.clone(),
                    };
                    let a = a.clone().narrow(0, block * r, r);
                    let b = b.clone().narrow(0, block * each, each);
                    seen.matmul(a.transpose())
                        .matmul(b.transpose())
                        .mul_scalar(scale)
                };
                let nothing = constant(&vec![0.0; TOKENS * each], [TOKENS, each]);
                frozen + Tensor::cat(vec![part(0), nothing, part(1)], 1)
            };
            compare(
                [
                    leaf("x", [TOKENS, inputs]),
                    leaf("a", [2 * r, inputs]),
                    leaf("b", [2 * each, r]),
                ],
                |[x, a, b]| operations::lora_linear(x, a, b, site.clone()),
                stock,
            );
        }
    }
}

#[test]
fn packed_attention() {
    // Head sizes below, at and above one tile's width.
    for (heads, size) in [(3, 8), (2, 32), (2, 40)] {
        let hidden = heads * size;
        let shape = Arc::new(Heads {
            offsets: OFFSETS.to_vec(),
            heads,
            kv_heads: heads,
            size,
            scale: 1.0 / (size as f32).sqrt(),
            causal: false,
            reach: None,
            softcap: None,
        });
        let stock = |[qkv]: [Tensor<2>; 1]| {
            let sequences = OFFSETS.windows(2).map(|pair| {
                let rows = qkv.clone().narrow(0, pair[0], pair[1] - pair[0]);
                let part = |which: usize, head: usize| {
                    rows.clone().narrow(1, which * hidden + head * size, size)
                };
                let contexts = (0..heads).map(|head| {
                    let scores = part(0, head).matmul(part(1, head).transpose());
                    softmax(scores.div_scalar((size as f32).sqrt()), 1).matmul(part(2, head))
                });
                Tensor::cat(contexts.collect(), 1)
            });
            Tensor::cat(sequences.collect(), 0)
        };
        compare(
            [leaf("qkv", [TOKENS, 3 * hidden])],
            |[qkv]| operations::attention(qkv, &shape),
            stock,
        );
    }
}

fn unit(x: Tensor<2>, eps: f64) -> Tensor<2> {
    let centred = x.clone() - x.mean_dim(1);
    let variance = centred.clone().powf_scalar(2.0).mean_dim(1);
    centred / variance.add_scalar(eps).sqrt()
}

fn rms(x: Tensor<2>, eps: f64) -> Tensor<2> {
    let square = x.clone().powf_scalar(2.0).mean_dim(1);
    x / square.add_scalar(eps).sqrt()
}

#[test]
fn norms_with_their_gains_and_biases() {
    let (width, eps) = (45, 1e-5);
    let rows = |name| leaf(name, [TOKENS, width]);
    let row = |name| leaf(name, [1, width]);
    compare(
        [rows("x"), rows("r"), row("gain"), row("bias")],
        |[x, r, gain, bias]| operations::layer_norm(x, Some(r), gain, bias, eps as f32),
        |[x, r, gain, bias]| unit(x + r, eps) * gain + bias,
    );
    compare(
        [rows("x"), row("gain"), row("bias")],
        |[x, gain, bias]| operations::layer_norm(x, None, gain, bias, eps as f32),
        |[x, gain, bias]| unit(x, eps) * gain + bias,
    );
    compare(
        [rows("x"), row("gain")],
        |[x, gain]| operations::rms_norm(x, gain, eps as f32),
        |[x, gain]| rms(x, eps) * gain,
    );
}

#[test]
fn norms_of_heads() {
    let (heads, kv_heads, size, eps) = (3, 1, 6, 1e-5);
    let width = (heads + 2 * kv_heads) * size;
    let shape = HeadNorm {
        width,
        heads,
        kv_heads,
        size,
        eps: eps as f32,
    };
    compare(
        [
            leaf("qkv", [TOKENS, width]),
            leaf("q", [1, size]),
            leaf("k", [1, size]),
        ],
        |[qkv, q, k]| operations::head_norm(qkv, q, k, shape),
        |[qkv, q, k]| {
            let part = |head: usize| qkv.clone().narrow(1, head * size, size);
            let normed = (0..heads + kv_heads).map(|head| {
                let gain = if head < heads { q.clone() } else { k.clone() };
                rms(part(head), eps) * gain
            });
            let values = (heads + kv_heads..heads + 2 * kv_heads).map(part);
            Tensor::cat(normed.chain(values).collect(), 1)
        },
    );
}

#[test]
fn rotations() {
    let (turned, size, width) = (3, 8, 32);
    // Six of eight elements turn.
    let rope = Rope {
        angles: vec![1.0, 0.3, 0.02],
        long: Some((30, vec![0.5, 0.1, 0.01])),
        factor: 1.25,
    };
    let spans: Vec<Span> = OFFSETS
        .windows(2)
        .map(|pair| Span {
            first: 0,
            count: pair[1] - pair[0],
        })
        .collect();
    let rotation = Arc::new(Rotation::new(&rope, &spans, width, turned, size));
    let (mut cosines, mut sines) = (Vec::new(), Vec::new());
    for span in &spans {
        let angles = match &rope.long {
            Some((limit, angles)) if span.count > *limit => angles,
            _ => &rope.angles,
        };
        for position in 0..span.count {
            for angle in angles {
                cosines.push((position as f32 * angle).cos() * rope.factor);
                sines.push((position as f32 * angle).sin() * rope.factor);
            }
        }
    }
    compare(
        [leaf("qkv", [TOKENS, width])],
        |[qkv]| operations::rotate(qkv, &rotation),
        |[qkv]| {
            let (cosine, sine) = (
                constant(&cosines, [TOKENS, 3]),
                constant(&sines, [TOKENS, 3]),
            );
            let head = |head: usize| {
                let part = |first, count| qkv.clone().narrow(1, head * size + first, count);
                let (a, b) = (part(0, 3), part(3, 3));
                let first = a.clone() * cosine.clone() - b.clone() * sine.clone();
                let second = b * cosine.clone() + a * sine.clone();
                Tensor::cat(vec![first, second, part(6, 2)], 1)
            };
            let rest = qkv.clone().narrow(1, turned * size, width - turned * size);
            Tensor::cat((0..turned).map(head).chain([rest]).collect(), 1)
        },
    );
}

#[test]
fn activations_alone_and_as_gates() {
    for activation in [
        Activation::Silu,
        Activation::Gelu,
        Activation::GeluTanh,
        Activation::Relu,
        Activation::Tanh,
    ] {
        let wide = |x: Tensor<2>| x.mul_scalar(4.0);
        compare(
            [leaf("x", [TOKENS, 45])],
            |[x]| operations::activate(wide(x), activation),
            |[x]| stock::activate(wide(x), activation),
        );
        compare(
            [leaf("x", [TOKENS, 42])],
            |[x]| operations::gated(wide(x), activation),
            |[x]| {
                let x = wide(x);
                let gate = stock::activate(x.clone().narrow(1, 0, 21), activation);
                gate * x.narrow(1, 21, 21)
            },
        );
    }
}

#[test]
fn rows_of_tables() {
    let ids: Vec<u32> = (0..TOKENS as u32).map(|i| i * 7 % 10).collect();
    let device = Device::flex().autodiff();
    let picked: Vec<i64> = ids.iter().map(|id| i64::from(*id)).collect();
    let picked = Tensor::<1, Int>::from_data(TensorData::new(picked, [TOKENS]), &device);
    compare(
        [leaf("table", [10, 21])],
        |[table]| operations::lookup(table, Arc::from(ids.as_slice())),
        |[table]| table.select(0, picked.clone()),
    );
}

#[test]
fn pools() {
    // The last sequence ends with padding.
    let mut ids = [1; TOKENS];
    ids[TOKENS - 1] = 0;
    let rows = OFFSETS.windows(2).map(|pair| &ids[pair[0]..pair[1]]);
    let batch = Batch::new(rows, Vec::new());
    for pooling in [Pooling::Cls, Pooling::Mean, Pooling::Last] {
        let pool = Arc::new(Pool::of(&batch, pooling, Some(0), 45));
        let stock = |[x]: [Tensor<2>; 1]| {
            let rows = OFFSETS.windows(2).map(|pair| match pooling {
                Pooling::Cls => x.clone().narrow(0, pair[0], 1),
                Pooling::Mean => x.clone().narrow(0, pair[0], pair[1] - pair[0]).mean_dim(0),
                Pooling::Last if pair[1] == TOKENS => x.clone().narrow(0, TOKENS - 2, 1),
                Pooling::Last => x.clone().narrow(0, pair[1] - 1, 1),
            });
            Tensor::cat(rows.collect(), 0)
        };
        compare(
            [leaf("x", [TOKENS, 45])],
            |[x]| operations::pool(x, &pool),
            stock,
        );
    }
}

#[test]
fn head_and_loss() {
    let (inputs, labels) = (45, 7);
    let classes: Vec<u32> = (0..TOKENS as u32).map(|row| row * 5 % 7).collect();
    let device = Device::flex().autodiff();
    let picked: Vec<i64> = classes.iter().map(|class| i64::from(*class)).collect();
    let picked = Tensor::<2, Int>::from_data(TensorData::new(picked, [TOKENS, 1]), &device);
    let logits = |x: Tensor<2>, w: Tensor<2>, b: Tensor<2>| x.matmul(w.transpose()) + b;
    compare(
        [
            leaf("x", [TOKENS, inputs]),
            leaf("w", [labels, inputs]),
            leaf("b", [1, labels]),
        ],
        |[x, w, b]| {
            let logits = operations::affine(x, w, b.reshape([labels]));
            operations::cross_entropy(logits, Arc::from(classes.as_slice())).reshape([TOKENS, 1])
        },
        |[x, w, b]| {
            log_softmax(logits(x, w, b), 1)
                .gather(1, picked.clone())
                .neg()
        },
    );
}

#[test]
fn frozen_and_trained_heads_of_many_outputs() {
    let (inputs, outputs) = (45, 70);
    let weight = uniform(1, "w", outputs * inputs, 1.0);
    let head = Arc::new(Linear::new(&weight, outputs, None, Precision::F32));
    // Every third row has no target.
    let classes: Vec<u32> = (0..TOKENS as u32).map(|row| row * 5 % 70).collect();
    let seen = |row: usize| row % 3 != 1;
    let targets = classes.iter().enumerate();
    let targets = operations::Targets {
        targets: targets
            .map(|(row, class)| if seen(row) { *class } else { loss::NONE })
            .collect(),
        softcap: None,
    };
    let device = Device::flex().autodiff();
    let picked: Vec<i64> = classes.iter().map(|class| i64::from(*class)).collect();
    let picked = Tensor::<2, Int>::from_data(TensorData::new(picked, [TOKENS, 1]), &device);
    let mask: Vec<f32> = (0..TOKENS)
        .map(|row| f32::from(u8::from(seen(row))))
        .collect();
    let stock = |x: Tensor<2>, w: Tensor<2>| {
        let losses = log_softmax(x.matmul(w.transpose()), 1)
            .gather(1, picked.clone())
            .neg();
        losses * constant(&mask, [TOKENS, 1])
    };
    compare(
        [leaf("x", [TOKENS, inputs])],
        |[x]| operations::head_losses(x, &head, &targets).reshape([TOKENS, 1]),
        |[x]| stock(x, constant(&weight, [outputs, inputs])),
    );
    compare(
        [leaf("x", [TOKENS, inputs]), leaf("w", [outputs, inputs])],
        |[x, w]| {
            let losses = operations::trained_head_losses(x, w, &targets, Precision::F32);
            losses.reshape([TOKENS, 1])
        },
        |[x, w]| stock(x, w),
    );
}

#[test]
fn nothing_below_an_adapted_layer_is_tracked() {
    let layer = Arc::new(Linear::new(
        &[1.0; 6],
        2,
        Some(vec![0.0; 2]),
        Precision::F32,
    ));
    let x = constant(&[1.0; 9], [3, 3]);
    assert!(!operations::activate(operations::linear(x, &layer), Activation::Gelu).is_tracked());
    let tracked = operations::linear(leaf("x", [3, 3]), &layer);
    assert!(tracked.is_tracked());
}
