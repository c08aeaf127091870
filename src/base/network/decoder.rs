//! The layer of decoders, and of ModernBERT: norms before attention and feed-forward, residuals around both.

use burn::tensor::Tensor;

use super::NetworkError;
use super::body::{NormId, ProjectionId};
use super::operations;
use super::pass::Pass;

/// A pre-norm layer; what a family lacks is absent.
#[derive(Debug)]
pub(super) struct DecoderLayer {
    pub(super) attention_norm: Option<NormId>,
    /// Queries, keys and values.
    pub(super) qkv: ProjectionId,
    /// Norms of each query head and each key head.
    pub(super) head_norms: Option<[NormId; 2]>,
    pub(super) attention_output: ProjectionId,
    /// Before the residual is added.
    pub(super) post_attention_norm: Option<NormId>,
    pub(super) mlp_norm: NormId,
    /// Gate and up, or one projection.
    pub(super) wide: ProjectionId,
    pub(super) gated: bool,
    pub(super) narrow: ProjectionId,
    /// Before the residual is added.
    pub(super) post_mlp_norm: Option<NormId>,
}

impl DecoderLayer {
    pub(super) fn forward(
        &self,
        pass: &Pass<'_>,
        index: usize,
        x: Tensor<2>,
    ) -> Result<Tensor<2>, NetworkError> {
        let attended = self.attention(pass, index, x.clone())?;
        let x = x + pass.norm_if(self.post_attention_norm, attended);
        let wide = pass.project(self.wide, pass.norm(self.mlp_norm, x.clone()));
        let activation = pass.body.config.activation;
        let wide = match self.gated {
            true => operations::gated(wide, activation),
            false => operations::activate(wide, activation),
        };
        let narrow = pass.project(self.narrow, wide);
        Ok(x + pass.norm_if(self.post_mlp_norm, narrow))
    }

    fn attention(
        &self,
        pass: &Pass<'_>,
        index: usize,
        x: Tensor<2>,
    ) -> Result<Tensor<2>, NetworkError> {
        let qkv = pass.project(self.qkv, pass.norm_if(self.attention_norm, x));
        let qkv = match self.head_norms {
            Some(norms) => pass.head_norm(norms, qkv),
            None => qkv,
        };
        let context = pass.attend(index, pass.rotate(index, qkv))?;
        Ok(pass.project(self.attention_output, context))
    }

    pub(super) fn projections(&self) -> [ProjectionId; 4] {
        [self.qkv, self.attention_output, self.wide, self.narrow]
    }
}
