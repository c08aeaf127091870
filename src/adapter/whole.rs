//! A model of which every weight was trained: a checkpoint that transformers loads, with our record beside it.

use std::path::Path;

use minijinja::{Environment, UndefinedBehavior, context};

use super::merge::{BaseFile, PendingMerge, WholeTensor, check_whole, write_whole};
use super::{Adapter, AdapterError, AdapterTask, RetuneRecord};
use crate::base::Checkpoint;
use crate::fsio;
use crate::store::{Store, Tree, TreeId};

const CARD: &str = "README.md";
const RECORD: &str = "retune.json";
const CONFIG: &str = "config.json";
const TOKENIZER: &str = "tokenizer.json";
const TEMPLATE: &str = include_str!("../../templates/whole-model-card.md");

/// What a version calls the form of its files where they are such a checkpoint; an adapter's is `peft`.
pub const MODEL_FORMAT: &str = "transformers";

/// A whole model: everything of it but the weights.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WholeModel {
    /// How it is to be used, and what it was made from.
    pub record: RetuneRecord,
    /// The template that its conversations were rendered with.
    pub chat_template: Option<String>,
}

impl WholeModel {
    /// What it does: a record without labels is a language model's.
    pub fn task(&self) -> AdapterTask {
        match self.record.labels.is_empty() {
            true => AdapterTask::CausalLm,
            false => AdapterTask::SeqCls,
        }
    }

    /// Writes the checkpoint beside `dir`: the base's shards, configuration and tokenizer with `tensors` in their place, in f32,
    /// a card and `retune.json`. All of it is read back and must be finite. The same tensors give the same bytes.
    pub fn write(
        &self,
        base: &[BaseFile],
        tensors: &[WholeTensor<'_>],
        dir: &Path,
    ) -> Result<PendingMerge, AdapterError> {
        write_whole(base, self, tensors, dir)
    }

    /// Whether [`write`](Self::write) can write such tensors for this base, whatever their values. An error names what stands against it.
    pub fn check(
        &self,
        base: &[BaseFile],
        tensors: &[WholeTensor<'_>],
    ) -> Result<(), AdapterError> {
        check_whole(base, self, tensors)
    }

    /// Our record and card.
    pub(super) fn own_files(&self) -> Result<Vec<(&'static str, Vec<u8>)>, AdapterError> {
        Ok(vec![
            (CARD, self.card()?.into_bytes()),
            (RECORD, self.record.to_model_bytes()?),
        ])
    }

    fn card(&self) -> Result<String, AdapterError> {
        let failed = |error: minijinja::Error| AdapterError::Card(error.to_string());
        let record = &self.record;
        let mut environment = Environment::new();
        environment.set_undefined_behavior(UndefinedBehavior::Strict);
        environment.set_keep_trailing_newline(true);
        environment.add_template("card", TEMPLATE).map_err(failed)?;
        let values = context! {
            base => record.base.source,
            revision => record.base.revision,
            base_tree => record.base.tree.to_string(),
            tokenizer => record.tokenizer.to_string(),
            chat_template => record.chat_template.map(|id| id.to_string()),
            dataset => record.dataset.map(|id| id.to_string()),
            labels => record.labels,
            max_length => record.max_length,
        };
        let template = environment.get_template("card").map_err(failed)?;
        template.render(values).map_err(failed)
    }
}

/// What a run made.
#[derive(Debug, Clone)]
pub enum Product {
    /// A LoRA adapter, to be put on its base.
    Adapter(Box<Adapter>),
    /// A model of its own.
    Model(Box<WholeModel>, Checkpoint),
}

impl Product {
    /// Opens what a run put into the store; the digest of every file that is used is checked.
    pub fn open(store: &Store, id: &TreeId) -> Result<Self, AdapterError> {
        let tree = store.read_tree(id)?;
        if tree.get(CONFIG).is_none() {
            return Ok(Self::Adapter(Box::new(Adapter::open(store, id)?)));
        }
        let model = WholeModel::open(store, &tree, id)?;
        let checkpoint = checkpoint(store, &tree, id)?;
        Ok(Self::Model(Box::new(model), checkpoint))
    }

    /// How it is to be used, and what it was made from.
    pub fn record(&self) -> &RetuneRecord {
        match self {
            Self::Adapter(adapter) => &adapter.record,
            Self::Model(model, _) => &model.record,
        }
    }

    /// What it does, where that is known.
    pub fn task(&self) -> Option<AdapterTask> {
        match self {
            Self::Adapter(adapter) => adapter.config.task,
            Self::Model(model, _) => Some(model.task()),
        }
    }

    /// The template that its conversations were rendered with.
    pub fn chat_template(&self) -> Option<&str> {
        match self {
            Self::Adapter(adapter) => adapter.chat_template.as_deref(),
            Self::Model(model, _) => model.chat_template.as_deref(),
        }
    }
}

impl WholeModel {
    fn open(store: &Store, tree: &Tree, id: &TreeId) -> Result<Self, AdapterError> {
        let record = RetuneRecord::parse_model(&required(store, tree, id, RECORD)?)?;
        let chat_template = match record.chat_template {
            Some(_) => optional(store, tree, "chat_template.jinja")?,
            None => None,
        };
        let chat_template = chat_template.map(|bytes| String::from_utf8_lossy(&bytes).into_owned());
        Ok(Self {
            record,
            chat_template,
        })
    }

    /// Reads our record out of a directory.
    pub fn read_dir(dir: &Path) -> Result<RetuneRecord, AdapterError> {
        RetuneRecord::parse_model(&fsio::read(&dir.join(RECORD))?)
    }
}

fn checkpoint(store: &Store, tree: &Tree, id: &TreeId) -> Result<Checkpoint, AdapterError> {
    let mut shards = Vec::new();
    for entry in tree.entries() {
        if entry.path.ends_with(".safetensors") {
            shards.push(store.open_verified(&entry.sha256)?.into_inner());
        }
    }
    Ok(Checkpoint {
        config: required(store, tree, id, CONFIG)?,
        tokenizer: required(store, tree, id, TOKENIZER)?,
        tokenizer_config: optional(store, tree, "tokenizer_config.json")?,
        chat_template: optional(store, tree, "chat_template.jinja")?,
        shards,
    })
}

fn required(
    store: &Store,
    tree: &Tree,
    id: &TreeId,
    file: &'static str,
) -> Result<Vec<u8>, AdapterError> {
    optional(store, tree, file)?.ok_or(AdapterError::Absent { adapter: *id, file })
}

fn optional(store: &Store, tree: &Tree, file: &str) -> Result<Option<Vec<u8>>, AdapterError> {
    let bytes = tree
        .get(file)
        .map(|entry| store.read(&entry.sha256))
        .transpose()?;
    Ok(bytes.map(crate::store::Verified::into_inner))
}
