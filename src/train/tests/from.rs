//! Runs that go on from an adapter.

use std::fs;
use std::path::Path;

use super::support::{Impatient, Project, complete, job};
use crate::adapter::read_tensors;
use crate::progress::Silent;
use crate::train::prepare::prepare;
use crate::train::{Beginning, Finished, Outcome, TrainError};

const JOB: &str = "\
version: 1
kind: TrainJob
name: answers
base: tiny
dataset: tickets
task: causal_lm
sequence_len: 64
micro_batch_size: 4
max_steps: 5
seed: 11
lora: {r: 2, alpha: 4, dropout: 0.1, target_modules: [q_proj, v_proj]}
optimizer: {learning_rate: 1.0e-2}
checkpoint: {every_steps: 2}
";

fn completions(count: usize) -> String {
    let row =
        |index: usize| format!("{{\"prompt\": \"{index}:\", \"completion\": \" one {index}\"}}\n");
    (0..count).map(row).collect()
}

fn project() -> Project {
    Project::causal(&completions(12), None)
}

fn bytes(finished: &Finished) -> Vec<u8> {
    fs::read(finished.dir.adapter().join("adapter_model.safetensors")).unwrap()
}

/// The project, going on from an adapter's folder.
fn going_on(mut project: Project, dir: &Path) -> Project {
    let beginning = Beginning::read_dir(dir, &project.store, &project.base).unwrap();
    beginning.put(dir, &project.store).unwrap();
    project.from = Some(beginning);
    project
}

#[test]
fn a_run_begins_with_the_adapter_and_names_it() {
    let origin = project();
    let first = origin.complete(&job(JOB));
    let dir = first.dir.adapter();
    let second = going_on(project(), &dir);
    let prepared = second.with(|inputs| prepare(&job(JOB), inputs, &Silent));
    let prepared = prepared.unwrap();
    let tensors = read_tensors(&bytes(&first)).unwrap();
    for (parameter, values) in prepared
        .model
        .parameters()
        .iter()
        .zip(prepared.model.weights())
    {
        assert_eq!(&tensors[&parameter.name].1, values, "{}", parameter.name);
    }
    let whole = second.complete(&job(JOB));
    let from = whole.record.from.unwrap();
    assert_eq!(Some(from), second.from.as_ref().map(|b| b.from));
    assert_ne!(bytes(&whole), bytes(&first));
    let (_, start) = whole.dir.start().unwrap();
    let (_, fresh) = first.dir.start().unwrap();
    assert_ne!(start.fingerprint().unwrap(), fresh.fingerprint().unwrap());

    // Stopped anywhere, even before the first checkpoint, it ends in the same bytes.
    for after in [0, 1, 3] {
        let project = going_on(self::project(), &dir);
        let mut outcome = project.start(&job(JOB), &Impatient::after(after)).unwrap();
        let mut stopped = 0;
        while let Outcome::Interrupted { dir, .. } = outcome {
            stopped += 1;
            outcome = project.resume(dir.path(), &Impatient::after(2)).unwrap();
        }
        assert!(stopped > 0, "{after}");
        assert_eq!(bytes(&complete(outcome)), bytes(&whole), "{after}");
    }
}

#[test]
fn another_beginning_is_another_run() {
    let origin = project();
    let first = origin.complete(&job(JOB));
    let mut second = going_on(project(), &first.dir.adapter());
    let outcome = second.start(&job(JOB), &Impatient::after(2)).unwrap();
    let Outcome::Interrupted { dir, .. } = outcome else {
        panic!("it was not interrupted");
    };
    second.from = None;
    let error = second.resume(dir.path(), &Silent).unwrap_err();
    assert!(
        matches!(&error, TrainError::Changed { what, .. } if *what == "starting adapter"),
        "{error}"
    );
}

#[test]
fn what_differs_is_named() {
    let origin = project();
    let first = origin.complete(&job(JOB));
    let project = going_on(project(), &first.dir.adapter());
    let refused = |text: &str| {
        let error = project.start(&job(text), &Silent).unwrap_err();
        assert!(error.is_usage(), "{error}");
        error.to_string()
    };
    for (old, new, says) in [
        ("r: 2", "r: 4", "lora.r is 2 in the adapter, 4 in the job"),
        (
            "alpha: 4",
            "alpha: 8",
            "lora.alpha is 4 in the adapter, 8 in the job",
        ),
        (
            "alpha: 4",
            "alpha: 4, use_dora: true",
            "lora.use_dora is false in the adapter, true",
        ),
        (
            "[q_proj, v_proj]",
            "[q_proj]",
            "the job does not train base_model.model.model.layers.0.self_attn.v_proj.lora_A.weight",
        ),
        (
            "[q_proj, v_proj]",
            "[q_proj, v_proj, o_proj]",
            "the adapter has no base_model.model.model.layers.0.self_attn.o_proj.lora_A.weight",
        ),
        (
            "v_proj]",
            "v_proj], rank_pattern: {v_proj: 4}",
            "v_proj.lora_A.weight has shape [2, 32] in the adapter, [4, 32] by the job",
        ),
        (
            "v_proj]",
            "v_proj], alpha_pattern: {v_proj: 8}",
            "self_attn.v_proj is 2 in the adapter, 4 in the job",
        ),
        (
            "lora: {r: 2, alpha: 4, dropout: 0.1, target_modules: [q_proj, v_proj]}",
            "adapter: full",
            "cannot go on from an adapter",
        ),
    ] {
        let why = refused(&JOB.replace(old, new));
        assert!(why.contains(says), "{says}\n{why}");
    }
}

// PEFT's own file, made by the fixtures' script.
#[test]
fn an_adapter_of_peft_is_gone_on_with() {
    let dir = Path::new("tests/fixtures/parity/llama/adapters/qv");
    let project = going_on(project(), dir);
    let config = &project.from.as_ref().unwrap().imported.config.lora;
    let lora = format!(
        "{{r: {}, alpha: {}, target_modules: [q_proj, v_proj]}}",
        config.r, config.alpha
    );
    let text = JOB.replace(
        "{r: 2, alpha: 4, dropout: 0.1, target_modules: [q_proj, v_proj]}",
        &lora,
    );
    let finished = project.complete(&job(&text));
    assert!(finished.record.from.is_some());
    // Another base has other modules.
    let other = Project::new();
    let error = Beginning::read_dir(dir, &other.store, &other.base).unwrap_err();
    assert!(error.is_usage());
    let why = std::error::Error::source(&error).unwrap().to_string();
    assert!(why.contains("the base has no module"), "{why}");
}
