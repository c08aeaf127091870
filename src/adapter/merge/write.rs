//! Merging a whole checkpoint.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use safetensors::Dtype;
use safetensors::tensor::TensorView;
use serde::Serialize;
use serde_json::{Map, Value};

use super::config::{self, Decided};
use super::files::{Base, BaseFile, CONFIG, INDEX, misfit};
use super::layout::{self, Family};
use super::shard::{Content, Tensor};
use super::weight::Orientation;
use crate::adapter::{
    Adapter, AdapterError, AdapterTask, BaseReference, Factors, Parts, Pooling, RetuneRecord,
    Storage, WholeModel,
};
use crate::base::{Checkpoint, Weights};
use crate::digest::Digest;
use crate::document::canonical;
use crate::fsio::{self, Context, PendingDir};

/// What a merge did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Merged {
    /// Weights that factors were added to.
    pub adapted: usize,
    /// Tensors taken whole from the adapter.
    pub whole: usize,
    /// Files written.
    pub files: usize,
    /// Their bytes.
    pub bytes: u64,
}

const RECORD: &str = "retune.json";
const OUTPUT: &str = "lm_head.weight";
const SCHEMA: &str = "retune.merged/1";

/// Heads of a base that a sequence classifier does not have.
const OTHER_HEADS: [&str; 2] = ["lm_head.", "cls."];

/// Merges `adapter` into the base whose files are `files`, beside `dir`.
///
/// Weights are stored as in the base, or as `storage`. Everything is read back and must be finite. An adapter whose model
/// no class of transformers computes is an error.
pub fn merge(
    files: &[BaseFile],
    adapter: &Adapter,
    storage: Option<Storage>,
    dir: &Path,
) -> Result<PendingMerge, AdapterError> {
    let base = Base::open(files)?;
    let parts = adapter.parts()?;
    let task = adapter.config.task;
    let made = Made {
        task: task.ok_or_else(|| misfit("adapter_config.json has no task_type"))?,
        record: &adapter.record,
        chat_template: adapter.chat_template.as_deref(),
        own: vec![(RECORD, merged_record(adapter)?)],
        whole: false,
    };
    Plan::new(&base, made, &parts, storage)?.pending(dir)
}

/// Puts the trained `tensors`, by the names of transformers, into the place of the base's, in f32, beside `dir`.
///
/// Every weight of the model must be among them; what the task has no use for stays as it is in the base.
pub(in crate::adapter) fn write_whole(
    files: &[BaseFile],
    model: &WholeModel,
    tensors: &[WholeTensor<'_>],
    dir: &Path,
) -> Result<PendingMerge, AdapterError> {
    let base = Base::open(files)?;
    let made = Made::of_whole(model, model.own_files()?);
    Plan::new(&base, made, &whole_parts(tensors), Some(Storage::F32))?.pending(dir)
}

/// Whether [`write_whole`] could write such tensors.
pub(in crate::adapter) fn check_whole(
    files: &[BaseFile],
    model: &WholeModel,
    tensors: &[WholeTensor<'_>],
) -> Result<(), AdapterError> {
    let base = Base::open(files)?;
    let made = Made::of_whole(model, Vec::new());
    Plan::new(&base, made, &whole_parts(tensors), Some(Storage::F32)).map(drop)
}

/// A trained tensor: its name in transformers, its shape, its values.
pub type WholeTensor<'t> = (&'t str, &'t [usize], &'t [f32]);

fn whole_parts<'t>(tensors: &[WholeTensor<'t>]) -> Parts<'t> {
    let named = tensors
        .iter()
        .map(|(name, shape, values)| (*name, (*shape, *values)));
    Parts {
        adapted: BTreeMap::new(),
        whole: named.collect(),
    }
}

/// What is made of a base.
struct Made<'a> {
    task: AdapterTask,
    record: &'a RetuneRecord,
    chat_template: Option<&'a str>,
    /// Files of ours that go beside it.
    own: Vec<(&'static str, Vec<u8>)>,
    /// Every weight was trained, so nothing of the model is the base's.
    whole: bool,
}

impl<'a> Made<'a> {
    fn of_whole(model: &'a WholeModel, own: Vec<(&'static str, Vec<u8>)>) -> Self {
        Self {
            task: model.task(),
            record: &model.record,
            chat_template: model.chat_template.as_deref(),
            own,
            whole: true,
        }
    }
}

/// A merged checkpoint that nobody can see yet. Dropped without [`commit`](Self::commit), it vanishes.
#[must_use]
pub struct PendingMerge {
    pending: PendingDir,
    /// What is in it.
    pub merged: Merged,
}

