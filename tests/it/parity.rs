//! Known answers from PyTorch and PEFT: `tests/fixtures/parity`, or the directory that RETUNE_PARITY_DIR names.
//!
//! `generate.py` there made them and describes them. Every case in the directory must run: one that needs a model type
//! without code here fails.
//!
//! Tolerance: the fixtures hold the distance between PyTorch's float32 run and the same run in float64 (`noise_*`). Another
//! float32 implementation sums in another order and so is as far from the truth in another direction; ten times that
//! distance covers the worst of a few hundred elements. It is never less than 1e-5, which is what the printed decimals of
//! logits and losses are read to.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use retune::adapter::{AdapterConfig, read_tensors};
use retune::base::network::{Batch, Classifier, StepOutput};
use retune::base::{Checkpoint, Pooling, Tokenizer, Weights};
use safetensors::SafeTensors;
use serde_json::Value;

#[test]
fn tokenizers_agree() {
    for case in cases() {
        let expected = json(&case.join("expected.json"));
        let checkpoint = Checkpoint::from_dir(&case.join("model")).unwrap();
        let tokenizer = Tokenizer::from_bytes(&checkpoint.tokenizer, 512).unwrap();
        let probes = expected["tokenizer"].as_array().unwrap();
        assert!(!probes.is_empty());
        for probe in probes {
            if !probe["pair"].is_null() {
                // Pairs of texts are not classified here.
                continue;
            }
            let text = probe["text"].as_str().unwrap();
            let want: Vec<u64> = list(&probe["ids"], Value::as_u64);
            let got = tokenizer.encode(text).unwrap();
            assert_eq!(
                got.ids.iter().map(|id| u64::from(*id)).collect::<Vec<_>>(),
                want,
                "{text:?}"
            );
            assert_eq!((got.length, got.truncated()), (want.len(), false));
            if want.len() > 6 {
                // transformers keeps the closing special token when it truncates.
                let short = Tokenizer::from_bytes(&checkpoint.tokenizer, 6).unwrap();
                let cut = short.encode(text).unwrap();
                let mut kept = want[..5].to_vec();
                kept.push(*want.last().unwrap());
                assert_eq!(
                    cut.ids.iter().map(|id| u64::from(*id)).collect::<Vec<_>>(),
                    kept
                );
                assert_eq!((cut.length, cut.truncated()), (want.len(), true));
            }
        }
    }
}

#[test]
fn the_base_model_agrees() {
    for case in cases() {
        let info = json(&case.join("expected.json"));
        let expected = Tensors::read(&case.join("expected.safetensors"));
        for config in ["config.json", "config.v4.json"] {
            let mut checkpoint = Checkpoint::from_dir(&case.join("model")).unwrap();
            checkpoint.config = std::fs::read(case.join("model").join(config)).unwrap();
            let batch = expected.batch();
            let labels = expected.shape("logits")[1];
            let mut classifier =
                Classifier::load(&checkpoint, Pooling::Cls, labels, None, 0).unwrap();
            let weights = Weights::open(&checkpoint).unwrap();
            let hidden = classifier.config().hidden_size;
            let head = [
                weights
                    .read("classifier.weight", &[labels, hidden])
                    .unwrap(),
                weights.read("classifier.bias", &[labels]).unwrap(),
            ];
            classifier.set_weights(&head).unwrap();
            let tolerance = tolerance(&info, "noise_logits");
            close(
                "logits",
                &classifier.logits(&batch).unwrap(),
                &expected.f32("logits"),
                tolerance,
            );
            let mean = Classifier::load(&checkpoint, Pooling::Mean, labels, None, 0).unwrap();
            close(
                "mean",
                &mean.embeddings(&batch).unwrap(),
                &expected.f32("mean_pooled"),
                tolerance,
            );
            let step = classifier.train_step(&batch, 1.0, None).unwrap();
            let loss = step.loss_sum / batch.rows() as f64;
            near(
                "loss",
                loss,
                info["loss"].as_f64().unwrap(),
                self::tolerance(&info, "noise_loss"),
            );
        }
    }
}

#[test]
fn adapters_agree() {
    for variant in variants() {
        let Variant {
            classifier,
            batch,
            expected,
            info,
        } = &variant;
        close(
            "logits",
            &classifier.logits(batch).unwrap(),
            &expected.f32("logits"),
            tolerance(info, "noise_logits"),
        );
        let step = mean_step(classifier, batch);
        let loss = step.loss_sum / batch.rows() as f64;
        near(
            "loss",
            loss,
            number(&info["losses"][0]),
            tolerance(info, "noise_losses"),
        );
        assert_eq!(classifier.parameters().len(), expected.names("grad.").len());
        for (parameter, gradient) in classifier.parameters().iter().zip(&step.gradients) {
            let want = expected.f32(&format!("grad.{}", parameter.name));
            close(
                &parameter.name,
                gradient,
                &want,
                tolerance(info, "noise_grads"),
            );
        }
    }
}

struct Variant {
    classifier: Classifier,
    batch: Batch,
    expected: Tensors,
    info: Value,
}

