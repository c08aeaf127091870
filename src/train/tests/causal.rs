use std::fs;

use serde_json::Value;

use super::support::{Impatient, Project, complete, job};
use crate::progress::Silent;
use crate::train::prepare::prepare;
use crate::train::{Finished, Job, Outcome, TrainError, plan};

const JOB: &str = "\
version: 1
kind: TrainJob
name: answers
base: tiny
dataset: tickets
task: causal_lm
sequence_len: 64
micro_batch_size: 4
max_steps: 6
seed: 11
lora: {r: 4, alpha: 8, dropout: 0.1}
optimizer: {learning_rate: 1.0e-2}
checkpoint: {every_steps: 2}
";

/// Conversations of two and four messages.
fn conversations(count: usize) -> String {
    let row = |index: usize| {
        let said = ["on its way", "yes", "we do"][index % 3];
        let turn = format!(
            "{{\"role\": \"user\", \"content\": \"q{index}\"}}, {{\"role\": \"assistant\", \"content\": \"{said}\"}}"
        );
        let turns = vec![turn; 1 + index % 2];
        format!("{{\"messages\": [{}]}}\n", turns.join(", "))
    };
    (0..count).map(row).collect()
}

fn completions(count: usize) -> String {
    let row = |index: usize| {
        let (asked, answer) = [("one", " 1"), ("two", " 2"), ("three", " 33")][index % 3];
        format!("{{\"prompt\": \"{asked}:\", \"completion\": \"{answer}\"}}\n")
    };
    (0..count).map(row).collect()
}

fn adapter(finished: &Finished) -> Vec<u8> {
    fs::read(finished.dir.adapter().join("adapter_model.safetensors")).unwrap()
}

fn lines(finished: &Finished, event: &str) -> Vec<Value> {
    let text = fs::read_to_string(finished.dir.metrics()).unwrap();
    let lines = text.lines().map(|line| serde_json::from_str(line).unwrap());
    lines
        .filter(|line: &Value| line["event"] == event)
        .collect()
}

fn number(line: &Value, key: &str) -> f64 {
    line[key].as_f64().unwrap()
}

#[test]
fn a_language_model_learns_answers_word_for_word() {
    let project = Project::causal(&completions(12), Some(&completions(3)));
    let text = JOB
        .replace("max_steps: 6", "max_steps: 80")
        .replace("dropout: 0.1", "dropout: 0")
        + "eval: {every_steps: 20, metric: exact_match}\nlr_scheduler: {name: constant, warmup_steps: 0}\n\
           max_leaked_fraction: 1\n";
    let finished = project.complete(&job(&text));
    let steps = lines(&finished, "step");
    assert!(number(&steps[79], "loss") < 0.1 * number(&steps[0], "loss"));
    let evaluations = lines(&finished, "evaluation");
    let exact: Vec<f64> = evaluations
        .iter()
        .map(|line| number(line, "exact_match"))
        .collect();
    assert_eq!(exact.last(), Some(&1.0), "{exact:?}");
    let best = finished.record.best.unwrap();
    assert_eq!(best.scores.accuracy, None);
    // Each answer and its end.
    assert!(best.scores.tokens.unwrap() >= 6);
    assert_eq!(finished.record.train.learned.unwrap().ended, 12);
    assert_eq!(finished.record.train.learned.unwrap().begun, 12);
}

// One question per step and split: every step of the run is a place to stop at.
#[test]
fn a_run_stopped_at_any_step_gives_the_same_bytes() {
    let undisturbed = Project::causal(&conversations(10), None);
    let whole = undisturbed.complete(&job(JOB));
    for after in 0..6 {
        let project = Project::causal(&conversations(10), None);
        let mut outcome = project.start(&job(JOB), &Impatient::after(after)).unwrap();
        let mut stopped = 0;
        while let Outcome::Interrupted { dir, .. } = outcome {
            stopped += 1;
            outcome = project.resume(dir.path(), &Impatient::after(1)).unwrap();
        }
        let finished = complete(outcome);
        assert!(stopped > 0, "{after}");
        assert_eq!(finished.record.adapter, whole.record.adapter, "{after}");
        assert_eq!(adapter(&finished), adapter(&whole), "{after}");
    }
}

#[test]
fn one_thread_gives_the_bytes_of_two() {
    let on = |threads| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads);
        pool.build().unwrap().install(|| {
            let project = Project::causal(&conversations(10), None);
            adapter(&project.complete(&job(JOB)))
        })
    };
    assert_eq!(on(1), on(2));
}

#[test]
fn checkpointing_changes_memory_and_not_gradients() {
    let project = Project::causal(&conversations(10), None);
    let kept = project.complete(&job(JOB));
    let again = project.complete(&job(&format!("{JOB}gradient_checkpointing: true\n")));
    assert_eq!(adapter(&kept), adapter(&again));
}

#[test]
fn passes_of_one_step_are_one_mean_over_its_tokens() {
    let project = Project::causal(&conversations(16), None);
    let text = JOB.replace("dropout: 0.1", "dropout: 0") + "group_by_length: false\n";
    let whole = text.replace("micro_batch_size: 4", "micro_batch_size: 8");
    let parts = text.replace(
        "micro_batch_size: 4",
        "micro_batch_size: 1\ngradient_accumulation_steps: 8",
    );
    let [whole, parts] = [whole, parts].map(|text| project.complete(&job(&text)));
    for (whole, parts) in lines(&whole, "step").iter().zip(&lines(&parts, "step")) {
        assert_eq!(whole["tokens"], parts["tokens"]);
        for key in ["loss", "grad_norm"] {
            let (whole, parts) = (number(whole, key), number(parts, key));
            // Sums of f32 in another order, over a few steps.
            assert!(
                (whole - parts).abs() < 1e-4 * whole,
                "{key}: {whole} and {parts}"
            );
        }
    }
}

