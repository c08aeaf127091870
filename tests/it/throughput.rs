//! How fast a training step is. Ignored: it measures the machine. Run it in release mode:
//! `cargo test --release --test it throughput -- --ignored --nocapture`.

#![allow(clippy::print_stdout)]

use std::path::Path;
use std::time::Instant;

use retune::base::network::{Batch, Model, Setup, Task, Trained};
use retune::base::{Checkpoint, LoraSpec, Pooling, Precision, TargetModules, Tokenizer};

/// Examples per second over length-grouped batches of 32 Banking77 questions, MiniLM-L6, LoRA r 8.
#[test]
#[ignore = "measures the machine; needs the shared data"]
fn minilm_on_banking77() {
    let shared = Path::new(env!("CARGO_MANIFEST_DIR"))
        .ancestors()
        .map(|dir| dir.join("shared"));
    let shared = shared
        .into_iter()
        .find(|dir| dir.join("models").is_dir())
        .expect("no shared folder above this one");
    let checkpoint = Checkpoint::from_dir(&shared.join("models/minilm-l6-v2")).unwrap();
    let batches = batches(&checkpoint, &shared.join("data/banking77/train.jsonl"));
    let suffixes = TargetModules::Suffixes(vec!["query".to_owned(), "value".to_owned()]);
    for (name, target_modules) in [
        ("all-linear", TargetModules::AllLinear),
        ("query,value", suffixes),
    ] {
        let lora = LoraSpec::new(8, 16.0, target_modules);
        let setup = Setup {
            task: Task::SeqCls {
                labels: 77,
                pooling: Pooling::Mean,
            },
            trained: Trained::Lora(&lora),
            precision: Precision::F32,
            seed: 1,
        };
        let classifier = Model::load(&checkpoint, &setup).unwrap();
        for batch in &batches[..3] {
            classifier.train_step(batch, 1.0 / 32.0, None).unwrap();
        }
        let mut rates: Vec<f64> = batches
            .chunks(10)
            .map(|window| {
                let start = Instant::now();
                for batch in window {
                    classifier.train_step(batch, 1.0 / 32.0, None).unwrap();
                }
                let rows: usize = window.iter().map(Batch::rows).sum();
                rows as f64 / start.elapsed().as_secs_f64()
            })
            .collect();
        rates.sort_by(f64::total_cmp);
        let tokens: usize = batches.iter().map(Batch::tokens).sum();
        let rows: usize = batches.iter().map(Batch::rows).sum();
        println!(
            "{name}: median {:.0}, best {:.0}, worst {:.0} examples/s ({:.1} tokens per example)",
            rates[rates.len() / 2],
            rates[rates.len() - 1],
            rates[0],
            tokens as f64 / rows as f64
        );
    }
}

/// The first 1600 questions in groups of similar length, in an order that mixes lengths.
fn batches(checkpoint: &Checkpoint, data: &Path) -> Vec<Batch> {
    let tokenizer = Tokenizer::from_bytes(&checkpoint.tokenizer, 128).unwrap();
    let text = std::fs::read_to_string(data).unwrap();
    let mut rows: Vec<Vec<u32>> = text
        .lines()
        .take(1600)
        .map(|line| {
            let row: serde_json::Value = serde_json::from_str(line).unwrap();
            tokenizer.encode(row["text"].as_str().unwrap()).unwrap().ids
        })
        .collect();
    rows.sort_by_key(Vec::len);
    let mut batches: Vec<Batch> = rows
        .chunks(32)
        .map(|rows| {
            let labels = (0..rows.len() as u32).map(|i| i % 77).collect();
            Batch::new(rows.iter().map(Vec::as_slice), labels)
        })
        .collect();
    // Every tenth batch after the other, so that each window of ten has all lengths.
    let order = |i: usize| (i % 5, i / 5);
    let mut keyed: Vec<(usize, Batch)> = batches.drain(..).enumerate().collect();
    keyed.sort_by_key(|(i, _)| order(*i));
    keyed.into_iter().map(|(_, batch)| batch).collect()
}
