//! Where the modules of an adapter are in the files of a base.

use std::collections::{BTreeMap, BTreeSet};

use super::weight::Orientation;

/// How a family of checkpoints names things.
#[derive(Debug, Clone, Copy)]
pub(in crate::adapter) struct Family {
    /// transformers' name of the family, before `ForCausalLM` and `ForSequenceClassification`.
    pub(in crate::adapter) class: &'static str,
    /// The attribute that holds the network under its head, with a final dot.
    prefix: &'static str,
    pub(super) orientation: Orientation,
    /// Whether the head of a classifier reads the last real token, for which the padding must be known.
    pub(super) decoder: bool,
    /// Whether `config.json` says what the head of a classifier reads.
    pub(super) names_pooling: bool,
}

/// The family of a `model_type`.
pub(super) fn family(model_type: &str) -> Option<Family> {
    let encoder = |class, prefix| Family {
        class,
        prefix,
        orientation: Orientation::Linear,
        decoder: false,
        names_pooling: false,
    };
    let decoder = |class| Family {
        decoder: true,
        ..encoder(class, "model.")
    };
    Some(match model_type {
        "bert" => encoder("Bert", "bert."),
        "roberta" => encoder("Roberta", "roberta."),
        "xlm-roberta" => encoder("XLMRoberta", "roberta."),
        "distilbert" => encoder("DistilBert", "distilbert."),
        "modernbert" => Family {
            names_pooling: true,
            ..encoder("ModernBert", "model.")
        },
        "llama" => decoder("Llama"),
        "mistral" => decoder("Mistral"),
        "qwen2" => decoder("Qwen2"),
        "qwen3" => decoder("Qwen3"),
        "gemma2" => decoder("Gemma2"),
        "gemma3_text" => decoder("Gemma3Text"),
        "phi3" => decoder("Phi3"),
        "smollm3" => decoder("SmolLM3"),
        "gpt2" => Family {
            prefix: "transformer.",
            orientation: Orientation::Transposed,
            ..decoder("GPT2")
        },
        _ => return None,
    })
}

/// Whether `name` is of a head, which a base need not have.
pub(super) fn is_head(name: &str) -> bool {
    const HEADS: [&str; 6] = [
        "classifier.",
        "score.",
        "lm_head.",
        "pre_classifier.",
        "head.",
        "pooler.",
    ];
    HEADS.iter().any(|head| name.starts_with(head))
}

/// Whether `name` is the input embedding of a decoder.
pub(super) fn is_embedding(name: &str) -> bool {
    name.ends_with("embed_tokens.weight") || name.ends_with("wte.weight")
}

impl Family {
    /// The base's name of the tensor that transformers calls `name`: bare networks have no prefix.
    pub(super) fn find<T>(&self, name: &str, tensors: &BTreeMap<String, T>) -> Option<String> {
        let bare = name.strip_prefix(self.prefix).unwrap_or(name);
        let candidates = [
            name.to_owned(),
            bare.to_owned(),
            format!("{}{name}", self.prefix),
        ];
        candidates
            .into_iter()
            .find(|name| tensors.contains_key(name))
    }

    /// What has to stand before the names of a checkpoint that holds the bare network; nothing if it is not bare.
    pub(super) fn missing_prefix(&self, names: &BTreeSet<String>) -> Option<&'static str> {
        let bare = !names.iter().any(|name| name.starts_with(self.prefix));
        bare.then_some(self.prefix)
    }
}
