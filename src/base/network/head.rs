//! Classification heads: one vector per row in, one score per label out.

use std::sync::Arc;

use burn::tensor::Tensor;

use super::Batch;
use super::body::{NormId, ProjectionId};
use super::operations;
use super::pass::Pass;
use super::pooling::Pool;
use crate::base::{Activation, Pooling};

/// A head as each family has it: a dense layer and its activation, a norm, scores; what a family lacks is absent.
#[derive(Debug)]
pub(super) struct Head {
    pub(super) pooling: Pooling,
    pub(super) dense: Option<(ProjectionId, Activation)>,
    pub(super) norm: Option<NormId>,
    pub(super) scores: ProjectionId,
}

impl Head {
    /// The logits `[rows × labels]` of the last hidden state.
    pub(super) fn forward(&self, pass: &Pass<'_>, batch: &Batch, hidden: Tensor<2>) -> Tensor<2> {
        let mut x = pooled(pass, batch, hidden, self.pooling);
        if let Some((dense, activation)) = self.dense {
            x = operations::activate(pass.project(dense, x), activation);
        }
        pass.project(self.scores, pass.norm_if(self.norm, x))
    }
}

/// One vector per row, `[rows × hidden]`.
pub(super) fn pooled(
    pass: &Pass<'_>,
    batch: &Batch,
    hidden: Tensor<2>,
    pooling: Pooling,
) -> Tensor<2> {
    let config = &pass.body.config;
    let pool = Pool::of(batch, pooling, config.pad_token_id, config.hidden_size);
    operations::pool(hidden, &Arc::new(pool))
}
