//! JSON Lines: one object per line; blank lines are skipped.

use std::io::{BufRead, BufReader, Read};

use super::columns::Columns;
use super::input::{Input, Whole};
use super::json;
use super::record::Record;
use super::rows::Trouble;

/// The records of a JSONL file.
pub(super) struct JsonlRecords<R> {
    reader: BufReader<Input<R>>,
    line: u64,
    buffer: Vec<u8>,
}

impl<R: Read> JsonlRecords<R> {
    pub(super) fn new(input: Input<R>) -> Self {
        Self {
            reader: BufReader::with_capacity(1 << 16, input),
            line: 0,
            buffer: Vec::new(),
        }
    }

    /// The next record and its line, or `None` at the end.
    pub(super) fn next(&mut self, columns: &Columns) -> Option<Result<(u64, Record), Trouble>> {
        loop {
            self.buffer.clear();
            let read = self.reader.read_until(b'\n', &mut self.buffer);
            self.reader.get_mut().row_done();
            self.line += 1;
            match read {
                Err(error) => return Some(Err(Trouble::of_io(error, self.line))),
                Ok(0) => return None,
                Ok(_) if self.buffer.trim_ascii().is_empty() => {}
                Ok(_) => break,
            }
        }
        let record = json::record(self.buffer.trim_ascii_end(), columns);
        Some(match record {
            Ok(record) => Ok((self.line, record)),
            Err(message) => Err(Trouble::row(self.line, message)),
        })
    }

    pub(super) fn offset(&self) -> u64 {
        self.reader.get_ref().offset()
    }

    pub(super) fn finish(self) -> Whole {
        self.reader.into_inner().finish()
    }
}
