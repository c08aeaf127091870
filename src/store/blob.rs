//! Putting and getting bytes.

use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::ops::Deref;
use std::path::{Path, PathBuf};

use rayon::prelude::*;

use super::error::StoreError;
use super::tree::{Tree, TreeEntry, TreeId};
use crate::digest::{Digest, Hasher};
use crate::fsio::{self, Context, Pending, PendingDir};

/// The layout written by this version.
pub(super) const FORMAT: &str = "retune-store 1\n";

/// A content-addressed store in a directory. Cheap to clone; many processes may use one directory at a time.
#[derive(Debug, Clone)]
pub struct Store {
    root: PathBuf,
}

/// What putting bytes gives: their identity and size.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Blob {
    /// The SHA-256 of the bytes.
    pub digest: Digest,
    /// How many bytes.
    pub size: u64,
}

/// Something read from the store whose digest was checked. Only the store makes one.
#[derive(Debug, Clone)]
pub struct Verified<T>(T);

impl<T> Verified<T> {
    /// The value, no longer marked as checked.
    pub fn into_inner(self) -> T {
        self.0
    }
}

impl<T> Deref for Verified<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.0
    }
}

impl Store {
    /// Opens the store at `root`, creating it if there is none.
    pub fn create(root: &Path) -> Result<Self, StoreError> {
        for dir in ["objects/sha256", "tmp", "trash", "leases", "projects"] {
            fsio::create_dir(&root.join(dir))?;
        }
        let format = root.join("format");
        if !format.exists() {
            fsio::write_atomic(&format, FORMAT.as_bytes())?;
        }
        Self::open(root)
    }

    /// Opens an existing store; a newer layout is refused.
    pub fn open(root: &Path) -> Result<Self, StoreError> {
        let found = String::from_utf8_lossy(&fsio::read(&root.join("format"))?).into_owned();
        if found != FORMAT {
            return Err(StoreError::Format {
                store: root.to_owned(),
                found: found.trim_end().to_owned(),
            });
        }
        Ok(Self {
            root: root.to_owned(),
        })
    }

    /// The directory.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// Stores everything `reader` yields. Streams: memory stays constant. Durable when it returns.
    pub fn put(&self, reader: impl Read) -> Result<Blob, StoreError> {
        let (pending, blob) = self.take_in(reader)?;
        self.admit(pending, blob)?;
        Ok(blob)
    }

    /// The same for what is to be the object of this digest; when it is not, nothing is stored.
    pub fn put_as(&self, digest: &Digest, reader: impl Read) -> Result<Blob, StoreError> {
        let (pending, blob) = self.take_in(reader)?;
        if blob.digest != *digest {
            return Err(StoreError::Unlike {
                digest: *digest,
                found: blob.digest,
            });
        }
        self.admit(pending, blob)?;
        Ok(blob)
    }

    /// Writes everything `reader` yields to a file that nobody can see yet.
    fn take_in(&self, mut reader: impl Read) -> Result<(Pending, Blob), StoreError> {
        let tmp = self.root.join("tmp");
        let mut sink = Hashing {
            pending: Pending::in_dir(&tmp)?,
            hasher: Hasher::new(),
            size: 0,
        };
        let mut buffer = vec![0; 1 << 20];
        loop {
            let count = match reader.read(&mut buffer) {
                Err(e) if e.kind() == io::ErrorKind::Interrupted => continue,
                other => other.doing("read what is to be stored in", &self.root)?,
            };
            if count == 0 {
                break;
            }
            sink.write_all(&buffer[..count]).doing("write to", &tmp)?;
        }
        let blob = Blob {
            digest: sink.hasher.finish(),
            size: sink.size,
        };
        Ok((sink.pending, blob))
    }

    /// Stores bytes that are in memory.
    pub fn put_bytes(&self, bytes: &[u8]) -> Result<Blob, StoreError> {
        self.put(bytes)
    }

    /// Stores a file's bytes.
    pub fn put_file(&self, path: &Path) -> Result<Blob, StoreError> {
        self.put(fsio::open(path)?)
    }

