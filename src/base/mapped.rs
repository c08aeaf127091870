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
}

impl Deref for Mapped {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.0
    }
}