impl PendingMerge {
    /// The checkpoint, to be compared.
    pub fn checkpoint(&self) -> Result<Checkpoint, AdapterError> {
        Ok(Checkpoint::from_dir(self.pending.path())?)
    }

    /// Moves it to `dir`, which must not exist or be an empty directory.
    pub fn commit(self, dir: &Path) -> Result<Merged, AdapterError> {
        self.pending.commit(dir)?;
        Ok(self.merged)
    }
}

/// What becomes of every tensor.
struct Plan<'a> {
    base: &'a Base<'a>,
    made: Made<'a>,
    /// Put before every name of a bare network that gets a head.
    renamed: &'static str,
    /// By the base's name.
    adapted: BTreeMap<String, Factors<'a>>,
    /// By the name in the merged checkpoint.
    whole: BTreeMap<String, (Vec<usize>, &'a [f32])>,
    /// The base's embedding, as the output embedding that it no longer is.
    untied: Option<(String, &'static str)>,
    storage: Option<Storage>,
    /// How tensors are stored that the base does not have.
    stored: Storage,
}

impl<'a> Plan<'a> {
    fn new(
        base: &'a Base<'a>,
        made: Made<'a>,
        parts: &Parts<'a>,
        storage: Option<Storage>,
    ) -> Result<Self, AdapterError> {
        check_pooling(base.family, made.task, made.record.pooling)?;
        let tensors = base.list()?;
        let names = tensors.keys().cloned().collect();
        let missing = base.family.missing_prefix(&names);
        let mut plan = Self {
            base,
            renamed: missing
                .filter(|_| made.task == AdapterTask::SeqCls)
                .unwrap_or_default(),
            made,
            adapted: BTreeMap::new(),
            whole: BTreeMap::new(),
            untied: None,
            storage,
            stored: storage.unwrap_or(Storage::F32),
        };
        for (path, factors) in &parts.adapted {
            plan.place(path, *factors, &tensors)?;
        }
        for (name, (shape, values)) in &parts.whole {
            plan.take_whole(name, shape, values, &tensors)?;
        }
        if !plan.made.whole {
            plan.untie(&tensors);
        }
        Ok(plan)
    }

    fn pending(&self, dir: &Path) -> Result<PendingMerge, AdapterError> {
        let pending = PendingDir::beside(dir)?;
        self.write(pending.path())?;
        let merged = self.check(pending.path())?;
        Ok(PendingMerge { pending, merged })
    }

    fn place(
        &mut self,
        path: &str,
        factors: Factors<'a>,
        tensors: &BTreeMap<String, (Dtype, Vec<usize>)>,
    ) -> Result<(), AdapterError> {
        let name = self.base.family.find(&format!("{path}.weight"), tensors);
        let name = name.ok_or_else(|| misfit(&format!("the base has no module {path}")))?;
        let (dtype, shape) = &tensors[&name];
        let wanted = match self.base.family.orientation {
            Orientation::Linear => [factors.outputs, factors.inputs],
            Orientation::Transposed => [factors.inputs, factors.outputs],
        };
        if shape != &wanted {
            let why =
                format!("{name} of the base has shape {shape:?}; the factors need {wanted:?}");
            return Err(misfit(&why));
        }
        let stored = Storage::of(*dtype).ok_or_else(|| {
            misfit(&format!(
                "{name} of the base is stored as {dtype:?}; merge into f32, f16 or bf16 weights"
            ))
        })?;
        self.stored = self.storage.unwrap_or(stored);
        self.adapted.insert(name, factors);
        Ok(())
    }

    fn take_whole(
        &mut self,
        name: &str,
        shape: &[usize],
        values: &'a [f32],
        tensors: &BTreeMap<String, (Dtype, Vec<usize>)>,
    ) -> Result<(), AdapterError> {
        let found = self.base.family.find(name, tensors);
        let same_size = found
            .as_ref()
            .is_some_and(|found| tensors[found].1 == shape);
        if !same_size && !layout::is_head(name) {
            return Err(misfit(&format!(
                "the base has no tensor {name} of shape {shape:?}"
            )));
        }
        let name = match found {
            Some(found) => self.merged_name(&found),
            None => name.to_owned(),
        };
        self.whole.insert(name, (shape.to_vec(), values));
        Ok(())
    }

    /// Where one of two tied embeddings is trained, the other stays what it was.
    fn untie(&mut self, tensors: &BTreeMap<String, (Dtype, Vec<usize>)>) {
        let embedding = |name: &&String| layout::is_embedding(name);
        let trained = self
            .whole
            .keys()
            .any(|name| name == OUTPUT || embedding(&name));
        let tied = !tensors.contains_key(OUTPUT) && self.made.task == AdapterTask::CausalLm;
        if trained && tied {
            let input = tensors.keys().find(embedding);
            self.untied = input.map(|name| (name.clone(), OUTPUT));
        }
    }

    fn merged_name(&self, name: &str) -> String {
        format!("{}{name}", self.renamed)
    }

    /// Heads of another task; and a copy of the input embedding that is not trained where both are one.
    fn is_dropped(&self, name: &str) -> bool {
        match self.made.task {
            AdapterTask::SeqCls => OTHER_HEADS.iter().any(|head| name.starts_with(head)),
            AdapterTask::CausalLm => {
                self.made.whole && name == OUTPUT && !self.whole.contains_key(OUTPUT)
            }
        }
    }

    fn write(&self, dir: &Path) -> Result<(), AdapterError> {
        let mut shard_of = BTreeMap::new();
        let mut total = 0;
        for (index, (path, _)) in self.base.shards.iter().enumerate() {
            for (name, bytes) in self.write_shard(index, &dir.join(path))? {
                shard_of.insert(name, Value::from(*path));
                total += bytes;
            }
        }
        if let Some(index) = &self.base.index {
            let mut index = index.clone();
            index.insert(
                "weight_map".to_owned(),
                Value::Object(shard_of.into_iter().collect()),
            );
            let total = Value::from(total);
            index.insert(
                "metadata".to_owned(),
                serde_json::json!({ "total_size": total }),
            );
            fsio::write_atomic(&dir.join(INDEX), &pretty(&index)?)?;
        }
        let decided = Decided {
            family: self.base.family,
            task: self.made.task,
            labels: &self.made.record.labels,
            storage: self.storage,
            untied: self.untied.is_some(),
            pooling: self.made.record.pooling,
        };
        let config = config::merged(&self.base.config, &decided);
        fsio::write_atomic(&dir.join(CONFIG), &pretty(&config)?)?;
        for file in &self.base.copied {
            fsio::write_atomic(&dir.join(&file.path), &fsio::read(&file.at)?)?;
        }
        if let Some(template) = self.made.chat_template {
            fsio::write_atomic(&dir.join("chat_template.jinja"), template.as_bytes())?;
        }
        for (name, bytes) in &self.made.own {
            fsio::write_atomic(&dir.join(name), bytes)?;
        }
        Ok(())
    }

    /// Writes one file; the last takes what the base does not have. Answers the names and sizes of its tensors.
    fn write_shard(&self, index: usize, to: &Path) -> Result<Vec<(String, usize)>, AdapterError> {
        let failed = RefCell::new(None);
        let source = self.base.tensors(&self.base.shards[index].1)?;
        let mut tensors = Vec::new();
        for (name, view) in source.iter() {
            if !self.is_dropped(name) {
                tensors.push(self.tensor(name, &view, &failed));
            }
        }
        if index + 1 == self.base.shards.len() {
            tensors.extend(self.additions(&failed)?);
        }
        let metadata = std::collections::HashMap::from([("format".to_owned(), "pt".to_owned())]);
        let views = tensors.iter().map(|tensor| (tensor.name.as_str(), tensor));
        safetensors::serialize_to_file(views, Some(metadata), to)
            .map_err(|error| misfit(&format!("{} cannot be written: {error}", to.display())))?;
        if let Some((name, why)) = failed.take() {
            return Err(AdapterError::Merged {
                name,
                why: why.to_owned(),
            });
        }
        let sizes = tensors
            .iter()
            .map(|tensor| (tensor.name.clone(), safetensors::View::data_len(&tensor)));
        Ok(sizes.collect())
    }

    fn tensor<'t>(
        &'t self,
        name: &str,
        view: &TensorView<'t>,
        failed: &'t RefCell<Option<(String, &'static str)>>,
    ) -> Tensor<'t> {
        let merged = self.merged_name(name);
        let stored = Storage::of(view.dtype());
        let dtype = match (self.storage, stored) {
            (Some(wanted), Some(_)) => wanted.dtype(),
            _ => view.dtype(),
        };
        let (shape, content) = match (self.whole.get(&merged), self.adapted.get(name), stored) {
            (Some((shape, values)), _, _) => (shape.clone(), Content::Whole(values)),
            (None, Some(factors), Some(stored)) => {
                let orientation = self.base.family.orientation;
                let content = Content::Adapted(stored, view.data(), orientation, *factors);
                (view.shape().to_vec(), content)
            }
            _ => (
                view.shape().to_vec(),
                Content::Kept(view.dtype(), view.data()),
            ),
        };
        Tensor {
            name: merged,
            shape,
            dtype,
            content,
            failed,
        }
    }

    fn additions<'t>(
        &'t self,
        failed: &'t RefCell<Option<(String, &'static str)>>,
    ) -> Result<Vec<Tensor<'t>>, AdapterError> {
        let there: BTreeSet<String> = self
            .base
            .list()?
            .keys()
            .map(|name| self.merged_name(name))
            .collect();
        let mut added = Vec::new();
        for (name, (shape, values)) in self.whole.iter().filter(|(name, _)| !there.contains(*name))
        {
            added.push(Tensor {
                name: name.clone(),
                shape: shape.clone(),
                dtype: self.stored.dtype(),
                content: Content::Whole(values),
                failed,
            });
        }
        if let Some((input, output)) = &self.untied
            && !self.whole.contains_key(*output)
        {
            added.push(self.untied_output(input, output, failed)?);
        }
        Ok(added)
    }

    fn untied_output<'t>(
        &'t self,
        input: &str,
        output: &str,
        failed: &'t RefCell<Option<(String, &'static str)>>,
    ) -> Result<Tensor<'t>, AdapterError> {
        for (_, shard) in &self.base.shards {
            if let Ok(view) = self.base.tensors(shard)?.tensor(input) {
                return Ok(Tensor {
                    name: output.to_owned(),
                    shape: view.shape().to_vec(),
                    dtype: self.storage.map_or(view.dtype(), Storage::dtype),
                    content: Content::Kept(view.dtype(), view.data()),
                    failed,
                });
            }
        }
        Err(misfit(&format!("the base has no tensor {input}")))
    }

    /// Reads everything back.
    fn check(&self, dir: &Path) -> Result<Merged, AdapterError> {
        let weights = Weights::open(&Checkpoint::from_dir(dir)?)?;
        for name in weights.names() {
            let shape = weights.shape(name).unwrap_or_default().to_vec();
            match weights.read(name, &shape) {
                // Buffers of whole numbers are copied as they are.
                Ok(_) | Err(crate::base::CheckpointError::Type { .. }) => {}
                Err(error) => return Err(error.into()),
            }
        }
        let mut merged = Merged {
            adapted: self.adapted.len(),
            whole: self.whole.len(),
            files: 0,
            bytes: 0,
        };
        for entry in std::fs::read_dir(dir).doing("list", dir)? {
            let entry = entry.doing("list", dir)?;
            merged.files += 1;
            merged.bytes += entry.metadata().doing("look at", &entry.path())?.len();
        }
        Ok(merged)
    }
}

