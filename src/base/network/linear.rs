//! Frozen linear layers, and low-rank factors beside them: `y = x·Wᵀ + b + s·(x·Aᵀ)·Bᵀ`.
//!
//! Layers that share an input are one layer with their outputs side by side; each adapted one keeps its own factors.
//! The low-rank product is summed into the same tile as the frozen one, so it costs no pass over the output.

use std::ops::Range;
use std::sync::{Arc, OnceLock};

use burn::tensor::{Device, Tensor, TensorData};

use super::dropout::Mask;
use super::panels::{Form, Panels};
use super::product::{Columns, Right, Start, Term, append_product, product, transposed_product};
use crate::base::Precision;

/// A frozen layer `x·Wᵀ + b`.
#[derive(Debug)]
pub(super) struct Linear {
    pub(super) inputs: usize,
    pub(super) outputs: usize,
    bias: Option<Vec<f32>>,
    weight: Panels,
    /// The weight on another device than the processor.
    sent: OnceLock<(Device, Tensor<2>)>,
}

impl Linear {
    /// From the row-major weight `[outputs × inputs]`, and the bias where there is one.
    pub(super) fn new(
        weight: &[f32],
        outputs: usize,
        bias: Option<Vec<f32>>,
        precision: Precision,
    ) -> Self {
        Self {
            inputs: weight.len() / outputs,
            outputs,
            bias,
            weight: Panels::of_weight(weight, outputs, precision),
            sent: OnceLock::new(),
        }
    }

    /// The weight `[outputs × inputs]` on another device, to which it is sent once.
    pub(super) fn on(&self, device: &Device) -> Tensor<2> {
        let send = || {
            let rows = (0..self.outputs).flat_map(|output| self.weight.column(output));
            let shape = [self.outputs, self.inputs];
            Tensor::from_data(TensorData::new(rows.collect::<Vec<f32>>(), shape), device)
        };
        let (there, weight) = self.sent.get_or_init(|| (device.clone(), send()));
        match there == device {
            true => weight.clone(),
            false => send(),
        }
    }

    /// [`new`](Self::new) of a weight whose rows `read` puts, some at a time, into a row-major matrix.
    pub(super) fn gather<E: Send>(
        [outputs, inputs]: [usize; 2],
        bias: Option<Vec<f32>>,
        form: Form,
        read: impl Fn(Range<usize>, &mut [f32]) -> Result<(), E> + Sync,
    ) -> Result<Self, E> {
        Ok(Self {
            inputs,
            outputs,
            bias,
            weight: Panels::gather(outputs, inputs, form, read)?,
            sent: OnceLock::new(),
        })
    }

    /// The bias, where there is one.
    pub(super) fn bias(&self) -> Option<&[f32]> {
        self.bias.as_deref()
    }

    /// The frozen weight, `Wᵀ` in panels.
    pub(super) fn weight(&self) -> &Panels {
        &self.weight
    }

    /// `x·Wᵀ + b` for `x` `[rows × inputs]`.
    pub(super) fn forward(&self, x: &[f32]) -> Vec<f32> {
        let rows = x.len() / self.inputs;
        product(rows, self.outputs, self.start(), &[self.term(x)])
    }

    /// Appends the rows of [`forward`](Self::forward) to a matrix.
    pub(super) fn append_forward(&self, x: &[f32], out: &mut Vec<f32>) {
        let rows = x.len() / self.inputs;
        append_product(out, rows, self.outputs, self.start(), &[self.term(x)]);
    }

    /// The gradient with respect to `x`.
    pub(super) fn backward(&self, gradient: &[f32]) -> Vec<f32> {
        let rows = gradient.len() / self.outputs;
        let term = self.back_term(gradient);
        product(rows, self.inputs, Start::Zero, &[term])
    }

    fn start(&self) -> Start<'_> {
        self.bias.as_deref().map_or(Start::Zero, Start::Row)
    }

    fn term<'a>(&'a self, x: &'a [f32]) -> Term<'a> {
        Term {
            left: x,
            stride: self.inputs,
            right: Right::Plain(&self.weight),
        }
    }

    fn back_term<'a>(&'a self, gradient: &'a [f32]) -> Term<'a> {
        Term {
            left: gradient,
            stride: self.outputs,
            right: Right::Transposed(&self.weight),
        }
    }
}

