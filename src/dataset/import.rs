//! Taking files in as a dataset.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

use rayon::prelude::*;

use super::columns::Columns;
use super::error::{DatasetError, RowFaults};
use super::example::SplitName;
use super::folder::Folder;
use super::manifest::{DatasetId, DatasetManifest, Format, Split};
use super::record::{Extras, Shape};
use super::rows::{Reader, Trouble};
use crate::fsio::{self, Context, FileError};
use crate::progress::{Event, Reporter, Unit};
use crate::store::Store;

/// More labels than this are texts, not classes.
const MAX_LABELS: usize = 100_000;
const TOO_MANY_LABELS: &str =
    "more than 100000 different labels; is the right column read as label?";

/// How files are read.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Options {
    /// Columns that do not bear their field's name.
    pub columns: Columns,
    /// Whether columns that are no field are left unread; otherwise each is a fault.
    pub ignore_extra_columns: bool,
    /// Whether the rows are nobody's in particular: models of every tenant may be trained on them.
    pub shared: bool,
}

/// Checks every row of the files, then stores the files and a manifest.
///
/// Each file is read twice, to check it and to store it; bytes that differ the second time are refused. Nothing is
/// stored when any row is at fault.
pub fn import(
    store: &Store,
    files: &[(SplitName, PathBuf)],
    options: &Options,
    reporter: &dyn Reporter,
) -> Result<(DatasetId, DatasetManifest), DatasetError> {
    let (id, manifest) = inspect(files, options, reporter)?;
    files.par_iter().try_for_each(|(name, path)| {
        let source = Source::open(path, &mut RowFaults::default())?;
        let blob = store.put(source.bytes())?;
        if manifest.split(*name).map(|split| split.blob) != Some(blob.digest) {
            return Err(DatasetError::Changed(path.clone()));
        }
        Ok(())
    })?;
    store.put_bytes(&manifest.encode()?)?;
    Ok((id, manifest))
}

/// What [`import`] would store, without storing it: checks every row and hashes every byte.
pub fn inspect(
    files: &[(SplitName, PathBuf)],
    options: &Options,
    reporter: &dyn Reporter,
) -> Result<(DatasetId, DatasetManifest), DatasetError> {
    let mut import = Import {
        shape: Shape {
            columns: options.columns.clone(),
            kind: None,
            extras: Extras {
                any: options.ignore_extra_columns,
                ignored: BTreeSet::new(),
            },
        },
        splits: BTreeMap::new(),
        labels: BTreeSet::new(),
        faults: RowFaults::default(),
        shared: options.shared,
        reporter,
    };
    let mut seen = BTreeSet::new();
    for (name, path) in files {
        if !seen.insert(*name) {
            return Err(DatasetError::Repeated(*name));
        }
        import.read(*name, path)?;
    }
    let manifest = import.finish()?;
    Ok((manifest.id()?, manifest))
}

/// What has been found so far.
struct Import<'a> {
    shape: Shape,
    splits: BTreeMap<SplitName, Split>,
    labels: BTreeSet<String>,
    faults: RowFaults,
    shared: bool,
    reporter: &'a dyn Reporter,
}

/// Where the rows of a split come from.
enum Source<'p> {
    File {
        path: &'p Path,
        file: File,
        size: u64,
    },
    Folder {
        path: &'p Path,
        folder: Folder,
    },
}

impl<'p> Source<'p> {
    fn open(path: &'p Path, faults: &mut RowFaults) -> Result<Self, DatasetError> {
        if path.is_dir() {
            let folder = Folder::list(path, faults)?;
            return Ok(Self::Folder { path, folder });
        }
        let file = fsio::open(path)?;
        let size = regular_size(&file, path)?;
        Ok(Self::File { path, file, size })
    }

    /// What is stored. A file can be read so only once.
    fn bytes(&self) -> Box<dyn Read + '_> {
        match self {
            Self::File { file, .. } => Box::new(file),
            Self::Folder { folder, .. } => Box::new(folder.lines()),
        }
    }

    /// How it is written; the inner error is a fault of the file.
    fn format(&self) -> Result<Result<Format, String>, DatasetError> {
        match self {
            Self::File { path, .. } => format_of(path),
            Self::Folder { .. } => Ok(Ok(Format::Jsonl)),
        }
    }

    /// How much there is to read.
    fn extent(&self) -> (u64, Unit) {
        match self {
            Self::File { size, .. } => (*size, Unit::Bytes),
            Self::Folder { folder, .. } => (folder.len(), Unit::Items),
        }
    }

    /// Where a fault on a line of the bytes is to be mended.
    fn place(&self, line: Option<u64>) -> (&Path, Option<u64>) {
        match self {
            Self::File { path, .. } => (path, line),
            Self::Folder { path, folder } => {
                let file = line.and_then(|line| folder.file(line));
                (file.unwrap_or(path), None)
            }
        }
    }
}

