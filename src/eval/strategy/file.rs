//! `strategy.yaml`.

use std::path::{Path, PathBuf};

use serde::Deserialize;

use super::{Documents, Retrieval, Shots, Strategy};
use crate::base::BaseId;
use crate::dataset::DatasetId;
use crate::document::{Faults, Source};
use crate::eval::error::EvalError;

/// More examples or passages than this are a slip of the hand.
const MOST: u32 = 100;

/// What a strategy file says.
#[derive(Debug, Clone, PartialEq)]
pub struct StrategyFile {
    /// What the model is told first.
    pub instruction: Option<String>,
    /// The examples that it is shown, with the dataset's name still to be looked up.
    pub examples: Option<WantedExamples>,
    /// The passages that it is given, with the base's name still to be looked up.
    pub documents: Option<WantedDocuments>,
}

/// Passages of a folder, found by BM25 or by the embeddings of a base that is known by name.
#[derive(Debug, Clone, PartialEq)]
pub struct WantedDocuments {
    /// The folder's texts.
    pub documents: Documents,
    /// How many passages.
    pub k: u32,
    /// `NAME` or `NAME@VERSION`; absent for BM25.
    pub base: Option<String>,
}

/// Examples of a dataset that is known by name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WantedExamples {
    /// `NAME` or `NAME@VERSION`.
    pub dataset: String,
    /// How many.
    pub k: u32,
    /// Where the draw begins.
    pub seed: u64,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawStrategy {
    version: u32,
    instruction: Option<String>,
    examples: Option<RawExamples>,
    documents: Option<RawDocuments>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawExamples {
    dataset: String,
    k: u32,
    #[serde(default)]
    seed: u64,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawDocuments {
    folder: PathBuf,
    k: u32,
    base: Option<String>,
}

impl StrategyFile {
    /// Reads the file, and the documents that it names relative to it. Every fault comes with its line.
    pub fn read(path: &Path) -> Result<Self, EvalError> {
        read(path).map_err(EvalError::Strategy)
    }

    /// The strategy, once it is known which dataset and which base are meant.
    pub fn strategy(&self, dataset: Option<DatasetId>, base: Option<BaseId>) -> Strategy {
        Strategy {
            instruction: self.instruction.clone(),
            examples: self
                .examples
                .as_ref()
                .zip(dataset)
                .map(|(wanted, dataset)| Shots {
                    dataset,
                    k: wanted.k,
                    seed: wanted.seed,
                }),
            documents: self.documents.as_ref().map(|wanted| Retrieval {
                documents: wanted.documents.digest(),
                k: wanted.k,
                base,
            }),
        }
    }
}

fn read(path: &Path) -> Result<StrategyFile, Faults> {
    let source = Source::read(path)?;
    let raw: RawStrategy = source.parse()?;
    let mut faults = Vec::new();
    if raw.version != 1 {
        faults.push(source.fault("version", "this version of retune reads version 1"));
    }
    let ks = [
        (
            "examples.k",
            raw.examples.as_ref().map(|examples| examples.k),
        ),
        (
            "documents.k",
            raw.documents.as_ref().map(|documents| documents.k),
        ),
    ];
    for (key, k) in ks {
        if k.is_some_and(|k| !(1..=MOST).contains(&k)) {
            faults.push(source.fault(key, format!("1 to {MOST}")));
        }
    }
    if raw.instruction.is_none() && raw.examples.is_none() && raw.documents.is_none() {
        let message = "it says nothing: `instruction`, `examples` or `documents`";
        faults.push(source.fault("", message));
    }
    let dir = path.parent().unwrap_or(Path::new(""));
    let mut documents = None;
    if let Some(wanted) = &raw.documents {
        match Documents::read(&dir.join(&wanted.folder)) {
            Ok(found) => {
                documents = Some(WantedDocuments {
                    documents: found,
                    k: wanted.k,
                    base: wanted.base.clone(),
                });
            }
            Err(why) => faults.push(source.fault("documents.folder", why)),
        }
    }
    Faults::check(faults)?;
    Ok(StrategyFile {
        instruction: raw.instruction,
        examples: raw.examples.map(|examples| WantedExamples {
            dataset: examples.dataset,
            k: examples.k,
            seed: examples.seed,
        }),
        documents,
    })
}
