//! The files of one checkpoint.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use serde::Deserialize;

use super::CheckpointError;

const SINGLE: &str = "model.safetensors";
const INDEX: &str = "model.safetensors.index.json";

/// A Hugging Face checkpoint: small files as bytes, weights as paths to map.
#[derive(Debug, Clone)]
pub struct Checkpoint {
    /// The bytes of `config.json`.
    pub config: Vec<u8>,
    /// The bytes of `tokenizer.json`.
    pub tokenizer: Vec<u8>,
    /// The bytes of `tokenizer_config.json`, where there is one.
    pub tokenizer_config: Option<Vec<u8>>,
    /// The bytes of `chat_template.jinja`, where there is one.
    pub chat_template: Option<Vec<u8>>,
    /// The safetensors files that together hold the weights.
    pub shards: Vec<PathBuf>,
}

impl Checkpoint {
    /// Finds the files of the checkpoint in `dir`: one `model.safetensors`, or the shards that the index names.
    pub fn from_dir(dir: &Path) -> Result<Self, CheckpointError> {
        Ok(Self {
            config: read(&dir.join("config.json"))?,
            tokenizer: read(&dir.join("tokenizer.json"))?,
            tokenizer_config: optional(&dir.join("tokenizer_config.json"))?,
            chat_template: optional(&dir.join("chat_template.jinja"))?,
            shards: shards(dir)?,
        })
    }
}

fn shards(dir: &Path) -> Result<Vec<PathBuf>, CheckpointError> {
    let index = dir.join(INDEX);
    if dir.join(SINGLE).is_file() {
        return Ok(vec![dir.join(SINGLE)]);
    }
    if !index.is_file() {
        return Err(CheckpointError::NoWeights(dir.to_owned()));
    }
    let names = shard_names(&read(&index)?).map_err(|why| CheckpointError::Index {
        path: index.clone(),
        why,
    })?;
    Ok(names.iter().map(|name| dir.join(name)).collect())
}

fn shard_names(index: &[u8]) -> Result<BTreeSet<String>, String> {
    #[derive(Deserialize)]
    struct Index {
        weight_map: std::collections::BTreeMap<String, String>,
    }
    let index: Index = serde_json::from_slice(index).map_err(|e| e.to_string())?;
    let names: BTreeSet<String> = index.weight_map.into_values().collect();
    let plain = |name: &String| !name.contains(['/', '\\']) && name.ends_with(".safetensors");
    match names.iter().find(|name| !plain(name)) {
        Some(bad) => Err(format!("it names {bad:?}, which is not a shard beside it")),
        None if names.is_empty() => Err("it names no shard".to_owned()),
        None => Ok(names),
    }
}

fn optional(path: &Path) -> Result<Option<Vec<u8>>, CheckpointError> {
    path.is_file().then(|| read(path)).transpose()
}

fn read(path: &Path) -> Result<Vec<u8>, CheckpointError> {
    fs::read(path).map_err(|source| CheckpointError::Read {
        path: path.to_owned(),
        source,
    })
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn an_index_names_plain_shards() {
        let index = br#"{"metadata": {}, "weight_map": {"a": "m-2.safetensors", "b": "m-1.safetensors", "c": "m-2.safetensors"}}"#;
        let names: Vec<String> = shard_names(index).unwrap().into_iter().collect();
        assert_eq!(names, ["m-1.safetensors", "m-2.safetensors"]);
        for bad in [
            r#"{"weight_map": {}}"#,
            r#"{"weight_map": {"a": "../m.safetensors"}}"#,
            r#"{"weight_map": {"a": "m.bin"}}"#,
            "[]",
        ] {
            assert!(shard_names(bad.as_bytes()).is_err(), "{bad}");
        }
    }
}
