//! Bytes on their way to a parser: hashed, checked to be UTF-8, without a byte order mark, in bounded pieces.

use std::io::{self, Read};

use crate::digest::{Digest, Hasher};

/// The longest a row may be, in bytes. Bounds memory whatever the file holds.
pub(super) const MAX_ROW: u64 = 16 << 20;

/// The mark that some programs put in front of UTF-8.
pub(super) const BOM: [u8; 3] = [0xef, 0xbb, 0xbf];

/// A reader that hands out checked bytes. After an error, nothing more comes out of it.
pub(super) struct Input<R> {
    inner: R,
    hasher: Hasher,
    /// Bytes taken from `inner`.
    taken: u64,
    /// Bytes at the front that were taken to look for a byte order mark and are not yet handed out.
    front: Vec<u8>,
    /// Bytes handed out or dropped so far, so the offset in the file of the next one.
    offset: u64,
    /// Bytes dropped at the front.
    skipped: u64,
    newlines: u64,
    quotes: u64,
    /// The piece handed out last.
    recent: Vec<u8>,
    /// The beginning of a character whose end has not come yet.
    partial: Vec<u8>,
    since_row: u64,
    failed: Option<InputError>,
}

/// Why no more bytes come out, besides the operating system's reasons.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(super) enum InputError {
    /// A byte that belongs to no character.
    #[error(
        "not UTF-8: byte {byte:#04x} at byte offset {offset}; save the file as UTF-8 \
         (for a {} file: iconv -f {} -t utf-8)",
        likely(*offset, *byte).0,
        likely(*offset, *byte).1
    )]
    NotUtf8 { line: u64, offset: u64, byte: u8 },
    /// A row that does not end.
    #[error("a row is longer than 16 MiB; is a quote or a line end missing?")]
    TooLong,
    /// A text that is a row alone.
    #[error("the text is longer than 16 MiB, which is the most that a row may have: split it")]
    LongText { line: u64 },
}

/// What a file that is not UTF-8 most likely is, for people and for iconv: UTF-16 begins with a mark of two bytes that
/// no other text begins with.
fn likely(offset: u64, byte: u8) -> (&'static str, &'static str) {
    match (offset, byte) {
        (0, 0xff | 0xfe) => ("UTF-16", "utf-16"),
        _ => ("Latin-1", "latin1"),
    }
}

/// What a file was, once it has been read to the end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Whole {
    pub(super) digest: Digest,
    pub(super) size: u64,
}

impl<R: Read> Input<R> {
    /// Wraps `inner` and takes a byte order mark off its front.
    pub(super) fn new(mut inner: R) -> io::Result<Self> {
        let mut front = Vec::with_capacity(BOM.len());
        inner
            .by_ref()
            .take(BOM.len() as u64)
            .read_to_end(&mut front)?;
        let mut hasher = Hasher::new();
        hasher.update(&front);
        let taken = front.len() as u64;
        let mut offset = 0;
        if front == BOM {
            front.clear();
            offset = taken;
        }
        Ok(Self {
            inner,
            hasher,
            taken,
            front,
            offset,
            skipped: offset,
            newlines: 0,
            quotes: 0,
            recent: Vec::new(),
            partial: Vec::with_capacity(4),
            since_row: 0,
            failed: None,
        })
    }

    /// Says that a row is complete, so that the next one may again be as long as allowed.
    pub(super) fn row_done(&mut self) {
        self.since_row = 0;
    }

    /// The offset in the file of the next byte handed out.
    pub(super) fn offset(&self) -> u64 {
        self.offset
    }

    /// How many bytes have been handed out: those up to `offset` but for a byte order mark.
    pub(super) fn handed_out(&self) -> u64 {
        self.offset - self.skipped
    }

    /// The byte that was handed out before the last `ahead` ones, if it is in the last piece.
    pub(super) fn byte_before(&self, ahead: u64) -> Option<u8> {
        let ahead = usize::try_from(ahead).ok()?;
        let index = self.recent.len().checked_sub(ahead + 1)?;
        self.recent.get(index).copied()
    }

    /// How many `"` have been handed out.
    pub(super) fn quotes(&self) -> u64 {
        self.quotes
    }

    /// The digest and size of everything taken from the inner reader.
    pub(super) fn finish(self) -> Whole {
        Whole {
            digest: self.hasher.finish(),
            size: self.taken,
        }
    }

    fn fill(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if !self.front.is_empty() {
            let count = self.front.len().min(buffer.len());
            buffer[..count].copy_from_slice(&self.front[..count]);
            self.front.drain(..count);
            return Ok(count);
        }
        let count = self.inner.read(buffer)?;
        self.hasher.update(&buffer[..count]);
        self.taken += count as u64;
        Ok(count)
    }

