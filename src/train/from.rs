//! Going on from an adapter that exists: PEFT's, or one of ours.

use std::path::Path;

use serde::{Deserialize, Serialize};

use super::error::TrainError;
use super::job::{Job, Task};
use crate::adapter::{AdapterError, AdapterTask, BaseFile, Imported, RetuneRecord};
use crate::base::{BaseManifest, LoraSpec};
use crate::digest::Digest;
use crate::fsio;
use crate::store::{Store, Tree, TreeEntry, TreeId};

/// The files of an adapter that are read to go on from it; the last two are ours.
const FILES: [&str; 3] = [
    "adapter_config.json",
    "adapter_model.safetensors",
    "retune.json",
];

/// Differences that an error tells.
const TOLD: usize = 6;

/// Which adapter a run goes on from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FromAdapter {
    /// Its files.
    pub adapter: TreeId,
    /// The registered version that it is, where it was named as one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<Digest>,
}

/// An adapter to go on from, read and found to fit the base.
#[derive(Debug, Clone, PartialEq)]
pub struct Beginning {
    /// Which it is.
    pub from: FromAdapter,
    /// Its configuration and values.
    pub imported: Imported,
    /// What it says of itself, if it is one of ours.
    pub record: Option<RetuneRecord>,
}

impl Beginning {
    /// Reads a directory that PEFT, retune or another tool wrote for a base. Nothing is written; see [`put`](Self::put).
    pub fn read_dir(dir: &Path, store: &Store, base: &BaseManifest) -> Result<Self, TrainError> {
        let mut entries = Vec::new();
        for name in FILES.iter().filter(|name| dir.join(name).is_file()) {
            let bytes = fsio::read(&dir.join(name))?;
            entries.push(TreeEntry {
                path: (*name).to_owned(),
                size: bytes.len() as u64,
                sha256: Digest::of(&bytes),
            });
        }
        let tree = Tree::new(entries).map_err(|error| AdapterError::Format(error.to_string()))?;
        let from = FromAdapter {
            adapter: tree.id(),
            version: None,
        };
        Self::of(from, store, base, |name| {
            let path = dir.join(name);
            Ok(match path.is_file() {
                true => Some(fsio::read(&path)?),
                false => None,
            })
        })
    }

    /// Puts the files of a directory that [`read_dir`](Self::read_dir) read into the store; other bytes by now are an error.
    pub fn put(&self, dir: &Path, store: &Store) -> Result<(), TrainError> {
        let there = FILES.iter().filter(|name| dir.join(name).is_file());
        let names: Vec<String> = there.map(|name| (*name).to_owned()).collect();
        match store.put_tree(dir, &names)?.id() == self.from.adapter {
            true => Ok(()),
            false => Err(TrainError::Damaged {
                path: dir.to_owned(),
                why: "its files changed while they were read".to_owned(),
            }),
        }
    }

    /// Reads an adapter out of the store, with the digests of its files checked.
    pub fn open(from: FromAdapter, store: &Store, base: &BaseManifest) -> Result<Self, TrainError> {
        let tree = store.read_tree(&from.adapter)?;
        Self::of(from, store, base, |name| {
            let bytes = tree.get(name).map(|entry| store.read(&entry.sha256));
            Ok(bytes.transpose()?.map(crate::store::Verified::into_inner))
        })
    }

    fn of(
        from: FromAdapter,
        store: &Store,
        base: &BaseManifest,
        read: impl Fn(&str) -> Result<Option<Vec<u8>>, AdapterError>,
    ) -> Result<Self, TrainError> {
        let files: Vec<BaseFile> = base_files(store, base);
        let imported = Imported::read(&read, &files).map_err(TrainError::Unusable)?;
        let record = read("retune.json")?;
        let record = record.map(|bytes| RetuneRecord::parse(&bytes));
        let record = record.transpose().map_err(TrainError::Unusable)?;
        Ok(Self {
            from,
            imported,
            record,
        })
    }

