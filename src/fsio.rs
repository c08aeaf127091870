//! File writes that happen whole or not at all, and locks the kernel frees. Home of `tempfile`.
//!
//! Every write goes to a temporary file in the destination's own directory, is flushed to the disk
//! (`fsync`), renamed into place, and the directory is flushed too. After a crash the destination holds
//! the old bytes or the new ones.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use tempfile::NamedTempFile;

/// A file operation that failed: what was being done, to which path, and why.
#[derive(Debug, thiserror::Error)]
#[error("cannot {action} {}", path.display())]
pub struct FileError {
    /// What was being done, such as `read`.
    pub action: &'static str,
    /// The file or directory.
    pub path: PathBuf,
    /// The operating system's answer.
    pub source: io::Error,
}

/// Adds what was being done, and to what, to an [`io::Error`].
pub trait Context<T> {
    /// Names the action and the path.
    fn doing(self, action: &'static str, path: &Path) -> Result<T, FileError>;
}

impl<T> Context<T> for io::Result<T> {
    fn doing(self, action: &'static str, path: &Path) -> Result<T, FileError> {
        self.map_err(|source| FileError {
            action,
            path: path.to_owned(),
            source,
        })
    }
}

/// Reads a whole file.
pub fn read(path: &Path) -> Result<Vec<u8>, FileError> {
    fs::read(path).doing("read", path)
}

/// Opens a file for reading.
pub fn open(path: &Path) -> Result<File, FileError> {
    File::open(path).doing("open", path)
}

/// Creates a directory and its parents, if missing.
pub fn create_dir(path: &Path) -> Result<(), FileError> {
    fs::create_dir_all(path).doing("create directory", path)
}

/// Replaces `path` by `bytes`, or leaves it as it was.
pub fn write_atomic(path: &Path, bytes: &[u8]) -> Result<(), FileError> {
    let mut pending = Pending::beside(path)?;
    pending.write_all(bytes).doing("write", path)?;
    pending.commit(path)
}

/// Makes a file's entry in its directory survive a power cut.
pub fn sync_dir(dir: &Path) -> Result<(), FileError> {
    File::open(dir)
        .and_then(|handle| handle.sync_all())
        .doing("flush directory", dir)
}

/// What time the file system of `dir` thinks it is: comparing its own files with another clock misleads.
pub fn now_in(dir: &Path) -> Result<SystemTime, FileError> {
    let fresh = Pending::in_dir(dir)?;
    modified(fresh.path())
}

/// When a file was last written or [`touch`]ed.
pub fn modified(path: &Path) -> Result<SystemTime, FileError> {
    let metadata = fs::symlink_metadata(path).and_then(|metadata| metadata.modified());
    metadata.doing("look at", path)
}

/// Makes a file look as if it was written now; `false` where that is not possible, or it is gone.
#[cfg(unix)]
pub fn touch(path: &Path) -> bool {
    use rustix::fs::{AtFlags, CWD, Timespec, Timestamps, UTIME_NOW, UTIME_OMIT, utimensat};
    let time = |tv_nsec| Timespec { tv_sec: 0, tv_nsec };
    let times = Timestamps {
        last_access: time(UTIME_OMIT),
        last_modification: time(UTIME_NOW),
    };
    utimensat(CWD, path, &times, AtFlags::SYMLINK_NOFOLLOW).is_ok()
}

/// Makes a file look as if it was written now; `false` where that is not possible, or it is gone.
#[cfg(not(unix))]
pub fn touch(_: &Path) -> bool {
    false
}

/// Whether the permissions of a regular file let anybody write to it.
pub fn is_writable(path: &Path) -> bool {
    fs::symlink_metadata(path).is_ok_and(|found| found.is_file() && !found.permissions().readonly())
}

/// Takes the right to write to a file from everybody.
pub fn make_read_only(path: &Path) -> Result<(), FileError> {
    let metadata = fs::symlink_metadata(path).doing("look at", path)?;
    let mut permissions = metadata.permissions();
    permissions.set_readonly(true);
    fs::set_permissions(path, permissions).doing("set the permissions of", path)
}

/// The entries of a directory, sorted; empty when there is no such directory.
pub fn list(dir: &Path) -> Result<Vec<PathBuf>, FileError> {
    let entries = match fs::read_dir(dir) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        other => other.doing("list", dir)?,
    };
    let paths = entries.map(|entry| entry.doing("list", dir).map(|entry| entry.path()));
    let mut paths = paths.collect::<Result<Vec<_>, _>>()?;
    paths.sort();
    Ok(paths)
}

