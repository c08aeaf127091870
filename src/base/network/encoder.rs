//! The layer of BERT, RoBERTa and DistilBERT: norms after the residuals.

use burn::tensor::Tensor;

use super::NetworkError;
use super::body::{NormId, ProjectionId};
use super::operations;
use super::pass::Pass;

/// A post-norm layer.
#[derive(Debug)]
pub(super) struct EncoderLayer {
    /// Queries, keys and values.
    pub(super) qkv: ProjectionId,
    pub(super) attention_output: ProjectionId,
    pub(super) attention_norm: NormId,
    pub(super) wide: ProjectionId,
    pub(super) narrow: ProjectionId,
    pub(super) output_norm: NormId,
}

impl EncoderLayer {
    pub(super) fn forward(
        &self,
        pass: &Pass<'_>,
        index: usize,
        x: Tensor<2>,
    ) -> Result<Tensor<2>, NetworkError> {
        let context = pass.attend(index, pass.project(self.qkv, x.clone()))?;
        let attended = pass.project(self.attention_output, context);
        let x = pass.add_norm(self.attention_norm, attended, x);
        let wide = pass.project(self.wide, x.clone());
        let wide = operations::activate(wide, pass.body.config.activation);
        let narrow = pass.project(self.narrow, wide);
        Ok(pass.add_norm(self.output_norm, narrow, x))
    }

    pub(super) fn projections(&self) -> [ProjectionId; 4] {
        [self.qkv, self.attention_output, self.wide, self.narrow]
    }
}
