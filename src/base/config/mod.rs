//! `config.json` of every model family that has code here, in the spellings of transformers 4 and 5.
//!
//! One [`Config`] holds what the numbers of a forward pass depend on; what differs between families is data here, so that
//! the networks are written once. A model type, rope type, activation or flag without code is an error that names it.

mod fields;
mod rope;
#[cfg(test)]
mod tests;

pub use rope::Rope;

use fields::Fields;

use super::{CheckpointError, Pooling};

/// The shape of a model.
#[derive(Debug, Clone, PartialEq)]
pub struct Config {
    /// Whose layers these are.
    pub family: Family,
    /// Rows of the word embedding.
    pub vocab_size: usize,
    /// Width of every hidden state.
    pub hidden_size: usize,
    /// Width of the feed-forward layer.
    pub intermediate_size: usize,
    /// Query heads.
    pub num_attention_heads: usize,
    /// Key and value heads; divides the query heads.
    pub num_key_value_heads: usize,
    /// Elements of one head.
    pub head_dim: usize,
    /// Positions that the model was made for.
    pub max_position_embeddings: usize,
    /// The first position's row in a learned table.
    pub position_offset: usize,
    /// Rows of the token type embedding, 0 where there is none.
    pub type_vocab_size: usize,
    /// Added to the variance in every norm.
    pub norm_eps: f64,
    /// Standard deviation of freshly made weights.
    pub initializer_range: f64,
    /// Between the feed-forward layers.
    pub activation: Activation,
    /// Biases of the query, key and value projections.
    pub qkv_bias: bool,
    /// A bias of the attention's output projection.
    pub output_bias: bool,
    /// Biases of the feed-forward layers.
    pub mlp_bias: bool,
    /// Biases of the layer norms.
    pub norm_bias: bool,
    /// One entry per layer.
    pub layers: Vec<LayerConfig>,
    /// The rotations that layers point at.
    pub ropes: Vec<Rope>,
    /// Attention scores `s` become `cap·tanh(s/cap)`.
    pub attention_softcap: Option<f64>,
    /// Logits of the vocabulary likewise.
    pub final_softcap: Option<f64>,
    /// Multiplies word embeddings.
    pub embedding_scale: Option<f64>,
    /// The language-model head is the word embedding.
    pub tie_word_embeddings: bool,
    /// What fills up rows; a decoder's classifier looks at the last token that is another.
    pub pad_token_id: Option<u32>,
    /// Tokens that end a text.
    pub eos_token_ids: Vec<u32>,
    /// What the family's own classifier looks at.
    pub pooling: Pooling,
    /// ModernBERT: the classifier's dense layer has a bias.
    pub classifier_bias: bool,
    /// ModernBERT: after the classifier's dense layer.
    pub classifier_activation: Activation,
    /// The text model inside a model of several modalities.
    pub nested: bool,
}

/// What differs from layer to layer.
#[derive(Debug, Clone, PartialEq)]
pub struct LayerConfig {
    /// How far away a token may be to be seen.
    pub reach: Option<usize>,
    /// Which of the configuration's rotations turns queries and keys.
    pub rope: Option<usize>,
    /// Multiplies attention scores.
    pub scale: f64,
}

/// A family of models that share names and structure.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Family {
    /// Llama 2 and 3, TinyLlama, SmolLM.
    Llama,
    /// Qwen 2 and 2.5.
    Qwen2,
    /// Qwen 3.
    Qwen3,
    /// Mistral.
    Mistral,
    /// Gemma 2.
    Gemma2,
    /// Gemma 3, text.
    Gemma3,
    /// Phi-3 and Phi-4.
    Phi3,
    /// SmolLM 3.
    SmolLm3,
    /// GPT-2.
    Gpt2,
    /// BERT and MiniLM.
    Bert,
    /// RoBERTa and XLM-RoBERTa.
    Roberta,
    /// DistilBERT.
    DistilBert,
    /// ModernBERT.
    ModernBert,
}

