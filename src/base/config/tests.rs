#![allow(clippy::unwrap_used)]
use super::*;

const BERT: &str = r#"{"model_type": "bert", "vocab_size": 30522, "hidden_size": 384, "num_hidden_layers": 6,
    "num_attention_heads": 12, "intermediate_size": 1536, "max_position_embeddings": 512}"#;
const LLAMA: &str = r#"{"model_type": "llama", "vocab_size": 300, "hidden_size": 32, "num_hidden_layers": 2,
    "num_attention_heads": 4, "intermediate_size": 56, "max_position_embeddings": 64, "rope_theta": 10000.0}"#;

fn parse(text: &str) -> Config {
    Config::parse(text.as_bytes()).unwrap()
}

#[test]
fn defaults_are_those_of_transformers() {
    let bert = parse(BERT);
    assert_eq!((bert.type_vocab_size, bert.norm_eps), (2, 1e-12));
    assert_eq!(bert.initializer_range, 0.02);
    let llama = parse(LLAMA);
    assert_eq!((llama.num_key_value_heads, llama.head_dim), (4, 8));
    assert_eq!((llama.norm_eps, llama.tie_word_embeddings), (1e-6, false));
    let mistral = parse(&LLAMA.replace("\"llama\"", "\"mistral\", \"num_key_value_heads\": 2"));
    assert_eq!(mistral.layers[0].reach, Some(4095));
    let none = LLAMA.replace(
        "\"llama\"",
        "\"mistral\", \"num_key_value_heads\": 2, \"sliding_window\": null",
    );
    assert_eq!(parse(&none).layers[0].reach, None);
}

#[test]
fn windows_and_rotations_follow_the_layers() {
    let smollm = LLAMA.replace("\"llama\"", "\"smollm3\", \"num_key_value_heads\": 2");
    let smollm = parse(&smollm.replace("\"num_hidden_layers\": 2", "\"num_hidden_layers\": 5"));
    let turned: Vec<bool> = smollm.layers.iter().map(|l| l.rope.is_some()).collect();
    assert_eq!(turned, [true, true, true, false, true]);
    let roberta = parse(&BERT.replace("\"bert\"", "\"roberta\", \"pad_token_id\": 1"));
    assert_eq!(roberta.longest(), 510);
}

#[test]
fn what_has_no_code_is_named() {
    for (text, from, to, named) in [
        (BERT, "\"bert\"", "\"t5\"", "t5"),
        (
            BERT,
            "\"hidden_size\"",
            "\"hidden_act\": \"mish\", \"hidden_size\"",
            "mish",
        ),
        (
            BERT,
            "\"hidden_size\"",
            "\"position_embedding_type\": \"relative_key\", \"hidden_size\"",
            "relative_key",
        ),
        (
            BERT,
            "\"hidden_size\"",
            "\"is_decoder\": true, \"hidden_size\"",
            "is_decoder",
        ),
        (
            BERT,
            "\"model_type\": \"bert\",",
            "",
            "model_type is missing",
        ),
        (BERT, "\"hidden_size\": 384,", "", "hidden_size is missing"),
        (BERT, "384", "385", "does not divide"),
        (
            LLAMA,
            "\"rope_theta\": 10000.0",
            "\"rope_scaling\": {\"rope_type\": \"spiral\"}",
            "spiral",
        ),
        (
            LLAMA,
            "\"rope_theta\": 10000.0",
            "\"rope_scaling\": {\"rope_type\": \"linear\"}",
            "factor",
        ),
        (
            LLAMA,
            "\"rope_theta\": 10000.0",
            "\"quantization_config\": {\"bits\": 4}",
            "quantization_config",
        ),
    ] {
        let error = Config::parse(text.replace(from, to).as_bytes())
            .unwrap_err()
            .to_string();
        assert!(error.contains(named), "{error}");
    }
}
