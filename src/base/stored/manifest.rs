//! What a base is: which files, and what they say about the model.

use serde::{Deserialize, Serialize};

use super::error::BaseError;
use super::facts::Facts;
use super::source::Source;
use crate::document::canonical;
use crate::store::{Tree, TreeEntry, TreeId};

crate::typed_id!(
    /// Identifies a base: the digest of the tree of its files.
    BaseId
);

const SCHEMA: &str = "retune.base/1";

/// Names the exact files of a base and what they are.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BaseManifest {
    /// The tree of the files; the identity.
    pub tree: TreeId,
    /// The files, sorted by path.
    pub files: Vec<TreeEntry>,
    /// What the files say.
    pub model: Facts,
    /// Where they were downloaded from, as far as is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source: Option<Source>,
}

impl BaseManifest {
    pub(super) fn new(tree: &Tree, model: Facts, source: Option<Source>) -> Self {
        Self {
            tree: tree.id(),
            files: tree.entries().to_vec(),
            model,
            source,
        }
    }

    /// The base's identity.
    pub fn id(&self) -> BaseId {
        self.tree.digest().into()
    }

    /// The manifest's canonical bytes.
    pub fn encode(&self) -> Result<Vec<u8>, BaseError> {
        canonical::encode(SCHEMA, self).map_err(BaseError::Manifest)
    }

    /// Reads what [`encode`](Self::encode) wrote, and checks that the files form the tree.
    pub fn decode(bytes: &[u8]) -> Result<Self, BaseError> {
        let manifest: Self = canonical::decode(SCHEMA, bytes).map_err(BaseError::Manifest)?;
        let tree = manifest.as_tree()?;
        if tree.id() != manifest.tree || tree.entries() != manifest.files {
            return Err(BaseError::Contradiction {
                id: manifest.id(),
                what: format!("its files form the tree {}", tree.id()),
            });
        }
        Ok(manifest)
    }

    /// The files as a tree.
    pub fn as_tree(&self) -> Result<Tree, BaseError> {
        Tree::new(self.files.clone()).map_err(BaseError::Tree)
    }

    /// The file at `path`.
    pub fn file(&self, path: &str) -> Option<&TreeEntry> {
        self.files.iter().find(|entry| entry.path == path)
    }

    /// All bytes of all files.
    pub fn size(&self) -> u64 {
        self.files.iter().map(|entry| entry.size).sum()
    }

    /// The safetensors files, sorted by path.
    pub fn shards(&self) -> impl Iterator<Item = &TreeEntry> {
        self.files
            .iter()
            .filter(|entry| entry.path.ends_with(".safetensors"))
    }
}
