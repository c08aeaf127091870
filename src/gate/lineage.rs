//! What the candidate was trained on, as far as the suite is concerned.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use super::error::GateError;
use super::near::Index;
use super::policy::Near;
use crate::dataset::{self, DatasetError, DatasetId, DatasetManifest, SplitName};
use crate::eval::{Subject, Suite};
use crate::store::{Store, StoreError};

/// The splits that a run learns from: one by its steps, one by the choice of the best step.
const LEARNED_FROM: [SplitName; 2] = [SplitName::Train, SplitName::Validation];

/// Whether the candidate has seen the suite's texts in training.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case", deny_unknown_fields)]
pub enum Lineage {
    /// The training data is known and was compared with the suite.
    Traced {
        /// What it was trained on.
        dataset: DatasetId,
        /// The ids of the cases whose text, normalised, is in its training or validation split; sorted.
        overlap: Vec<String>,
        /// The ids of further cases whose text is nearly one of these; sorted. Only where the policy asks.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        near: Vec<String>,
    },
    /// The training data is not known.
    Unknown {
        /// Why.
        why: String,
    },
}

impl Lineage {
    /// Compares the suite with what the subject says it was trained on, read from the store.
    ///
    /// Data that is not named or not in the store is [`Lineage::Unknown`]; damaged data is an error.
    pub fn trace(
        store: &Store,
        subject: &Subject,
        suite: &Suite,
        near: Option<&Near>,
    ) -> Result<Self, GateError> {
        let unknown = |why: String| Ok(Self::Unknown { why });
        let Some(dataset) = subject.dataset() else {
            return unknown("it names no dataset".to_owned());
        };
        let found = dataset::load(store, &dataset).and_then(|manifest| {
            let overlap = overlap(store, &manifest, suite)?;
            let near = match near {
                Some(near) => like(store, &manifest, suite, &overlap, near.jaccard.get())?,
                None => Vec::new(),
            };
            Ok((overlap, near))
        });
        match found {
            Ok((overlap, near)) => Ok(Self::Traced {
                dataset,
                overlap,
                near,
            }),
            Err(DatasetError::Store(StoreError::Missing { digest, .. })) => unknown(format!(
                "object {digest} of dataset {dataset} is not in the store"
            )),
            Err(error) => Err(error.into()),
        }
    }
}

fn overlap(
    store: &Store,
    manifest: &DatasetManifest,
    suite: &Suite,
) -> Result<Vec<String>, DatasetError> {
    let cases = suite.cases();
    let mut seen = BTreeSet::new();
    for split in LEARNED_FROM {
        if manifest.split(split).is_some() {
            let texts = cases.iter().map(|case| case.text.as_str());
            for found in dataset::overlap_with(store, manifest, split, texts)? {
                seen.extend(cases.get(found.index).map(|case| case.id.clone()));
            }
        }
    }
    Ok(seen.into_iter().collect())
}

/// The cases that are not among `same` and are nearly a text that was learned from.
fn like(
    store: &Store,
    manifest: &DatasetManifest,
    suite: &Suite,
    same: &[String],
    threshold: f64,
) -> Result<Vec<String>, DatasetError> {
    let texts: Vec<String> = suite
        .cases()
        .iter()
        .map(|case| dataset::normalise(&case.text))
        .collect();
    let index = Index::new(texts.iter().map(String::as_str));
    let mut found = BTreeSet::new();
    for split in LEARNED_FROM {
        if manifest.split(split).is_none() {
            continue;
        }
        for row in dataset::rows(store, manifest, split)? {
            let text = dataset::normalise(row?.example.question());
            let cases = index.like(&text, threshold).into_iter();
            found.extend(cases.filter_map(|at| suite.cases().get(at).map(|case| case.id.clone())));
        }
    }
    Ok(found
        .into_iter()
        .filter(|id| same.binary_search(id).is_err())
        .collect())
}
