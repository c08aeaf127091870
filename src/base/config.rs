//! `config.json` of BERT encoders.

use serde::Deserialize;

use super::CheckpointError;

/// The shape of a BERT encoder, as `config.json` gives it (old and new spellings).
#[derive(Debug, Clone, PartialEq)]
pub struct BertConfig {
    /// Rows of the word embedding.
    pub vocab_size: usize,
    /// Width of every hidden state.
    pub hidden_size: usize,
    /// Encoder layers.
    pub num_hidden_layers: usize,
    /// Attention heads; divides `hidden_size`.
    pub num_attention_heads: usize,
    /// Width of the feed-forward layer.
    pub intermediate_size: usize,
    /// Longest sequence, in tokens.
    pub max_position_embeddings: usize,
    /// Rows of the token type embedding.
    pub type_vocab_size: usize,
    /// Added to the variance in every layer norm.
    pub layer_norm_eps: f64,
    /// Standard deviation of freshly made weights.
    pub initializer_range: f64,
}

impl BertConfig {
    /// Reads `config.json`; a model type, activation or position embedding that has no code here is an error that names it.
    pub fn parse(bytes: &[u8]) -> Result<Self, CheckpointError> {
        let wire: Wire =
            serde_json::from_slice(bytes).map_err(|e| CheckpointError::Config(e.to_string()))?;
        wire.check_supported()?;
        let missing = |key: &str| CheckpointError::Config(format!("{key} is missing"));
        let config = Self {
            vocab_size: wire.vocab_size.ok_or_else(|| missing("vocab_size"))?,
            hidden_size: wire.hidden_size.ok_or_else(|| missing("hidden_size"))?,
            num_hidden_layers: wire
                .num_hidden_layers
                .ok_or_else(|| missing("num_hidden_layers"))?,
            num_attention_heads: wire
                .num_attention_heads
                .ok_or_else(|| missing("num_attention_heads"))?,
            intermediate_size: wire
                .intermediate_size
                .ok_or_else(|| missing("intermediate_size"))?,
            max_position_embeddings: wire
                .max_position_embeddings
                .ok_or_else(|| missing("max_position_embeddings"))?,
            type_vocab_size: wire.type_vocab_size.unwrap_or(2),
            layer_norm_eps: wire.layer_norm_eps.unwrap_or(1e-12),
            initializer_range: wire.initializer_range.unwrap_or(0.02),
        };
        config.check_numbers()?;
        Ok(config)
    }

    fn check_numbers(&self) -> Result<(), CheckpointError> {
        let sizes = [
            self.vocab_size,
            self.hidden_size,
            self.num_hidden_layers,
            self.num_attention_heads,
            self.intermediate_size,
            self.max_position_embeddings,
            self.type_vocab_size,
        ];
        let fault = |why: &str| Err(CheckpointError::Config(why.to_owned()));
        if sizes.iter().any(|&size| size == 0 || size > 1 << 24) {
            return fault("a size is zero or absurd");
        }
        if !self.hidden_size.is_multiple_of(self.num_attention_heads) {
            return fault("num_attention_heads does not divide hidden_size");
        }
        if !(self.layer_norm_eps > 0.0 && self.initializer_range > 0.0) {
            return fault("layer_norm_eps and initializer_range must be positive");
        }
        Ok(())
    }
}

#[derive(Deserialize)]
struct Wire {
    model_type: Option<String>,
    hidden_act: Option<String>,
    position_embedding_type: Option<String>,
    #[serde(default)]
    is_decoder: bool,
    #[serde(default)]
    add_cross_attention: bool,
    vocab_size: Option<usize>,
    hidden_size: Option<usize>,
    num_hidden_layers: Option<usize>,
    num_attention_heads: Option<usize>,
    intermediate_size: Option<usize>,
    max_position_embeddings: Option<usize>,
    type_vocab_size: Option<usize>,
    layer_norm_eps: Option<f64>,
    initializer_range: Option<f64>,
}

impl Wire {
    fn check_supported(&self) -> Result<(), CheckpointError> {
        let unsupported = |key, found: &str, supported| {
            Err(CheckpointError::Unsupported {
                key,
                found: found.to_owned(),
                supported,
            })
        };
        match self.model_type.as_deref() {
            Some("bert") => {}
            Some(other) => return unsupported("model_type", other, "\"bert\""),
            None => {
                return Err(CheckpointError::Config("model_type is missing".to_owned()));
            }
        }
        match self.hidden_act.as_deref() {
            None | Some("gelu") => {}
            Some(other) => return unsupported("hidden_act", other, "\"gelu\""),
        }
        match self.position_embedding_type.as_deref() {
            None | Some("absolute") => {}
            Some(other) => {
                return unsupported("position_embedding_type", other, "\"absolute\"");
            }
        }
        if self.is_decoder || self.add_cross_attention {
            return unsupported("is_decoder", "true", "encoders only");
        }
        Ok(())
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    const MINIMAL: &str = r#"{"model_type": "bert", "vocab_size": 30522, "hidden_size": 384, "num_hidden_layers": 6,
        "num_attention_heads": 12, "intermediate_size": 1536, "max_position_embeddings": 512}"#;

    #[test]
    fn defaults_are_those_of_transformers() {
        let config = BertConfig::parse(MINIMAL.as_bytes()).unwrap();
        assert_eq!(config.type_vocab_size, 2);
        assert_eq!(config.layer_norm_eps, 1e-12);
        assert_eq!(config.initializer_range, 0.02);
    }

    #[test]
    fn what_has_no_code_is_named() {
        for (from, to, named) in [
            ("\"bert\"", "\"roberta\"", "roberta"),
            (
                "\"hidden_size\"",
                "\"hidden_act\": \"relu\", \"hidden_size\"",
                "relu",
            ),
            (
                "\"hidden_size\"",
                "\"position_embedding_type\": \"relative_key\", \"hidden_size\"",
                "relative_key",
            ),
            ("\"model_type\": \"bert\",", "", "model_type is missing"),
            ("\"hidden_size\": 384,", "", "hidden_size is missing"),
            ("384", "385", "does not divide"),
        ] {
            let error = BertConfig::parse(MINIMAL.replace(from, to).as_bytes())
                .unwrap_err()
                .to_string();
            assert!(error.contains(named), "{error}");
        }
    }
}
