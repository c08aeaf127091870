//! What a job would do, before it does it.

use serde::Serialize;

use super::job::{Job, Length};
use super::order::Order;
use super::tokens::TokenAccount;
use crate::digest::Digest;
use crate::store::TreeId;

/// Everything about a run that is known before the first step.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Plan {
    /// The class names, in the order of the logits; none unless texts are classified.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub labels: Vec<String>,
    /// The digest of the chat template, where conversations are trained on.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub chat_template: Option<Digest>,
    /// The training split.
    pub train: TokenAccount,
    /// The validation split, where it is used.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub validation: Option<TokenAccount>,
    /// Rows of the test split that ask what training rows ask.
    #[serde(skip_serializing_if = "is_zero")]
    pub test_leaked: u64,
    /// The adapter that the run goes on from.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub from: Option<TreeId>,
    /// The first training rows, as the model sees them.
    pub samples: Vec<Sample>,
    /// The modules with factors.
    pub modules: Vec<PlannedModule>,
    /// Elements of all adapted modules' factors and of the head, or of the whole model.
    pub trainable_parameters: u64,
    /// Whether every weight of the model is trained.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub every_weight: bool,
    /// Elements of the base.
    pub base_parameters: u64,
    /// Modules with factors.
    pub adapted_modules: u64,
    /// Optimiser steps of the first pass over the training split.
    pub steps_per_epoch: u64,
    /// Optimiser steps in all.
    pub steps: u64,
    /// An estimate.
    pub memory: Memory,
    /// The most that the job allows, in bytes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_memory: Option<u64>,
}

/// A row as the model sees it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Sample {
    /// The line of the file on which it begins.
    pub line: u64,
    /// Its tokens as text, those that are learned apart from the others.
    pub parts: Vec<SamplePart>,
    /// The class, where it has one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub label: Option<String>,
}

/// Neighbouring tokens of a row.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct SamplePart {
    /// What they stand for, special tokens spelled out.
    pub text: String,
    /// How many they are.
    pub tokens: usize,
    /// Whether they are learned.
    pub learned: bool,
}

/// A module that gets factors.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct PlannedModule {
    /// Its dotted path.
    pub path: String,
    /// Width of what it reads.
    pub inputs: usize,
    /// Width of what it writes.
    pub outputs: usize,
    /// Rank of its factors.
    pub r: usize,
}

/// An estimate of the memory that training takes, in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Memory {
    /// The frozen model, in the type of the job's `precision.compute`, or in bf16 where it is stored so.
    pub base: u64,
    /// Trained values, gradients, two moments, and the best values so far.
    pub training: u64,
    /// What a forward pass keeps for the backward pass, for the largest batch.
    pub activations: u64,
}

fn is_zero(count: &u64) -> bool {
    *count == 0
}

impl Plan {
    /// The share of all elements that is trained.
    pub fn trainable_share(&self) -> f64 {
        if self.every_weight {
            return 1.0;
        }
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

/// Optimiser steps of the first pass over the rows, and of the whole job.
pub(super) fn steps(job: &Job, order: &Order) -> (u64, u64) {
    let of_epoch = |epoch| (order.batches(epoch)).div_ceil(job.gradient_accumulation_steps) as u64;
    let total = match job.length {
        Length::Epochs(epochs) if order.is_even() => epochs.saturating_mul(of_epoch(0)),
        Length::Epochs(epochs) => (0..epochs).map(of_epoch).sum(),
        Length::Steps(steps) => steps,
    };
    (of_epoch(0), total)
}
