//! Which projects use a store: what any of them names must stay.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::blob::Store;
use super::error::StoreError;
use crate::digest::Digest;
use crate::document::canonical;
use crate::fsio;

const SCHEMA: &str = "retune.store-member/1";

/// A project that uses the store.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Member {
    /// Its directory, absolute.
    pub root: PathBuf,
    /// Its registry, absolute.
    pub registry: PathBuf,
}

/// A project, and the file of the store that says that it uses it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct MemberFile {
    /// The project.
    pub member: Member,
    /// The file.
    pub path: PathBuf,
}

impl Store {
    /// Notes that a project uses the store, once. Must come before the project stores anything.
    pub fn join(&self, member: &Member) -> Result<(), StoreError> {
        let unwritable = |source| StoreError::Member {
            path: self.projects(),
            source,
        };
        let bytes = canonical::encode(SCHEMA, member).map_err(unwritable)?;
        let path = self.member_path(&bytes);
        if !path.exists() {
            fsio::write_atomic(&path, &bytes)?;
        }
        Ok(())
    }

    /// The projects that use the store, sorted. A file that cannot be read, or is not one, is an error: what
    /// the project behind it needs is not known.
    pub fn members(&self) -> Result<Vec<MemberFile>, StoreError> {
        let mut members = Vec::new();
        for path in fsio::list(&self.projects())? {
            if is_temporary(&path) {
                continue;
            }
            let bytes = fsio::read(&path)?;
            let decoded = canonical::decode(SCHEMA, &bytes);
            let member = decoded.map_err(|source| StoreError::Member {
                path: path.clone(),
                source,
            })?;
            members.push(MemberFile { member, path });
        }
        members.sort();
        Ok(members)
    }

    fn projects(&self) -> PathBuf {
        self.root().join("projects")
    }

    fn member_path(&self, bytes: &[u8]) -> PathBuf {
        self.projects()
            .join(format!("{}.json", Digest::of(bytes).short()))
    }
}

/// A file that somebody writes at this moment, or was killed writing.
pub(super) fn is_temporary(path: &Path) -> bool {
    path.file_name()
        .is_some_and(|name| name.as_encoded_bytes().starts_with(b".tmp-"))
}
