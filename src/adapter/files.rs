//! An adapter as a directory.

use std::path::Path;

use super::config_file::CONFIG;
use super::tensors::MODEL;
use super::{
    AdapterConfig, AdapterError, AdapterTask, Parts, RetuneRecord, Tensors, card, factors,
    read_tensors, write_tensors,
};
use crate::digest::Digest;
use crate::fsio::{self, PendingDir};
use crate::store::{Store, Tree, TreeEntry, TreeId};

crate::typed_id!(
    /// Identifies an adapter: the tree digest of its files.
    AdapterId
);

const CARD: &str = "README.md";
const RECORD: &str = "retune.json";
const TEMPLATE: &str = "chat_template.jinja";

/// A LoRA adapter with its classification head.
#[derive(Debug, Clone, PartialEq)]
pub struct Adapter {
    /// PEFT's configuration.
    pub config: AdapterConfig,
    /// Factors and head by PEFT name.
    pub tensors: Tensors,
    /// Our own record.
    pub record: RetuneRecord,
    /// The template that its conversations were rendered with: whoever serves the adapter must use it.
    pub chat_template: Option<String>,
}

impl Adapter {
    /// The files of the directory, by name. The same adapter gives the same bytes.
    pub fn files(&self) -> Result<Vec<(&'static str, Vec<u8>)>, AdapterError> {
        self.check()?;
        let mut files = vec![
            (CARD, card::render(&self.config, &self.record)?.into_bytes()),
            (CONFIG, self.config.to_bytes()?),
            (MODEL, write_tensors(&self.tensors)?),
            (RECORD, self.record.to_bytes()?),
        ];
        if let Some(template) = &self.chat_template {
            files.push((TEMPLATE, template.clone().into_bytes()));
        }
        Ok(files)
    }

    /// The identity of [`files`](Self::files), and their list.
    pub fn id(&self) -> Result<(AdapterId, Tree), AdapterError> {
        let files = self.files()?;
        let entries = files.iter().map(|(name, bytes)| TreeEntry {
            path: (*name).to_owned(),
            size: bytes.len() as u64,
            sha256: Digest::of(bytes),
        });
        let tree = Tree::new(entries.collect())
            .map_err(|error| AdapterError::Format(error.to_string()))?;
        Ok((AdapterId::from(tree.id().digest()), tree))
    }

    /// Writes the directory; it appears whole or not at all.
    pub fn write_dir(&self, dir: &Path) -> Result<(), AdapterError> {
        let pending = PendingDir::beside(dir)?;
        for (name, bytes) in self.files()? {
            fsio::write_atomic(&pending.path().join(name), &bytes)?;
        }
        pending.commit(dir)?;
        Ok(())
    }

    /// Reads a directory that [`write_dir`](Self::write_dir) wrote. Everything is checked: configuration, names, shapes, values, record.
    pub fn read_dir(dir: &Path) -> Result<Self, AdapterError> {
        Self::from_files(|name| Ok(fsio::read(&dir.join(name))?))
    }

    /// Reads an adapter out of the store, with the digests of its files checked and everything that
    /// [`read_dir`](Self::read_dir) checks.
    pub fn open(store: &Store, id: &TreeId) -> Result<Self, AdapterError> {
        let tree = store.read_tree(id)?;
        Self::from_files(|name| {
            let entry = tree.entries().iter().find(|entry| entry.path == name);
            let entry = entry.ok_or(AdapterError::Absent {
                adapter: *id,
                file: name,
            })?;
            Ok(store.read(&entry.sha256)?.into_inner())
        })
    }

    fn from_files(
        read: impl Fn(&'static str) -> Result<Vec<u8>, AdapterError>,
    ) -> Result<Self, AdapterError> {
        let record = RetuneRecord::parse(&read(RECORD)?)?;
        let chat_template = match record.chat_template {
            Some(_) => {
                let text = String::from_utf8(read(TEMPLATE)?);
                Some(text.map_err(|_| contradiction("names a chat template that is not UTF-8"))?)
            }
            None => None,
        };
        let adapter = Self {
            config: AdapterConfig::parse(&read(CONFIG)?)?,
            tensors: read_tensors(&read(MODEL)?)?,
            record,
            chat_template,
        };
        adapter.check()?;
        Ok(adapter)
    }

    /// Compares with the adapter that was read back from disk, bit by bit.
    pub fn compare(&self, read_back: &Self) -> Result<(), AdapterError> {
        let differs = |what: String| Err(AdapterError::Differs(what));
        if self.config.to_bytes()? != read_back.config.to_bytes()? {
            return differs("the configuration".to_owned());
        }
        if self.record != read_back.record {
            return differs("the record".to_owned());
        }
        if !self.tensors.keys().eq(read_back.tensors.keys()) {
            return differs("the names of the tensors".to_owned());
        }
        for (name, (shape, values)) in &self.tensors {
            let bits = |values: &[f32]| values.iter().map(|v| v.to_bits()).collect::<Vec<_>>();
            match read_back.tensors.get(name) {
                Some((s, v)) if s == shape && bits(v) == bits(values) => {}
                _ => return differs(format!("tensor {name}")),
            }
        }
        Ok(())
    }

    /// The tensors by module, checked against the configuration.
    pub fn parts(&self) -> Result<Parts<'_>, AdapterError> {
        factors::parts(&self.config, &self.tensors)
    }

    /// Tensors and configuration must fit, something must have been learnt, and the head must have a row per label.
    fn check(&self) -> Result<(), AdapterError> {
        let labels = self.record.labels.len();
        if (self.config.task == Some(AdapterTask::SeqCls)) == (labels == 0) {
            return Err(contradiction(
                "names labels, and the task has none, or the other way round",
            ));
        }
        let template = self.chat_template.as_ref();
        if template.map(|text| Digest::of(text.as_bytes())) != self.record.chat_template {
            return Err(contradiction("names another chat_template.jinja"));
        }
        let parts = self.parts()?;
        if parts.adapted.values().all(|factors| is_zero(factors.b)) {
            return Err(AdapterError::Untrained);
        }
        let heads = HEADS
            .iter()
            .filter_map(|name| parts.whole.get_key_value(name));
        for (name, (shape, _)) in heads {
            if shape.first() != Some(&labels) {
                let why = format!("names {labels} labels, but {name} has shape {shape:?}");
                return Err(AdapterError::Contradiction(why));
            }
        }
        Ok(())
    }
}

/// `B` begins at zero, and the first step moves it.
fn is_zero(b: &[f32]) -> bool {
    b.iter().all(|value| *value == 0.0)
}

fn contradiction(why: &str) -> AdapterError {
    AdapterError::Contradiction(why.to_owned())
}

/// The last layer of a classifier's head, in every architecture.
const HEADS: [&str; 3] = [
    "classifier.weight",
    "score.weight",
    "classifier.out_proj.weight",
];
