//! The fused operations composed from stock burn operations, and the tests that compare the two with their gradients.
//!
//! Tolerance: both sides are float32 with sums of at most a few hundred terms of size one in different orders; their
//! difference stays below 1e-5 of the largest element. The sizes are chosen so that no dimension fills whole tiles.

use std::sync::Arc;

use burn::tensor::activation::{gelu, log_softmax, softmax};
use burn::tensor::{Device, Int, Tensor, TensorData};

use super::attention::Heads;
use super::dropout::{DropoutKey, Mask};
use super::linear::{Adapted, Block, Linear};
use super::operations::{self, Norm, Site};
use super::pooling::Pool;
use super::random::uniform;
use crate::base::Pooling;

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
    let layer = Arc::new(Linear::new(&weight, bias.clone()));
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
    let linear = Arc::new(Linear::new(&weight, bias.clone()));
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
            hidden,
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

#[test]
fn add_norm() {
    let (width, eps) = (45, 1e-5);
    let norm = Arc::new(Norm {
        gain: uniform(1, "gain", width, 1.0),
        bias: uniform(1, "bias", width, 1.0),
        eps,
    });
    let stock = |[x, residual]: [Tensor<2>; 2]| {
        let v = x + residual;
        let centred = v.clone() - v.mean_dim(1);
        let variance = centred.clone().powf_scalar(2.0).mean_dim(1);
        let unit = centred / variance.add_scalar(eps).sqrt();
        unit * constant(&norm.gain, [1, width]) + constant(&norm.bias, [1, width])
    };
    compare(
        [leaf("x", [TOKENS, width]), leaf("r", [TOKENS, width])],
        |[x, residual]| operations::add_norm(x, residual, &norm),
        stock,
    );
}

#[test]
fn exact_gelu() {
    let wide = |x: Tensor<2>| x.mul_scalar(4.0);
    compare(
        [leaf("x", [TOKENS, 45])],
        |[x]| operations::gelu(wide(x)),
        |[x]| gelu(wide(x)),
    );
}

#[test]
fn pools() {
    for pooling in [Pooling::Cls, Pooling::Mean] {
        let pool = Arc::new(Pool {
            offsets: OFFSETS.to_vec(),
            hidden: 45,
            pooling,
        });
        let stock = |[x]: [Tensor<2>; 1]| {
            let rows = OFFSETS.windows(2).map(|pair| match pooling {
                Pooling::Cls => x.clone().narrow(0, pair[0], 1),
                Pooling::Mean => x.clone().narrow(0, pair[0], pair[1] - pair[0]).mean_dim(0),
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
fn nothing_below_an_adapted_layer_is_tracked() {
    let layer = Arc::new(Linear::new(&[1.0; 6], vec![0.0; 2]));
    let x = constant(&[1.0; 9], [3, 3]);
    assert!(!operations::gelu(operations::linear(x, &layer)).is_tracked());
    let tracked = operations::linear(leaf("x", [3, 3]), &layer);
    assert!(tracked.is_tracked());
}
