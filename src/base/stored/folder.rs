//! Which files of a folder are the checkpoint.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

use serde::Deserialize;

use super::error::{BaseError, FileFault};
use crate::fsio::{self, Context};

pub(super) const CONFIG: &str = "config.json";
pub(super) const TOKENIZER: &str = "tokenizer.json";
const SINGLE: &str = "model.safetensors";
const INDEX: &str = "model.safetensors.index.json";
const POOLING: &str = "1_Pooling/config.json";

/// Taken when they are there: how the model is used, and what may be done with it.
const OPTIONAL: [&str; 11] = [
    "tokenizer_config.json",
    "special_tokens_map.json",
    "vocab.txt",
    "generation_config.json",
    "chat_template.jinja",
    "sentence_bert_config.json",
    "README.md",
    "LICENSE",
    "LICENSE.md",
    "LICENSE.txt",
    "NOTICE",
];

/// The largest configuration that is still parsed, in bytes.
const MAX_CONFIG: u64 = 4 << 20;

/// The larger of an index or a tokenizer that is still parsed, in bytes.
const MAX_JSON: u64 = 256 << 20;

/// The files of a checkpoint, by their paths inside its folder.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Folder {
    /// Everything that is taken.
    pub(super) paths: BTreeSet<String>,
    /// The safetensors files among them, each with the tensors that an index assigns to it.
    pub(super) shards: BTreeMap<String, Option<BTreeSet<String>>>,
    /// What is in the folder and is not taken; folders end with `/`.
    pub(super) ignored: Vec<String>,
}

impl Folder {
    /// Looks through `dir`.
    pub(super) fn read(dir: &Path) -> Result<Self, BaseError> {
        let names = list(dir)?;
        let shards = Self::shards(dir, &names)?;
        let mut paths: BTreeSet<String> = shards.keys().cloned().collect();
        paths.extend([CONFIG, TOKENIZER].map(str::to_owned));
        let found = |path: &&str| match path.split_once('/') {
            None => names.contains(*path),
            // A folder of its own, not a link to one.
            Some((sub, _)) => names.contains(&format!("{sub}/")) && dir.join(path).is_file(),
        };
        let optional = OPTIONAL.into_iter().chain([POOLING]).filter(found);
        paths.extend(optional.map(str::to_owned));
        if names.contains(INDEX) {
            paths.insert(INDEX.to_owned());
        }
        let holds_taken =
            |name: &String| name.ends_with('/') && paths.iter().any(|path| path.starts_with(name));
        let ignored = names
            .iter()
            .filter(|name| !paths.contains(*name) && !holds_taken(name));
        let folder = Self {
            ignored: ignored.cloned().collect(),
            paths,
            shards,
        };
        folder.require_files(dir)?;
        Ok(folder)
    }

    fn shards(
        dir: &Path,
        names: &BTreeSet<String>,
    ) -> Result<BTreeMap<String, Option<BTreeSet<String>>>, BaseError> {
        let fault = |why: &str| BaseError::Folder {
            dir: dir.to_owned(),
            why: why.to_owned(),
        };
        match (names.contains(SINGLE), names.contains(INDEX)) {
            (true, true) => Err(fault(
                "it holds both model.safetensors and model.safetensors.index.json; keep the one that belongs to the model",
            )),
            (true, false) => Ok(BTreeMap::from([(SINGLE.to_owned(), None)])),
            (false, true) => {
                let shards = shards_of_index(&dir.join(INDEX))?;
                compare_shards(&shards, names)?;
                Ok(shards
                    .into_iter()
                    .map(|(shard, tensors)| (shard, Some(tensors)))
                    .collect())
            }
            (false, false) if names.contains("adapter_config.json") => Err(fault(
                "it holds a PEFT adapter, not a base; give the folder of the model that the adapter was trained on",
            )),
            (false, false) if names.contains("pytorch_model.bin") => Err(fault(
                "its weights are in pytorch_model.bin, which can hold code; download model.safetensors instead",
            )),
            (false, false) => Err(fault(
                "it holds neither model.safetensors nor model.safetensors.index.json",
            )),
        }
    }