    /// How many of `bytes` may be handed out; sets `failed` where it is not all.
    fn check(&mut self, bytes: &[u8]) -> usize {
        let mut start = 0;
        while !self.partial.is_empty() && start < bytes.len() {
            self.partial.push(bytes[start]);
            start += 1;
            match std::str::from_utf8(&self.partial) {
                Ok(_) => self.partial.clear(),
                Err(e) if e.error_len().is_none() => {}
                Err(_) => {
                    let begun = self.partial.len() - start;
                    self.fail(self.offset - begun as u64, self.newlines, self.partial[0]);
                    return 0;
                }
            }
        }
        let Err(e) = std::str::from_utf8(&bytes[start..]) else {
            return bytes.len();
        };
        let valid = start + e.valid_up_to();
        if e.error_len().is_none() {
            self.partial.extend_from_slice(&bytes[valid..]);
            return bytes.len();
        }
        let newlines = self.newlines + count(b'\n', &bytes[..valid]);
        self.fail(self.offset + valid as u64, newlines, bytes[valid]);
        valid
    }

    fn fail(&mut self, offset: u64, newlines: u64, byte: u8) {
        self.failed = Some(InputError::NotUtf8 {
            line: newlines + 1,
            offset,
            byte,
        });
    }
}

impl<R: Read> Read for Input<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.since_row > MAX_ROW {
            self.failed = Some(InputError::TooLong);
        }
        if let Some(failed) = &self.failed {
            return Err(io::Error::new(io::ErrorKind::InvalidData, failed.clone()));
        }
        let filled = self.fill(buffer)?;
        if filled == 0 && !buffer.is_empty() && !self.partial.is_empty() {
            let begun = self.partial.len() as u64;
            self.fail(self.offset - begun, self.newlines, self.partial[0]);
            return self.read(buffer);
        }
        let good = self.check(&buffer[..filled]);
        self.offset += good as u64;
        self.since_row += good as u64;
        self.newlines += count(b'\n', &buffer[..good]);
        self.quotes += count(b'"', &buffer[..good]);
        if good > 0 {
            self.recent.clear();
            self.recent.extend_from_slice(&buffer[..good]);
        }
        match good {
            0 if filled > 0 => self.read(buffer),
            good => Ok(good),
        }
    }
}

fn count(byte: u8, bytes: &[u8]) -> u64 {
    bytes.iter().filter(|&&other| other == byte).count() as u64
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    /// Yields one byte at a time, so that every character is cut everywhere.
    struct Drip<'a>(&'a [u8]);

    impl Read for Drip<'_> {
        fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
            let count = self.0.len().min(buffer.len()).min(1);
            buffer[..count].copy_from_slice(&self.0[..count]);
            self.0 = &self.0[count..];
            Ok(count)
        }
    }

    fn read(bytes: &[u8]) -> Vec<(Vec<u8>, Option<InputError>)> {
        let whole = read_all(Input::new(bytes).unwrap());
        let dripped = read_all(Input::new(Drip(bytes)).unwrap());
        vec![whole, dripped]
    }

    fn read_all(mut input: Input<impl Read>) -> (Vec<u8>, Option<InputError>) {
        let mut out = Vec::new();
        let error = input.read_to_end(&mut out).err();
        (out, error.map(|e| e.downcast::<InputError>().unwrap()))
    }

    #[test]
    fn hands_out_everything_but_the_byte_order_mark_and_hashes_all() {
        for (bytes, expected) in [
            (&b""[..], &b""[..]),
            (b"a", b"a"),
            ("\u{feff}aé\n".as_bytes(), "aé\n".as_bytes()),
            ("\u{feff}".as_bytes(), b""),
            ("€𝄞".as_bytes(), "€𝄞".as_bytes()),
        ] {
            for (out, error) in read(bytes) {
                assert_eq!((&out[..], error), (expected, None));
            }
            let mut input = Input::new(Drip(bytes)).unwrap();
            io::copy(&mut input, &mut io::sink()).unwrap();
            let expected = Whole {
                digest: Digest::of(bytes),
                size: bytes.len() as u64,
            };
            assert_eq!(input.finish(), expected);
        }
    }

    #[test]
    fn names_line_offset_and_byte_of_what_is_not_utf8() {
        for (bytes, line, offset, byte) in [
            (&b"ab\ncd\xe9f"[..], 2, 5, 0xe9),
            (b"\xff", 1, 0, 0xff),
            (b"\xef\xbb\xbfa\xff", 1, 4, 0xff),
            (b"ab\n\xe2\x82", 2, 3, 0xe2),
            (b"\xe2\x28\xa1", 1, 0, 0xe2),
            (b"\xed\xa0\x80", 1, 0, 0xed),
        ] {
            for (_, error) in read(bytes) {
                let expected = InputError::NotUtf8 { line, offset, byte };
                assert_eq!(error, Some(expected), "{bytes:?}");
            }
        }
    }

    #[test]
    fn a_row_without_an_end_is_refused_before_it_fills_memory() {
        let mut input = Input::new(io::repeat(b'a')).unwrap();
        let copied = io::copy(&mut input, &mut io::sink()).unwrap_err();
        assert_eq!(
            copied.downcast::<InputError>().unwrap(),
            InputError::TooLong
        );
        assert!(input.offset() < MAX_ROW + (1 << 20));
    }
}