/// An element-wise function.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Activation {
    /// `x·σ(x)`.
    Silu,
    /// `x·Φ(x)`.
    Gelu,
    /// GELU by its approximation with tanh.
    GeluTanh,
    /// `max(x, 0)`.
    Relu,
    /// The hyperbolic tangent.
    Tanh,
}

const MODEL_TYPES: &str = "llama, qwen2, qwen3, mistral, gemma2, gemma3_text, gemma3, phi3, smollm3, gpt2, bert, roberta, \
     xlm-roberta, distilbert and modernbert";

impl Config {
    /// Reads `config.json`.
    pub fn parse(bytes: &[u8]) -> Result<Self, CheckpointError> {
        let fields = Fields::parse(bytes)?;
        let config = Self::of(&fields)?;
        config.check()?;
        Ok(config)
    }

    /// Whether every token sees only what is before it.
    pub fn is_decoder(&self) -> bool {
        self.family.is_decoder()
    }

    /// The longest row, in tokens.
    pub fn longest(&self) -> usize {
        self.max_position_embeddings
            .saturating_sub(self.position_offset)
    }

    /// How many layers there are.
    pub fn num_hidden_layers(&self) -> usize {
        self.layers.len()
    }

    fn of(fields: &Fields) -> Result<Self, CheckpointError> {
        fields.refuse("quantization_config")?;
        match fields.text("model_type")?.as_deref() {
            Some("llama") => decoder(Family::Llama, fields),
            Some("qwen2") => decoder(Family::Qwen2, fields),
            Some("qwen3") => decoder(Family::Qwen3, fields),
            Some("mistral") => decoder(Family::Mistral, fields),
            Some("gemma2") => decoder(Family::Gemma2, fields),
            Some("gemma3_text") => decoder(Family::Gemma3, fields),
            Some("gemma3") => {
                let mut config = decoder(Family::Gemma3, &fields.inner("text_config")?)?;
                config.nested = true;
                Ok(config)
            }
            Some("phi3") => decoder(Family::Phi3, fields),
            Some("smollm3") => decoder(Family::SmolLm3, fields),
            Some("gpt2") => gpt2(fields),
            Some("bert") => encoder(Family::Bert, fields),
            Some("roberta" | "xlm-roberta") => encoder(Family::Roberta, fields),
            Some("distilbert") => distilbert(fields),
            Some("modernbert") => modernbert(fields),
            Some(other) => Err(CheckpointError::Unsupported {
                key: "model_type",
                found: other.to_owned(),
                supported: MODEL_TYPES,
            }),
            None => Err(CheckpointError::Config("model_type is missing".to_owned())),
        }
    }

    fn check(&self) -> Result<(), CheckpointError> {
        let sizes = [
            self.vocab_size,
            self.hidden_size,
            self.intermediate_size,
            self.num_attention_heads,
            self.num_key_value_heads,
            self.head_dim,
            self.longest(),
            self.layers.len(),
        ];
        let fault = |why: &str| Err(CheckpointError::Config(why.to_owned()));
        if sizes.iter().any(|&size| size == 0 || size > 1 << 24) {
            return fault("a size is zero or absurd");
        }
        if !self
            .num_attention_heads
            .is_multiple_of(self.num_key_value_heads)
        {
            return fault("num_key_value_heads does not divide num_attention_heads");
        }
        if !(self.norm_eps > 0.0 && self.initializer_range > 0.0) {
            return fault("the norms' epsilon and initializer_range must be positive");
        }
        let finite = |number: Option<f64>| number.is_none_or(|n| n.is_finite() && n > 0.0);
        if !(finite(self.attention_softcap) && finite(self.final_softcap)) {
            return fault("a softcap must be positive");
        }
        if self
            .layers
            .iter()
            .any(|layer| !(layer.scale.is_finite() && layer.scale > 0.0))
        {
            return fault("the attention's scale must be positive");
        }
        Ok(())
    }
}

