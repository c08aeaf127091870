//! A base as it is kept: what it is, how a folder gets into the store, how a checkpoint comes out again.
//!
//! [`import`] takes a Hugging Face folder: `config.json`, `tokenizer.json`, `model.safetensors` or an index with all its
//! shards, and the few small files that say how the model is used. Everything else in the folder is left where it is
//! and named. Symbolic links are followed to regular files, because that is how the Hugging Face cache keeps
//! snapshots (`snapshots/<revision>/config.json -> ../../blobs/…`); a link to anything else is refused.
//!
//! A base's identity is the tree of its files ([`BaseId`]), wherever they were downloaded from. The manifest adds what
//! the files say about the model and, where it is known, the repository and commit they came from.

mod error;
mod facts;
mod folder;
mod header;
mod import;
mod manifest;
mod open;
mod source;

#[cfg(test)]
mod tests;

pub use error::{BaseError, FileFault};
pub use facts::Facts;
pub(super) use facts::are_mostly_bf16;
pub use import::{Imported, import, inspect};
pub use manifest::{BaseId, BaseManifest};
pub use open::{BaseReport, open, verify};
pub use source::{Source, SourceError};