    /// Everything about the adapter that is not as the job, the base and the labels are.
    pub(super) fn faults(&self, job: &Job, spec: &LoraSpec, asked: &Asked<'_>) -> Vec<String> {
        let mut faults = Vec::new();
        let mut differ = |what: &str, adapter: String, job: String| {
            if adapter != job {
                faults.push(format!(
                    "{what} is {adapter} in the adapter, {job} in the job"
                ));
            }
        };
        let own = &self.imported.config.lora;
        differ("lora.r", own.r.to_string(), spec.r.to_string());
        differ("lora.alpha", own.alpha.to_string(), spec.alpha.to_string());
        differ(
            "lora.use_rslora",
            own.use_rslora.to_string(),
            spec.use_rslora.to_string(),
        );
        differ(
            "lora.use_dora",
            own.use_dora.to_string(),
            spec.use_dora.to_string(),
        );
        let task = match job.task {
            Task::SeqCls => AdapterTask::SeqCls,
            Task::CausalLm => AdapterTask::CausalLm,
        };
        if let Some(found) = self.imported.config.task.filter(|found| *found != task) {
            differ("task", format!("{found:?}"), format!("{task:?}"));
        }
        if let Some(record) = &self.record {
            differ("base", record.base.tree.to_string(), asked.base.to_string());
            differ("labels", record.labels.join(", "), asked.labels.join(", "));
            if task == AdapterTask::SeqCls {
                let pooling = |pooling| format!("{pooling:?}").to_lowercase();
                differ("pooling", pooling(record.pooling), pooling(asked.pooling));
            }
            let template = |digest: Option<Digest>| {
                digest.map_or_else(|| "none".to_owned(), |digest| digest.to_string())
            };
            differ(
                "chat_template",
                template(record.chat_template),
                template(asked.template),
            );
        }
        if faults.is_empty() {
            faults.extend(self.tensor_faults(spec, asked));
        }
        if faults.len() > TOLD {
            let more = faults.len() - TOLD;
            faults.truncate(TOLD);
            faults.push(format!("and {more} more"));
        }
        faults
    }

    /// Tensors that only one side has, or that have other shapes or scales.
    fn tensor_faults(&self, spec: &LoraSpec, asked: &Asked<'_>) -> Vec<String> {
        let mut faults = Vec::new();
        let tensors = &self.imported.tensors;
        for (name, shape) in &asked.parameters {
            match tensors.get(*name) {
                Some((found, _)) if found == shape => {}
                Some((found, _)) => faults.push(format!(
                    "{name} has shape {found:?} in the adapter, {shape:?} by the job"
                )),
                None => faults.push(format!("the adapter has no {name}, which the job trains")),
            }
        }
        let known = |name: &&String| asked.parameters.iter().any(|(own, _)| own == name);
        for name in tensors.keys().filter(|name| !known(name)) {
            faults.push(format!(
                "the job does not train {name}, which the adapter has"
            ));
        }
        let scales = |spec: &LoraSpec| spec.apply(&asked.modules).unwrap_or_default();
        let (own, job) = (scales(&self.imported.config.lora), scales(spec));
        for (own, job) in own.iter().zip(&job) {
            if own.scale != job.scale {
                faults.push(format!(
                    "the scale of {} is {} in the adapter, {} in the job",
                    own.path, own.scale, job.scale
                ));
            }
        }
        faults
    }
}

/// What a job makes of its base, to be compared with an adapter.
pub(super) struct Asked<'a> {
    pub(super) base: Digest,
    pub(super) labels: &'a [String],
    pub(super) pooling: crate::base::Pooling,
    pub(super) template: Option<Digest>,
    /// Names and shapes of everything that is trained.
    pub(super) parameters: Vec<(&'a str, &'a [usize])>,
    /// Paths of the modules with factors.
    pub(super) modules: Vec<&'a str>,
}

/// The files of a base in the store.
pub(super) fn base_files(store: &Store, base: &BaseManifest) -> Vec<BaseFile> {
    let files = base.files.iter().map(|entry| BaseFile {
        path: entry.path.clone(),
        at: store.path_of(&entry.sha256),
    });
    files.collect()
}