impl Family {
    /// Whether its tokens see only what is before them.
    pub fn is_decoder(self) -> bool {
        !matches!(
            self,
            Self::Bert | Self::Roberta | Self::DistilBert | Self::ModernBert
        )
    }

    /// Whether norms multiply by `1 + w`.
    pub fn is_gemma(self) -> bool {
        matches!(self, Self::Gemma2 | Self::Gemma3)
    }
}

impl Activation {
    fn of(key: &'static str, name: &str) -> Result<Self, CheckpointError> {
        match name {
            "silu" | "swish" => Ok(Self::Silu),
            "gelu" => Ok(Self::Gelu),
            "gelu_new" | "gelu_pytorch_tanh" | "gelu_fast" => Ok(Self::GeluTanh),
            "relu" => Ok(Self::Relu),
            "tanh" => Ok(Self::Tanh),
            other => Err(CheckpointError::Unsupported {
                key,
                found: other.to_owned(),
                supported: "silu, gelu, gelu_new, gelu_pytorch_tanh, relu and tanh",
            }),
        }
    }
}

/// Llama and what grew out of it.
fn decoder(family: Family, fields: &Fields) -> Result<Config, CheckpointError> {
    let gemma = family.is_gemma();
    let defaults = Defaults::of(family);
    let hidden_size = fields.size_or("hidden_size", defaults.hidden_size)?;
    let num_attention_heads = fields.size_or("num_attention_heads", defaults.heads)?;
    let num_key_value_heads = match fields.size("num_key_value_heads")? {
        Some(heads) => heads,
        None if fields.is_null("num_key_value_heads") => num_attention_heads,
        None => defaults.key_value_heads.unwrap_or(num_attention_heads),
    };
    let head_dim = match (fields.size("head_dim")?, defaults.head_dim) {
        (Some(size), _) | (None, Some(size)) => size,
        (None, None) if hidden_size.is_multiple_of(num_attention_heads) => {
            hidden_size / num_attention_heads
        }
        (None, None) => {
            return Err(CheckpointError::Config(
                "num_attention_heads does not divide hidden_size, and there is no head_dim"
                    .to_owned(),
            ));
        }
    };
    let max_position_embeddings =
        fields.size_or("max_position_embeddings", defaults.max_position_embeddings)?;
    if gemma {
        fields.refuse("use_bidirectional_attention")?;
    }
    if family == Family::Gemma3 {
        fields.refuse("attn_logit_softcapping")?;
    }
    let count = fields.size_or("num_hidden_layers", defaults.layers)?;
    let scale = if gemma {
        fields.number_or("query_pre_attn_scalar", 256.0)?
    } else {
        head_dim as f64
    };
    let (ropes, rope_of) = rope::of_decoder(family, fields, head_dim, max_position_embeddings)?;
    let windows = windows(family, fields, count)?;
    let rotated = rotated(family, fields, count)?;
    let layers = windows.into_iter().zip(rotated).map(|(window, rotated)| {
        let sliding = window.is_some();
        LayerConfig {
            // A causal window counts the token itself.
            reach: window.map(|window| window - 1),
            rope: rotated.then(|| rope_of(sliding)),
            scale: 1.0 / scale.sqrt(),
        }
    });
    let attention_bias = match family {
        Family::Mistral | Family::Phi3 | Family::Qwen2 => false,
        _ => fields.flag("attention_bias")?.unwrap_or(false),
    };
    let takes_mlp_bias = matches!(family, Family::Llama | Family::SmolLm3);
    let activation = if gemma {
        let name = fields.text("hidden_activation")?;
        Activation::of(
            "hidden_activation",
            name.as_deref().unwrap_or("gelu_pytorch_tanh"),
        )?
    } else {
        let name = fields.text("hidden_act")?;
        Activation::of("hidden_act", name.as_deref().unwrap_or("silu"))?
    };
    let cap = |key, default: Option<f64>| match fields.number(key)? {
        None if fields.is_null(key) => Ok(None),
        None => Ok(default),
        found => Ok::<_, CheckpointError>(found),
    };
    let (attention_softcap, final_softcap) = match family {
        Family::Gemma2 => (
            cap("attn_logit_softcapping", Some(50.0))?,
            cap("final_logit_softcapping", Some(30.0))?,
        ),
        Family::Gemma3 => (None, cap("final_logit_softcapping", None)?),
        _ => (None, None),
    };
    Ok(Config {
        family,
        vocab_size: fields.size_or("vocab_size", defaults.vocab_size)?,
        hidden_size,
        intermediate_size: fields.size_or("intermediate_size", defaults.intermediate_size)?,
        num_attention_heads,
        num_key_value_heads,
        head_dim,
        max_position_embeddings,
        position_offset: 0,
        type_vocab_size: 0,
        norm_eps: fields.number_or(
            "rms_norm_eps",
            if family == Family::Phi3 { 1e-5 } else { 1e-6 },
        )?,
        initializer_range: fields.number_or("initializer_range", 0.02)?,
        activation,
        qkv_bias: attention_bias || family == Family::Qwen2,
        output_bias: attention_bias,
        mlp_bias: takes_mlp_bias && fields.flag("mlp_bias")?.unwrap_or(false),
        norm_bias: false,
        layers: layers.collect(),
        ropes,
        attention_softcap,
        final_softcap,
        embedding_scale: gemma.then(|| (hidden_size as f64).sqrt()),
        tie_word_embeddings: fields
            .flag("tie_word_embeddings")?
            .unwrap_or(gemma || family == Family::SmolLm3),
        pad_token_id: fields.id("pad_token_id")?,
        eos_token_ids: fields.ids("eos_token_id")?,
        pooling: Pooling::Last,
        classifier_bias: false,
        classifier_activation: Activation::Gelu,
        nested: false,
    })
}