// A pack is rows one after the other, each with its own positions, none seeing another: 1e-5 is a few roundings of losses of
// about 6.
#[test]
fn packed_rows_have_the_losses_of_rows_alone() {
    let project = Project::causal(&conversations(12), None);
    let packed = job(&format!("{JOB}sample_packing: true\n"));
    let prepared = project
        .with(|inputs| prepare(&packed, inputs, &Silent))
        .unwrap();
    let order = prepared.order.epoch(0);
    assert!(order.iter().any(|batch| batch.len() > 4), "{order:?}");
    let mut rows = 0;
    for batch in order {
        let together = prepared.train.batch(&batch);
        let together = prepared.model.token_losses(&together).unwrap();
        let mut alone = Vec::new();
        for row in &batch {
            let row = prepared.train.batch(&[*row]);
            alone.extend(prepared.model.token_losses(&row).unwrap());
            rows += 1;
        }
        assert_eq!(together.len(), alone.len());
        for (together, alone) in together.iter().zip(&alone) {
            assert!((together - alone).abs() <= 1e-5, "{together} and {alone}");
        }
    }
    assert_eq!(rows, 12);
    let finished = project.complete(&packed);
    let tokens: u64 = (0..6)
        .map(|step| lines(&finished, "step")[step]["tokens"].as_u64().unwrap())
        .sum();
    assert_eq!(finished.record.totals.tokens, tokens);
}

#[test]
fn jobs_and_rows_that_do_not_fit_are_refused() {
    let refused = |project: &Project, text: &str| {
        let job: Job = job(text);
        let error = project
            .with(|inputs| plan(&job, inputs, &Silent))
            .unwrap_err();
        assert!(error.is_usage(), "{error}");
        error
    };
    let chat = Project::causal(&conversations(3), None);
    let plain = Project::causal(&completions(3), None);
    let with = |more: &str| format!("{JOB}{more}\n");
    assert!(matches!(
        refused(&chat, &with("train_on: completion")),
        TrainError::TrainOn { .. }
    ));
    assert!(matches!(
        refused(&plain, &with("train_on: last_assistant")),
        TrainError::TrainOn { .. }
    ));
    assert!(matches!(
        refused(&plain, &with("chat_template: {date: 2026-11-25}")),
        TrainError::NoConversations { .. }
    ));
    let absent = refused(&chat, &with("chat_template: {name: tool_use}"));
    assert!(absent.to_string().contains("it has default"), "{absent}");
    assert!(matches!(
        refused(&Project::with_data(&completions(3), None), JOB),
        TrainError::NotALanguageModel
    ));
    let classes = Project::causal("{\"text\": \"a\", \"label\": \"b\"}\n", None);
    assert!(matches!(
        refused(&classes, JOB),
        TrainError::Classified { .. }
    ));
    let answers = with("train_on: all\neval: {metric: exact_match}\nval_set_size: 0.5");
    assert!(matches!(refused(&plain, &answers), TrainError::NoAnswers));
    // All rows at fault are counted, the first named.
    let bos = completions(9).replace("one:", "one <|begin_of_text|>:");
    let error = refused(&Project::causal(&bos, None), JOB);
    assert!(
        matches!(&error, TrainError::Rows { rows: 3, faults, .. } if faults.len() == 3 && faults[1].0 == 4),
        "{error}"
    );
}

// PEFT puts factors on an embedding or a head that a name selects, and trains a copy of a tied one: neither has code here.
#[test]
fn heads_and_tied_embeddings_are_refused_by_name_or_trained_whole() {
    let rows = completions(9);
    let (apart, tied) = (
        Project::causal(&rows, None),
        Project::on("tests/fixtures/parity/qwen2/model", &rows, None),
    );
    let with = |lora: &str| job(&JOB.replace("{r: 4, alpha: 8, dropout: 0.1}", lora));
    let refused = |project: &Project, lora: &str| {
        let error = project
            .with(|inputs| plan(&with(lora), inputs, &Silent))
            .unwrap_err();
        assert!(error.is_usage(), "{error}");
        error.to_string()
    };
    for targets in ["[q_proj, lm_head]", "'.*(q_proj|lm_head)'"] {
        let why = refused(&apart, &format!("{{r: 2, target_modules: {targets}}}"));
        assert!(why.contains("target_modules selects lm_head"), "{why}");
    }
    let why = refused(&tied, "{r: 2, target_modules: [embed_tokens, q_proj]}");
    assert!(why.contains("selects model.embed_tokens"), "{why}");
    for name in ["lm_head", "embed_tokens"] {
        let why = refused(&tied, &format!("{{r: 2, modules_to_save: [{name}]}}"));
        assert!(why.contains("one matrix (tie_word_embeddings)"), "{why}");
        assert!(why.contains(name), "{why}");
    }
    let whole = apart.complete(&with("{r: 2, modules_to_save: [lm_head, embed_tokens]}"));
    let tensors = crate::adapter::read_tensors(&adapter(&whole)).unwrap();
    for name in ["lm_head.weight", "model.embed_tokens.weight"] {
        assert!(
            tensors.contains_key(&format!("base_model.model.{name}")),
            "{name}"
        );
    }
}
