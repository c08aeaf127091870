//! What the projects of a store need, for garbage collection and for finding what is missing.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use super::needs::needed_by;
use crate::digest::Digest;
use crate::fsio::{self, FileError};
use crate::registry::{Registry, RegistryError};
use crate::store::{Member, MemberFile, Roots, Store, StoreError};

/// An object that a record names and that the store does not have.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct MissingObject {
    /// Its name.
    pub digest: Digest,
    /// The registry, and the path in it of the record that names it.
    pub named_by: String,
}

/// Why it is not known what a store's projects need. Nothing is collected then.
#[derive(Debug, thiserror::Error)]
pub enum CollectError {
    /// The store.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// A project's files.
    #[error(transparent)]
    File(#[from] FileError),
    /// A project's registry cannot be read.
    #[error("cannot read what the project {} needs", project.display())]
    Project {
        /// Its directory.
        project: PathBuf,
        /// The store's file that names the project.
        member: PathBuf,
        /// Why.
        source: Box<RegistryError>,
    },
}

/// Everything that any project of the store names: in every object of its registry, reachable or not, in
/// its runs, and in its lock.
pub fn roots(store: &Store) -> Result<Roots, CollectError> {
    let mut roots = Roots::default();
    for file in store.members()? {
        let registry = Registry::open(&file.member.registry);
        registry
            .and_then(|registry| registry.every_document(|document| roots.take(document)))
            .map_err(|source| unreadable(&file, source))?;
        let member = file.member;
        for file in project_files(&member)? {
            if let Some(document) = read_if_there(&file)? {
                roots.take(&document);
            }
        }
    }
    Ok(roots)
}

/// What the registries of the store's projects say is in the store, and is not.
pub fn missing_objects(store: &Store) -> Result<Vec<MissingObject>, CollectError> {
    let mut missing = BTreeSet::new();
    for file in store.members()? {
        let registry = &file.member.registry;
        let note = |path: &str, document: &[u8]| {
            let absent = needed_by(document)
                .into_iter()
                .map(|(digest, _)| digest)
                .filter(|digest| !store.contains(digest));
            missing.extend(absent.map(|digest| MissingObject {
                digest,
                named_by: format!("{}: {path}", registry.display()),
            }));
        };
        Registry::open(registry)
            .and_then(|registry| registry.recorded_documents(note))
            .map_err(|source| unreadable(&file, source))?;
    }
    Ok(missing.into_iter().collect())
}

fn unreadable(file: &MemberFile, source: RegistryError) -> CollectError {
    CollectError::Project {
        project: file.member.root.clone(),
        member: file.path.clone(),
        source: Box::new(source),
    }
}

fn project_files(member: &Member) -> Result<Vec<PathBuf>, FileError> {
    let mut files = vec![member.root.join("retune.lock")];
    for run in fsio::list(&member.root.join(".retune/runs"))? {
        files.push(run.join("start.json"));
        files.push(run.join("run.json"));
    }
    Ok(files)
}

fn read_if_there(path: &Path) -> Result<Option<Vec<u8>>, FileError> {
    match path.exists() {
        true => fsio::read(path).map(Some),
        false => Ok(None),
    }
}