impl Import<'_> {
    fn read(&mut self, name: SplitName, path: &Path) -> Result<(), DatasetError> {
        let source = Source::open(path, &mut self.faults)?;
        let format = match source.format()? {
            Ok(format) => format,
            Err(why) => {
                self.faults.push(path, None, why);
                return Ok(());
            }
        };
        let (total, unit) = source.extent();
        self.reporter.report(&Event::Started {
            what: &format!("checking {name} rows"),
            total: Some(total),
            unit,
        });
        let split = self.read_rows(&source, format)?;
        self.reporter.report(&Event::Finished);
        self.splits.extend(split.map(|split| (name, split)));
        Ok(())
    }

    /// `None` where not even the first bytes can be read as rows; the fault is recorded.
    fn read_rows(
        &mut self,
        source: &Source<'_>,
        format: Format,
    ) -> Result<Option<Split>, DatasetError> {
        let mut reader = match Reader::new(source.bytes(), format, self.shape.clone()) {
            Ok(reader) => reader,
            Err(error) => {
                self.trouble(source, Trouble::of_io(error, 1))?;
                return Ok(None);
            }
        };
        let mut rows = 0_u64;
        let mut met = 0_u64;
        while let Some(row) = reader.next() {
            met += 1;
            if met.is_multiple_of(8192) {
                self.advance(match source.extent().1 {
                    Unit::Bytes => reader.offset(),
                    Unit::Items => met,
                })?;
            }
            match row {
                Ok(row) => {
                    rows += 1;
                    if let Some(label) = row.example.label()
                        && !self.labels.contains(label)
                    {
                        self.labels.insert(label.to_owned());
                    }
                    if self.labels.len() > MAX_LABELS {
                        self.fault(source, Some(row.line), TOO_MANY_LABELS.to_owned());
                        break;
                    }
                }
                Err(trouble) => self.trouble(source, trouble)?,
            }
        }
        if met == 0 {
            let what = match source {
                Source::File { .. } => "the file holds no rows",
                Source::Folder { .. } => "the folder holds no .txt files",
            };
            self.fault(source, None, what.to_owned());
        }
        let (shape, whole) = reader.finish();
        self.shape = shape;
        Ok(Some(Split {
            blob: whole.digest,
            size: whole.size,
            rows,
            format,
        }))
    }

    fn advance(&self, done: u64) -> Result<(), DatasetError> {
        self.reporter.report(&Event::Advanced { done, note: "" });
        if self.reporter.interrupted() {
            return Err(DatasetError::Interrupted);
        }
        Ok(())
    }

    fn trouble(&mut self, from: &Source<'_>, trouble: Trouble) -> Result<(), DatasetError> {
        match trouble {
            Trouble::Row { line, messages } => {
                for message in messages {
                    self.fault(from, Some(line), message);
                }
            }
            Trouble::File { line, message } => self.fault(from, line, message),
            Trouble::Io(source) => {
                return Err(DatasetError::File(FileError {
                    action: "read",
                    path: from.place(None).0.to_owned(),
                    source,
                }));
            }
        }
        Ok(())
    }

    fn fault(&mut self, from: &Source<'_>, line: Option<u64>, message: String) {
        let (path, line) = from.place(line);
        self.faults.push(path, line, message);
    }

    fn finish(self) -> Result<DatasetManifest, DatasetError> {
        if !self.faults.is_empty() {
            return Err(DatasetError::Rows(self.faults));
        }
        Ok(DatasetManifest {
            kind: self.shape.kind.ok_or(DatasetError::NoSplit)?,
            splits: self.splits,
            labels: self.labels.into_iter().collect(),
            columns: self.shape.columns,
            ignored: self.shape.extras.ignored.into_iter().collect(),
            shared: self.shared,
        })
    }
}

/// The size of a regular file. A pipe is refused, because every file is read twice.
fn regular_size(file: &File, path: &Path) -> Result<u64, DatasetError> {
    let metadata = file.metadata().doing("look at", path)?;
    if metadata.is_file() {
        return Ok(metadata.len());
    }
    Err(DatasetError::File(FileError {
        action: "read",
        path: path.to_owned(),
        source: std::io::Error::other("it is not a regular file"),
    }))
}

/// The format by the file's ending, else by its first byte. The inner error is a fault of the file.
fn format_of(path: &Path) -> Result<Result<Format, String>, DatasetError> {
    let ending = path.extension().and_then(|ending| ending.to_str());
    match ending.map(str::to_ascii_lowercase).as_deref() {
        Some("jsonl" | "ndjson") => return Ok(Ok(Format::Jsonl)),
        Some("csv") => return Ok(Ok(Format::Csv)),
        _ => {}
    }
    let mut head = Vec::new();
    fsio::open(path)?
        .take(4096)
        .read_to_end(&mut head)
        .doing("read", path)?;
    Ok(sniff(&head).map_err(|what| format!("{what}; write the rows as JSONL or CSV")))
}

fn sniff(head: &[u8]) -> Result<Format, &'static str> {
    let text = head.strip_prefix(b"\xef\xbb\xbf").unwrap_or(head);
    match text.trim_ascii_start() {
        [] => Err("the file holds no rows"),
        [b'{', ..] => Ok(Format::Jsonl),
        [b'[', ..] => Err("this is one JSON array"),
        [b'P', b'A', b'R', b'1', ..] => Err("this is a Parquet file"),
        [0x1f, 0x8b, ..] => Err("this is compressed with gzip"),
        [b'P', b'K', 3, 4, ..] => Err("this is a zip archive"),
        _ => Ok(Format::Csv),
    }
}
