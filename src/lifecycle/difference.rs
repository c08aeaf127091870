//! What is different between two versions: parts, configuration, data, metrics, weights.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use super::workspace::Workspace;
use crate::adapter::{AdapterError, Tensors, read_tensors};
use crate::dataset::{self, DatasetError, Diff};
use crate::registry::{RegistryError, Tenant, Version};
use crate::store::{Store, StoreError};

const WEIGHTS: &str = "adapter_model.safetensors";

/// What is different between two versions. What is the same is left out.
#[derive(Debug, Clone, PartialEq)]
pub struct Difference {
    /// What the versions are made of.
    pub parts: Vec<Change>,
    /// The keys of the jobs; `None` where a job is not in the store.
    pub config: Option<Vec<Change>>,
    /// The rows; `None` when both were trained on the same dataset.
    pub data: Option<Diff>,
    /// What the run records say came of the runs.
    pub metrics: Vec<Change>,
    /// Every tensor of the adapters; `None` where a version has no PEFT weights.
    pub weights: Option<Vec<Norms>>,
}

/// A value that is not the same.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Change {
    /// The path of its key, such as `lora.r`.
    pub key: String,
    /// `None`: the key is not there.
    pub before: Option<String>,
    /// `None`: the key is not there.
    pub after: Option<String>,
}

/// The Euclidean norms of a tensor.
#[derive(Debug, Clone, PartialEq)]
pub struct Norms {
    /// Its name.
    pub tensor: String,
    /// Of the first version's; `None`: it has no such tensor.
    pub before: Option<f64>,
    /// Of the second version's.
    pub after: Option<f64>,
    /// Of the difference; `None` unless both have it in one shape.
    pub between: Option<f64>,
}

