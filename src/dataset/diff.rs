//! What changed from one dataset to another.

use std::collections::{BTreeMap, BTreeSet};

use super::error::DatasetError;
use super::example::{Example, SplitName};
use super::fingerprint::Print;
use super::manifest::DatasetManifest;
use super::rows::{fetch, rows};
use crate::store::Store;

/// What changed from one dataset to another.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Diff {
    /// Each split that either of them has.
    pub splits: BTreeMap<SplitName, SplitDiff>,
    /// Labels that only the second has.
    pub labels_added: Vec<String>,
    /// Labels that only the first has.
    pub labels_removed: Vec<String>,
}

/// What changed in one split. Rows are compared by content; their order, ids and file format do not count.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct SplitDiff {
    /// Rows before.
    pub before: u64,
    /// Rows after.
    pub after: u64,
    /// Rows whose input only the second has, or has more often.
    pub added: u64,
    /// Rows whose input only the first has, or has more often.
    pub removed: u64,
    /// Rows with the same input and another answer.
    pub changed: u64,
    /// Rows by label, before and after, where the two differ.
    pub labels: BTreeMap<String, (u64, u64)>,
    /// The first changes of each kind: changed, removed, added.
    pub examples: Vec<Change>,
}

/// One row that is not the same.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Change {
    /// Only the second has it.
    Added {
        /// Its line in the second.
        line: u64,
        /// The row.
        example: Example,
    },
    /// Only the first has it.
    Removed {
        /// Its line in the first.
        line: u64,
        /// The row.
        example: Example,
    },
    /// Same input, other answer.
    Changed {
        /// Its line in the first.
        before_line: u64,
        /// The row in the first.
        before: Example,
        /// Its line in the second.
        after_line: u64,
        /// The row in the second.
        after: Example,
    },
}

/// How many changes of each kind are kept per split.
const KEPT: usize = 10;

/// Compares two datasets split by split. Memory: 32 bytes per row of the two splits compared.
pub fn diff(
    store: &Store,
    before: &DatasetManifest,
    after: &DatasetManifest,
) -> Result<Diff, DatasetError> {
    let names: BTreeSet<SplitName> = before
        .splits
        .keys()
        .chain(after.splits.keys())
        .copied()
        .collect();
    let mut splits = BTreeMap::new();
    for name in names {
        splits.insert(name, Pair::compare(store, before, after, name)?);
    }
    Ok(Diff {
        splits,
        labels_added: without(&after.labels, &before.labels),
        labels_removed: without(&before.labels, &after.labels),
    })
}

fn without(labels: &[String], others: &[String]) -> Vec<String> {
    let fresh = labels
        .iter()
        .filter(|label| others.binary_search(label).is_err());
    fresh.cloned().collect()
}

/// One side of a comparison.
struct Side<'a> {
    store: &'a Store,
    manifest: &'a DatasetManifest,
    name: SplitName,
    prints: Vec<Print>,
    labels: BTreeMap<String, u64>,
}

impl<'a> Side<'a> {
    fn read(
        store: &'a Store,
        manifest: &'a DatasetManifest,
        name: SplitName,
    ) -> Result<Self, DatasetError> {
        let mut side = Self {
            store,
            manifest,
            name,
            prints: Vec::new(),
            labels: BTreeMap::new(),
        };
        let Some(split) = manifest.split(name) else {
            return Ok(side);
        };
        side.prints.reserve_exact(split.capacity());
        for row in rows(store, manifest, name)? {
            let row = row?;
            side.prints.push(Print::of(&row));
            if let Some(label) = row.example.label() {
                match side.labels.get_mut(label) {
                    Some(count) => *count += 1,
                    None => drop(side.labels.insert(label.to_owned(), 1)),
                }
            }
        }
        side.prints.sort_unstable();
        Ok(side)
    }

    fn fetch(
        &self,
        lines: impl Iterator<Item = u64>,
    ) -> Result<BTreeMap<u64, Example>, DatasetError> {
        fetch(self.store, self.manifest, self.name, &lines.collect())
    }
}

/// Which rows changed, by line.
#[derive(Default)]
struct Pair {
    added: Vec<u64>,
    removed: Vec<u64>,
    changed: Vec<(u64, u64)>,
}