    /// Stores files of `dir`, given by their relative paths, as one tree; hashes several at a time.
    pub fn put_tree(&self, dir: &Path, paths: &[String]) -> Result<Tree, StoreError> {
        let put = |path: &String| {
            let blob = self.put_file(&dir.join(path))?;
            Ok(TreeEntry {
                path: path.clone(),
                size: blob.size,
                sha256: blob.digest,
            })
        };
        let entries = paths
            .par_iter()
            .map(put)
            .collect::<Result<Vec<_>, StoreError>>()?;
        let tree = Tree::new(entries).map_err(StoreError::Paths)?;
        self.put_bytes(tree.text().as_bytes())?;
        Ok(tree)
    }

    /// Whether an object of this name is there; says nothing about its bytes. One that lies in the trash is
    /// put back: whoever asks for it may need it.
    pub fn contains(&self, digest: &Digest) -> bool {
        self.path_of(digest).is_file() || self.rescue(digest)
    }

    /// An object's bytes, checked.
    pub fn read(&self, digest: &Digest) -> Result<Verified<Vec<u8>>, StoreError> {
        let mut bytes = Vec::new();
        let path = self.path_of(digest);
        self.open_object(digest)?
            .read_to_end(&mut bytes)
            .doing("read", &path)?;
        self.check(digest, Digest::of(&bytes))?;
        Ok(Verified(bytes))
    }

    /// The path of an object whose bytes were just checked, for memory maps. Never write to it.
    pub fn open_verified(&self, digest: &Digest) -> Result<Verified<PathBuf>, StoreError> {
        let path = self.path_of(digest);
        let (found, _) = Digest::of_reader(self.open_object(digest)?).doing("read", &path)?;
        self.check(digest, found)?;
        Ok(Verified(path))
    }

    /// A tree, checked; its files are not read.
    pub fn read_tree(&self, id: &TreeId) -> Result<Verified<Tree>, StoreError> {
        let digest = id.digest();
        let bytes = self.read(&digest)?;
        let text = String::from_utf8_lossy(&bytes);
        let tree = Tree::parse(&text).map_err(|source| StoreError::Tree { digest, source })?;
        Ok(Verified(tree))
    }

    /// Copies an object to `path`, checked while it streams; `path` holds all of it or is untouched.
    pub fn copy_to(&self, digest: &Digest, path: &Path) -> Result<(), StoreError> {
        let mut sink = Hashing {
            pending: Pending::beside(path)?,
            hasher: Hasher::new(),
            size: 0,
        };
        io::copy(&mut self.open_object(digest)?, &mut sink).doing("copy to", path)?;
        self.check(digest, sink.hasher.finish())?;
        Ok(sink.pending.commit(path)?)
    }

    /// Writes a tree's files into a new directory `dir`, every byte checked; all of it appears, or nothing.
    pub fn export_tree(&self, tree: &Tree, dir: &Path) -> Result<(), StoreError> {
        let pending = PendingDir::beside(dir)?;
        tree.entries()
            .par_iter()
            .try_for_each(|e| self.copy_to(&e.sha256, &pending.path().join(&e.path)))?;
        Ok(pending.commit(dir)?)
    }

    /// Where an object of this name lies, or would lie.
    pub fn path_of(&self, digest: &Digest) -> PathBuf {
        let hex = digest.hex();
        self.root
            .join("objects/sha256")
            .join(&hex[..2])
            .join(&hex[2..])
    }

    fn admit(&self, pending: Pending, blob: Blob) -> Result<(), StoreError> {
        let path = self.path_of(&blob.digest);
        let present = fs::metadata(&path).is_ok_and(|present| present.len() == blob.size);
        // Touched, it is young again: a sweep leaves it until somebody had time to record it. What cannot
        // be touched, because a sweep just took it or another user owns it, is written anew.
        if present && fsio::touch(&path) {
            return Ok(());
        }
        if let Some(dir) = path.parent() {
            fsio::create_dir(dir)?;
            fsio::sync_dir(&self.root.join("objects/sha256"))?;
        }
        Ok(pending.commit_with_mode(&path, 0o444)?)
    }

