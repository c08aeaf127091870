//! One file of weights: which tensor keeps its bytes, which gets others.

use std::borrow::Cow;
use std::cell::RefCell;

use safetensors::{Dtype, View};

use super::weight::{self, Orientation};
use crate::adapter::{Factors, Storage};

/// A tensor of a merged checkpoint. Its bytes are made when they are written, one tensor at a time.
pub(super) struct Tensor<'a> {
    pub(super) name: String,
    pub(super) shape: Vec<usize>,
    pub(super) dtype: Dtype,
    pub(super) content: Content<'a>,
    /// Why a tensor could not be made; the writer has no way to say so.
    pub(super) failed: &'a RefCell<Option<(String, &'static str)>>,
}

/// Where the numbers of a tensor come from.
pub(super) enum Content<'a> {
    /// The base's, in the base's type.
    Kept(Dtype, &'a [u8]),
    /// The base's, with the product of factors added.
    Adapted(Storage, &'a [u8], Orientation, Factors<'a>),
    /// The adapter's own.
    Whole(&'a [f32]),
}

impl Tensor<'_> {
    fn narrow(&self, values: &[f32]) -> Vec<u8> {
        let narrowed = match Storage::of(self.dtype) {
            Some(precision) => precision.narrow(values),
            None => Err("has a type that is not f32, f16 or bf16"),
        };
        narrowed.unwrap_or_else(|why| {
            *self.failed.borrow_mut() = Some((self.name.clone(), why));
            vec![0; self.data_len()]
        })
    }
}

impl View for &Tensor<'_> {
    fn dtype(&self) -> Dtype {
        self.dtype
    }

    fn shape(&self) -> &[usize] {
        &self.shape
    }

    fn data(&self) -> Cow<'_, [u8]> {
        match &self.content {
            Content::Kept(dtype, bytes) if *dtype == self.dtype => Cow::Borrowed(bytes),
            Content::Kept(dtype, bytes) => {
                let values = Storage::of(*dtype).map(|stored| stored.widen(bytes));
                Cow::Owned(self.narrow(&values.unwrap_or_default()))
            }
            Content::Adapted(stored, bytes, orientation, factors) => {
                let mut values = stored.widen(bytes);
                weight::merge(&mut values, *orientation, factors);
                Cow::Owned(self.narrow(&values))
            }
            Content::Whole(values) => Cow::Owned(self.narrow(values)),
        }
    }

    fn data_len(&self) -> usize {
        self.shape.iter().product::<usize>() * self.dtype.bitsize() / 8
    }
}
