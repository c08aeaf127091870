//! A bucket as a store: which objects it has. The face is synchronous; several requests are under way at once.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::mpsc;
use std::thread;

use object_store::path::Path;
use object_store::{Error, ObjectStore, ObjectStoreExt, PutMode, PutPayload};
use tokio::runtime::{Builder, Runtime};

use super::connection::Connection;
use super::error::RemoteError;
use super::place::Place;
use crate::digest::Digest;
use crate::progress::{Event, Reporter, Unit};
use crate::store::blob::FORMAT;
use crate::store::{Blob, StoreError};

/// No format is longer, in bytes; what is there is a stranger's, and not read to its end.
const LONGEST_FORMAT: u64 = 100;

/// How many objects travel at once.
const AT_ONCE: usize = 8;

/// A bucket, opened.
pub struct Bucket {
    runtime: Runtime,
    pub(super) connection: Connection,
    prefix: String,
    name: String,
}

impl Bucket {
    /// Opens the bucket at a place, with the credentials of the environment. Nothing is sent yet.
    pub fn open(
        place: &Place,
        variable: &dyn Fn(&str) -> Option<String>,
    ) -> Result<Self, RemoteError> {
        let runtime = Builder::new_multi_thread()
            .worker_threads(2)
            .enable_all()
            .build()
            .map_err(|error| RemoteError::Setting {
                remote: place.to_string(),
                variable: "threads",
                why: error.to_string(),
            })?;
        Ok(Self {
            runtime,
            connection: Connection::new(place.clone(), variable)?,
            prefix: match place.prefix() {
                "" => String::new(),
                prefix => format!("{prefix}/"),
            },
            name: place.to_string(),
        })
    }

    /// What people call it: `s3://BUCKET/PREFIX`.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Whether it is a store that this version can read; `false` when nobody has made it one. A newer one is refused.
    pub fn is_store(&self) -> Result<bool, RemoteError> {
        let doing = "read the format of";
        let path = self.format_path();
        let asked = async {
            let found = self.connection.client.get(&path).await?;
            match found.meta.size {
                0..=LONGEST_FORMAT => found.bytes().await.map(Vec::from),
                _ => Ok(b"too long".to_vec()),
            }
        };
        let found = match self.wait(asked) {
            Err(Error::NotFound { source, .. }) if is_about_the_object(&*source) => {
                return Ok(false);
            }
            other => other.map_err(|error| self.refused(doing, &error))?,
        };
        if found == FORMAT.as_bytes() {
            return Ok(true);
        }
        let found = String::from_utf8_lossy(&found);
        Err(RemoteError::Store(StoreError::Format {
            store: self.name.clone().into(),
            found: found.trim_end().to_owned(),
        }))
    }

    /// Fails unless it is a store that this version can read.
    pub fn expect_store(&self) -> Result<(), RemoteError> {
        match self.is_store()? {
            true => Ok(()),
            false => Err(RemoteError::NoStore(self.name.clone())),
        }
    }

    /// Makes it a store, if it is none, and proves that its server keeps what is there when it is asked to.
    pub fn prepare(&self) -> Result<(), RemoteError> {
        let new = !self.is_store()? && self.create_format()?;
        if !self.create_format()? {
            return Ok(());
        }
        if new {
            // A store that is not to be used should not look like one; that it cannot be removed changes nothing.
            let _ = self.wait(self.connection.client.delete(&self.format_path()));
        }
        Err(RemoteError::Overwrites(self.name.clone()))
    }

    /// Which of these objects it has, with their sizes. Only the folders in question are listed.
    pub fn sizes(&self, of: &BTreeSet<Digest>) -> Result<BTreeMap<Digest, u64>, RemoteError> {
        let folders: BTreeSet<String> = of
            .iter()
            .map(|digest| digest.hex()[..2].to_owned())
            .collect();
        let folders: Vec<String> = folders.into_iter().collect();
        let listed = at_once(&folders, |folder| self.folder(folder))?;
        let mut sizes: BTreeMap<Digest, u64> = listed.into_iter().flatten().collect();
        sizes.retain(|digest, _| of.contains(digest));
        Ok(sizes)
    }

    /// The size of one object; `None` when it is not there.
    pub(super) fn size(&self, digest: &Digest) -> Result<Option<u64>, RemoteError> {
        let path = self.path_of(digest);
        match self.wait(self.connection.client.head(&path)) {
            Ok(found) => Ok(Some(found.size)),
            Err(Error::NotFound { .. }) => Ok(None),
            Err(error) => Err(self.refused("look at an object of", &error)),
        }
    }

    fn folder(&self, folder: &str) -> Result<Vec<(Digest, u64)>, RemoteError> {
        let dir = Path::from(format!("{}objects/sha256/{folder}", self.prefix));
        let listed = self.wait(self.connection.client.list_with_delimiter(Some(&dir)));
        let listed = listed.map_err(|error| self.refused("list the objects of", &error))?;
        // What is named otherwise is not ours.
        let object = |name: &str, size| {
            let digest = Digest::from_hex(&format!("{folder}{name}")).ok()?;
            Some((digest, size))
        };
        let objects = listed.objects.iter();
        let known = objects.filter_map(|found| object(found.location.filename()?, found.size));
        Ok(known.collect())
    }

