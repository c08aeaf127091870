//! From a trained network to the adapter's files, read back and compared.

use std::path::Path;

use super::error::TrainError;
use super::prepare::Prepared;
use super::start::RunStart;
use super::trainer::Inputs;
use crate::adapter::{Adapter, AdapterConfig, BaseReference, RetuneRecord};
use crate::base::network::{Batch, Classifier};
use crate::store::Tree;

/// Rows on which the written adapter must compute what the trained network computes.
const PROBES: usize = 8;

/// Writes the adapter to `dir`, reads it back, compares values and logits bit by bit, and puts the files into the store.
///
/// An adapter that is there already, from a process that was killed here, must be the same one.
pub(super) fn export(
    prepared: &Prepared,
    start: &RunStart,
    inputs: &Inputs<'_>,
    dir: &Path,
) -> Result<Tree, TrainError> {
    let adapter = adapter(prepared, start, inputs);
    if !dir.exists() {
        adapter.write_dir(dir)?;
    }
    let written = Adapter::read_dir(dir)?;
    adapter.compare(&written)?;
    compare_logits(prepared, &written)?;
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

fn adapter(prepared: &Prepared, start: &RunStart, inputs: &Inputs<'_>) -> Adapter {
    let source = inputs.base.source.as_ref();
    let base = BaseReference {
        tree: inputs.base.tree.digest(),
        source: source.map(|source| source.repo().to_owned()),
        revision: source.map(|source| source.revision().to_owned()),
    };
    Adapter {
        config: AdapterConfig::new(
            &start.job.lora.spec(),
            &modules(&prepared.classifier),
            base.source.clone(),
            base.revision.clone(),
        ),
        tensors: prepared.classifier.tensors(),
        record: RetuneRecord {
            labels: prepared.plan.labels.clone(),
            pooling: start.job.pooling,
            max_length: start.job.sequence_len,
            base,
            tokenizer: prepared.tokenizer,
            dataset: Some(start.dataset.digest()),
            // The run's id holds its time; an adapter must not. The run's record names the adapter instead.
            run: None,
        },
    }
}

/// The paths of the adapted modules.
fn modules(classifier: &Classifier) -> Vec<String> {
    let names = classifier.parameters().iter().map(|p| p.name.as_str());
    let path = |name: &str| {
        let name = name.strip_prefix("base_model.model.")?;
        name.strip_suffix(".lora_A.weight").map(str::to_owned)
    };
    names.filter_map(path).collect()
}

fn compare_logits(prepared: &Prepared, written: &Adapter) -> Result<(), TrainError> {
    let again = Classifier::load_adapter(&prepared.checkpoint, written)?;
    let rows: Vec<usize> = (0..prepared.train.labels().len().min(PROBES)).collect();
    let batch: Batch = prepared.train.batch(&rows);
    let bits = |logits: Vec<f32>| logits.into_iter().map(f32::to_bits).collect::<Vec<_>>();
    let (trained, read) = (prepared.classifier.logits(&batch)?, again.logits(&batch)?);
    if bits(trained) == bits(read) {
        Ok(())
    } else {
        Err(TrainError::Unfaithful)
    }
}
