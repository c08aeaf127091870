//! The files of a base.

use std::collections::BTreeMap;
use std::path::PathBuf;

use safetensors::{Dtype, SafeTensors};
use serde_json::{Map, Value};

use super::layout::{self, Family};
use super::weight::Orientation;
use crate::adapter::AdapterError;
use crate::base::Mapped;
use crate::fsio;

/// A file of the base: its path in the checkpoint and where its bytes are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BaseFile {
    /// Such as `config.json`.
    pub path: String,
    /// On this machine.
    pub at: PathBuf,
}

pub(super) const CONFIG: &str = "config.json";
pub(super) const INDEX: &str = "model.safetensors.index.json";

/// Files of a base that stay true for the merged model. What describes the base alone is left behind.
const COPIED: [&str; 10] = [
    "tokenizer.json",
    "tokenizer_config.json",
    "special_tokens_map.json",
    "vocab.txt",
    "chat_template.jinja",
    "generation_config.json",
    "LICENSE",
    "LICENSE.md",
    "LICENSE.txt",
    "NOTICE",
];

/// The files of a base, opened.
pub(in crate::adapter) struct Base<'f> {
    pub(super) config: Map<String, Value>,
    pub(in crate::adapter) family: Family,
    /// Paths and mapped bytes of the weights.
    pub(super) shards: Vec<(&'f str, Mapped)>,
    /// The index of several shards.
    pub(super) index: Option<Map<String, Value>>,
    pub(super) copied: Vec<&'f BaseFile>,
}

impl<'f> Base<'f> {
    pub(in crate::adapter) fn open(files: &'f [BaseFile]) -> Result<Self, AdapterError> {
        let at = |path: &str| files.iter().find(|file| file.path == path);
        let config = at(CONFIG).ok_or_else(|| misfit("the base has no config.json"))?;
        let config = object(CONFIG, &fsio::read(&config.at)?)?;
        let model_type = config.get("model_type").and_then(Value::as_str);
        let model_type = model_type.unwrap_or_default();
        let family = layout::family(model_type).ok_or_else(|| {
            misfit(&format!(
                "there is no code to merge model_type {model_type:?}"
            ))
        })?;
        let index = at(INDEX).map(|file| object(INDEX, &fsio::read(&file.at)?));
        let mut shards = Vec::new();
        for file in files
            .iter()
            .filter(|file| file.path.ends_with(".safetensors"))
        {
            let map = Mapped::open(&file.at).map_err(|source| fsio::FileError {
                action: "map",
                path: file.at.clone(),
                source,
            })?;
            shards.push((file.path.as_str(), map));
        }
        if shards.is_empty() {
            return Err(misfit("the base has no safetensors file"));
        }
        let copied = files
            .iter()
            .filter(|file| COPIED.contains(&file.path.as_str()));
        Ok(Self {
            config,
            family,
            shards,
            index: index.transpose()?,
            copied: copied.collect(),
        })
    }

    /// The modules with a matrix, by transformers' path, with their outputs and inputs. Embeddings are among them.
    pub(in crate::adapter) fn modules(
        &self,
    ) -> Result<BTreeMap<String, (usize, usize)>, AdapterError> {
        let tensors = self.list()?;
        let names = tensors.keys().cloned().collect();
        let prefix = self.family.missing_prefix(&names).unwrap_or_default();
        let mut modules = BTreeMap::new();
        for (name, (_, shape)) in &tensors {
            if let (Some(path), [rows, columns]) = (name.strip_suffix(".weight"), shape.as_slice())
            {
                let sides = match self.family.orientation {
                    Orientation::Linear => (*rows, *columns),
                    Orientation::Transposed => (*columns, *rows),
                };
                modules.insert(format!("{prefix}{path}"), sides);
            }
        }
        Ok(modules)
    }

    /// Type and shape of every tensor.
    pub(super) fn list(&self) -> Result<BTreeMap<String, (Dtype, Vec<usize>)>, AdapterError> {
        let mut all = BTreeMap::new();
        for (_, shard) in &self.shards {
            for (name, view) in self.tensors(shard)?.iter() {
                all.insert(name.to_owned(), (view.dtype(), view.shape().to_vec()));
            }
        }
        Ok(all)
    }

    pub(super) fn tensors(&self, shard: &'f Mapped) -> Result<SafeTensors<'_>, AdapterError> {
        SafeTensors::deserialize(shard).map_err(|error| misfit(&format!("a shard: {error}")))
    }
}

fn object(name: &str, bytes: &[u8]) -> Result<Map<String, Value>, AdapterError> {
    serde_json::from_slice(bytes).map_err(|error| misfit(&format!("{name}: {error}")))
}

pub(in crate::adapter) fn misfit(why: &str) -> AdapterError {
    AdapterError::Misfit(why.to_owned())
}