/// What transformers takes for keys that a file leaves out; 0 where every file has the key.
struct Defaults {
    vocab_size: usize,
    hidden_size: usize,
    intermediate_size: usize,
    layers: usize,
    heads: usize,
    key_value_heads: Option<usize>,
    head_dim: Option<usize>,
    max_position_embeddings: usize,
}

impl Defaults {
    fn of(family: Family) -> Self {
        let none = Self {
            vocab_size: 0,
            hidden_size: 0,
            intermediate_size: 0,
            layers: 0,
            heads: 0,
            key_value_heads: None,
            head_dim: None,
            max_position_embeddings: 0,
        };
        match family {
            Family::Qwen2 => Self {
                key_value_heads: Some(32),
                ..none
            },
            Family::Qwen3 => Self {
                key_value_heads: Some(32),
                head_dim: Some(128),
                ..none
            },
            Family::Mistral => Self {
                key_value_heads: Some(8),
                ..none
            },
            Family::SmolLm3 => Self {
                key_value_heads: Some(4),
                ..none
            },
            Family::Gemma2 => Self {
                key_value_heads: Some(4),
                head_dim: Some(256),
                ..none
            },
            // Files of models of several modalities leave most of the text model's keys out.
            Family::Gemma3 => Self {
                vocab_size: 262_208,
                hidden_size: 2304,
                intermediate_size: 9216,
                layers: 26,
                heads: 8,
                key_value_heads: Some(4),
                head_dim: Some(256),
                max_position_embeddings: 131_072,
            },
            _ => none,
        }
    }
}