impl Pair {
    fn compare(
        store: &Store,
        before: &DatasetManifest,
        after: &DatasetManifest,
        name: SplitName,
    ) -> Result<SplitDiff, DatasetError> {
        let a = Side::read(store, before, name)?;
        let b = Side::read(store, after, name)?;
        let mut pair = Self::default();
        pair.merge(&a.prints, &b.prints);
        pair.added.sort_unstable();
        pair.removed.sort_unstable();
        pair.changed.sort_unstable();
        Ok(SplitDiff {
            before: a.prints.len() as u64,
            after: b.prints.len() as u64,
            added: pair.added.len() as u64,
            removed: pair.removed.len() as u64,
            changed: pair.changed.len() as u64,
            labels: label_changes(&a.labels, &b.labels),
            examples: pair.examples(&a, &b)?,
        })
    }

    /// Walks two sorted lists in step, input by input.
    fn merge(&mut self, mut a: &[Print], mut b: &[Print]) {
        while let (Some(first), Some(second)) = (a.first(), b.first()) {
            let input = first.input.min(second.input);
            let (of_a, rest_a) = split_off(a, input);
            let (of_b, rest_b) = split_off(b, input);
            self.one_input(of_a, of_b);
            (a, b) = (rest_a, rest_b);
        }
        self.removed.extend(a.iter().map(|print| print.line));
        self.added.extend(b.iter().map(|print| print.line));
    }

    /// Rows of one input, sorted by answer: equal answers cancel, what is left is paired as changed.
    fn one_input(&mut self, mut a: &[Print], mut b: &[Print]) {
        let (mut only_a, mut only_b) = (Vec::new(), Vec::new());
        while let (Some((first, rest_a)), Some((second, rest_b))) =
            (a.split_first(), b.split_first())
        {
            if first.output <= second.output {
                a = rest_a;
            }
            if second.output <= first.output {
                b = rest_b;
            }
            if first.output < second.output {
                only_a.push(first.line);
            }
            if second.output < first.output {
                only_b.push(second.line);
            }
        }
        only_a.extend(a.iter().map(|print| print.line));
        only_b.extend(b.iter().map(|print| print.line));
        let both = only_a.len().min(only_b.len());
        self.removed.extend(only_a.drain(both..));
        self.added.extend(only_b.drain(both..));
        self.changed.extend(only_a.into_iter().zip(only_b));
    }

    fn examples(&self, a: &Side<'_>, b: &Side<'_>) -> Result<Vec<Change>, DatasetError> {
        let changed = || self.changed.iter().take(KEPT);
        let removed = || self.removed.iter().take(KEPT).copied();
        let added = || self.added.iter().take(KEPT).copied();
        let mut of_a = a.fetch(changed().map(|lines| lines.0).chain(removed()))?;
        let mut of_b = b.fetch(changed().map(|lines| lines.1).chain(added()))?;
        let mut changes = Vec::new();
        for (before_line, after_line) in changed().copied() {
            if let Some((before, after)) = of_a.remove(&before_line).zip(of_b.remove(&after_line)) {
                changes.push(Change::Changed {
                    before_line,
                    before,
                    after_line,
                    after,
                });
            }
        }
        for line in removed() {
            let gone = of_a.remove(&line);
            changes.extend(gone.map(|example| Change::Removed { line, example }));
        }
        for line in added() {
            let fresh = of_b.remove(&line);
            changes.extend(fresh.map(|example| Change::Added { line, example }));
        }
        Ok(changes)
    }
}

fn split_off(prints: &[Print], input: u128) -> (&[Print], &[Print]) {
    let end = prints
        .iter()
        .position(|print| print.input != input)
        .unwrap_or(prints.len());
    prints.split_at(end)
}

fn label_changes(
    before: &BTreeMap<String, u64>,
    after: &BTreeMap<String, u64>,
) -> BTreeMap<String, (u64, u64)> {
    let count = |labels: &BTreeMap<String, u64>, label: &String| {
        labels.get(label).copied().unwrap_or_default()
    };
    before
        .keys()
        .chain(after.keys())
        .map(|label| (label.clone(), (count(before, label), count(after, label))))
        .filter(|(_, (before, after))| before != after)
        .collect()
}