    /// Everything that is taken is there and is, behind links, a regular file.
    fn require_files(&self, dir: &Path) -> Result<(), BaseError> {
        let faults: Vec<FileFault> = self
            .paths
            .iter()
            .filter_map(|path| {
                let why = match fs::metadata(dir.join(path)) {
                    Ok(metadata) if metadata.is_file() => return None,
                    Ok(_) => "it is not a regular file".to_owned(),
                    Err(e) if e.kind() == std::io::ErrorKind::NotFound => {
                        "it is missing".to_owned()
                    }
                    Err(e) => format!("cannot be read: {e}"),
                };
                Some(FileFault::new(path, why))
            })
            .collect();
        if faults.is_empty() {
            return Ok(());
        }
        Err(BaseError::Files(faults))
    }
}

/// The names in a folder; those of folders end with `/`.
fn list(dir: &Path) -> Result<BTreeSet<String>, BaseError> {
    let mut names = BTreeSet::new();
    for entry in fs::read_dir(dir).doing("list", dir)? {
        let entry = entry.doing("list", dir)?;
        let mut name = entry.file_name().to_string_lossy().into_owned();
        if entry.file_type().doing("look at", &entry.path())?.is_dir() {
            name.push('/');
        }
        names.insert(name);
    }
    Ok(names)
}

/// The tensors of each shard, as the index says.
fn shards_of_index(path: &Path) -> Result<BTreeMap<String, BTreeSet<String>>, BaseError> {
    #[derive(Deserialize)]
    struct Index {
        weight_map: BTreeMap<String, String>,
    }
    let fault = |why: String| BaseError::Files(vec![FileFault::new(INDEX, why)]);
    let index: Index = serde_json::from_slice(&read_small(path)?)
        .map_err(|e| fault(format!("not an index: {e}")))?;
    let mut shards: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for (tensor, shard) in index.weight_map {
        if shard.contains(['/', '\\']) || !shard.ends_with(".safetensors") {
            return Err(fault(format!(
                "it names {shard:?}, which is not a safetensors file beside it"
            )));
        }
        shards.entry(shard).or_default().insert(tensor);
    }
    if shards.is_empty() {
        return Err(fault("it names no shards".to_owned()));
    }
    Ok(shards)
}

/// Every shard that the index names is there, and no other one.
fn compare_shards(
    shards: &BTreeMap<String, BTreeSet<String>>,
    names: &BTreeSet<String>,
) -> Result<(), BaseError> {
    let missing = shards
        .keys()
        .filter(|shard| !names.contains(*shard))
        .map(|shard| FileFault::new(shard, "the index names it, but it is missing; download it"));
    let extra = names
        .iter()
        .filter(|name| is_shard(name) && !shards.contains_key(*name))
        .map(|name| {
            FileFault::new(
                name,
                "it looks like a shard, but the index does not name it; is the index another download's?",
            )
        });
    let faults: Vec<FileFault> = missing.chain(extra).collect();
    if faults.is_empty() {
        return Ok(());
    }
    Err(BaseError::Files(faults))
}

/// `model-00001-of-00002.safetensors`.
fn is_shard(name: &str) -> bool {
    name.starts_with("model-") && name.contains("-of-") && name.ends_with(".safetensors")
}

/// Reads `config.json`.
pub(super) fn read_config(path: &Path) -> Result<Vec<u8>, BaseError> {
    read_at_most(path, CONFIG, MAX_CONFIG)
}

/// Reads a file that is parsed as a whole.
pub(super) fn read_small(path: &Path) -> Result<Vec<u8>, BaseError> {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    read_at_most(path, &name, MAX_JSON)
}

fn read_at_most(path: &Path, name: &str, limit: u64) -> Result<Vec<u8>, BaseError> {
    let size = fs::metadata(path).doing("look at", path)?.len();
    if size > limit {
        let why = format!("{size} bytes is more than the {limit} allowed");
        return Err(BaseError::Files(vec![FileFault::new(name, why)]));
    }
    Ok(fsio::read(path)?)
}