/// The window of each layer, where it has one.
fn windows(
    family: Family,
    fields: &Fields,
    count: usize,
) -> Result<Vec<Option<usize>>, CheckpointError> {
    let default = match family {
        Family::Llama | Family::Gpt2 => return Ok(vec![None; count]),
        Family::Phi3 | Family::SmolLm3 => None,
        _ => Some(4096),
    };
    let window = match fields.size("sliding_window")? {
        None if fields.is_null("sliding_window") => None,
        None => default,
        found => found,
    };
    // These keep the key for when the flag is set.
    let flagged = matches!(family, Family::Qwen2 | Family::Qwen3 | Family::SmolLm3);
    let window = window
        .filter(|_| !flagged || fields.flag("use_sliding_window").ok().flatten() == Some(true));
    // Every layer of these is alike.
    if matches!(family, Family::Mistral | Family::Phi3) {
        return Ok(vec![window; count]);
    }
    let first = fields.size_or("max_window_layers", 28)?;
    let pattern = fields.size_or("sliding_window_pattern", 6)?.max(1);
    let sliding = match fields.texts("layer_types")? {
        Some(types) => sliding(&types, count)?,
        None => match family {
            Family::Gemma2 => (0..count).map(|i| i % 2 == 0).collect(),
            Family::Gemma3 => (0..count).map(|i| (i + 1) % pattern != 0).collect(),
            Family::SmolLm3 => rotated(family, fields, count)?
                .iter()
                .map(|rope| !rope)
                .collect(),
            _ => (0..count).map(|i| i >= first).collect(),
        },
    };
    if gemma_without_window(family, window, &sliding) {
        return Err(CheckpointError::Config(
            "layer_types has sliding_attention but sliding_window is null".to_owned(),
        ));
    }
    Ok(sliding
        .into_iter()
        .map(|slides| window.filter(|_| slides))
        .collect())
}

fn gemma_without_window(family: Family, window: Option<usize>, sliding: &[bool]) -> bool {
    family.is_gemma() && window.is_none() && sliding.contains(&true)
}

/// Which layers of `layer_types` see a window only.
fn sliding(types: &[String], count: usize) -> Result<Vec<bool>, CheckpointError> {
    if types.len() != count {
        let found = types.len();
        return Err(CheckpointError::Config(format!(
            "layer_types has {found} entries for {count} layers"
        )));
    }
    let slides = |kind: &String| match kind.as_str() {
        "sliding_attention" => Ok(true),
        "full_attention" => Ok(false),
        other => Err(CheckpointError::Unsupported {
            key: "layer_types",
            found: other.to_owned(),
            supported: "full_attention and sliding_attention",
        }),
    };
    types.iter().map(slides).collect()
}

/// Which layers turn queries and keys by their positions.
fn rotated(family: Family, fields: &Fields, count: usize) -> Result<Vec<bool>, CheckpointError> {
    if family != Family::SmolLm3 {
        return Ok(vec![true; count]);
    }
    let every = fields.size_or("no_rope_layer_interval", 4)?.max(1);
    match fields.numbers("no_rope_layers")? {
        None => Ok((0..count).map(|i| (i + 1) % every != 0).collect()),
        Some(flags) if flags.len() >= count => {
            Ok(flags[..count].iter().map(|flag| *flag != 0.0).collect())
        }
        Some(flags) => Err(CheckpointError::Config(format!(
            "no_rope_layers has {} entries for {count} layers",
            flags.len()
        ))),
    }
}

fn gpt2(fields: &Fields) -> Result<Config, CheckpointError> {
    fields.refuse("add_cross_attention")?;
    let size = |old: &'static str, new: &'static str| match fields.size(old)? {
        Some(size) => Ok(size),
        None => fields.size_or(new, 0),
    };
    let hidden_size = size("n_embd", "hidden_size")?;
    let heads = size("n_head", "num_attention_heads")?;
    let count = size("n_layer", "num_hidden_layers")?;
    let head_dim = divided(hidden_size, heads)?;
    let scaled = fields.flag("scale_attn_weights")?.unwrap_or(true);
    let by_layer = fields
        .flag("scale_attn_by_inverse_layer_idx")?
        .unwrap_or(false);
    let scale = if scaled {
        1.0 / (head_dim as f64).sqrt()
    } else {
        1.0
    };
    let layers = (0..count).map(|index| LayerConfig {
        reach: None,
        rope: None,
        scale: if by_layer {
            scale / (index + 1) as f64
        } else {
            scale
        },
    });
    let name = fields.text("activation_function")?;
    Ok(Config {
        vocab_size: fields.size_or("vocab_size", 0)?,
        intermediate_size: fields.size("n_inner")?.unwrap_or(4 * hidden_size),
        max_position_embeddings: size("n_positions", "max_position_embeddings")?,
        norm_eps: fields.number_or("layer_norm_epsilon", 1e-5)?,
        initializer_range: fields.number_or("initializer_range", 0.02)?,
        activation: Activation::of("activation_function", name.as_deref().unwrap_or("gelu_new"))?,
        layers: layers.collect(),
        tie_word_embeddings: fields.flag("tie_word_embeddings")?.unwrap_or(true),
        pad_token_id: fields.id("pad_token_id")?,
        eos_token_ids: fields.ids("eos_token_id")?,
        pooling: Pooling::Last,
        ..biased(Family::Gpt2, hidden_size, heads, head_dim)
    })
}