/// A frozen layer with factors on some of its outputs.
#[derive(Debug, Clone)]
pub(super) struct Adapted {
    pub(super) linear: Arc<Linear>,
    pub(super) blocks: Arc<[Block]>,
    pub(super) r: usize,
    pub(super) scale: f32,
}

/// The outputs `first .. first + count` of a layer, which have one pair of factors.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Block {
    pub(super) first: usize,
    pub(super) count: usize,
}

/// The factors of all blocks, stacked: `a` is `[blocks·r × inputs]`, `b` is `[Σ count × r]`.
#[derive(Debug, Clone, Copy)]
pub(super) struct Factors<'a> {
    pub(super) a: &'a [f32],
    pub(super) b: &'a [f32],
}

/// What flows back from an adapted layer.
pub(super) struct Gradients {
    /// With respect to the input, where that was asked for.
    pub(super) x: Option<Vec<f32>>,
    pub(super) a: Vec<f32>,
    pub(super) b: Vec<f32>,
}

impl Adapted {
    /// The output `[rows × outputs]`, and `x·Aᵀ` for the backward pass.
    pub(super) fn forward(
        &self,
        x: &[f32],
        factors: Factors<'_>,
        masks: Option<&[Mask]>,
    ) -> (Vec<f32>, Vec<f32>) {
        let rows = x.len() / self.linear.inputs;
        let low = self.low(x, factors, masks);
        let up = self.up_panels(factors);
        let lora = Term {
            left: &low,
            stride: self.width(),
            right: Right::Plain(&up),
        };
        let terms = [self.linear.term(x), lora];
        let y = product(rows, self.linear.outputs, self.linear.start(), &terms);
        (y, low)
    }

    /// The gradients, given the input, what [`forward`](Self::forward) kept and the gradient of the output.
    pub(super) fn backward(
        &self,
        x: &[f32],
        low: &[f32],
        factors: Factors<'_>,
        masks: Option<&[Mask]>,
        gradient: &[f32],
        input_wanted: bool,
    ) -> Gradients {
        let rows = x.len() / self.linear.inputs;
        let dlow = self.low_gradient(gradient, factors);
        Gradients {
            x: input_wanted.then(|| self.input_gradient(gradient, &dlow, factors, masks)),
            a: self.a_gradient(x, &dlow, masks),
            b: self.b_gradient(low, gradient, rows),
        }
    }

    /// `r` rounded up so that every block starts where the tile can read.
    fn padded_r(&self) -> usize {
        self.r.next_multiple_of(4)
    }

    /// Elements per row of `x·Aᵀ`.
    fn width(&self) -> usize {
        self.blocks.len() * self.padded_r()
    }

    /// `x·Aᵀ`, `[rows × width]`.
    fn low(&self, x: &[f32], factors: Factors<'_>, masks: Option<&[Mask]>) -> Vec<f32> {
        let inputs = self.linear.inputs;
        let rows = x.len() / inputs;
        let times = |x: &[f32], panels: &Panels, columns| {
            let term = Term {
                left: x,
                stride: inputs,
                right: Right::Plain(panels),
            };
            product(rows, columns, Start::Zero, &[term])
        };
        let Some(masks) = masks else {
            let panels = self.low_panels(factors, 0..self.blocks.len());
            return times(x, &panels, self.width());
        };
        let part = |(block, mask): (usize, &Mask)| {
            let panels = self.low_panels(factors, block..block + 1);
            times(&mask.apply(x), &panels, self.padded_r())
        };
        self.side_by_side(masks.iter().enumerate().map(part).collect())
    }

    /// The gradient of `x·Aᵀ`, `[rows × width]`.
    fn low_gradient(&self, gradient: &[f32], factors: Factors<'_>) -> Vec<f32> {
        let outputs = self.linear.outputs;
        let rows = gradient.len() / outputs;
        let part = |index: usize| {
            let right = self.down_panels(factors, index);
            let term = Term {
                left: &gradient[self.blocks[index].first..],
                stride: outputs,
                right: Right::Plain(&right),
            };
            product(rows, self.padded_r(), Start::Zero, &[term])
        };
        self.side_by_side((0..self.blocks.len()).map(part).collect())
    }

