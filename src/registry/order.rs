//! In which order things came in. It is that of the commits, so it does not depend on anybody's clock.
//!
//! A commit says in its message which document it adds. That is only where to look first: what counts is that the
//! document is there after the commit and was not before, and where the messages do not lead to every document, each
//! commit is looked at.

use std::collections::{BTreeMap, BTreeSet};

use super::error::RegistryError;
use super::view::{Document, View};
use crate::git::{Commit, CommitId};

/// How many hexadecimal digits of a digest documents have at the end of their names.
const DIGITS: [usize; 2] = [12, 16];

impl View<'_> {
    /// Sorts some of a folder's documents by when they came in, the newest first.
    ///
    /// Documents that came in with one commit are sorted by name.
    pub(super) fn newest_first(
        &self,
        dir: &str,
        documents: Vec<Document>,
    ) -> Result<Vec<Document>, RegistryError> {
        if documents.len() <= 1 {
            return Ok(documents);
        }
        match self.order_by_messages(&documents)? {
            Some(order) => Ok(order),
            None => self.order_by_trees(dir, documents),
        }
    }

    /// The mail address of who added a document; `None` when it is not there.
    pub(super) fn author_of(
        &self,
        path: &str,
        digits: &str,
    ) -> Result<Option<String>, RegistryError> {
        for commit in self.git.history(self.commit) {
            let commit = commit?;
            if commit.message.contains(digits) && self.adds(&commit, path)? {
                return Ok(Some(self.git.author(commit.id)?));
            }
        }
        Ok(self.git.author_of(self.commit, path)?)
    }

    /// The order as far as messages tell it; `None` when they do not lead to every document.
    fn order_by_messages(
        &self,
        documents: &[Document],
    ) -> Result<Option<Vec<Document>>, RegistryError> {
        let mut left: BTreeMap<&str, &Document> = BTreeMap::new();
        for document in documents {
            let digits = document.stem.rsplit('-').next().unwrap_or_default();
            if !DIGITS.contains(&digits.len()) || left.insert(digits, document).is_some() {
                return Ok(None);
            }
        }
        let mut order = Vec::with_capacity(documents.len());
        for commit in self.git.history(self.commit) {
            let commit = commit?;
            let mut added: Vec<&Document> = Vec::new();
            for digits in named(&commit.message) {
                let Some(document) = left.get(digits) else {
                    continue;
                };
                if self.adds(&commit, &document.path)? {
                    added.push(document);
                    left.remove(digits);
                }
            }
            added.sort_by(|a, b| a.stem.cmp(&b.stem));
            order.extend(added.into_iter().cloned());
            if left.len() <= 1 {
                let Some(last) = left.into_values().next() else {
                    return Ok(Some(order));
                };
                // It is the oldest when it was there before all others.
                let older = self.is_before(&commit, &last.path)?;
                order.push(last.clone());
                return Ok(older.then_some(order));
            }
        }
        Ok(None)
    }

    /// Whether a commit's own change is that a path is there.
    fn adds(&self, commit: &Commit, path: &str) -> Result<bool, RegistryError> {
        Ok(self.is_in(commit.id, path)? && !self.is_before(commit, path)?)
    }

    fn is_before(&self, commit: &Commit, path: &str) -> Result<bool, RegistryError> {
        match commit.parents.first() {
            Some(parent) => self.is_in(*parent, path),
            None => Ok(false),
        }
    }

    fn is_in(&self, commit: CommitId, path: &str) -> Result<bool, RegistryError> {
        Ok(self.git.exists(commit, path)?)
    }

    /// The order by what each commit changed in the folder.
    fn order_by_trees(
        &self,
        dir: &str,
        documents: Vec<Document>,
    ) -> Result<Vec<Document>, RegistryError> {
        let mut left = documents;
        let mut order = Vec::with_capacity(left.len());
        for commit in self.git.history(self.commit) {
            if left.len() <= 1 {
                break;
            }
            let commit = commit?;
            let Some(parent) = commit.parents.first() else {
                break;
            };
            if self.git.unchanged(commit.id, *parent, dir)? {
                continue;
            }
            let before = self.git.list(*parent, dir)?;
            let before: BTreeSet<String> = before.into_iter().map(|entry| entry.name).collect();
            let known = |document: &Document| before.contains(&format!("{}.json", document.stem));
            let (older, added): (Vec<_>, Vec<_>) = left.into_iter().partition(known);
            left = older;
            order.extend(added);
        }
        order.extend(left);
        Ok(order)
    }
}

/// The beginnings of all digests that a message names, as long as names of documents have them.
fn named(message: &str) -> impl Iterator<Item = &str> {
    let words = message.split(|c: char| !matches!(c, '0'..='9' | 'a'..='f'));
    words.flat_map(|word| DIGITS.into_iter().filter_map(|digits| word.get(..digits)))
}
