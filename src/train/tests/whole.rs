//! Runs of which every weight is trained: a checkpoint comes out.

use std::fs;

use super::support::{Impatient, JOB, Project, complete, job, rows};
use crate::adapter::Product;
use crate::base::network::{Batch, Model};
use crate::base::{Checkpoint, Pooling, Weights};
use crate::progress::Silent;
use crate::train::{Finished, Outcome, TrainError, plan};

/// The classifier's job with every weight trained.
fn classifier() -> String {
    JOB.replace("lora: {r: 2, alpha: 4, dropout: 0.1}", "adapter: full")
        .replace("5.0e-3", "1.0e-3")
}

const CAUSAL: &str = "\
version: 1
kind: TrainJob
name: answers
base: tiny
dataset: tickets
task: causal_lm
adapter: full
sequence_len: 64
micro_batch_size: 4
max_steps: 6
seed: 11
optimizer: {learning_rate: 1.0e-3}
checkpoint: {every_steps: 2}
gradient_checkpointing: true
";

fn completions(count: usize) -> String {
    let row = |index: usize| {
        let answer = ["one", "two, or three", "four"][index % 3];
        format!("{{\"prompt\": \"Say {index}:\", \"completion\": \" {answer}\"}}\n")
    };
    (0..count).map(row).collect()
}

fn bytes(finished: &Finished) -> Vec<u8> {
    fs::read(finished.dir.model().join("model.safetensors")).unwrap()
}

fn losses(finished: &Finished) -> Vec<f64> {
    let text = fs::read_to_string(finished.dir.metrics()).unwrap();
    let lines = text
        .lines()
        .map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap());
    let steps = lines.filter(|line| line["event"] == "step");
    steps.map(|line| line["loss"].as_f64().unwrap()).collect()
}

#[test]
fn a_classifier_is_trained_whole_and_is_a_checkpoint() {
    let project = Project::new();
    let finished = project.complete(&job(&classifier().replace("num_epochs: 3", "num_epochs: 8")));
    let losses = losses(&finished);
    let mean = |part: &[f64]| part.iter().sum::<f64>() / part.len() as f64;
    let (first, last) = (mean(&losses[..8]), mean(&losses[losses.len() - 8..]));
    assert!(last < 0.9 * first, "{losses:?}");
    assert!(!finished.dir.adapter().exists());
    // What the store has under the record's tree is the model: labels, pooling, weights.
    let product = Product::open(&project.store, &finished.record.adapter).unwrap();
    let Product::Model(model, checkpoint) = &product else {
        panic!("it is an adapter");
    };
    assert_eq!(model.record.labels, ["card", "refund", "speed"]);
    assert_eq!(model.record.pooling, Pooling::Cls);
    let config: serde_json::Value = serde_json::from_slice(&checkpoint.config).unwrap();
    assert_eq!(config["architectures"][0], "BertForSequenceClassification");
    assert_eq!(config["id2label"]["2"], "speed");
    let whole = Model::load_product(checkpoint, &product).unwrap();
    let batch = Batch::new([[2, 5, 6, 3].as_slice()], Vec::new());
    assert_eq!(whole.logits(&batch).unwrap().len(), 3);
    // Every weight moved but the embeddings of tokens that no row has.
    let base = Checkpoint::from_dir("tests/fixtures/parity/bert/model".as_ref()).unwrap();
    let (base, trained) = (
        Weights::open(&base).unwrap(),
        Weights::open(checkpoint).unwrap(),
    );
    let mut same = Vec::new();
    for name in base.names().filter(|name| name.ends_with("weight")) {
        let shape = base.shape(name).unwrap().to_vec();
        let (Ok(before), Ok(after)) = (base.read(name, &shape), trained.read(name, &shape)) else {
            continue;
        };
        if before == after {
            same.push(name.to_owned());
        }
    }
    assert_eq!(same, Vec::<String>::new());
}

#[test]
fn a_language_model_stopped_at_any_step_gives_the_same_bytes() {
    let undisturbed = Project::causal(&completions(10), None);
    let whole = undisturbed.complete(&job(CAUSAL));
    let losses = losses(&whole);
    assert!(losses[5] < losses[0], "{losses:?}");
    for after in [0, 1, 3, 5] {
        let project = Project::causal(&completions(10), None);
        let mut outcome = project
            .start(&job(CAUSAL), &Impatient::after(after))
            .unwrap();
        let mut stopped = 0;
        while let Outcome::Interrupted { dir, .. } = outcome {
            stopped += 1;
            outcome = project.resume(dir.path(), &Impatient::after(2)).unwrap();
        }
        let finished = complete(outcome);
        assert!(stopped > 0, "{after}");
        assert_eq!(finished.record.adapter, whole.record.adapter, "{after}");
        assert_eq!(bytes(&finished), bytes(&whole), "{after}");
    }
}

#[test]
fn what_transformers_does_not_compute_is_refused_before_the_first_step() {
    let project = Project::with_data(&rows(9, 0), None);
    let text = classifier().replace("eval: {every_steps: 4, metric: loss}\n", "");
    let mean = job(&format!("{text}pooling: mean\n"));
    let error = project
        .with(|inputs| plan(&mean, inputs, &Silent))
        .unwrap_err();
    assert!(matches!(error, TrainError::WholePooling), "{error}");
    assert!(error.is_usage());
    let planned = project.with(|inputs| plan(&job(&text), inputs, &Silent));
    let planned = planned.unwrap();
    assert!(planned.every_weight);
    assert_eq!(planned.trainable_share(), 1.0);
    assert!(planned.modules.is_empty());
    assert_eq!(planned.memory.base, 0);
}

// Steps this small change no f32 value.
#[test]
fn a_model_that_is_still_the_base_is_no_result() {
    let project = Project::causal(&completions(4), None);
    let text = CAUSAL.replace("1.0e-3", "1.0e-30");
    let error = project.start(&job(&text), &Silent).unwrap_err();
    assert!(matches!(error, TrainError::Untrained), "{error}");
}
