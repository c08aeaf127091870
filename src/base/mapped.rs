//! Files as memory. The one place of this module tree that maps.
#![allow(unsafe_code)]

use std::fs::File;
use std::io;
use std::ops::Deref;
use std::path::Path;

/// A file's bytes, mapped read-only.
#[derive(Debug)]
pub(crate) struct Mapped(memmap2::Mmap);

impl Mapped {
    /// Maps the file at `path`.
    pub(crate) fn open(path: &Path) -> io::Result<Self> {
        let file = File::open(path)?;
        // SAFETY: the map is private and read-only. Another process that writes to the file while it is mapped could
        // change what we see; weights come from the store (mode 0444, never rewritten) or from a checkpoint that the
        // user gave for reading, every value is copied out and checked to be finite, and no reference outlives a read.
        // A file that shrinks ends the process with SIGBUS; it cannot corrupt memory.
        unsafe { memmap2::Mmap::map(&file) }.map(Self)
    }

    /// Gives back the memory of what was read so far; it is read from the file again when it is looked at again.
    pub(crate) fn forget(&self) {
        // SAFETY: the map is read-only and of a file, so no page holds anything that the file does not.
        // That the system does not take the advice costs memory only.
        let _ = unsafe { self.0.unchecked_advise(memmap2::UncheckedAdvice::DontNeed) };
    }
}

impl Deref for Mapped {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.0
    }
}