/// BERT and RoBERTa.
fn encoder(family: Family, fields: &Fields) -> Result<Config, CheckpointError> {
    fields.refuse("is_decoder")?;
    fields.refuse("add_cross_attention")?;
    match fields.text("position_embedding_type")?.as_deref() {
        None | Some("absolute") => {}
        Some(other) => {
            return Err(CheckpointError::Unsupported {
                key: "position_embedding_type",
                found: other.to_owned(),
                supported: "absolute",
            });
        }
    }
    let hidden_size = fields.size_or("hidden_size", 0)?;
    let heads = fields.size_or("num_attention_heads", 0)?;
    let head_dim = divided(hidden_size, heads)?;
    let pad = fields.id("pad_token_id")?;
    let roberta = family == Family::Roberta;
    let name = fields.text("hidden_act")?;
    Ok(Config {
        vocab_size: fields.size_or("vocab_size", 0)?,
        intermediate_size: fields.size_or("intermediate_size", 0)?,
        max_position_embeddings: fields.size_or("max_position_embeddings", 0)?,
        // Positions of RoBERTa count on from the padding id.
        position_offset: if roberta {
            pad.unwrap_or(1) as usize + 1
        } else {
            0
        },
        type_vocab_size: fields.size_or("type_vocab_size", 2)?,
        norm_eps: fields.number_or("layer_norm_eps", 1e-12)?,
        initializer_range: fields.number_or("initializer_range", 0.02)?,
        activation: Activation::of("hidden_act", name.as_deref().unwrap_or("gelu"))?,
        layers: plain_layers(fields.size_or("num_hidden_layers", 0)?, head_dim),
        pad_token_id: pad,
        ..biased(family, hidden_size, heads, head_dim)
    })
}

fn distilbert(fields: &Fields) -> Result<Config, CheckpointError> {
    let hidden_size = fields.size_or("dim", 768)?;
    let heads = fields.size_or("n_heads", 12)?;
    let head_dim = divided(hidden_size, heads)?;
    let name = fields.text("activation")?;
    Ok(Config {
        vocab_size: fields.size_or("vocab_size", 30522)?,
        intermediate_size: fields.size_or("hidden_dim", 3072)?,
        max_position_embeddings: fields.size_or("max_position_embeddings", 512)?,
        norm_eps: 1e-12,
        initializer_range: fields.number_or("initializer_range", 0.02)?,
        activation: Activation::of("activation", name.as_deref().unwrap_or("gelu"))?,
        layers: plain_layers(fields.size_or("n_layers", 6)?, head_dim),
        pad_token_id: fields.id("pad_token_id")?,
        ..biased(Family::DistilBert, hidden_size, heads, head_dim)
    })
}

