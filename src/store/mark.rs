//! Which objects must stay: everything that anybody names, directly or through what it names.
//!
//! Names are not told apart: any 64 hexadecimal digits in a document count as the digest of an object. So a
//! kind of document that this version does not know protects what it names all the same, and the worst that
//! a false hit does is to keep something.

use std::collections::BTreeSet;
use std::fs::File;
use std::io::{self, Read};

use super::blob::{Blob, Store};
use super::error::StoreError;
use crate::digest::Digest;
use crate::fsio::Context;

/// How a stored document, or a tree, begins; nothing else names other objects.
const BEGINNINGS: [&[u8]; 2] = [b"{\n  \"", b"retune.tree/1\n"];

/// The digests that projects name.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Roots {
    digests: BTreeSet<Digest>,
    documents: u64,
}

impl Roots {
    /// Takes every digest in a document, and its own: the store may hold the same document.
    pub fn take(&mut self, document: &[u8]) {
        self.documents += 1;
        self.digests.insert(Digest::of(document));
        self.digests.extend(digests_in(document));
    }

    /// Takes one digest.
    pub fn add(&mut self, digest: Digest) {
        self.digests.insert(digest);
    }

    /// How many different digests were found.
    pub fn digests(&self) -> u64 {
        self.digests.len() as u64
    }

    /// In how many documents.
    pub fn documents(&self) -> u64 {
        self.documents
    }
}

/// What roots lead to.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Reach {
    /// The objects that are here, sorted.
    pub here: Vec<Blob>,
    /// Digests of objects that are not here, or of other things.
    pub elsewhere: BTreeSet<Digest>,
}

impl Store {
    /// What the roots lead to, directly or through objects that are here.
    pub fn reach(&self, roots: &Roots) -> Result<Reach, StoreError> {
        let mut reach = Reach::default();
        for digest in self.mark(roots, [])? {
            if self.contains(&digest) {
                let path = self.path_of(&digest);
                let size = path.metadata().doing("look at", &path)?.len();
                reach.here.push(Blob { digest, size });
            } else {
                reach.elsewhere.insert(digest);
            }
        }
        Ok(reach)
    }

    /// Everything that the roots and `young` objects name, and what that names, and so on; with themselves.
    pub(super) fn mark(
        &self,
        roots: &Roots,
        young: impl IntoIterator<Item = Digest>,
    ) -> Result<BTreeSet<Digest>, StoreError> {
        let mut open: Vec<Digest> = roots.digests.iter().copied().chain(young).collect();
        let mut live = BTreeSet::new();
        while let Some(digest) = open.pop() {
            if live.insert(digest) {
                open.extend(self.named_by(&digest)?);
            }
        }
        Ok(live)
    }

    /// The digests in an object, if it is a document. Damaged, it is an error: what it named is not known.
    fn named_by(&self, digest: &Digest) -> Result<Vec<Digest>, StoreError> {
        let path = self.path_of(digest);
        let mut file = match File::open(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            other => other.doing("open", &path)?,
        };
        let longest = BEGINNINGS.map(<[u8]>::len).into_iter().max().unwrap_or(0);
        let mut beginning = Vec::new();
        let mut head = (&mut file).take(longest as u64);
        head.read_to_end(&mut beginning).doing("read", &path)?;
        if !is_document(&beginning) {
            return Ok(Vec::new());
        }
        Ok(digests_in(&self.read(digest)?).collect())
    }
}

/// Whether something that begins so is a document or a tree.
pub(super) fn is_document(beginning: &[u8]) -> bool {
    BEGINNINGS.iter().any(|known| beginning.starts_with(known))
}

/// Every run of exactly 64 lower-case hexadecimal digits.
fn digests_in(bytes: &[u8]) -> impl Iterator<Item = Digest> + '_ {
    let hex = |byte: &u8| matches!(byte, b'0'..=b'9' | b'a'..=b'f');
    bytes
        .split(move |byte| !hex(byte))
        .filter(|run| run.len() == 64)
        .filter_map(|run| Digest::from_hex(std::str::from_utf8(run).ok()?).ok())
}