    fn open_object(&self, digest: &Digest) -> Result<File, StoreError> {
        let path = self.path_of(digest);
        match File::open(&path) {
            Err(e) if e.kind() == io::ErrorKind::NotFound => match self.rescue(digest) {
                true => fsio::open(&path).map_err(StoreError::from),
                false => Err(StoreError::Missing {
                    digest: *digest,
                    store: self.root.clone(),
                }),
            },
            other => Ok(other.doing("open", &path)?),
        }
    }

    fn check(&self, digest: &Digest, found: Digest) -> Result<(), StoreError> {
        if found == *digest {
            return Ok(());
        }
        Err(StoreError::Damaged {
            digest: *digest,
            found,
            path: self.path_of(digest),
        })
    }
}

/// Writes and hashes at once.
struct Hashing {
    pending: Pending,
    hasher: Hasher,
    size: u64,
}

impl Write for Hashing {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let count = self.pending.write(bytes)?;
        self.hasher.update(&bytes[..count]);
        self.size += count as u64;
        Ok(count)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.pending.flush()
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn store() -> (tempfile::TempDir, Store) {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::create(&dir.path().join("store")).unwrap();
        (dir, store)
    }

    #[test]
    fn gives_back_what_was_put_once_however_often() {
        let (_dir, store) = store();
        let blob = store.put_bytes(b"abc").unwrap();
        assert_eq!(store.put_bytes(b"abc").unwrap(), blob);
        assert_eq!(*store.read(&blob.digest).unwrap(), b"abc");
        assert_eq!(fs::read_dir(store.root().join("tmp")).unwrap().count(), 0);
    }

    #[test]
    fn what_is_not_the_object_it_was_to_be_leaves_nothing() {
        let (_dir, store) = store();
        let digest = Digest::of(b"abc");
        let refused = store.put_as(&digest, &b"abd"[..]).unwrap_err();
        assert!(matches!(refused, StoreError::Unlike { .. }), "{refused}");
        assert!(!store.contains(&digest) && !store.contains(&Digest::of(b"abd")));
        assert_eq!(fs::read_dir(store.root().join("tmp")).unwrap().count(), 0);
        assert_eq!(store.put_as(&digest, &b"abc"[..]).unwrap().digest, digest);
    }

    #[test]
    fn damaged_and_missing_objects_are_named() {
        let (_dir, store) = store();
        let blob = store.put_bytes(b"abc").unwrap();
        let path = store.path_of(&blob.digest);
        fs::remove_file(&path).unwrap();
        assert!(matches!(
            store.read(&blob.digest),
            Err(StoreError::Missing { .. })
        ));
        fs::write(&path, b"abd").unwrap();
        for result in [
            store.read(&blob.digest).map(drop),
            store.open_verified(&blob.digest).map(drop),
        ] {
            assert!(result.unwrap_err().to_string().contains(&blob.digest.hex()));
        }
        let out = store.root().join("out");
        assert!(store.copy_to(&blob.digest, &out).is_err());
        assert!(!out.exists());
    }

    #[test]
    fn trees_go_in_and_come_out() {
        let (dir, store) = store();
        let source = dir.path().join("source");
        fsio::write_atomic(&source.join("a.txt"), b"1").unwrap();
        fsio::write_atomic(&source.join("sub/b.txt"), b"2").unwrap();
        let tree = store
            .put_tree(&source, &["sub/b.txt".into(), "a.txt".into()])
            .unwrap();
        assert_eq!(*store.read_tree(&tree.id()).unwrap(), tree);
        let out = dir.path().join("out");
        store.export_tree(&tree, &out).unwrap();
        assert_eq!(fsio::read(&out.join("sub/b.txt")).unwrap(), b"2");
    }

    #[test]
    fn a_newer_layout_is_refused() {
        let (_dir, store) = store();
        fs::write(store.root().join("format"), "retune-store 2\n").unwrap();
        assert!(matches!(
            Store::create(store.root()),
            Err(StoreError::Format { .. })
        ));
    }
}