fn modernbert(fields: &Fields) -> Result<Config, CheckpointError> {
    let hidden_size = fields.size_or("hidden_size", 0)?;
    let heads = fields.size_or("num_attention_heads", 0)?;
    let head_dim = divided(hidden_size, heads)?;
    let count = fields.size_or("num_hidden_layers", 0)?;
    let max_position_embeddings = fields.size_or("max_position_embeddings", 8192)?;
    let every = fields.size_or("global_attn_every_n_layers", 3)?.max(1);
    let sliding = match fields.texts("layer_types")? {
        Some(types) => sliding(&types, count)?,
        None => (0..count).map(|i| i % every != 0).collect(),
    };
    let window = fields.size_or("local_attention", 128)?;
    let (ropes, rope_of) = rope::of_modernbert(fields, head_dim, max_position_embeddings)?;
    let layers = sliding.into_iter().map(|slides| LayerConfig {
        // Half of the window on each side.
        reach: slides.then_some(window / 2),
        rope: Some(rope_of(slides)),
        scale: 1.0 / (head_dim as f64).sqrt(),
    });
    let flag = |key| Ok::<_, CheckpointError>(fields.flag(key)?.unwrap_or(false));
    let attention_bias = flag("attention_bias")?;
    let activation = fields.text("hidden_activation")?;
    let classifier = fields.text("classifier_activation")?;
    let pooling = match fields.text("classifier_pooling")?.as_deref() {
        None | Some("cls") => Pooling::Cls,
        Some("mean") => Pooling::Mean,
        Some(other) => {
            return Err(CheckpointError::Unsupported {
                key: "classifier_pooling",
                found: other.to_owned(),
                supported: "cls and mean",
            });
        }
    };
    Ok(Config {
        vocab_size: fields.size_or("vocab_size", 50_368)?,
        intermediate_size: fields.size_or("intermediate_size", 0)?,
        max_position_embeddings,
        norm_eps: fields.number_or("norm_eps", 1e-5)?,
        initializer_range: fields.number_or("initializer_range", 0.02)?,
        activation: Activation::of("hidden_activation", activation.as_deref().unwrap_or("gelu"))?,
        qkv_bias: attention_bias,
        output_bias: attention_bias,
        mlp_bias: flag("mlp_bias")?,
        norm_bias: flag("norm_bias")?,
        layers: layers.collect(),
        ropes,
        pad_token_id: fields.id("pad_token_id")?,
        pooling,
        classifier_bias: flag("classifier_bias")?,
        classifier_activation: Activation::of(
            "classifier_activation",
            classifier.as_deref().unwrap_or("gelu"),
        )?,
        ..biased(Family::ModernBert, hidden_size, heads, head_dim)
    })
}

/// A model whose layers all have biases, with ordinary attention; the caller fills in the rest.
fn biased(family: Family, hidden_size: usize, heads: usize, head_dim: usize) -> Config {
    Config {
        family,
        vocab_size: 0,
        hidden_size,
        intermediate_size: 0,
        num_attention_heads: heads,
        num_key_value_heads: heads,
        head_dim,
        max_position_embeddings: 0,
        position_offset: 0,
        type_vocab_size: 0,
        norm_eps: 0.0,
        initializer_range: 0.0,
        activation: Activation::Gelu,
        qkv_bias: true,
        output_bias: true,
        mlp_bias: true,
        norm_bias: true,
        layers: Vec::new(),
        ropes: Vec::new(),
        attention_softcap: None,
        final_softcap: None,
        embedding_scale: None,
        tie_word_embeddings: false,
        pad_token_id: None,
        eos_token_ids: Vec::new(),
        pooling: Pooling::Cls,
        classifier_bias: true,
        classifier_activation: Activation::Gelu,
        nested: false,
    }
}

fn plain_layers(count: usize, head_dim: usize) -> Vec<LayerConfig> {
    let layer = LayerConfig {
        reach: None,
        rope: None,
        scale: 1.0 / (head_dim as f64).sqrt(),
    };
    vec![layer; count]
}

fn divided(hidden_size: usize, heads: usize) -> Result<usize, CheckpointError> {
    if heads == 0 || !hidden_size.is_multiple_of(heads) {
        return Err(CheckpointError::Config(
            "num_attention_heads does not divide hidden_size".to_owned(),
        ));
    }
    Ok(hidden_size / heads)
}
