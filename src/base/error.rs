//! What can be wrong with a checkpoint, or with what is asked of it.

use std::io;
use std::path::PathBuf;

/// A checkpoint that cannot be read or is not what its configuration says.
#[derive(Debug, thiserror::Error)]
pub enum CheckpointError {
    /// The file system refused.
    #[error("cannot read {}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// The system's answer.
        source: io::Error,
    },
    /// Neither `model.safetensors` nor its index.
    #[error("{} holds neither model.safetensors nor model.safetensors.index.json", .0.display())]
    NoWeights(PathBuf),
    /// An index that is not one.
    #[error("{} is not a shard index: {why}", path.display())]
    Index {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        why: String,
    },
    /// A shard that is not a safetensors file.
    #[error("{} is not a safetensors file: {why}", path.display())]
    Shard {
        /// The file.
        path: PathBuf,
        /// The parser's answer.
        why: String,
    },
    /// One name in two shards.
    #[error("tensor {name} is in two shards, the second is {}", path.display())]
    Duplicate {
        /// The tensor.
        name: String,
        /// The shard that repeats it.
        path: PathBuf,
    },
    /// A tensor that the configuration demands.
    #[error("the checkpoint has no tensor {0}")]
    Missing(String),
    /// A tensor of another shape than the configuration demands.
    #[error("tensor {name} has shape {found:?}; config.json demands {expected:?}")]
    Shape {
        /// The tensor.
        name: String,
        /// In the file.
        found: Vec<usize>,
        /// By the configuration.
        expected: Vec<usize>,
    },
    /// A storage type that is not f32, f16 or bf16.
    #[error("tensor {name} is stored as {dtype}; only F32, F16 and BF16 are read")]
    Type {
        /// The tensor.
        name: String,
        /// In the file.
        dtype: String,
    },
    /// A NaN or an infinity.
    #[error("tensor {0} holds a value that is not finite")]
    NotFinite(String),
    /// config.json is not JSON, or lacks a key.
    #[error("config.json is not a model configuration: {0}")]
    Config(String),
    /// A value that this version has no code for.
    #[error("config.json: {key} is {found:?}; this version supports {supported}")]
    Unsupported {
        /// The key.
        key: &'static str,
        /// Its value.
        found: String,
        /// What would do.
        supported: &'static str,
    },
}

/// A LoRA specification that cannot be applied.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum LoraError {
    /// A number outside its range.
    #[error("LoRA {key} is {found}; it must be {must}")]
    Range {
        /// The key.
        key: &'static str,
        /// Its value.
        found: String,
        /// What would do.
        must: &'static str,
    },
    /// More rank than a module has room for.
    #[error(
        "the rank {r} is more than {path} can hold, whose matrix is {outputs} × {inputs}; write at most {} for it, in lora.r or lora.rank_pattern",
        inputs.min(outputs)
    )]
    Rank {
        /// The module.
        path: String,
        /// What it was to get.
        r: usize,
        /// Width of what it writes.
        outputs: usize,
        /// Width of what it reads.
        inputs: usize,
    },
    /// A target outside of the layers.
    #[error(
        "target_modules selects {0}, an embedding: factors on it have no code in this version; leave it out, or train it whole with `modules_to_save`"
    )]
    Embedding(String),
    /// An embedding that would be trained apart from itself.
    #[error(
        "modules_to_save names {0}, but input and output embedding of the base are one matrix (tie_word_embeddings): PEFT would train a copy of one \
         of them; leave it out, or train every weight with `adapter: full`"
    )]
    Tied(String),
    /// A pattern that selects nothing.
    #[error("{key} {pattern:?} matches no module of this model; its modules are {available}")]
    NoMatch {
        /// The key that holds it, such as `target_modules`.
        key: &'static str,
        /// The pattern.
        pattern: String,
        /// The modules, one per kind.
        available: String,
    },
    /// A layer in which nothing is targeted.
    #[error(
        "layers_to_transform names layer {layer}, in which no module is targeted; there are targeted modules in layers {available:?}"
    )]
    NoLayer {
        /// The layer.
        layer: usize,
        /// Layers that have some.
        available: Vec<usize>,
    },
    /// Everything that was targeted was excluded.
    #[error("exclude_modules and modules_to_save leave none of the target modules")]
    NothingLeft,
    /// A module that would get factors and be trained whole.
    #[error(
        "{0} is targeted and, by the end of its path, named in modules_to_save; name the module to save by its full path"
    )]
    AdaptedAndSaved(String),
    /// Two keys of a pattern that match one module, in an order that is lost when PEFT saves them.
    #[error(
        "{key}: two keys match {path} and give it different values; PEFT takes the first and sorts the keys when it saves them, so order them by their text or make them exclude each other"
    )]
    Order {
        /// `rank_pattern` or `alpha_pattern`.
        key: &'static str,
        /// The module.
        path: String,
    },
    /// Keys that may not stand together.
    #[error("{0}")]
    Together(&'static str),
    /// A text that is not a regular expression, or one that cannot be matched.
    #[error("{key} {pattern:?} is not a regular expression that can be used: {why}")]
    Regex {
        /// The key that holds it.
        key: &'static str,
        /// The text.
        pattern: String,
        /// The parser's answer.
        why: String,
    },
}