    /// Parts `[rows × padded r]`, one per block, as one matrix `[rows × width]`.
    fn side_by_side(&self, mut parts: Vec<Vec<f32>>) -> Vec<f32> {
        if parts.len() == 1 {
            return parts.swap_remove(0);
        }
        let mut whole = vec![0.0; parts.iter().map(Vec::len).sum()];
        for (index, part) in parts.iter().enumerate() {
            let lines = whole.chunks_exact_mut(self.width());
            for (line, part) in lines.zip(part.chunks_exact(self.padded_r())) {
                line[index * self.padded_r()..][..self.padded_r()].copy_from_slice(part);
            }
        }
        whole
    }

    fn input_gradient(
        &self,
        gradient: &[f32],
        dlow: &[f32],
        factors: Factors<'_>,
        masks: Option<&[Mask]>,
    ) -> Vec<f32> {
        let inputs = self.linear.inputs;
        let rows = gradient.len() / self.linear.outputs;
        let frozen = self.linear.back_term(gradient);
        let Some(masks) = masks else {
            let panels = self.a_panels(factors, 0..self.blocks.len());
            return product(
                rows,
                inputs,
                Start::Zero,
                &[frozen, self.low_term(dlow, 0, &panels)],
            );
        };
        let mut out = product(rows, inputs, Start::Zero, &[frozen]);
        for (block, mask) in masks.iter().enumerate() {
            let panels = self.a_panels(factors, block..block + 1);
            let part = product(
                rows,
                inputs,
                Start::Zero,
                &[self.low_term(dlow, block, &panels)],
            );
            mask.add(&part, &mut out);
        }
        out
    }

    /// The columns from `block` on of a `[rows × width]` matrix as a left factor.
    fn low_term<'a>(&self, low: &'a [f32], block: usize, right: &'a Panels) -> Term<'a> {
        Term {
            left: &low[block * self.padded_r()..],
            stride: self.width(),
            right: Right::Plain(right),
        }
    }

    fn a_gradient(&self, x: &[f32], dlow: &[f32], masks: Option<&[Mask]>) -> Vec<f32> {
        let inputs = self.linear.inputs;
        let rows = x.len() / inputs;
        let mut out = Vec::with_capacity(self.blocks.len() * self.r * inputs);
        match masks {
            None => {
                let left = Columns::of(dlow, self.width(), 0, self.width());
                let all = transposed_product(left, Columns::of(x, inputs, 0, inputs), rows);
                for block in all.chunks_exact(self.padded_r() * inputs) {
                    out.extend_from_slice(&block[..self.r * inputs]);
                }
            }
            Some(masks) => {
                for (block, mask) in masks.iter().enumerate() {
                    let left = Columns::of(dlow, self.width(), block * self.padded_r(), self.r);
                    let x = mask.apply(x);
                    out.extend(transposed_product(
                        left,
                        Columns::of(&x, inputs, 0, inputs),
                        rows,
                    ));
                }
            }
        }
        out
    }

    fn b_gradient(&self, low: &[f32], gradient: &[f32], rows: usize) -> Vec<f32> {
        let mut out = Vec::with_capacity(self.blocks.iter().map(|b| b.count * self.r).sum());
        for (index, block) in self.blocks.iter().enumerate() {
            let left = Columns::of(low, self.width(), index * self.padded_r(), self.r);
            let right = Columns::of(gradient, self.linear.outputs, block.first, block.count);
            let across = transposed_product(left, right, rows);
            for output in 0..block.count {
                out.extend((0..self.r).map(|q| self.scale * across[q * block.count + output]));
            }
        }
        out
    }

