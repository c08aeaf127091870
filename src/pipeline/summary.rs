//! What a pipeline came to, for a person who has not followed it.

use std::fmt;

use serde::Serialize;

use super::error::PipelineError;
use super::spec::Spec;
use crate::document::Decimal;
use crate::eval::Report;
use crate::gate::{Comparison, Evidence};
use crate::lifecycle::{AddedBase, AddedDataset, TrainedRun};
use crate::store::Store;

/// What was trained, on what, how good it is, and where it is now.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Summary {
    /// The model.
    pub model: String,
    /// The alias that was to move.
    pub alias: String,
    /// The base's name.
    pub base: String,
    /// How many parameters the base has.
    pub base_parameters: u64,
    /// The dataset's name.
    pub dataset: String,
    /// Rows by split.
    pub rows: Vec<(String, u64)>,
    /// How many labels there are.
    pub labels: usize,
    /// What training was like.
    pub run: TrainedRun,
    /// How well the version and what it was compared with do, the version first.
    pub scores: Vec<Score>,
    /// What the gate computed.
    pub comparisons: Vec<Comparison>,
    /// Why the gate said what it said.
    pub reasons: Vec<String>,
    /// The pin, where the pipeline pins.
    pub pinned: Option<String>,
}

/// How well something does on the suite.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Score {
    /// What it is called.
    pub name: String,
    /// The share of cases that are right.
    pub accuracy: Decimal,
    /// The mean F1 over the labels, where answers are labels.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub macro_f1: Option<Decimal>,
}

impl Score {
    pub(super) fn of(name: impl Into<String>, report: &Report) -> Self {
        Self {
            name: name.into(),
            accuracy: report.metrics.accuracy,
            macro_f1: report.metrics.macro_f1,
        }
    }
}

impl fmt::Display for Score {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.macro_f1 {
            Some(macro_f1) => write!(
                f,
                "accuracy {:.3}, macro-F1 {:.3}",
                self.accuracy.get(),
                macro_f1.get()
            ),
            None => write!(f, "{:.3} right", self.accuracy.get()),
        }
    }
}

impl Summary {
    pub(super) fn new(
        spec: &Spec,
        dataset: &AddedDataset,
        base: &AddedBase,
        run: &TrainedRun,
    ) -> Self {
        let manifest = &dataset.dataset.manifest;
        let rows = manifest
            .splits
            .iter()
            .map(|(name, split)| (name.as_str().to_owned(), split.rows));
        Self {
            model: spec.model.to_string(),
            alias: spec.promote.to_string(),
            base: spec.base.name.to_string(),
            base_parameters: base.base.manifest.model.parameters,
            dataset: spec.dataset.name.to_string(),
            rows: rows.collect(),
            labels: manifest.labels.len(),
            run: run.clone(),
            scores: Vec::new(),
            comparisons: Vec::new(),
            reasons: Vec::new(),
            pinned: None,
        }
    }

    /// Takes over what the gate saw: the scores of the baselines, the numbers, the reasons.
    pub(super) fn take(&mut self, store: &Store, evidence: &Evidence) -> Result<(), PipelineError> {
        for judged in &evidence.baselines {
            let report = Report::load(store, &judged.report)?;
            let name = judged
                .label
                .clone()
                .unwrap_or_else(|| judged.subject.to_string());
            self.scores.push(Score::of(name, &report));
        }
        self.comparisons = evidence.comparisons.clone();
        self.reasons = evidence
            .reasons
            .iter()
            .map(|reason| reason.text.clone())
            .collect();
        Ok(())
    }
}
