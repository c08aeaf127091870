//! Leak checks: texts of one split, or of an evaluation suite, that also stand in another split.

use std::collections::{HashMap, HashSet};

use super::error::DatasetError;
use super::example::{Example, SplitName};
use super::fingerprint::{Key, key, normalise};
use super::manifest::DatasetManifest;
use super::rows::{Row, rows};
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
/// What is compared is the question of each row ([`Example::question`]), normalised. Memory: about 100
/// bytes per row of the smaller of two splits.
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

/// What rows ask that were met so far, with differences of no meaning taken out; some 40 bytes for each.
#[derive(Debug, Clone, Default)]
pub struct Questions(HashMap<Key, Vec<u64>>);

/// How a row stands to those before it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Met {
    /// None asks the same.
    New,
    /// One asks and answers the same.
    Again,
    /// Some ask the same, and none answers the same.
    Otherwise,
}

impl Questions {
    /// Takes a row in. What is compared is everything that it gives ([`Example::input`]), and its answer.
    pub fn meet(&mut self, example: &Example) -> Met {
        let output = output_key(example);
        let outputs = self.0.entry(input_key(example)).or_default();
        if outputs.contains(&output) {
            return Met::Again;
        }
        outputs.push(output);
        match outputs.len() {
            1 => Met::New,
            _ => Met::Otherwise,
        }
    }

    /// Whether a row that was met asks what `example` does.
    pub fn contain(&self, example: &Example) -> bool {
        self.0.contains_key(&input_key(example))
    }
}

/// What stands in the earlier split under one key.
struct Seen {
    first_line: u64,
    /// The answers there, each once; nearly always one.
    outputs: Vec<u64>,
}

impl Seen {
    fn of(row: &Row) -> Self {
        Self {
            first_line: row.line,
            outputs: vec![output_key(&row.example)],
        }
    }

    fn also(&mut self, row: &Row) {
        let output = output_key(&row.example);
        if !self.outputs.contains(&output) {
            self.outputs.push(output);
        }
    }
}

fn between(
    store: &Store,
    manifest: &DatasetManifest,
    of: SplitName,
    with: SplitName,
) -> Result<Overlap, DatasetError> {
    let seen = seen(store, manifest, of, with)?;
    let mut overlap = Overlap {
        of,
        with,
        rows: 0,
        conflicting: 0,
        examples: Vec::new(),
    };
    if seen.is_empty() {
        return Ok(overlap);
    }
    for row in rows(store, manifest, with)? {
        let row = row?;
        let Some(there) = seen.get(&question_key(&row.example)) else {
            continue;
        };
        overlap.rows += 1;
        if there.outputs != [output_key(&row.example)] {
            overlap.conflicting += 1;
        }
        if overlap.examples.len() < KEPT {
            overlap.examples.push(OverlapExample {
                text: row.example.question().to_owned(),
                line: row.line,
                of_line: there.first_line,
            });
        }
    }
    Ok(overlap)
}

/// The keys of `of`, at least those that `with` has too. The smaller split decides how much is kept in memory.
fn seen(
    store: &Store,
    manifest: &DatasetManifest,
    of: SplitName,
    with: SplitName,
) -> Result<HashMap<Key, Seen>, DatasetError> {
    let count = |name| manifest.split(name).map_or(0, |split| split.rows);
    let mut wanted: Option<HashSet<Key>> = None;
    if count(with) < count(of) {
        let mut keys = HashSet::new();
        for row in rows(store, manifest, with)? {
            keys.insert(question_key(&row?.example));
        }
        wanted = Some(keys);
    }
    let mut seen: HashMap<Key, Seen> = HashMap::new();
    for row in rows(store, manifest, of)? {
        let row = row?;
        let key = question_key(&row.example);
        if wanted.as_ref().is_some_and(|wanted| !wanted.contains(&key)) {
            continue;
        }
        match seen.get_mut(&key) {
            Some(there) => there.also(&row),
            None => drop(seen.insert(key, Seen::of(&row))),
        }
    }
    Ok(seen)
}

/// Half a key: answers are told apart only where the questions are equal.
fn output_key(example: &Example) -> u64 {
    key(&[example.output()]) as u64
}

fn input_key(example: &Example) -> Key {
    key(&[&normalise(&example.input())])
}

fn question_key(example: &Example) -> Key {
    key(&[&normalise(example.question())])
}