fn merged_record(adapter: &Adapter) -> Result<Vec<u8>, AdapterError> {
    let record = &adapter.record;
    Ok(canonical::encode(
        SCHEMA,
        &MergedRecord {
            adapter: adapter.id()?.0.digest(),
            base: &record.base,
            labels: &record.labels,
            pooling: record.pooling,
            max_length: record.max_length,
        },
    )?)
}

/// `retune.json` of a merged checkpoint: what it was made of, and what `config.json` has no key for.
#[derive(Serialize)]
struct MergedRecord<'a> {
    adapter: Digest,
    base: &'a BaseReference,
    labels: &'a [String],
    pooling: Pooling,
    max_length: usize,
}

/// What each class of transformers reads for a whole sequence.
fn check_pooling(family: Family, task: AdapterTask, read: Pooling) -> Result<(), AdapterError> {
    let sound = match read {
        Pooling::Last => family.decoder,
        Pooling::Cls => !family.decoder,
        Pooling::Mean => family.names_pooling,
    };
    if task == AdapterTask::CausalLm || sound {
        return Ok(());
    }
    let what = match read {
        Pooling::Last => "the last token",
        Pooling::Cls => "the first token",
        Pooling::Mean => "the mean of the hidden states",
    };
    Err(misfit(&format!(
        "it classifies {what}, which {}ForSequenceClassification of transformers does not: the merged checkpoint would load and answer wrongly; train with another pooling, or serve base and adapter",
        family.class
    )))
}

fn pretty(value: &Map<String, Value>) -> Result<Vec<u8>, AdapterError> {
    let mut bytes = serde_json::to_vec_pretty(value)
        .map_err(|error| AdapterError::Config(error.to_string()))?;
    bytes.push(b'\n');
    Ok(bytes)
}
