//! Datasets: rows of text in splits, identified by the exact bytes they came in.
//!
//! A split is one JSONL or CSV file, kept byte for byte as one object of the store, or a folder of texts, kept as JSONL. A [`DatasetManifest`] says how
//! to read the splits and what was found in them; its digest is the [`DatasetId`]. File names, paths and times are
//! no part of it, so the same bytes give the same id everywhere.
//!
//! Rows have one of six shapes ([`Kind`]): `text` and `label`; `text`; `prompt` and `completion`; `messages`, also as Alpaca
//! and ShareGPT spell them. A text is
//! taken exactly as it stands. A label loses its outer blanks, because `" refund"` and `"refund"` are never meant
//! to be two classes. Everything that is not understood is a fault with file, line and fix; nothing is skipped.
//!
//! Import streams: memory does not grow with the file. [`stats`] and [`diff`] keep a few dozen bytes per row.

mod columns;
mod csv;
mod diff;
mod error;
mod example;
mod fingerprint;
mod folder;
mod import;
mod input;
mod json;
mod jsonl;
mod lengths;
mod manifest;
mod overlap;
mod record;
mod rows;
mod stats;
mod verify;

#[cfg(test)]
mod tests;

pub use columns::{Columns, ColumnsError, Field};
pub use diff::{Change, Diff, SplitDiff, diff};
pub use error::{DatasetError, RowFaults};
pub use example::{Example, Kind, Message, ParseSplitError, Role, SplitName};
pub use fingerprint::normalise;
pub use import::{Options, import, inspect};
pub use lengths::{Distribution, Lengths};
pub use manifest::{DatasetId, DatasetManifest, Format, Split, load};
pub use overlap::{CaseOverlap, Met, Overlap, OverlapExample, Questions, overlap, overlap_with};
pub use rows::{Row, Rows, examples, rows};
pub use stats::{Repeats, SplitStats, Stats, stats};
pub use verify::{DatasetReport, verify};
