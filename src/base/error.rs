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
    /// A pattern that selects nothing.
    #[error("{key} {pattern:?} matches no module of this model; its modules are {available}")]
    NoMatch {
        /// `target_modules` or `exclude_modules`.
        key: &'static str,
        /// The pattern.
        pattern: String,
        /// The modules, one per kind.
        available: String,
    },
    /// Everything that was targeted was excluded.
    #[error("exclude_modules leaves none of the target modules")]
    NothingLeft,
    /// A text that is not a regular expression.
    #[error("target_modules {pattern:?} is not a regular expression: {why}")]
    Regex {
        /// The text.
        pattern: String,
        /// The parser's answer.
        why: String,
    },
}
