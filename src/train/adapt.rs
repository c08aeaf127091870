//! From a trained network to the adapter's files, read back and compared.

use std::borrow::Cow;
use std::path::Path;

use super::error::TrainError;
use super::job::{Job, Task};
use super::prepare::Prepared;
use super::rows::Rows;
use super::start::RunStart;
use super::trainer::Inputs;
use crate::adapter::{Adapter, AdapterConfig, AdapterTask, BaseReference, RetuneRecord};
use crate::base::chat::ChatTemplate;
use crate::base::network::Model;
use crate::base::{Device, LoraSpec};
use crate::digest::Digest;
use crate::store::Tree;

/// The written adapter must compute what the trained network computes: on the first rows, at most so many …
const PROBES: usize = 8;
/// … and no further one when they have so many tokens.
const PROBE_TOKENS: usize = 512;

/// Writes the adapter to `dir`, reads it back, compares values and losses bit by bit, and puts the files into the store.
///
/// An adapter that is there already, from a process that was killed here, must be the same one.
pub(super) fn export(
    prepared: &Prepared,
    start: &RunStart,
    spec: &LoraSpec,
    inputs: &Inputs<'_>,
    dir: &Path,
) -> Result<Tree, TrainError> {
    let adapter = adapter(prepared, start, spec, inputs);
    if !dir.exists() {
        adapter.write_dir(dir)?;
    }
    let written = Adapter::read_dir(dir)?;
    adapter.compare(&written)?;
    compare_losses(prepared, &written)?;
    let names: Vec<String> = adapter
        .files()?
        .iter()
        .map(|(name, _)| (*name).to_owned())
        .collect();
    let tree = inputs.store.put_tree(dir, &names)?;
    if tree != adapter.id()?.1 {
        return Err(TrainError::Damaged {
            path: dir.to_owned(),
            why: "its files are not those of the adapter that was trained".to_owned(),
        });
    }
    Ok(tree)
}

fn adapter(prepared: &Prepared, start: &RunStart, spec: &LoraSpec, inputs: &Inputs<'_>) -> Adapter {
    let record = record(prepared, &start.job, inputs, Some(start.dataset.digest()));
    Adapter {
        chat_template: prepared
            .template
            .as_ref()
            .map(|template| template.source().to_owned()),
        config: AdapterConfig::new(
            spec,
            match start.job.task {
                Task::SeqCls => AdapterTask::SeqCls,
                Task::CausalLm => AdapterTask::CausalLm,
            },
            &prepared.model.adapted_modules(),
            record.base.source.clone(),
            record.base.revision.clone(),
        ),
        tensors: prepared.model.tensors(),
        record,
    }
}

/// What is written beside what was trained.
pub(super) fn record(
    prepared: &Prepared,
    job: &Job,
    inputs: &Inputs<'_>,
    dataset: Option<Digest>,
) -> RetuneRecord {
    let source = inputs.base.source.as_ref();
    RetuneRecord {
        labels: prepared.plan.labels.clone(),
        pooling: prepared.pooling,
        max_length: job.sequence_len,
        base: BaseReference {
            tree: inputs.base.tree.digest(),
            source: source.map(|source| source.repo().to_owned()),
            revision: source.map(|source| source.revision().to_owned()),
        },
        tokenizer: prepared.tokenizer,
        chat_template: prepared.template.as_ref().map(ChatTemplate::digest),
        dataset,
        // The run's id holds its time; what it makes must not. The run's record names the files instead.
        run: None,
    }
}

fn compare_losses(prepared: &Prepared, written: &Adapter) -> Result<(), TrainError> {
    let again = prepared
        .model
        .with_adapter(&written.config.spec(), &written.tensors)?;
    compare_models(prepared, &again)
}

/// Whether a model that was read back has the losses of the trained one, bit by bit.
///
/// Both run on the processor, where the same numbers give the same bits.
pub(super) fn compare_models(prepared: &Prepared, again: &Model) -> Result<(), TrainError> {
    let batch = prepared.train.batch(&probes(&prepared.train));
    let bits = |losses: Vec<f32>| losses.into_iter().map(f32::to_bits).collect::<Vec<_>>();
    let (trained, read) = (
        on_processor(&prepared.model)?.token_losses(&batch)?,
        on_processor(again)?.token_losses(&batch)?,
    );
    match bits(trained) == bits(read) {
        true => Ok(()),
        false => Err(TrainError::Unfaithful),
    }
}

fn on_processor(model: &Model) -> Result<Cow<'_, Model>, TrainError> {
    if model.device().is_cpu() {
        return Ok(Cow::Borrowed(model));
    }
    let mut moved = model.clone();
    moved.set_device(Device::Cpu)?;
    Ok(Cow::Owned(moved))
}

fn probes(rows: &Rows) -> Vec<usize> {
    let mut tokens = 0;
    let first = (0..rows.count().min(PROBES)).take_while(|row| {
        let more = tokens < PROBE_TOKENS;
        tokens += rows.ids[*row].len();
        more
    });
    first.collect()
}
