//! Tokenizers and chat templates beside transformers: `tests/fixtures/parity`, or the directory that RETUNE_PARITY_DIR names
//! (`tests/fixtures/parity/generate.py` made the cases and describes them).

use std::fs;
use std::path::{Path, PathBuf};

use retune::base::chat::ChatTemplate;
use retune::base::{Checkpoint, Tokenizer, TokenizerConfig};
use retune::dataset::{Message, Role};
use serde_json::Value;

fn cases() -> Vec<PathBuf> {
    let dir = std::env::var_os("RETUNE_PARITY_DIR")
        .map_or_else(|| PathBuf::from("tests/fixtures/parity"), PathBuf::from);
    let entries = fs::read_dir(dir).unwrap();
    let mut cases: Vec<PathBuf> = entries
        .map(|entry| entry.unwrap().path())
        .filter(|case| case.join("expected.json").is_file())
        .collect();
    assert!(!cases.is_empty());
    cases.sort();
    cases
}

fn expected(case: &Path) -> Value {
    serde_json::from_str(&fs::read_to_string(case.join("expected.json")).unwrap()).unwrap()
}

fn tokenizer(checkpoint: &Checkpoint) -> Tokenizer {
    Tokenizer::from_bytes(&checkpoint.tokenizer, 4096).unwrap()
}

fn numbers(value: &Value) -> Vec<u32> {
    let items = value.as_array().unwrap().iter();
    items.map(|id| id.as_u64().unwrap() as u32).collect()
}

fn plain(tokenizer: &Tokenizer, text: &str) -> Vec<u32> {
    let pieces = tokenizer.pieces(text).unwrap();
    pieces.iter().map(|piece| piece.id).collect()
}

#[test]
fn texts_have_the_tokens_of_transformers() {
    for case in cases() {
        let checkpoint = Checkpoint::from_dir(&case.join("model")).unwrap();
        let tokenizer = tokenizer(&checkpoint);
        for probe in expected(&case)["tokenizer"].as_array().unwrap() {
            if !probe["pair"].is_null() {
                continue;
            }
            let text = probe["text"].as_str().unwrap();
            let bare = numbers(&probe["ids_plain"]);
            assert_eq!(plain(&tokenizer, text), bare, "{text:?}");
            if probe["decoded"] == text {
                assert_eq!(tokenizer.decode(&bare).unwrap(), text);
            }
        }
    }
}

#[test]
fn conversations_have_the_text_and_tokens_of_transformers() {
    let mut conversations = 0;
    for case in cases() {
        let expected = expected(&case);
        let Some(chats) = expected["chat"].as_array() else {
            continue;
        };
        let checkpoint = Checkpoint::from_dir(&case.join("model")).unwrap();
        let tokenizer = tokenizer(&checkpoint);
        let config = TokenizerConfig::of(&checkpoint).unwrap();
        let source = &config.templates["default"];
        let template = ChatTemplate::new(source, config.tokens.clone(), None).unwrap();
        for chat in chats {
            let messages: Vec<Message> = chat["messages"]
                .as_array()
                .unwrap()
                .iter()
                .map(message)
                .collect();
            let prompt = chat["add_generation_prompt"].as_bool().unwrap();
            let rendered = template.render(&messages, prompt).unwrap();
            assert_eq!(rendered.text, chat["text"].as_str().unwrap());
            assert_eq!(plain(&tokenizer, &rendered.text), numbers(&chat["ids"]));
            conversations += 1;
        }
    }
    assert!(conversations >= 3);
}

fn message(value: &Value) -> Message {
    let role = match value["role"].as_str().unwrap() {
        "system" => Role::System,
        "user" => Role::User,
        "assistant" => Role::Assistant,
        other => panic!("{other} is no role"),
    };
    Message {
        role,
        content: value["content"].as_str().unwrap().to_owned(),
    }
}
