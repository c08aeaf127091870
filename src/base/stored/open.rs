//! From the store to a checkpoint, every byte checked.

use std::path::PathBuf;

use super::error::BaseError;
use super::folder::{CONFIG, Folder, TOKENIZER};
use super::import::check;
use super::manifest::BaseManifest;
use crate::base::Checkpoint;
use crate::progress::{Event, Reporter, Unit};
use crate::store::{Store, TreeEntry};

/// The checkpoint in the store; the digest of every file of the base is checked first.
pub fn open(store: &Store, manifest: &BaseManifest) -> Result<Checkpoint, BaseError> {
    for entry in &manifest.files {
        checked(store, entry)?;
    }
    let required = |path: &str| {
        manifest
            .file(path)
            .ok_or_else(|| contradiction(manifest, format!("it has no {path}")))
    };
    let optional = |path: &str| {
        let entry = manifest.file(path);
        entry
            .map(|entry| Ok::<_, BaseError>(store.read(&entry.sha256)?.into_inner()))
            .transpose()
    };
    let shards = manifest.shards().map(|entry| store.path_of(&entry.sha256));
    let checkpoint = Checkpoint {
        config: store.read(&required(CONFIG)?.sha256)?.into_inner(),
        tokenizer: store.read(&required(TOKENIZER)?.sha256)?.into_inner(),
        tokenizer_config: optional("tokenizer_config.json")?,
        chat_template: optional("chat_template.jinja")?,
        shards: shards.collect(),
    };
    if checkpoint.shards.is_empty() {
        return Err(contradiction(manifest, "it has no weights".to_owned()));
    }
    Ok(checkpoint)
}

/// What was read again and found to be as recorded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BaseReport {
    /// How many files.
    pub files: u64,
    /// Their bytes.
    pub bytes: u64,
}

/// Re-reads a base: the tree, every file's digest and size, and from the files again what they say about the model.
///
/// Anything that is not as the manifest says is an error whose
/// [`is_integrity`](BaseError::is_integrity) is true.
pub fn verify(
    store: &Store,
    manifest: &BaseManifest,
    reporter: &dyn Reporter,
) -> Result<BaseReport, BaseError> {
    reporter.report(&Event::Started {
        what: "verifying the base",
        total: Some(manifest.size()),
        unit: Unit::Bytes,
    });
    let tree = store.read_tree(&manifest.tree)?;
    if tree.entries() != manifest.files {
        return Err(contradiction(
            manifest,
            "its files are not those of the tree".to_owned(),
        ));
    }
    let mut done = 0;
    for entry in &manifest.files {
        checked(store, entry)?;
        done += entry.size;
        reporter.report(&Event::Advanced { done, note: "" });
        if reporter.interrupted() {
            return Err(BaseError::Interrupted);
        }
    }
    let found = facts_again(store, manifest)?;
    reporter.report(&Event::Finished);
    if found != manifest.model {
        return Err(contradiction(
            manifest,
            format!("its files say {found:?}, recorded is {:?}", manifest.model),
        ));
    }
    Ok(BaseReport {
        files: manifest.files.len() as u64,
        bytes: done,
    })
}

fn checked(store: &Store, entry: &TreeEntry) -> Result<PathBuf, BaseError> {
    Ok(store.open_verified(&entry.sha256)?.into_inner())
}

fn facts_again(store: &Store, manifest: &BaseManifest) -> Result<super::facts::Facts, BaseError> {
    let folder = Folder {
        paths: manifest.files.iter().map(|e| e.path.clone()).collect(),
        shards: manifest.shards().map(|e| (e.path.clone(), None)).collect(),
        ignored: Vec::new(),
    };
    let at = |path: &str| {
        let entry = manifest.file(path);
        entry.map_or_else(PathBuf::new, |entry| store.path_of(&entry.sha256))
    };
    check(&folder, at).map_err(|error| match error {
        BaseError::Files(_) => contradiction(manifest, error.to_string()),
        other => other,
    })
}

fn contradiction(manifest: &BaseManifest, what: String) -> BaseError {
    BaseError::Contradiction {
        id: manifest.id(),
        what,
    }
}