/// Moves a file within one file system; `false` when it is not there any more.
pub fn move_file(from: &Path, to: &Path) -> Result<bool, FileError> {
    match fs::rename(from, to) {
        Err(error) if error.kind() == io::ErrorKind::NotFound && !from.exists() => Ok(false),
        other => other.doing("move", from).map(|()| true),
    }
}

/// Removes a file; `false` when it is not there any more.
pub fn remove_file(path: &Path) -> Result<bool, FileError> {
    match fs::remove_file(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        other => other.doing("remove", path).map(|()| true),
    }
}

/// A sign that a process is at work: a file that vanishes when this is dropped, and stays when the process
/// is killed.
pub struct Sign {
    _file: NamedTempFile,
}

impl Sign {
    /// Puts up a sign with some text in `dir`, which is created if missing.
    pub fn put_up(dir: &Path, text: &[u8]) -> Result<Self, FileError> {
        create_dir(dir)?;
        let action = "create a temporary file in";
        let mut file = NamedTempFile::with_prefix_in("at-work-", dir).doing(action, dir)?;
        file.write_all(text).doing("write to", dir)?;
        Ok(Self { _file: file })
    }
}

/// A file being written that nobody can see yet. Dropped without [`commit`](Pending::commit), it vanishes.
pub struct Pending {
    file: NamedTempFile,
}

impl Pending {
    /// A pending file in the directory of `path`, which is created if missing.
    pub fn beside(path: &Path) -> Result<Self, FileError> {
        let dir = parent(path);
        create_dir(dir)?;
        Self::in_dir(dir)
    }

    /// A pending file in `dir`, which must be on the file system of the later destination.
    pub fn in_dir(dir: &Path) -> Result<Self, FileError> {
        let file =
            NamedTempFile::with_prefix_in(".tmp-", dir).doing("create a temporary file in", dir)?;
        Ok(Self { file })
    }

    /// The pending file's own path, for code that writes by path.
    pub fn path(&self) -> &Path {
        self.file.path()
    }

    /// Flushes the bytes, moves the file to `path` and flushes the directory.
    pub fn commit(self, path: &Path) -> Result<(), FileError> {
        self.commit_with_mode(path, 0o644)
    }

    /// Like [`commit`](Pending::commit), with the file's permission bits on systems that have them.
    pub fn commit_with_mode(mut self, path: &Path, mode: u32) -> Result<(), FileError> {
        self.file.flush().doing("write", path)?;
        set_mode(self.file.as_file(), mode).doing("set the permissions of", path)?;
        self.file.as_file().sync_all().doing("flush", path)?;
        self.file
            .persist(path)
            .map_err(|e| e.error)
            .doing("rename into place", path)?;
        sync_dir(parent(path))
    }
}

impl Write for Pending {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.file.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

/// A directory being filled that nobody can see yet. Dropped without [`commit`](PendingDir::commit), it vanishes.
pub struct PendingDir {
    dir: tempfile::TempDir,
}

impl PendingDir {
    /// A pending directory beside `path`, whose parent is created if missing.
    pub fn beside(path: &Path) -> Result<Self, FileError> {
        let parent = parent(path);
        create_dir(parent)?;
        let dir = tempfile::Builder::new()
            .prefix(".tmp-")
            .tempdir_in(parent)
            .doing("create a temporary directory in", parent)?;
        Ok(Self { dir })
    }

    /// Where to write the files.
    pub fn path(&self) -> &Path {
        self.dir.path()
    }