    /// Row `q` of the `A` of a block.
    fn a_row<'a>(&self, factors: Factors<'a>, block: usize, q: usize) -> &'a [f32] {
        &factors.a[(block * self.r + q) * self.linear.inputs..][..self.linear.inputs]
    }

    /// The `B` of a block, `[count × r]`.
    fn b_block<'a>(&self, factors: Factors<'a>, block: usize) -> &'a [f32] {
        let before: usize = self.blocks[..block].iter().map(|b| b.count).sum();
        &factors.b[before * self.r..][..self.blocks[block].count * self.r]
    }

    /// `Aᵀ` of some blocks as the right factor `[inputs × blocks·padded r]`.
    fn low_panels(&self, factors: Factors<'_>, blocks: Range<usize>) -> Panels {
        let mut panels = Panels::zeros(self.linear.inputs, blocks.len() * self.padded_r());
        for (place, block) in blocks.enumerate() {
            for q in 0..self.r {
                let column = place * self.padded_r() + q;
                panels.put_column(column, 0, self.a_row(factors, block, q).iter().copied());
            }
        }
        panels
    }

    /// `A` of some blocks as the right factor `[blocks·padded r × inputs]`.
    fn a_panels(&self, factors: Factors<'_>, blocks: Range<usize>) -> Panels {
        let mut panels = Panels::zeros(blocks.len() * self.padded_r(), self.linear.inputs);
        for (place, block) in blocks.enumerate() {
            for q in 0..self.r {
                panels.put_row(place * self.padded_r() + q, self.a_row(factors, block, q));
            }
        }
        panels
    }

    /// `s·Bᵀ` as the right factor `[width × outputs]`, zero outside the blocks.
    fn up_panels(&self, factors: Factors<'_>) -> Panels {
        let mut panels = Panels::zeros(self.width(), self.linear.outputs);
        for (index, block) in self.blocks.iter().enumerate() {
            let first = index * self.padded_r();
            for (output, row) in self
                .b_block(factors, index)
                .chunks_exact(self.r)
                .enumerate()
            {
                let scaled = row.iter().map(|b| self.scale * b);
                panels.put_column(block.first + output, first, scaled);
            }
            panels.keep(block.first, block.count, &(first..first + self.padded_r()));
        }
        panels
    }

    /// `s·B` of a block as the right factor `[count × padded r]`.
    fn down_panels(&self, factors: Factors<'_>, block: usize) -> Panels {
        let mut panels = Panels::zeros(self.blocks[block].count, self.padded_r());
        let mut scaled = vec![0.0; self.r];
        for (output, row) in self
            .b_block(factors, block)
            .chunks_exact(self.r)
            .enumerate()
        {
            scaled
                .iter_mut()
                .zip(row)
                .for_each(|(s, b)| *s = self.scale * b);
            panels.put_row(output, &scaled);
        }
        panels
    }
}

/// A trained layer `x·Wᵀ + b` on a few rows: the classification head.
pub(super) fn affine(x: &[f32], weight: &[f32], bias: &[f32]) -> Vec<f32> {
    let inputs = weight.len() / bias.len();
    let right = Panels::of_transposed(weight, bias.len(), inputs);
    let term = Term {
        left: x,
        stride: inputs,
        right: Right::Plain(&right),
    };
    product(x.len() / inputs, bias.len(), Start::Row(bias), &[term])
}

/// The gradients of [`affine`] with respect to `x`, the weight and the bias.
pub(super) fn affine_backward(
    x: &[f32],
    weight: &[f32],
    gradient: &[f32],
    inputs: usize,
) -> (Vec<f32>, Vec<f32>, Vec<f32>) {
    let outputs = weight.len() / inputs;
    let rows = x.len() / inputs;
    let right = Panels::of(weight, outputs, inputs);
    let term = Term {
        left: gradient,
        stride: outputs,
        right: Right::Plain(&right),
    };
    let dx = product(rows, inputs, Start::Zero, &[term]);
    // Filled up so that the tile may read the last columns in fours.
    let stride = outputs.next_multiple_of(4);
    let mut filled = vec![0.0; rows * stride];
    let mut dbias = vec![0.0; outputs];
    for (line, gradient) in filled
        .chunks_exact_mut(stride)
        .zip(gradient.chunks_exact(outputs))
    {
        line[..outputs].copy_from_slice(gradient);
        dbias
            .iter_mut()
            .zip(gradient)
            .for_each(|(sum, g)| *sum += g);
    }
    let left = Columns::of(&filled, stride, 0, outputs);
    let right = Columns::of(x, inputs, 0, inputs);
    (dx, transposed_product(left, right, rows), dbias)
}
