//! What a checkpoint's files say about the model.

use std::collections::BTreeMap;

use safetensors::Dtype;
use safetensors::tensor::TensorInfo;
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// What a checkpoint's files say about the model.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Facts {
    /// `model_type` of `config.json`, such as `bert`.
    pub model_type: String,
    /// The first of `architectures`, such as `BertModel`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub architecture: Option<String>,
    /// Elements of all floating-point tensors. Integer buffers such as position ids are not counted.
    pub parameters: u64,
    /// How most of them are stored, in safetensors' spelling, such as `F32` or `BF16`.
    pub dtype: String,
    /// Width of the hidden states.
    pub hidden_size: u64,
    /// Layers of the encoder or decoder.
    pub layers: u64,
    /// Rows of the word embedding.
    pub vocab: u64,
}

/// The facts of `config.json`; those of the weights are still empty.
pub(super) fn of_config(bytes: &[u8]) -> Result<Facts, String> {
    let config: Value = serde_json::from_slice(bytes).map_err(|e| format!("not JSON: {e}"))?;
    let Value::Object(_) = &config else {
        return Err("not a JSON object".to_owned());
    };
    let model_type = config.get("model_type").and_then(Value::as_str);
    let architecture = config
        .get("architectures")
        .and_then(|list| list.get(0))
        .and_then(Value::as_str);
    Ok(Facts {
        model_type: model_type
            .ok_or("model_type is missing; is this the configuration of a model?")?
            .to_owned(),
        architecture: architecture.map(str::to_owned),
        parameters: 0,
        dtype: String::new(),
        hidden_size: size(&config, &["hidden_size", "n_embd", "d_model", "dim"])?,
        layers: size(
            &config,
            &["num_hidden_layers", "n_layer", "num_layers", "n_layers"],
        )?,
        vocab: size(&config, &["vocab_size"])?,
    })
}

/// A positive whole number under one of its spellings; models of several modalities keep it in `text_config`.
fn size(config: &Value, spellings: &[&str]) -> Result<u64, String> {
    let places = [Some(config), config.get("text_config")];
    let found = places
        .into_iter()
        .flatten()
        .find_map(|place| spellings.iter().find_map(|name| place.get(name)));
    match found.map(Value::as_u64) {
        Some(Some(number @ 1..)) => Ok(number),
        Some(_) => Err(format!("{} is not a positive whole number", spellings[0])),
        None => Err(format!("{} is missing", spellings[0])),
    }
}

impl Facts {
    /// Adds what the tensors of all shards say.
    pub(super) fn count(mut self, tensors: &BTreeMap<String, TensorInfo>) -> Result<Self, String> {
        let by_type = by_type(tensors.values().map(|info| (info.dtype, &*info.shape)));
        self.parameters = by_type.values().sum();
        self.dtype = most(by_type).ok_or("no tensor holds floating-point numbers")?;
        Ok(self)
    }

    /// Whether most weights are stored in bf16.
    pub fn is_bf16(&self) -> bool {
        self.dtype == BF16
    }
}

/// How safetensors spells bf16.
const BF16: &str = "BF16";

/// Whether most floating-point numbers of tensors are stored in bf16, which [`Facts::is_bf16`] tells of a base.
pub(in crate::base) fn are_mostly_bf16<'a>(
    tensors: impl Iterator<Item = (Dtype, &'a [usize])>,
) -> bool {
    most(by_type(tensors)).is_some_and(|dtype| dtype == BF16)
}

/// Elements of all floating-point tensors, by how they are stored.
fn by_type<'a>(tensors: impl Iterator<Item = (Dtype, &'a [usize])>) -> BTreeMap<String, u64> {
    let mut by_type = BTreeMap::new();
    for (dtype, shape) in tensors.filter(|(dtype, _)| is_float(*dtype)) {
        let elements: u64 = shape.iter().map(|&side| side as u64).product();
        *by_type.entry(format!("{dtype:?}")).or_default() += elements;
    }
    by_type
}

fn most(by_type: BTreeMap<String, u64>) -> Option<String> {
    let most = by_type.into_iter().max_by_key(|(_, elements)| *elements);
    most.map(|(dtype, _)| dtype)
}

fn is_float(dtype: Dtype) -> bool {
    !matches!(
        dtype,
        Dtype::BOOL
            | Dtype::U8
            | Dtype::I8
            | Dtype::I16
            | Dtype::U16
            | Dtype::I32
            | Dtype::U32
            | Dtype::I64
            | Dtype::U64
    )
}
