//! `retune.json`: what PEFT's files do not say.

use serde::{Deserialize, Serialize};

use super::{AdapterError, Pooling};
use crate::digest::Digest;
use crate::document::canonical;

const SCHEMA: &str = "retune.adapter/1";
const MODEL_SCHEMA: &str = "retune.model/1";

/// How the adapter is to be used, and what it was made from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RetuneRecord {
    /// The class names, in the order of the logits; none of a language model.
    pub labels: Vec<String>,
    /// What stands for a whole sequence, in classification.
    pub pooling: Pooling,
    /// Longest sequence in training, in tokens.
    pub max_length: usize,
    /// The base model.
    pub base: BaseReference,
    /// The digest of the base's `tokenizer.json`.
    pub tokenizer: Digest,
    /// The digest of `chat_template.jinja` beside it, where conversations were trained on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub chat_template: Option<Digest>,
    /// The dataset's id.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dataset: Option<Digest>,
    /// The run's id.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub run: Option<Digest>,
}

/// The base model an adapter belongs to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BaseReference {
    /// The tree digest of the checkpoint's files: the base's identity.
    pub tree: Digest,
    /// Where it came from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source: Option<String>,
    /// The 40-digit commit there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub revision: Option<String>,
}

impl RetuneRecord {
    /// The file's bytes: canonical JSON.
    pub fn to_bytes(&self) -> Result<Vec<u8>, AdapterError> {
        Ok(canonical::encode(SCHEMA, self)?)
    }

    /// Reads the file's bytes.
    pub fn parse(bytes: &[u8]) -> Result<Self, AdapterError> {
        let record: Self = canonical::decode(SCHEMA, bytes)?;
        record.check()?;
        Ok(record)
    }

    /// The bytes of `retune.json` in a checkpoint of which every weight was trained.
    pub(super) fn to_model_bytes(&self) -> Result<Vec<u8>, AdapterError> {
        Ok(canonical::encode(MODEL_SCHEMA, self)?)
    }

    /// Reads what [`to_model_bytes`](Self::to_model_bytes) wrote.
    pub(super) fn parse_model(bytes: &[u8]) -> Result<Self, AdapterError> {
        let record: Self = canonical::decode(MODEL_SCHEMA, bytes)?;
        record.check()?;
        Ok(record)
    }

    fn check(&self) -> Result<(), AdapterError> {
        let fault = |why: &str| Err(AdapterError::Contradiction(why.to_owned()));
        if self.labels.len() == 1 {
            return fault("names one label; a classifier needs two");
        }
        let mut names: Vec<&String> = self.labels.iter().collect();
        names.sort();
        names.dedup();
        if names.len() < self.labels.len() {
            return fault("names a label twice");
        }
        Ok(())
    }
}