/// All adapters of all cases.
fn variants() -> Vec<Variant> {
    let mut found = Vec::new();
    for case in cases() {
        let checkpoint = Checkpoint::from_dir(&case.join("model")).unwrap();
        let inputs = Tensors::read(&case.join("expected.safetensors"));
        for dir in directories(&case.join("adapters")) {
            let config =
                AdapterConfig::parse(&std::fs::read(dir.join("adapter_config.json")).unwrap())
                    .unwrap();
            let tensors =
                read_tensors(&std::fs::read(dir.join("adapter_model.safetensors")).unwrap())
                    .unwrap();
            let expected = Tensors::read(&dir.join("expected.safetensors"));
            let labels = expected.shape("logits")[1];
            let lora = config.spec();
            let classifier =
                Classifier::load_trained(&checkpoint, Pooling::Cls, labels, Some(&lora), &tensors)
                    .unwrap();
            found.push(Variant {
                classifier,
                batch: inputs.batch(),
                expected,
                info: json(&dir.join("train.json")),
            });
        }
    }
    assert!(!found.is_empty(), "no adapter was found");
    found
}

/// Loss and gradients of the mean loss, as PyTorch's training loop has them.
fn mean_step(classifier: &Classifier, batch: &Batch) -> StepOutput {
    let scale = 1.0 / batch.rows() as f32;
    classifier.train_step(batch, scale, None).unwrap()
}

fn cases() -> Vec<PathBuf> {
    let root = match std::env::var_os("RETUNE_PARITY_DIR") {
        Some(dir) => PathBuf::from(dir),
        None => Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/parity"),
    };
    let cases = directories(&root);
    assert!(!cases.is_empty(), "{} holds no case", root.display());
    cases
}

fn directories(dir: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(dir).unwrap_or_else(|e| panic!("{}: {e}", dir.display()));
    let mut found: Vec<PathBuf> = entries
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.is_dir())
        .collect();
    found.sort();
    found
}

/// A safetensors file of expected values.
struct Tensors(BTreeMap<String, (Vec<usize>, Vec<u8>)>);

impl Tensors {
    fn read(path: &Path) -> Self {
        let bytes = std::fs::read(path).unwrap();
        let file = SafeTensors::deserialize(&bytes).unwrap();
        let tensors = file.iter().map(|(name, view)| {
            (
                name.to_owned(),
                (view.shape().to_vec(), view.data().to_vec()),
            )
        });
        Self(tensors.collect())
    }

    fn names(&self, prefix: &str) -> Vec<&String> {
        self.0
            .keys()
            .filter(|name| name.starts_with(prefix))
            .collect()
    }

    fn shape(&self, name: &str) -> &[usize] {
        &self.0[name].0
    }

    fn f32(&self, name: &str) -> Vec<f32> {
        let bytes = &self.0[name].1;
        bytes
            .chunks_exact(4)
            .map(|b| f32::from_le_bytes(b.try_into().unwrap()))
            .collect()
    }

    fn i64(&self, name: &str) -> Vec<i64> {
        let bytes = &self.0[name].1;
        bytes
            .chunks_exact(8)
            .map(|b| i64::from_le_bytes(b.try_into().unwrap()))
            .collect()
    }

    /// The padded rows of the fixture, packed.
    fn batch(&self) -> Batch {
        let (ids, mask) = (self.i64("input_ids"), self.i64("attention_mask"));
        let width = self.shape("input_ids")[1];
        let rows = ids
            .chunks(width)
            .zip(mask.chunks(width))
            .map(|(ids, mask)| {
                let real = ids.iter().zip(mask).filter(|(_, m)| **m == 1);
                real.map(|(id, _)| u32::try_from(*id).unwrap())
                    .collect::<Vec<_>>()
            });
        let rows: Vec<Vec<u32>> = rows.collect();
        let labels = self
            .i64("labels")
            .into_iter()
            .map(|label| u32::try_from(label).unwrap());
        Batch::new(rows.iter().map(Vec::as_slice), labels.collect())
    }
}

fn tolerance(info: &Value, noise: &str) -> f64 {
    (10.0 * number(&info[noise])).max(1e-5)
}

fn close(what: &str, got: &[f32], want: &[f32], tolerance: f64) {
    assert_eq!(got.len(), want.len(), "{what}");
    for (at, (got, want)) in got.iter().zip(want).enumerate() {
        near(
            &format!("{what}[{at}]"),
            f64::from(*got),
            f64::from(*want),
            tolerance,
        );
    }
}

fn near(what: &str, got: f64, want: f64, tolerance: f64) {
    // A NaN is not near anything.
    let distance = (got - want).abs();
    assert!(
        distance <= tolerance,
        "{what}: {got}, not {want} (distance {distance:e}, tolerance {tolerance:e})"
    );
}

fn number(value: &Value) -> f64 {
    value.as_f64().unwrap()
}

fn list<T>(value: &Value, read: impl Fn(&Value) -> Option<T>) -> Vec<T> {
    value
        .as_array()
        .unwrap()
        .iter()
        .map(|item| read(item).unwrap())
        .collect()
}

fn json(path: &Path) -> Value {
    serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap()
}
