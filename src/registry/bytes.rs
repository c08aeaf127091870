//! Whether the store holds what a version is made of.

use std::collections::BTreeSet;
use std::fs;

use super::error::RegistryError;
use super::version::Version;
use crate::digest::Digest;
use crate::fsio::Context;
use crate::store::{Store, StoreError, TreeEntry};

/// Re-reads every byte of the adapter, and looks that every file of the base is there in its size. A base
/// is large and shared: `verify` re-reads it.
pub(super) fn check_bytes(version: &Version, store: &Store) -> Result<(), RegistryError> {
    let manifest = &version.manifest;
    let inconsistent = |error| RegistryError::Manifest {
        version: version.to_string(),
        source: Box::new(error),
    };
    let adapter = manifest.adapter_tree().map_err(inconsistent)?;
    let base = manifest.base_tree().map_err(inconsistent)?;
    let read = adapter.entries().iter().try_for_each(|file| {
        present(file, store)?;
        store.open_verified(&file.sha256).map(drop)
    });
    read.and_then(|()| {
        base.entries()
            .iter()
            .try_for_each(|file| present(file, store))
    })
    .map_err(|error| bytes_error(version, error))
}

/// Re-reads every byte of a version, except of objects in `sound`, to which it adds what it has read.
pub(super) fn check_every_byte(
    version: &Version,
    store: &Store,
    sound: &mut BTreeSet<Digest>,
) -> Vec<StoreError> {
    let manifest = &version.manifest;
    let files = manifest.adapter.files.iter().chain(&manifest.base.files);
    let mut faults = Vec::new();
    for file in files {
        if sound.contains(&file.sha256) {
            continue;
        }
        match present(file, store).and_then(|()| store.open_verified(&file.sha256)) {
            Ok(_) => {
                sound.insert(file.sha256);
            }
            Err(error) => faults.push(error),
        }
    }
    faults
}

fn present(file: &TreeEntry, store: &Store) -> Result<(), StoreError> {
    let missing = || StoreError::Missing {
        digest: file.sha256,
        store: store.root().to_owned(),
    };
    if !store.contains(&file.sha256) {
        return Err(missing());
    }
    let path = store.path_of(&file.sha256);
    let size = fs::metadata(&path).doing("look at", &path)?.len();
    if size == file.size {
        return Ok(());
    }
    // Another size is another content; reading says which.
    store
        .open_verified(&file.sha256)
        .and_then(|_| Err(missing()))
}

/// Missing or changed bytes are told with the version they belong to.
pub(super) fn bytes_error(version: &Version, error: StoreError) -> RegistryError {
    if !error.is_integrity() {
        return error.into();
    }
    RegistryError::Bytes {
        version: version.to_string(),
        source: Box::new(error),
    }
}
