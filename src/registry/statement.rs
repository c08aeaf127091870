//! Statements: immutable documents that say something about a thing, the newest of which counts.

use serde::Serialize;
use serde::de::DeserializeOwned;

use super::act::Act;
use super::error::RegistryError;
use super::transaction::Transaction;
use super::view::{View, damaged, decode};
use crate::digest::Digest;
use crate::document::canonical;

/// A kind of statement.
pub(super) trait Statement: Serialize + DeserializeOwned {
    /// What it is called: `deprecation`.
    const NOUN: &'static str;
    /// What its documents say they are: `retune.deprecation/1`.
    const SCHEMA: &'static str;
}

/// Everything that was said in a folder, the newest first; each checked against its path.
pub(super) fn statements<T: Statement>(
    view: &View<'_>,
    dir: &str,
) -> Result<Vec<T>, RegistryError> {
    let documents = view.newest_first(dir, view.documents(dir)?)?;
    let load = |document| {
        let bytes = view.load(document)?;
        let digest = Digest::of(&bytes).hex();
        if !document.stem.ends_with(&format!("-{}", &digest[..16])) {
            let why = format!("its content has the digest sha256:{digest}");
            return Err(damaged(&document.path, why));
        }
        decode(T::SCHEMA, &document.path, &bytes)
    };
    documents.iter().map(load).collect()
}

/// Says one thing more in a folder.
pub(super) fn state<T: Statement>(
    view: &View<'_>,
    dir: &str,
    statement: &T,
    act: &Act<'_>,
    subject: String,
) -> Result<Transaction, RegistryError> {
    let bytes = canonical::encode(T::SCHEMA, statement);
    let bytes = bytes.map_err(|source| RegistryError::Refused {
        what: T::NOUN,
        source,
    })?;
    let digest = Digest::of(&bytes);
    let path = format!("{dir}/{}-{}.json", act.at.compact(), &digest.hex()[..16]);
    Transaction::new(subject)
        .trailer("Retune-Id", digest)
        .add(view, path, bytes)
}
