//! What a job would do, before it does it.

use serde::Serialize;

use super::job::{Job, Length};
use super::tokens::TokenAccount;

/// Everything about a run that is known before the first step.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Plan {
    /// The class names, in the order of the logits.
    pub labels: Vec<String>,
    /// The training split.
    pub train: TokenAccount,
    /// The validation split, where it is used.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub validation: Option<TokenAccount>,
    /// Elements of all adapted modules' factors and of the head.
    pub trainable_parameters: u64,
    /// Elements of the base.
    pub base_parameters: u64,
    /// Modules with factors.
    pub adapted_modules: u64,
    /// Optimiser steps of a pass over the training split.
    pub steps_per_epoch: u64,
    /// Optimiser steps in all.
    pub steps: u64,
    /// An estimate.
    pub memory: Memory,
}

/// An estimate of the memory that training takes, in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Memory {
    /// The frozen model in `f32`.
    pub base: u64,
    /// Trained values, gradients, two moments, and the best values so far.
    pub training: u64,
    /// What a forward pass keeps for the backward pass, for the largest batch.
    pub activations: u64,
}

impl Plan {
    /// The share of all elements that is trained.
    pub fn trainable_share(&self) -> f64 {
        let all = self.base_parameters + self.trainable_parameters;
        self.trainable_parameters as f64 / all.max(1) as f64
    }
}

impl Memory {
    /// All of it.
    pub fn total(&self) -> u64 {
        self.base + self.training + self.activations
    }
}

/// Optimiser steps of a pass over `batches` micro-batches, and of the whole job.
pub(super) fn steps(job: &Job, batches: usize) -> (u64, u64) {
    let per_epoch = batches.div_ceil(job.gradient_accumulation_steps) as u64;
    let total = match job.length {
        Length::Epochs(epochs) => epochs.saturating_mul(per_epoch),
        Length::Steps(steps) => steps,
    };
    (per_epoch, total)
}