    /// Flushes the files, moves the directory to `path`, which must not exist or be an empty directory.
    pub fn commit(self, path: &Path) -> Result<(), FileError> {
        sync_tree(self.dir.path())?;
        set_dir_mode(self.dir.path()).doing("set the permissions of", path)?;
        fs::rename(self.dir.path(), path).doing("rename into place", path)?;
        let _moved = self.dir.keep();
        sync_dir(parent(path))
    }
}

fn sync_tree(dir: &Path) -> Result<(), FileError> {
    for entry in fs::read_dir(dir).doing("list", dir)? {
        let path = entry.doing("list", dir)?.path();
        if path.is_dir() {
            sync_tree(&path)?;
        } else {
            open(&path)?.sync_all().doing("flush", &path)?;
        }
    }
    sync_dir(dir)
}

fn parent(path: &Path) -> &Path {
    match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    }
}

#[cfg(unix)]
fn set_mode(file: &File, mode: u32) -> io::Result<()> {
    use std::os::unix::fs::PermissionsExt;
    file.set_permissions(fs::Permissions::from_mode(mode))
}

#[cfg(not(unix))]
fn set_mode(_: &File, _: u32) -> io::Result<()> {
    Ok(())
}

#[cfg(unix)]
fn set_dir_mode(dir: &Path) -> io::Result<()> {
    use std::os::unix::fs::PermissionsExt;
    fs::set_permissions(dir, fs::Permissions::from_mode(0o755))
}

#[cfg(not(unix))]
fn set_dir_mode(_: &Path) -> io::Result<()> {
    Ok(())
}

/// An exclusive lock on a permanent file, held until dropped; the kernel frees it when the process dies.
///
/// It spares concurrent processes useless work. Nothing may depend on it for correctness: some network
/// file systems grant it to everybody.
pub struct Lock {
    _file: File,
}

impl Lock {
    /// Waits for the lock.
    pub fn exclusive(path: &Path) -> Result<Self, FileError> {
        let file = Self::file(path)?;
        file.lock().doing("lock", path)?;
        Ok(Self { _file: file })
    }

    /// Takes the lock if nobody holds it.
    pub fn try_exclusive(path: &Path) -> Result<Option<Self>, FileError> {
        let file = Self::file(path)?;
        match file.try_lock() {
            Ok(()) => Ok(Some(Self { _file: file })),
            Err(TryLockError::WouldBlock) => Ok(None),
            Err(TryLockError::Error(source)) => Err(source).doing("lock", path),
        }
    }

    fn file(path: &Path) -> Result<File, FileError> {
        create_dir(parent(path))?;
        OpenOptions::new()
            .create(true)
            .truncate(false)
            .write(true)
            .open(path)
            .doing("open", path)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn an_uncommitted_file_leaves_the_old_one() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a/b.txt");
        write_atomic(&path, b"old").unwrap();
        let mut pending = Pending::beside(&path).unwrap();
        pending.write_all(b"new").unwrap();
        drop(pending);
        assert_eq!(read(&path).unwrap(), b"old");
        assert_eq!(
            fs::read_dir(path.parent().unwrap()).unwrap().count(),
            1,
            "no temporary file is left"
        );
        write_atomic(&path, b"new").unwrap();
        assert_eq!(read(&path).unwrap(), b"new");
    }

    #[test]
    fn a_pending_directory_appears_whole() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("out");
        let pending = PendingDir::beside(&path).unwrap();
        write_atomic(&pending.path().join("x"), b"1").unwrap();
        assert!(!path.exists());
        pending.commit(&path).unwrap();
        assert_eq!(read(&path.join("x")).unwrap(), b"1");
    }

    #[test]
    fn a_lock_keeps_others_out_until_dropped() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("lock");
        let held = Lock::exclusive(&path).unwrap();
        assert!(Lock::try_exclusive(&path).unwrap().is_none());
        drop(held);
        assert!(Lock::try_exclusive(&path).unwrap().is_some());
    }
}
