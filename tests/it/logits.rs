//! Prints the logits of an adapter, or of a model that was trained whole, for `tests/peft/compare_logits.py` and
//! `tests/peft/check_decoders.py` to compare with PEFT's. Ignored: it needs folders to read.
//!
//! ```sh
//! RETUNE_BASE=base RETUNE_ADAPTER=adapter RETUNE_TEXTS=texts.jsonl RETUNE_LOGITS=logits.json \
//!     cargo test --test it print_logits -- --ignored
//! python tests/peft/compare_logits.py --base base --adapter adapter --texts texts.jsonl --logits logits.json
//! ```

use std::path::PathBuf;

use retune::adapter::{Adapter, WholeModel};
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
    let dir = path("RETUNE_ADAPTER");
    let (record, model) = if dir.join("config.json").exists() {
        let record = WholeModel::read_dir(&dir).unwrap();
        let whole = Checkpoint::from_dir(&dir).unwrap();
        let model = Model::load_whole(&whole, &record).unwrap();
        (record, model)
    } else {
        let adapter = Adapter::read_dir(&dir).unwrap();
        let model = Model::load_adapter(&checkpoint, &adapter).unwrap();
        (adapter.record, model)
    };
    let tokenizer = Tokenizer::from_bytes(&checkpoint.tokenizer, record.max_length).unwrap();
    let texts = std::fs::read_to_string(path("RETUNE_TEXTS")).unwrap();
    let (mut rows, mut logits) = (Vec::new(), Vec::new());
    for line in texts.lines() {
        let row: Value = serde_json::from_str(line).unwrap();
        let ids = tokenizer.encode(row["text"].as_str().unwrap()).unwrap().ids;
        logits.push(model.logits(&Batch::new([&ids[..]], Vec::new())).unwrap());
        rows.push(ids);
    }
    let document = json!({"labels": record.labels, "ids": rows, "logits": logits});
    std::fs::write(path("RETUNE_LOGITS"), document.to_string()).unwrap();
}
