//! What is in a dataset, and what is suspicious about it.

use std::collections::{BTreeMap, BTreeSet};

use super::error::DatasetError;
use super::example::SplitName;
use super::fingerprint::{Print, key};
use super::lengths::{LengthCounter, Lengths};
use super::manifest::{DatasetManifest, Split};
use super::overlap::{Overlap, overlap};
use super::rows::{fetch, rows};
use crate::store::Store;

/// What is in a dataset.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stats {
    /// Each split by itself.
    pub splits: BTreeMap<SplitName, SplitStats>,
    /// Labels of other splits that no row of the train split has; a model never predicts them.
    pub unlearned: BTreeMap<SplitName, Vec<String>>,
    /// Texts that stand in two splits.
    pub overlaps: Vec<Overlap>,
}

/// What is in one split.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SplitStats {
    /// How many examples.
    pub rows: u64,
    /// Rows by label; empty unless the rows are classified.
    pub labels: BTreeMap<String, u64>,
    /// How long the texts, prompts or (as JSON) conversations are.
    pub input: Lengths,
    /// How long the answers are, unless they are labels.
    pub output: Option<Lengths>,
    /// Rows that say what an earlier row says: same input, same answer.
    pub duplicates: Repeats,
    /// Inputs that stand there with more than one answer.
    pub conflicts: Repeats,
    /// Rows whose id an earlier row has.
    pub repeated_ids: u64,
}

/// Inputs that stand in a split more than once.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Repeats {
    /// How many.
    pub count: u64,
    /// The first, by line: the input and the lines on which it stands.
    pub examples: Vec<(String, Vec<u64>)>,
}

/// How many examples of repeats are kept, and how many lines of each.
const KEPT: usize = 10;

/// Reads every row and counts. Memory: 32 bytes per row of the largest split, 48 where rows
/// have ids, and about 100 bytes per row of the smaller of two splits.
pub fn stats(store: &Store, manifest: &DatasetManifest) -> Result<Stats, DatasetError> {
    let mut splits = BTreeMap::new();
    for name in manifest.splits.keys() {
        splits.insert(*name, split_stats(store, manifest, *name)?);
    }
    Ok(Stats {
        unlearned: unlearned(&splits),
        overlaps: overlap(store, manifest)?,
        splits,
    })
}

fn split_stats(
    store: &Store,
    manifest: &DatasetManifest,
    name: SplitName,
) -> Result<SplitStats, DatasetError> {
    let capacity = manifest.split(name).map_or(0, Split::capacity);
    let mut prints = Vec::with_capacity(capacity);
    let mut ids = Vec::new();
    let mut labels: BTreeMap<String, u64> = BTreeMap::new();
    let mut input = LengthCounter::default();
    let mut output = LengthCounter::default();
    for row in rows(store, manifest, name)? {
        let row = row?;
        prints.push(Print::of(&row));
        ids.extend(row.example.id().map(|id| key(&[id])));
        input.add(&row.example.input());
        match row.example.label() {
            None => output.add(row.example.output()),
            Some(label) => match labels.get_mut(label) {
                Some(count) => *count += 1,
                None => drop(labels.insert(label.to_owned(), 1)),
            },
        }
    }
    prints.sort_unstable();
    let id = manifest.id()?;
    let contradiction = || DatasetError::Contradiction {
        id,
        what: format!("the {name} split holds no rows"),
    };
    Ok(SplitStats {
        rows: prints.len() as u64,
        labels,
        input: input.finish().ok_or_else(contradiction)?,
        output: output.finish(),
        duplicates: repeats(store, manifest, name, duplicates(&prints))?,
        conflicts: repeats(store, manifest, name, conflicts(&prints))?,
        repeated_ids: count_repeated(ids),
    })
}

fn count_repeated(mut ids: Vec<u128>) -> u64 {
    let all = ids.len();
    ids.sort_unstable();
    ids.dedup();
    (all - ids.len()) as u64
}

/// How many there are, and the lines of each.
struct Found {
    count: u64,
    groups: Vec<Vec<u64>>,
}

impl Found {
    /// Takes groups of lines in; keeps those that begin first.
    fn of(count: u64, mut groups: Vec<Vec<u64>>) -> Self {
        groups.sort_unstable();
        groups.truncate(KEPT);
        Self { count, groups }
    }
}

/// `prints` sorted.
fn duplicates(prints: &[Print]) -> Found {
    let mut count = 0;
    let mut groups = Vec::new();
    for same in prints.chunk_by(|a, b| (a.input, a.output) == (b.input, b.output)) {
        if same.len() > 1 {
            count += same.len() as u64 - 1;
            groups.push(first_lines(same));
        }
    }
    Found::of(count, groups)
}

/// `prints` sorted.
fn conflicts(prints: &[Print]) -> Found {
    let mut groups = Vec::new();
    for same in prints.chunk_by(|a, b| a.input == b.input) {
        if same.iter().any(|print| print.output != same[0].output) {
            groups.push(first_lines(same));
        }
    }
    Found::of(groups.len() as u64, groups)
}

fn first_lines(prints: &[Print]) -> Vec<u64> {
    let mut lines: Vec<u64> = prints.iter().map(|print| print.line).collect();
    lines.sort_unstable();
    lines.truncate(KEPT);
    lines
}

fn repeats(
    store: &Store,
    manifest: &DatasetManifest,
    name: SplitName,
    found: Found,
) -> Result<Repeats, DatasetError> {
    let firsts: BTreeSet<u64> = found.groups.iter().map(|lines| lines[0]).collect();
    let texts = fetch(store, manifest, name, &firsts)?;
    let example = |lines: Vec<u64>| {
        let text = texts.get(&lines[0])?.input().into_owned();
        Some((text, lines))
    };
    Ok(Repeats {
        count: found.count,
        examples: found.groups.into_iter().filter_map(example).collect(),
    })
}

fn unlearned(splits: &BTreeMap<SplitName, SplitStats>) -> BTreeMap<SplitName, Vec<String>> {
    let Some(train) = splits.get(&SplitName::Train) else {
        return BTreeMap::new();
    };
    let missing = |stats: &SplitStats| -> Vec<String> {
        stats
            .labels
            .keys()
            .filter(|label| !train.labels.contains_key(*label))
            .cloned()
            .collect()
    };
    splits
        .iter()
        .map(|(name, stats)| (*name, missing(stats)))
        .filter(|(_, labels)| !labels.is_empty())
        .collect()
}
