//! Reading the rows of a split, one at a time.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io::{self, Read};

use super::columns::Columns;
use super::csv::CsvRecords;
use super::error::DatasetError;
use super::example::{Example, SplitName};
use super::input::{Input, InputError, Whole};
use super::jsonl::JsonlRecords;
use super::manifest::{DatasetId, DatasetManifest, Format};
use super::record::{Record, Shape};
use crate::fsio::{self, Context};
use crate::store::Store;

/// An example and where it stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Row {
    /// The line of the file on which the row begins, from 1.
    pub line: u64,
    /// The row.
    pub example: Example,
}

/// The rows of a stored split in the order of the file, one in memory at a time.
pub struct Rows {
    reader: Reader<File>,
    id: DatasetId,
    split: SplitName,
}

/// All examples of a split, in the order of the file. The bytes are checked before they are parsed.
pub fn examples(
    store: &Store,
    manifest: &DatasetManifest,
    split: SplitName,
) -> Result<Vec<Example>, DatasetError> {
    rows(store, manifest, split)?
        .map(|row| Ok(row?.example))
        .collect()
}

/// The rows of a split, one at a time. The bytes are checked before the first row is parsed.
pub fn rows(
    store: &Store,
    manifest: &DatasetManifest,
    split: SplitName,
) -> Result<Rows, DatasetError> {
    rows_shaped(store, manifest, split, manifest.shape())
}

/// Like [`rows`], with another idea of what the rows look like.
pub(super) fn rows_shaped(
    store: &Store,
    manifest: &DatasetManifest,
    split: SplitName,
    shape: Shape,
) -> Result<Rows, DatasetError> {
    let id = manifest.id()?;
    let part = manifest
        .split(split)
        .ok_or(DatasetError::Absent { dataset: id, split })?;
    let path = store.open_verified(&part.blob)?;
    let reader = Reader::new(fsio::open(&path)?, part.format, shape).doing("read", &path)?;
    Ok(Rows { reader, id, split })
}

/// The examples on some lines of a split.
pub(super) fn fetch(
    store: &Store,
    manifest: &DatasetManifest,
    split: SplitName,
    lines: &BTreeSet<u64>,
) -> Result<BTreeMap<u64, Example>, DatasetError> {
    let mut found = BTreeMap::new();
    if lines.is_empty() {
        return Ok(found);
    }
    for row in rows(store, manifest, split)? {
        let row = row?;
        if lines.contains(&row.line) {
            found.insert(row.line, row.example);
        }
        if found.len() == lines.len() {
            break;
        }
    }
    Ok(found)
}

impl Rows {
    /// The rows as they were recorded.
    pub(super) fn finish(self) -> (Shape, Whole) {
        self.reader.finish()
    }
}

impl Iterator for Rows {
    type Item = Result<Row, DatasetError>;

    fn next(&mut self) -> Option<Self::Item> {
        let row = self.reader.next()?;
        Some(row.map_err(|trouble| DatasetError::Contradiction {
            id: self.id,
            what: format!("{} split: {trouble}", self.split),
        }))
    }
}

/// The rows of any reader. After [`Trouble::File`] or [`Trouble::Io`] there are no more.
pub(super) struct Reader<R> {
    records: Records<R>,
    shape: Shape,
    stopped: bool,
}

enum Records<R> {
    Jsonl(JsonlRecords<R>),
    Csv(CsvRecords<R>),
}

/// What is wrong with a row or with the file from some row on.
#[derive(Debug)]
pub(super) enum Trouble {
    /// A row is not as it must be; the next one may be.
    Row { line: u64, messages: Vec<String> },
    /// The rest of the file cannot be read as rows.
    File { line: Option<u64>, message: String },
    /// The operating system refused.
    Io(io::Error),
}

impl<R: Read> Reader<R> {
    pub(super) fn new(inner: R, format: Format, shape: Shape) -> io::Result<Self> {
        let input = Input::new(inner)?;
        let records = match format {
            Format::Jsonl => Records::Jsonl(JsonlRecords::new(input)),
            Format::Csv => Records::Csv(CsvRecords::new(input)),
        };
        Ok(Self {
            records,
            shape,
            stopped: false,
        })
    }

    /// Bytes handed to the parser so far.
    pub(super) fn offset(&self) -> u64 {
        match &self.records {
            Records::Jsonl(records) => records.offset(),
            Records::Csv(records) => records.offset(),
        }
    }

    /// What the rows turned out to look like, and what the bytes were. Only sound at the end.
    pub(super) fn finish(self) -> (Shape, Whole) {
        let whole = match self.records {
            Records::Jsonl(records) => records.finish(),
            Records::Csv(records) => records.finish(),
        };
        (self.shape, whole)
    }

    fn next_record(&mut self) -> Option<Result<(u64, Record), Trouble>> {
        let columns: &Columns = &self.shape.columns;
        match &mut self.records {
            Records::Jsonl(records) => records.next(columns),
            Records::Csv(records) => records.next(columns),
        }
    }
}

impl<R: Read> Iterator for Reader<R> {
    type Item = Result<Row, Trouble>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.stopped {
            return None;
        }
        Some(match self.next_record()? {
            Ok((line, record)) => match self.shape.example(record) {
                Ok(example) => Ok(Row { line, example }),
                Err(messages) => Err(Trouble::Row { line, messages }),
            },
            Err(trouble) => {
                self.stopped = !matches!(trouble, Trouble::Row { .. });
                Err(trouble)
            }
        })
    }
}

impl Trouble {
    pub(super) fn row(line: u64, message: String) -> Self {
        Self::Row {
            line,
            messages: vec![message],
        }
    }

    /// An error that came up the reader: one of [`InputError`], or the operating system's.
    pub(super) fn of_io(error: io::Error, line: u64) -> Self {
        match error.downcast::<InputError>() {
            Ok(error @ (InputError::NotUtf8 { line, .. } | InputError::LongText { line })) => {
                Self::File {
                    line: Some(line),
                    message: error.to_string(),
                }
            }
            Ok(error @ InputError::TooLong) => Self::File {
                line: Some(line),
                message: error.to_string(),
            },
            Err(error) => Self::Io(error),
        }
    }
}

impl std::fmt::Display for Trouble {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Row { line, messages } => write!(f, "line {line}: {}", messages.join("; ")),
            Self::File {
                line: Some(line),
                message,
            } => write!(f, "line {line}: {message}"),
            Self::File {
                line: None,
                message,
            } => f.write_str(message),
            Self::Io(error) => error.fmt(f),
        }
    }
}
