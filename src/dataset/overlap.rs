//! Leak checks: texts of one split, or of an evaluation suite, that also stand in another split.

use std::collections::HashMap;

use super::error::DatasetError;
use super::example::{Example, SplitName};
use super::fingerprint::{Key, key, normalise};
use super::manifest::DatasetManifest;
use super::rows::rows;
use crate::store::Store;

/// Texts of a split that also stand, but for differences of no meaning, in the split that is learned from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Overlap {
    /// What is learned from, or looked at while learning.
    pub of: SplitName,
    /// What should hold only texts that `of` does not.
    pub with: SplitName,
    /// How many rows of `with` stand in `of` too.
    pub rows: u64,
    /// How many of these have another answer there.
    pub conflicting: u64,
    /// The first of them, in the order of `with`.
    pub examples: Vec<OverlapExample>,
}

/// One text in two splits.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OverlapExample {
    /// As it stands in `with`.
    pub text: String,
    /// In `with`.
    pub line: u64,
    /// The first line in `of`.
    pub of_line: u64,
}

/// A given text that stands in a split.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CaseOverlap {
    /// Which of the given texts, from 0.
    pub index: usize,
    /// The first line of the split on which it stands.
    pub line: u64,
}

/// How many examples of an overlap are kept.
const KEPT: usize = 10;

/// Compares every split with those that come before it: train with validation, train and validation with test.
///
/// What is compared is the question of each row ([`Example::question`]), normalised. One split's keys are in memory
/// at a time.
pub fn overlap(store: &Store, manifest: &DatasetManifest) -> Result<Vec<Overlap>, DatasetError> {
    let names: Vec<SplitName> = manifest.splits.keys().copied().collect();
    let mut overlaps = Vec::new();
    for (index, with) in names.iter().enumerate() {
        for of in &names[..index] {
            overlaps.push(between(store, manifest, *of, *with)?);
        }
    }
    Ok(overlaps)
}

/// Which of `texts` stand, normalised, in a split; in the order of the texts.
///
/// Keeps the keys of the texts in memory and streams the split.
pub fn overlap_with<'a>(
    store: &Store,
    manifest: &DatasetManifest,
    split: SplitName,
    texts: impl IntoIterator<Item = &'a str>,
) -> Result<Vec<CaseOverlap>, DatasetError> {
    let mut wanted: HashMap<Key, Vec<usize>> = HashMap::new();
    for (index, text) in texts.into_iter().enumerate() {
        wanted
            .entry(key(&[&normalise(text)]))
            .or_default()
            .push(index);
    }
    let mut found = Vec::new();
    for row in rows(store, manifest, split)? {
        let row = row?;
        // Removed, so that only the first line is told.
        for index in wanted
            .remove(&question_key(&row.example))
            .unwrap_or_default()
        {
            found.push(CaseOverlap {
                index,
                line: row.line,
            });
        }
    }
    found.sort_by_key(|case| case.index);
    Ok(found)
}

/// What stands in the earlier split under a key that the later split has too.
struct Seen {
    first_line: u64,
    outputs: Vec<Key>,
}

fn between(
    store: &Store,
    manifest: &DatasetManifest,
    of: SplitName,
    with: SplitName,
) -> Result<Overlap, DatasetError> {
    let mut seen: HashMap<Key, Option<Seen>> = HashMap::new();
    for row in rows(store, manifest, with)? {
        seen.insert(question_key(&row?.example), None);
    }
    for row in rows(store, manifest, of)? {
        let row = row?;
        let Some(entry) = seen.get_mut(&question_key(&row.example)) else {
            continue;
        };
        let entry = entry.get_or_insert_with(|| Seen {
            first_line: row.line,
            outputs: Vec::new(),
        });
        let output = key(&[row.example.output()]);
        if !entry.outputs.contains(&output) {
            entry.outputs.push(output);
        }
    }
    let mut overlap = Overlap {
        of,
        with,
        rows: 0,
        conflicting: 0,
        examples: Vec::new(),
    };
    if seen.values().all(Option::is_none) {
        return Ok(overlap);
    }
    for row in rows(store, manifest, with)? {
        let row = row?;
        let Some(Some(entry)) = seen.get(&question_key(&row.example)) else {
            continue;
        };
        overlap.rows += 1;
        if entry.outputs != [key(&[row.example.output()])] {
            overlap.conflicting += 1;
        }
        if overlap.examples.len() < KEPT {
            overlap.examples.push(OverlapExample {
                text: row.example.question().to_owned(),
                line: row.line,
                of_line: entry.first_line,
            });
        }
    }
    Ok(overlap)
}

fn question_key(example: &Example) -> Key {
    key(&[&normalise(example.question())])
}
