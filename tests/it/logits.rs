//! Prints the logits of an adapter, for `tests/peft/compare_logits.py` to compare with PEFT's. Ignored: it needs folders to read.
//!
//! ```sh
//! RETUNE_BASE=base RETUNE_ADAPTER=adapter RETUNE_TEXTS=texts.jsonl RETUNE_LOGITS=logits.json \
//!     cargo test --test it print_logits -- --ignored
//! python tests/peft/compare_logits.py --base base --adapter adapter --texts texts.jsonl --logits logits.json
//! ```

use std::path::PathBuf;

use retune::adapter::Adapter;
use retune::base::network::{Batch, Model};
use retune::base::{Checkpoint, Tokenizer};
use serde_json::{Value, json};

#[test]
#[ignore = "reads the folders that RETUNE_BASE, RETUNE_ADAPTER and RETUNE_TEXTS name"]
fn print_logits() {
    let path = |name: &str| {
        PathBuf::from(std::env::var_os(name).unwrap_or_else(|| panic!("{name} is not set")))
    };
    let checkpoint = Checkpoint::from_dir(&path("RETUNE_BASE")).unwrap();
    let adapter = Adapter::read_dir(&path("RETUNE_ADAPTER")).unwrap();
    let classifier = Model::load_adapter(&checkpoint, &adapter).unwrap();
    let tokenizer =
        Tokenizer::from_bytes(&checkpoint.tokenizer, adapter.record.max_length).unwrap();
    let texts = std::fs::read_to_string(path("RETUNE_TEXTS")).unwrap();
    let logits: Vec<Vec<f32>> = texts
        .lines()
        .map(|line| {
            let row: Value = serde_json::from_str(line).unwrap();
            let ids = tokenizer.encode(row["text"].as_str().unwrap()).unwrap().ids;
            classifier
                .logits(&Batch::new([&ids[..]], Vec::new()))
                .unwrap()
        })
        .collect();
    let document = json!({"labels": adapter.record.labels, "logits": logits});
    std::fs::write(path("RETUNE_LOGITS"), document.to_string()).unwrap();
}