    /// Puts the format where there is none; `false` when there is one.
    fn create_format(&self) -> Result<bool, RemoteError> {
        let text = PutPayload::from_static(FORMAT.as_bytes());
        self.create(&self.format_path(), text)
    }

    /// Puts something where there is nothing; `false` when there is something.
    pub(super) fn create(&self, path: &Path, payload: PutPayload) -> Result<bool, RemoteError> {
        let put = self
            .connection
            .client
            .put_opts(path, payload, PutMode::Create.into());
        match self.wait(put) {
            Ok(_) => Ok(true),
            Err(Error::AlreadyExists { .. } | Error::Precondition { .. }) => Ok(false),
            Err(error) => Err(self.refused("write to", &error)),
        }
    }

    fn format_path(&self) -> Path {
        Path::from(format!("{}format", self.prefix))
    }

    pub(super) fn path_of(&self, digest: &Digest) -> Path {
        let hex = digest.hex();
        let (folder, rest) = hex.split_at(2);
        Path::from(format!("{}objects/sha256/{folder}/{rest}", self.prefix))
    }

    /// Waits for an answer. Several threads may wait at once.
    pub(super) fn wait<T>(&self, answer: impl Future<Output = T>) -> T {
        self.runtime.block_on(answer)
    }

    /// Begins something without waiting for it.
    pub(super) fn begin<T: Send + 'static>(
        &self,
        work: impl Future<Output = T> + Send + 'static,
    ) -> tokio::task::JoinHandle<T> {
        self.runtime.spawn(work)
    }

    pub(super) fn refused(&self, action: &'static str, error: &Error) -> RemoteError {
        self.connection.refused(action, &self.name, error)
    }
}

/// Not found can be the object, or the bucket itself.
fn is_about_the_object(error: &(dyn std::error::Error + 'static)) -> bool {
    !error.to_string().contains("NoSuchBucket")
}

/// How far a transfer has come.
pub(super) struct Progress<'r> {
    reporter: &'r dyn Reporter,
    objects: u64,
    done: AtomicU64,
    bytes: AtomicU64,
}

impl<'r> Progress<'r> {
    pub(super) fn of(what: &str, objects: &[Blob], reporter: &'r dyn Reporter) -> Self {
        reporter.report(&Event::Started {
            what,
            total: Some(objects.iter().map(|object| object.size).sum()),
            unit: Unit::Bytes,
        });
        Self {
            reporter,
            objects: objects.len() as u64,
            done: AtomicU64::new(0),
            bytes: AtomicU64::new(0),
        }
    }

    /// Notes that some bytes are through.
    pub(super) fn moved(&self, bytes: u64) {
        let bytes = self.bytes.fetch_add(bytes, Ordering::Relaxed) + bytes;
        let done = self.done.load(Ordering::Relaxed);
        self.reporter.report(&Event::Advanced {
            done: bytes,
            note: &format!("{done}/{} objects", self.objects),
        });
    }

    /// Notes that an object is through.
    pub(super) fn finished_one(&self) {
        self.done.fetch_add(1, Ordering::Relaxed);
        self.moved(0);
    }

    /// Fails once somebody asks for the work to stop.
    pub(super) fn check(&self) -> Result<(), RemoteError> {
        match self.reporter.interrupted() {
            true => Err(RemoteError::Interrupted),
            false => Ok(()),
        }
    }
}

impl Drop for Progress<'_> {
    fn drop(&mut self) {
        self.reporter.report(&Event::Finished);
    }
}

/// Does something for each of several things, several at once, in their order. After the first failure nothing more
/// is begun; what is under way ends.
pub(super) fn at_once<T: Sync, R: Send>(
    things: &[T],
    work: impl Fn(&T) -> Result<R, RemoteError> + Sync,
) -> Result<Vec<R>, RemoteError> {
    let (next, failed) = (AtomicUsize::new(0), AtomicBool::new(false));
    let (sender, receiver) = mpsc::channel();
    thread::scope(|scope| {
        for _ in 0..AT_ONCE.min(things.len()) {
            let (sender, next, failed, work) = (sender.clone(), &next, &failed, &work);
            scope.spawn(move || {
                while !failed.load(Ordering::Relaxed) {
                    let index = next.fetch_add(1, Ordering::Relaxed);
                    let Some(thing) = things.get(index) else {
                        return;
                    };
                    let outcome = work(thing);
                    failed.fetch_or(outcome.is_err(), Ordering::Relaxed);
                    let _ = sender.send((index, outcome));
                }
            });
        }
    });
    drop(sender);
    let mut outcomes: Vec<_> = receiver.into_iter().collect();
    outcomes.sort_by_key(|(index, _)| *index);
    outcomes.into_iter().map(|(_, outcome)| outcome).collect()
}
