//! Taking a folder in as a base.

use std::collections::BTreeMap;
use std::fs::File;
use std::path::{Path, PathBuf};

use rayon::prelude::*;
use safetensors::tensor::TensorInfo;
use serde::Deserialize;
use serde::de::IgnoredAny;

use super::error::{BaseError, FileFault};
use super::facts::{self, Facts};
use super::folder::{CONFIG, Folder, TOKENIZER, read_config, read_small};
use super::header;
use super::manifest::BaseManifest;
use super::source::Source;
use crate::digest::Digest;
use crate::fsio::{self, Context};
use crate::progress::{Event, Reporter, Unit};
use crate::store::{Store, Tree, TreeEntry};

/// What came of an import.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Imported {
    /// What the base is.
    pub manifest: BaseManifest,
    /// What was left in the folder; names of folders end with `/`.
    pub ignored: Vec<String>,
}

/// Checks the folder, stores its files as one tree, and stores the manifest.
///
/// The files are checked before they are stored, and what was stored is checked again; a folder that changes between
/// the two is refused.
pub fn import(
    store: &Store,
    dir: &Path,
    source: Option<Source>,
    reporter: &dyn Reporter,
) -> Result<Imported, BaseError> {
    let folder = Folder::read(dir)?;
    let facts = check(&folder, |path| dir.join(path))?;
    let paths: Vec<String> = folder.paths.iter().cloned().collect();
    start(reporter, "storing the base", &paths, dir)?;
    let tree = store.put_tree(dir, &paths)?;
    reporter.report(&Event::Finished);
    let stored = |path: &str| match tree.get(path) {
        Some(entry) => store.path_of(&entry.sha256),
        None => PathBuf::new(),
    };
    let unchanged = check(&folder, stored).is_ok_and(|again| again == facts);
    if !unchanged {
        return Err(BaseError::Changed(dir.to_owned()));
    }
    let manifest = BaseManifest::new(&tree, facts, source);
    store.put_bytes(&manifest.encode()?)?;
    Ok(Imported {
        manifest,
        ignored: folder.ignored,
    })
}

/// What [`import`] would store, without storing it: checks every file and hashes every byte.
pub fn inspect(
    dir: &Path,
    source: Option<Source>,
    reporter: &dyn Reporter,
) -> Result<Imported, BaseError> {
    let folder = Folder::read(dir)?;
    let facts = check(&folder, |path| dir.join(path))?;
    let paths: Vec<String> = folder.paths.iter().cloned().collect();
    start(reporter, "hashing the base", &paths, dir)?;
    let entry = |path: &String| {
        let file = dir.join(path);
        let (sha256, size) = Digest::of_reader(fsio::open(&file)?).doing("read", &file)?;
        Ok(TreeEntry {
            path: path.clone(),
            size,
            sha256,
        })
    };
    let entries = paths
        .par_iter()
        .map(entry)
        .collect::<Result<_, BaseError>>()?;
    reporter.report(&Event::Finished);
    let tree = Tree::new(entries).map_err(BaseError::Tree)?;
    Ok(Imported {
        manifest: BaseManifest::new(&tree, facts, source),
        ignored: folder.ignored,
    })
}

fn start(
    reporter: &dyn Reporter,
    what: &str,
    paths: &[String],
    dir: &Path,
) -> Result<(), BaseError> {
    let mut total = 0;
    for path in paths {
        let file = dir.join(path);
        total += std::fs::metadata(&file).doing("look at", &file)?.len();
    }
    reporter.report(&Event::Started {
        what,
        total: Some(total),
        unit: Unit::Bytes,
    });
    if reporter.interrupted() {
        return Err(BaseError::Interrupted);
    }
    Ok(())
}

/// Checks every file, wherever `at` says that it lies, and gathers what they say.
pub(super) fn check(folder: &Folder, at: impl Fn(&str) -> PathBuf) -> Result<Facts, BaseError> {
    let mut faults = Vec::new();
    let facts = facts::of_config(&read_config(&at(CONFIG))?);
    if let Err(why) = tokenizer(&read_small(&at(TOKENIZER))?) {
        faults.push(FileFault::new(TOKENIZER, why));
    }
    let mut tensors: BTreeMap<String, TensorInfo> = BTreeMap::new();
    for (shard, assigned) in &folder.shards {
        let mut file = open(&at(shard))?;
        let found = match header::read(&mut file) {
            Ok(found) => found,
            Err(why) => {
                faults.push(FileFault::new(shard, why));
                continue;
            }
        };
        if let Some(assigned) = assigned
            && !found.keys().eq(assigned)
        {
            faults.push(FileFault::new(shard, differences(&found, assigned)));
        }
        tensors.extend(found);
    }
    let counted = facts.map_err(|why| FileFault::new(CONFIG, why));
    let counted = counted.and_then(|facts| {
        if !faults.is_empty() {
            return Ok(facts);
        }
        let whole = |why| FileFault::new("the weights", why);
        facts.count(&tensors).map_err(whole)
    });
    match counted {
        Ok(facts) if faults.is_empty() => Ok(facts),
        Ok(_) => Err(BaseError::Files(faults)),
        Err(fault) => {
            faults.insert(0, fault);
            Err(BaseError::Files(faults))
        }
    }
}

fn open(path: &Path) -> Result<File, BaseError> {
    Ok(fsio::open(path)?)
}

fn differences(
    found: &BTreeMap<String, TensorInfo>,
    assigned: &std::collections::BTreeSet<String>,
) -> String {
    let missing = assigned.iter().find(|name| !found.contains_key(*name));
    let extra = found.keys().find(|name| !assigned.contains(*name));
    match (missing, extra) {
        (Some(name), _) => format!("the index says it holds tensor `{name}`, but it does not"),
        (None, Some(name)) => {
            format!("it holds tensor `{name}`, which the index does not assign to it")
        }
        (None, None) => "it does not hold what the index says".to_owned(),
    }
}

/// As deep as JSON parsers go before they give up.
const MAX_DEPTH: usize = 127;

/// How many lists and objects of a JSON text lie inside each other at most, whether it is valid or not.
fn depth(bytes: &[u8]) -> usize {
    let (mut depth, mut deepest) = (0_usize, 0);
    let (mut quoted, mut escaped) = (false, false);
    for byte in bytes {
        match (quoted, byte) {
            (true, _) if escaped => escaped = false,
            (true, b'\\') => escaped = true,
            (_, b'"') => quoted = !quoted,
            (false, b'[' | b'{') => depth += 1,
            (false, b']' | b'}') => depth = depth.saturating_sub(1),
            _ => {}
        }
        deepest = deepest.max(depth);
    }
    deepest
}

/// A tokenizer is read in full by those who use it; here it need only be one.
fn tokenizer(bytes: &[u8]) -> Result<(), String> {
    #[derive(Deserialize)]
    struct Tokenizer {
        #[serde(rename = "model")]
        _model: IgnoredAny,
    }
    if depth(bytes) > MAX_DEPTH {
        return Err(format!(
            "more than {MAX_DEPTH} lists and objects lie inside each other"
        ));
    }
    serde_json::from_slice::<Tokenizer>(bytes)
        .map(drop)
        .map_err(|e| format!("not a tokenizer: {e}"))
}
