//! From a network of which every weight was trained to a checkpoint, read back and compared.

use std::fs;
use std::path::Path;

use super::adapt::{compare_models, record};
use super::error::TrainError;
use super::from::base_files;
use super::job::Job;
use super::prepare::{Prepared, setup};
use super::start::RunStart;
use super::trainer::Inputs;
use crate::adapter::{WholeModel, WholeTensor};
use crate::base::Checkpoint;
use crate::base::chat::ChatTemplate;
use crate::base::network::Model;
use crate::digest::Digest;
use crate::fsio::Context;
use crate::store::Tree;

/// Whether what the job trains could be written as a checkpoint that transformers loads.
pub(super) fn check(prepared: &Prepared, job: &Job, inputs: &Inputs<'_>) -> Result<(), TrainError> {
    let model = whole(prepared, job, inputs, None);
    let files = base_files(inputs.store, inputs.base);
    Ok(model.check(&files, &tensors(&prepared.model))?)
}

/// Writes the checkpoint to `dir`, reads it back, compares every weight and the losses of some rows bit by bit, and puts the files into the store.
///
/// A checkpoint that is there already, from a process that was killed here, must be the same one.
pub(super) fn export(
    prepared: &Prepared,
    start: &RunStart,
    inputs: &Inputs<'_>,
    dir: &Path,
) -> Result<Tree, TrainError> {
    check_trained(prepared, &start.job)?;
    let model = whole(prepared, &start.job, inputs, Some(start.dataset.digest()));
    if !dir.exists() {
        let files = base_files(inputs.store, inputs.base);
        let pending = model.write(&files, &tensors(&prepared.model), dir)?;
        pending.commit(dir)?;
    }
    let written = Checkpoint::from_dir(dir).map_err(crate::adapter::AdapterError::from)?;
    compare(prepared, &start.job, &written)?;
    if WholeModel::read_dir(dir)? != model.record {
        return Err(TrainError::Damaged {
            path: dir.to_owned(),
            why: "its record is not that of the model that was trained".to_owned(),
        });
    }
    Ok(inputs.store.put_tree(dir, &files(dir)?)?)
}

fn whole(
    prepared: &Prepared,
    job: &Job,
    inputs: &Inputs<'_>,
    dataset: Option<Digest>,
) -> WholeModel {
    let template = prepared.template.as_ref();
    WholeModel {
        record: record(prepared, job, inputs, dataset),
        chat_template: template.map(|template: &ChatTemplate| template.source().to_owned()),
    }
}

fn tensors(model: &Model) -> Vec<WholeTensor<'_>> {
    let values = model.parameters().iter().zip(model.weights());
    values
        .map(|(parameter, values)| {
            (
                parameter.name.as_str(),
                parameter.shape.as_slice(),
                values.as_slice(),
            )
        })
        .collect()
}

fn files(dir: &Path) -> Result<Vec<String>, TrainError> {
    let mut names = Vec::new();
    for entry in fs::read_dir(dir).doing("list", dir)? {
        let name = entry.doing("list", dir)?.file_name();
        names.push(name.to_string_lossy().into_owned());
    }
    names.sort_unstable();
    Ok(names)
}

/// The model that `checkpoint` holds, ready to be trained, as the job's is.
fn load(prepared: &Prepared, job: &Job, checkpoint: &Checkpoint) -> Result<Model, TrainError> {
    let labels = prepared.plan.labels.len();
    let setup = setup(job, None, labels, prepared.pooling);
    Ok(Model::load(checkpoint, &setup)?)
}

/// Something of the base must have been learned, not the fresh head alone.
fn check_trained(prepared: &Prepared, job: &Job) -> Result<(), TrainError> {
    let base = load(prepared, job, &prepared.checkpoint)?;
    let same = base.weights().iter().zip(prepared.model.weights());
    let moved = same.filter(|(base, trained)| base != trained).count();
    match moved {
        0 => Err(TrainError::Untrained),
        _ => Ok(()),
    }
}

fn compare(prepared: &Prepared, job: &Job, written: &Checkpoint) -> Result<(), TrainError> {
    let again = load(prepared, job, written)?;
    let pairs = again.weights().iter().zip(prepared.model.weights());
    let names = prepared.model.parameters();
    for ((read, trained), parameter) in pairs.zip(names) {
        let trained = trained.iter().map(|value| value.to_bits());
        if !read.iter().map(|value| value.to_bits()).eq(trained) {
            let what = format!("tensor {}", parameter.name);
            return Err(crate::adapter::AdapterError::Differs(what).into());
        }
    }
    compare_models(prepared, &again)
}
