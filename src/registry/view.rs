//! The registry at one commit: what everything is read from.

use serde::de::DeserializeOwned;

use super::error::RegistryError;
use super::layout;
use crate::document::canonical;
use crate::git::{CommitId, EntryKind, ObjectId, Repository};
use crate::name::TenantName;

/// A `<stem>.json` file of the registry, found but not read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Document {
    pub(super) stem: String,
    pub(super) path: String,
    object: ObjectId,
}

/// One state of the registry. Reads through one view never mix two states.
pub(super) struct View<'r> {
    pub(super) git: &'r Repository,
    pub(super) commit: CommitId,
}

impl View<'_> {
    pub(super) fn read(&self, path: &str) -> Result<Option<Vec<u8>>, RegistryError> {
        Ok(self.git.read(self.commit, path)?)
    }

    /// Reads a file that another one says is there.
    pub(super) fn expect(&self, path: &str) -> Result<Vec<u8>, RegistryError> {
        self.read(path)?
            .ok_or_else(|| damaged(path, "it is missing"))
    }

    /// The documents in a folder, sorted by name; nothing else may be there.
    pub(super) fn documents(&self, dir: &str) -> Result<Vec<Document>, RegistryError> {
        self.documents_where(dir, |_| true)
    }

    /// The documents in a folder whose stem is wanted, sorted by name.
    pub(super) fn documents_where(
        &self,
        dir: &str,
        wanted: impl Fn(&str) -> bool,
    ) -> Result<Vec<Document>, RegistryError> {
        let stem = |name: &str| name.strip_suffix(".json").is_none_or(&wanted);
        let entries = self.git.list_where(self.commit, dir, stem)?;
        let documents = entries.into_iter().map(|entry| {
            let path = format!("{dir}/{}", entry.name);
            match entry.name.strip_suffix(".json") {
                Some(stem) if entry.kind == EntryKind::File => Ok(Document {
                    stem: stem.to_owned(),
                    object: entry.object,
                    path,
                }),
                _ => Err(damaged(&path, "it does not belong here")),
            }
        });
        documents.collect()
    }

    /// The document of this stem in a folder.
    pub(super) fn document(
        &self,
        dir: &str,
        stem: &str,
    ) -> Result<Option<Document>, RegistryError> {
        let path = format!("{dir}/{stem}.json");
        let found = self.git.object_at(self.commit, &path)?;
        Ok(found.map(|object| Document {
            stem: stem.to_owned(),
            path,
            object,
        }))
    }

    /// A document's bytes.
    pub(super) fn load(&self, document: &Document) -> Result<Vec<u8>, RegistryError> {
        Ok(self.git.blob(document.object)?)
    }

    /// The names of the files in a folder.
    pub(super) fn files(&self, dir: &str) -> Result<Vec<String>, RegistryError> {
        let entries = self.git.list(self.commit, dir)?;
        let files = entries
            .into_iter()
            .filter(|entry| entry.kind == EntryKind::File);
        Ok(files.map(|entry| entry.name).collect())
    }

    /// The names of the folders in a folder.
    pub(super) fn folders(&self, dir: &str) -> Result<Vec<String>, RegistryError> {
        let entries = self.git.list(self.commit, dir)?;
        let folders = entries
            .into_iter()
            .filter(|entry| entry.kind == EntryKind::Directory)
            .map(|entry| entry.name);
        Ok(folders.collect())
    }

    /// Refuses a tenant that was never added.
    pub(super) fn require_tenant(&self, name: &TenantName) -> Result<(), RegistryError> {
        if self.read(&layout::tenant_file(name))?.is_some() {
            return Ok(());
        }
        Err(RegistryError::NoTenant {
            name: name.clone(),
            known: self.folders(layout::TENANTS)?,
        })
    }
}

/// The names of documents, to list in a message.
pub(super) fn stems<'d>(documents: impl IntoIterator<Item = &'d Document>) -> Vec<String> {
    let documents = documents.into_iter();
    documents.map(|document| document.stem.clone()).collect()
}

/// Decodes a canonical document of the registry.
pub(super) fn decode<T: DeserializeOwned>(
    schema: &str,
    path: &str,
    bytes: &[u8],
) -> Result<T, RegistryError> {
    canonical::decode(schema, bytes).map_err(|error| damaged(path, reason(&error)))
}

pub(super) fn damaged(path: &str, why: impl Into<String>) -> RegistryError {
    RegistryError::Damaged {
        path: path.to_owned(),
        why: why.into(),
    }
}

/// An error and everything below it on one line.
pub(super) fn reason(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text = format!("{text}: {cause}");
        source = cause.source();
    }
    text
}