/// Why two versions could not be compared.
#[derive(Debug, thiserror::Error)]
pub enum DifferenceError {
    /// The registry.
    #[error(transparent)]
    Registry(#[from] RegistryError),
    /// The store.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The datasets.
    #[error(transparent)]
    Dataset(#[from] DatasetError),
    /// The weights.
    #[error("the weights of {version} cannot be read")]
    Weights {
        /// Whose.
        version: String,
        /// Why.
        source: AdapterError,
    },
}

/// Compares two versions of one tenant, of one model or of two.
pub fn difference(
    workspace: &Workspace<'_>,
    tenant: &Tenant<'_>,
    before: &Version,
    after: &Version,
) -> Result<Difference, DifferenceError> {
    let store = &workspace.store;
    let config = match (job(store, before)?, job(store, after)?) {
        (Some(before), Some(after)) => Some(changes(&before, &after)),
        _ => None,
    };
    Ok(Difference {
        parts: changes(&parts(before), &parts(after)),
        config,
        data: rows(store, before, after)?,
        metrics: changes(&metrics(tenant, before)?, &metrics(tenant, after)?),
        weights: weights(store, before, after)?,
    })
}

type Flat = BTreeMap<String, String>;

fn changes(before: &Flat, after: &Flat) -> Vec<Change> {
    let keys: BTreeSet<&String> = before.keys().chain(after.keys()).collect();
    let change = |key: &String| Change {
        key: key.clone(),
        before: before.get(key).cloned(),
        after: after.get(key).cloned(),
    };
    let all = keys.into_iter().map(change);
    all.filter(|change| change.before != change.after).collect()
}

fn parts(version: &Version) -> Flat {
    let manifest = &version.manifest;
    let part = |key: &str, value: String| (key.to_owned(), value);
    let mut parts = Flat::from([
        part("model", manifest.model.to_string()),
        part("base", manifest.base.tree.to_string()),
        part("adapter", manifest.adapter.tree.to_string()),
        part("dataset", manifest.dataset.id.to_string()),
        part("run", manifest.run.id.to_string()),
        part("seed", manifest.run.seed.to_string()),
        part("tool", manifest.run.tool.clone()),
    ]);
    let optional = [
        ("base.source", &manifest.base.source),
        ("base.revision", &manifest.base.revision),
        ("code", &manifest.run.code),
        ("hardware", &manifest.run.hardware),
        ("licence", &manifest.licence),
    ];
    for (key, value) in optional {
        parts.extend(value.iter().map(|value| part(key, value.clone())));
    }
    parts
}

/// The job of the run that made a version: it stands in the run's start document.
fn job(store: &Store, version: &Version) -> Result<Option<Flat>, StoreError> {
    let run = &version.manifest.run.id;
    if !store.contains(run) {
        return Ok(None);
    }
    let start = serde_json::from_slice::<Value>(&store.read(run)?).unwrap_or_default();
    Ok(start.get("job").map(flat))
}

fn metrics(tenant: &Tenant<'_>, version: &Version) -> Result<Flat, RegistryError> {
    const NO_METRICS: [&str; 7] = [
        "adapter",
        "files",
        "finished_at",
        "job",
        "run",
        "schema",
        "end",
    ];
    let run = tenant.runs().get(&version.manifest.run.id)?;
    let record = run.and_then(|run| serde_json::from_slice(&run.document).ok());
    let Some(Value::Object(mut record)) = record else {
        return Ok(Flat::new());
    };
    record.retain(|key, _| !NO_METRICS.contains(&key.as_str()));
    Ok(flat(&Value::Object(record)))
}

fn rows(store: &Store, before: &Version, after: &Version) -> Result<Option<Diff>, DatasetError> {
    let (before, after) = (before.manifest.dataset.id, after.manifest.dataset.id);
    if before == after {
        return Ok(None);
    }
    let load = |id: crate::digest::Digest| dataset::load(store, &id.into());
    dataset::diff(store, &load(before)?, &load(after)?).map(Some)
}

fn weights(
    store: &Store,
    before: &Version,
    after: &Version,
) -> Result<Option<Vec<Norms>>, DifferenceError> {
    let (Some(before), Some(after)) = (tensors(store, before)?, tensors(store, after)?) else {
        return Ok(None);
    };
    Ok(Some(norms(&before, &after)))
}

fn tensors(store: &Store, version: &Version) -> Result<Option<Tensors>, DifferenceError> {
    let files = &version.manifest.adapter.files;
    let Some(file) = files.iter().find(|file| file.path == WEIGHTS) else {
        return Ok(None);
    };
    let tensors = read_tensors(&store.read(&file.sha256)?);
    tensors
        .map(Some)
        .map_err(|source| DifferenceError::Weights {
            version: version.to_string(),
            source,
        })
}

fn norms(before: &Tensors, after: &Tensors) -> Vec<Norms> {
    let names: BTreeSet<&String> = before.keys().chain(after.keys()).collect();
    let compare = |name: &String| {
        let (one, other) = (before.get(name), after.get(name));
        let between = match (one, other) {
            (Some((shape, one)), Some((same, other))) if shape == same => Some(norm(
                one.iter()
                    .zip(other)
                    .map(|(a, b)| f64::from(*a) - f64::from(*b)),
            )),
            _ => None,
        };
        let whole = |(_, values): &(Vec<usize>, Vec<f32>)| {
            norm(values.iter().map(|value| f64::from(*value)))
        };
        Norms {
            tensor: name.clone(),
            before: one.map(whole),
            after: other.map(whole),
            between,
        }
    };
    names.into_iter().map(compare).collect()
}

fn norm(values: impl Iterator<Item = f64>) -> f64 {
    values.map(|value| value * value).sum::<f64>().sqrt()
}

/// Every leaf of a document by the path of its key.
fn flat(value: &Value) -> Flat {
    fn add(path: &str, value: &Value, found: &mut Flat) {
        let below = |key: &str| match path {
            "" => key.to_owned(),
            path => format!("{path}.{key}"),
        };
        match value {
            Value::Object(map) => map
                .iter()
                .for_each(|(key, value)| add(&below(key), value, found)),
            Value::Array(list) => list
                .iter()
                .enumerate()
                .for_each(|(index, value)| add(&below(&index.to_string()), value, found)),
            Value::String(text) => {
                found.insert(path.to_owned(), text.clone());
            }
            other => {
                found.insert(path.to_owned(), other.to_string());
            }
        }
    }
    let mut found = Flat::new();
    add("", value, &mut found);
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn norms_are_euclidean_and_tell_tensors_that_only_one_has() {
        let tensor = |values: &[f32]| (vec![values.len()], values.to_vec());
        let named = |name: &str, values: &[f32]| (name.to_owned(), tensor(values));
        let before = Tensors::from([named("a", &[3.0, 4.0]), named("gone", &[2.0])]);
        let after = Tensors::from([named("a", &[3.0, 16.0]), named("new", &[1.0; 4])]);
        let expected = [
            ("a", Some(5.0), Some(265f64.sqrt()), Some(12.0)),
            ("gone", Some(2.0), None, None),
            ("new", None, Some(2.0), None),
        ];
        let found = norms(&before, &after);
        let found = found.iter().map(|norms| {
            (
                norms.tensor.as_str(),
                norms.before,
                norms.after,
                norms.between,
            )
        });
        assert_eq!(found.collect::<Vec<_>>(), expected);
    }

    #[test]
    fn only_what_differs_is_told_by_the_path_of_its_key() {
        let one = serde_json::json!({"lora": {"r": 8, "alpha": 16}, "seeds": [1, 2]});
        let other = serde_json::json!({"lora": {"r": 16, "alpha": 16}, "seeds": [1]});
        let found = changes(&flat(&one), &flat(&other));
        let told: Vec<_> = found
            .iter()
            .map(|change| {
                (
                    change.key.as_str(),
                    change.before.as_deref(),
                    change.after.as_deref(),
                )
            })
            .collect();
        assert_eq!(
            told,
            [
                ("lora.r", Some("8"), Some("16")),
                ("seeds.1", Some("2"), None)
            ]
        );
    }
}
