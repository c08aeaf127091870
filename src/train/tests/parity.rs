//! Twenty steps of PyTorch and PEFT, from tests/fixtures/parity/bert (its generate.py describes the files).

use std::collections::BTreeMap;
use std::path::Path;

use safetensors::SafeTensors;
use serde_json::Value;

use crate::adapter::{AdapterConfig, Tensors, read_tensors};
use crate::base::network::{Batch, Classifier};
use crate::base::{Checkpoint, Pooling};
use crate::train::optimizer::{AdamW, Rule, clip};

const CASE: &str = "tests/fixtures/parity/bert";

// Tolerance as in tests/it/parity.rs: ten times the distance between PyTorch's f32 and f64 runs, at least 1e-5.
#[test]
fn twenty_steps_are_those_of_torch() {
    let case = Path::new(CASE);
    let checkpoint = Checkpoint::from_dir(&case.join("model")).unwrap();
    let batch = batch(&case.join("expected.safetensors"));
    for variant in ["qv", "all"] {
        let dir = case.join("adapters").join(variant);
        let read = |name: &str| std::fs::read(dir.join(name)).unwrap();
        let info: Value = serde_json::from_slice(&read("train.json")).unwrap();
        let number = |key: &str| info[key].as_f64().unwrap();
        let config = AdapterConfig::parse(&read("adapter_config.json")).unwrap();
        let tensors = read_tensors(&read("adapter_model.safetensors")).unwrap();
        let (labels, spec) = (5, config.spec());
        let mut classifier =
            Classifier::load_trained(&checkpoint, Pooling::Cls, labels, Some(&spec), &tensors)
                .unwrap();
        let rule = Rule {
            betas: [0, 1].map(|i| info["betas"][i].as_f64().unwrap()),
            eps: number("eps"),
            weight_decay: number("weight_decay"),
        };
        let mut weights = classifier.weights().to_vec();
        let zeros: Vec<Vec<f32>> = weights.iter().map(|w| vec![0.0; w.len()]).collect();
        let mut adam = AdamW::new(rule, 0, zeros.clone(), zeros);
        let scale = 1.0 / batch.rows() as f32;
        for step in 0..20 {
            let mut output = classifier.train_step(&batch, scale, None).unwrap();
            let loss = output.loss_sum / batch.rows() as f64;
            near(
                loss,
                &info["losses"][step],
                tolerance(&info, "noise_losses"),
            );
            let norm = clip(&mut output.gradients, 0.0);
            near(norm, &info["grad_norms"][step], 1e-4);
            adam.step(number("lr"), &mut weights, &output.gradients);
            classifier.set_weights(&weights).unwrap();
        }
        let after = after(&read("expected.safetensors"));
        assert_eq!(after.len(), weights.len());
        for (parameter, values) in classifier.parameters().iter().zip(&weights) {
            for (got, want) in values.iter().zip(&after[&parameter.name].1) {
                let distance = f64::from(got - want).abs();
                assert!(
                    distance <= tolerance(&info, "noise_after"),
                    "{}",
                    parameter.name
                );
            }
        }
    }
}

fn tolerance(info: &Value, noise: &str) -> f64 {
    (10.0 * info[noise].as_f64().unwrap()).max(1e-5)
}

fn near(got: f64, want: &Value, tolerance: f64) {
    let want = want.as_f64().unwrap();
    assert!((got - want).abs() <= tolerance, "{got}, not {want}");
}

/// The weights after the last step, by PEFT name.
fn after(bytes: &[u8]) -> Tensors {
    let file = SafeTensors::deserialize(bytes).unwrap();
    let tensors = file.iter().filter_map(|(name, view)| {
        let name = name.strip_prefix("after.")?;
        let values = view
            .data()
            .as_chunks::<4>()
            .0
            .iter()
            .map(|b| f32::from_le_bytes(*b));
        Some((name.to_owned(), (view.shape().to_vec(), values.collect())))
    });
    tensors.collect::<BTreeMap<_, _>>()
}

/// The padded rows of the fixture, packed.
fn batch(path: &Path) -> Batch {
    let bytes = std::fs::read(path).unwrap();
    let file = SafeTensors::deserialize(&bytes).unwrap();
    let integers = |name: &str| -> Vec<u32> {
        let (chunks, _) = file.tensor(name).unwrap().data().as_chunks::<8>();
        chunks
            .iter()
            .map(|b| u32::try_from(i64::from_le_bytes(*b)).unwrap())
            .collect()
    };
    let width = file.tensor("input_ids").unwrap().shape()[1];
    let (ids, mask) = (integers("input_ids"), integers("attention_mask"));
    let rows = ids
        .chunks(width)
        .zip(mask.chunks(width))
        .map(|(ids, mask)| {
            let real = mask.iter().filter(|m| **m == 1).count();
            &ids[..real]
        });
    Batch::new(rows, integers("labels"))
}
