//! Sending objects to a bucket.

use std::collections::VecDeque;
use std::io::Read;

use object_store::{MultipartUpload, ObjectStoreExt, PutPayload};

use super::bucket::{Bucket, Progress, at_once};
use super::error::RemoteError;
use crate::digest::{Digest, Hasher};
use crate::fsio::{self, Context};
use crate::progress::Reporter;
use crate::store::{Blob, Store, StoreError};

/// What is larger than this is sent in parts of this size.
const PART: u64 = 8 << 20;

/// A server takes no more parts than this of one object.
const MOST_PARTS: u64 = 10_000;

/// How many parts of one object are under way at once. With 8 objects at once, 256 MiB of them are in memory.
const PARTS_AT_ONCE: usize = 4;

impl Bucket {
    /// Sends objects of the store, each checked against its digest on the way. An object appears whole or not at
    /// all, and never in place of another one.
    pub fn send(
        &self,
        store: &Store,
        objects: &[Blob],
        reporter: &dyn Reporter,
    ) -> Result<(), RemoteError> {
        let progress = Progress::of("pushing", objects, reporter);
        at_once(objects, |object| {
            progress.check()?;
            match object.size <= PART {
                true => self.send_whole(store, object, &progress)?,
                false => self.send_in_parts(store, object, &progress)?,
            }
            progress.finished_one();
            Ok(())
        })
        .map(drop)
    }

    fn send_whole(
        &self,
        store: &Store,
        object: &Blob,
        progress: &Progress<'_>,
    ) -> Result<(), RemoteError> {
        let bytes = store.read(&object.digest)?.into_inner();
        if !self.create(&self.path_of(&object.digest), PutPayload::from(bytes))? {
            // Somebody else was faster, or an answer was lost and the request was sent again.
            self.check_size(object)?;
        }
        progress.moved(object.size);
        Ok(())
    }

    fn check_size(&self, object: &Blob) -> Result<(), RemoteError> {
        let there = self.size(&object.digest)?.unwrap_or(0);
        match there == object.size {
            true => Ok(()),
            false => Err(RemoteError::other_size(self.name(), object, there)),
        }
    }

    /// Whoever completes the parts of an object last wins, which does no harm: all of them have the same bytes.
    fn send_in_parts(
        &self,
        store: &Store,
        object: &Blob,
        progress: &Progress<'_>,
    ) -> Result<(), RemoteError> {
        let doing = "write to";
        let path = self.path_of(&object.digest);
        let upload = self.wait(self.connection.client.put_multipart(&path));
        let mut upload = upload.map_err(|error| self.refused(doing, &error))?;
        let sent = self.send_parts(store, object, upload.as_mut(), progress);
        let done = sent.and_then(|()| {
            let completed = self.wait(upload.complete());
            completed.map_err(|error| self.refused(doing, &error))
        });
        if done.is_err() {
            // The parts cost room until they are given up; a rule of the bucket does the same in the end.
            let _ = self.wait(upload.abort());
        }
        done.map(drop)
    }

    fn send_parts(
        &self,
        store: &Store,
        object: &Blob,
        upload: &mut dyn MultipartUpload,
        progress: &Progress<'_>,
    ) -> Result<(), RemoteError> {
        let path = store.path_of(&object.digest);
        let mut file = fsio::open(&path).map_err(StoreError::from)?;
        let mut hasher = Hasher::new();
        let mut under_way = VecDeque::new();
        loop {
            progress.check()?;
            let mut part = Vec::new();
            let read = (&mut file)
                .take(part_size(object.size))
                .read_to_end(&mut part);
            read.doing("read", &path).map_err(StoreError::from)?;
            let size = part.len() as u64;
            if size > 0 {
                hasher.update(&part);
                let sent = self.begin(upload.put_part(PutPayload::from(part)));
                under_way.push_back((size, sent));
            }
            while under_way.len() >= PARTS_AT_ONCE || (size == 0 && !under_way.is_empty()) {
                let Some((size, sent)) = under_way.pop_front() else {
                    break;
                };
                let sent = self.wait(sent).unwrap_or_else(|error| Err(error.into()));
                sent.map_err(|error| self.refused("write to", &error))?;
                progress.moved(size);
            }
            if size == 0 {
                break;
            }
        }
        check(object.digest, hasher.finish(), store)
    }
}

fn part_size(size: u64) -> u64 {
    size.div_ceil(MOST_PARTS)
        .next_multiple_of(1 << 20)
        .max(PART)
}

fn check(digest: Digest, found: Digest, store: &Store) -> Result<(), RemoteError> {
    match found == digest {
        true => Ok(()),
        false => Err(RemoteError::Store(StoreError::Damaged {
            digest,
            found,
            path: store.path_of(&digest),
        })),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_are_large_enough_and_never_too_many() {
        for size in [PART + 1, 14 << 30, 80 << 30, 5 << 40] {
            let part = part_size(size);
            assert!(part >= PART && size.div_ceil(part) <= MOST_PARTS, "{size}");
        }
        assert_eq!(part_size(14 << 30), PART);
    }
}
