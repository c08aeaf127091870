//! Fetching objects from a bucket.

use std::io::{self, Read};

use object_store::ObjectStoreExt;
use object_store::path::Path;

use super::bucket::{Bucket, Progress, at_once};
use super::error::RemoteError;
use crate::digest::Digest;
use crate::progress::{Reporter, Silent};
use crate::store::mark::is_document;
use crate::store::{Blob, Store, StoreError};

/// How much is asked for at once. A piece that does not arrive is asked for again, not the whole object.
const PIECE: u64 = 8 << 20;

/// No document is larger.
const LARGEST_DOCUMENT: u64 = 1 << 30;

impl Bucket {
    /// Fetches objects into the store, each checked against its digest on the way: one that is not what its name
    /// says leaves nothing.
    pub fn receive(
        &self,
        store: &Store,
        objects: &[Blob],
        reporter: &dyn Reporter,
    ) -> Result<(), RemoteError> {
        let progress = Progress::of("pulling", objects, reporter);
        at_once(objects, |object| {
            let mut body = self.body(object, object.size, &progress);
            let put = store.put_as(&object.digest, &mut body);
            body.finish(&object.digest, put.map(drop))?;
            progress.finished_one();
            Ok(())
        })
        .map(drop)
    }

    /// Those of the objects that are documents or trees, read into memory and checked; nothing is stored.
    pub fn documents(&self, objects: &[Blob]) -> Result<Vec<Vec<u8>>, RemoteError> {
        let progress = Progress::of("looking", objects, &Silent);
        let read = at_once(objects, |object| {
            let beginning = self.read(object, object.size.min(64), &progress)?;
            if !is_document(&beginning) || object.size > LARGEST_DOCUMENT {
                return Ok(None);
            }
            let bytes = self.read(object, object.size, &progress)?;
            let found = Digest::of(&bytes);
            if found == object.digest {
                return Ok(Some(bytes));
            }
            Err(self.damaged(object.digest, found))
        })?;
        Ok(read.into_iter().flatten().collect())
    }

    fn read(
        &self,
        object: &Blob,
        upto: u64,
        progress: &Progress<'_>,
    ) -> Result<Vec<u8>, RemoteError> {
        let mut bytes = Vec::new();
        let mut body = self.body(object, upto, progress);
        let _ = body.read_to_end(&mut bytes);
        match body.failed {
            Some(error) => Err(error),
            None => Ok(bytes),
        }
    }

    fn body<'a>(&'a self, object: &Blob, upto: u64, progress: &'a Progress<'a>) -> Body<'a> {
        Body {
            bucket: self,
            path: self.path_of(&object.digest),
            at: 0,
            size: upto,
            piece: io::Cursor::default(),
            failed: None,
            progress,
        }
    }

    fn damaged(&self, digest: Digest, found: Digest) -> RemoteError {
        RemoteError::Damaged {
            digest,
            remote: self.name().to_owned(),
            found,
        }
    }
}

/// An object's bytes as they arrive, piece by piece.
struct Body<'a> {
    bucket: &'a Bucket,
    path: Path,
    at: u64,
    size: u64,
    piece: io::Cursor<Vec<u8>>,
    /// Why no more bytes come; the reader is told only that they do not.
    failed: Option<RemoteError>,
    progress: &'a Progress<'a>,
}

impl Body<'_> {
    fn next_piece(&mut self) -> Result<Vec<u8>, RemoteError> {
        self.progress.check()?;
        let end = self.size.min(self.at + PIECE);
        let asked = self
            .bucket
            .connection
            .client
            .get_range(&self.path, self.at..end);
        let piece = self.bucket.wait(asked);
        let piece = piece.map_err(|error| self.bucket.refused("read an object of", &error))?;
        self.at = end;
        self.progress.moved(piece.len() as u64);
        Ok(piece.into())
    }

    /// What came of storing the bytes: why they did not come, if they did not; else what the store said.
    fn finish(self, digest: &Digest, put: Result<(), StoreError>) -> Result<(), RemoteError> {
        match (self.failed, put) {
            (Some(error), _) => Err(error),
            (None, Err(StoreError::Unlike { found, .. })) => {
                Err(self.bucket.damaged(*digest, found))
            }
            (None, put) => Ok(put?),
        }
    }
}

impl Read for Body<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.piece.read(buffer)?;
        if count > 0 || self.at >= self.size {
            return Ok(count);
        }
        match self.next_piece() {
            Ok(piece) => {
                self.piece = io::Cursor::new(piece);
                self.piece.read(buffer)
            }
            Err(error) => {
                self.failed = Some(error);
                Err(io::Error::other("no more bytes came"))
            }
        }
    }
}
