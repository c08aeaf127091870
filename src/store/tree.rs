//! Trees: several files under relative paths, as one identity.

use std::collections::HashSet;

use unicode_normalization::is_nfc;

use crate::digest::Digest;

crate::typed_id!(
    /// Identifies a [`Tree`]: the digest of its text.
    TreeId
);

const HEADER: &str = "retune.tree/1\n";

/// One file of a tree.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TreeEntry {
    /// Relative, `/`-separated, NFC.
    pub path: String,
    /// In bytes.
    pub size: u64,
    /// Of the file's bytes.
    pub sha256: Digest,
}

/// Files by path, sorted by path bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tree {
    entries: Vec<TreeEntry>,
}

/// Why files cannot form a tree, or bytes are not one.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TreeError {
    /// A path that is absolute, climbs, is not NFC or means something else on another system.
    #[error("path {path:?} is refused: {why}")]
    Path {
        /// The path.
        path: String,
        /// The rule it breaks.
        why: &'static str,
    },
    /// Two paths that some file system takes for one.
    #[error("paths {0:?} and another one are the same file on a case-insensitive file system")]
    Collision(String),
    /// Not the text of a tree.
    #[error("line {0} is not a tree entry, or not in order")]
    Syntax(usize),
}

impl Tree {
    /// A tree of these files. Order does not matter; every path is checked.
    pub fn new(mut entries: Vec<TreeEntry>) -> Result<Self, TreeError> {
        entries.sort_by(|a, b| a.path.as_bytes().cmp(b.path.as_bytes()));
        let mut seen = HashSet::new();
        for entry in &entries {
            check_path(&entry.path).map_err(|why| TreeError::Path {
                path: entry.path.clone(),
                why,
            })?;
            if !seen.insert(entry.path.to_lowercase()) {
                return Err(TreeError::Collision(entry.path.clone()));
            }
        }
        Ok(Self { entries })
    }

    /// The files, sorted.
    pub fn entries(&self) -> &[TreeEntry] {
        &self.entries
    }

    /// The file at `path`.
    pub fn get(&self, path: &str) -> Option<&TreeEntry> {
        self.entries.iter().find(|entry| entry.path == path)
    }

    /// The sum of the sizes, in bytes.
    pub fn size(&self) -> u64 {
        self.entries.iter().map(|entry| entry.size).sum()
    }

    /// The identity: the digest of [`text`](Tree::text).
    pub fn id(&self) -> TreeId {
        Digest::of(self.text().as_bytes()).into()
    }

    /// The stored form: a header line, then `<sha256> <size> <path>` lines.
    pub fn text(&self) -> String {
        let lines = self
            .entries
            .iter()
            .map(|e| format!("{} {} {}\n", e.sha256.hex(), e.size, e.path));
        std::iter::once(HEADER.to_owned()).chain(lines).collect()
    }

    /// Reads what [`text`](Tree::text) wrote; any other spelling is refused.
    pub fn parse(text: &str) -> Result<Self, TreeError> {
        let body = text.strip_prefix(HEADER).ok_or(TreeError::Syntax(1))?;
        let entries = body
            .lines()
            .enumerate()
            .map(|(index, line)| entry(line).ok_or(TreeError::Syntax(index + 2)));
        let tree = Self::new(entries.collect::<Result<_, _>>()?)?;
        if tree.text() == text {
            Ok(tree)
        } else {
            Err(TreeError::Syntax(2))
        }
    }
}

fn entry(line: &str) -> Option<TreeEntry> {
    let mut parts = line.splitn(3, ' ');
    Some(TreeEntry {
        sha256: Digest::from_hex(parts.next()?).ok()?,
        size: parts.next()?.parse().ok()?,
        path: parts.next()?.to_owned(),
    })
}

fn check_path(path: &str) -> Result<(), &'static str> {
    if path.is_empty() || path.len() > 1024 {
        return Err("it is empty or longer than 1024 bytes");
    }
    if path
        .chars()
        .any(|c| c.is_control() || matches!(c, '\\' | ':' | '*' | '?' | '"' | '<' | '>' | '|'))
    {
        return Err("it holds a control character or one of \\ : * ? \" < > |");
    }
    if !is_nfc(path) {
        return Err("it is not in Unicode normal form C");
    }
    path.split('/').try_for_each(check_component)
}

fn check_component(part: &str) -> Result<(), &'static str> {
    let stem = part
        .split('.')
        .next()
        .unwrap_or_default()
        .to_ascii_lowercase();
    let device = matches!(stem.as_str(), "con" | "prn" | "aux" | "nul")
        || (stem.len() == 4
            && (stem.starts_with("com") || stem.starts_with("lpt"))
            && stem.ends_with(char::is_numeric));
    match part {
        "" | "." | ".." => Err("a part is empty, '.' or '..'"),
        _ if part.ends_with(['.', ' ']) => Err("a part ends with '.' or a blank"),
        _ if device => Err("a part is a device name on Windows"),
        _ => Ok(()),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn file(path: &str) -> TreeEntry {
        TreeEntry {
            path: path.to_owned(),
            size: 3,
            sha256: Digest::of(b"abc"),
        }
    }

    #[test]
    fn identity_ignores_order_and_binds_paths() {
        let ab = Tree::new(vec![file("a"), file("b/c")]).unwrap();
        let ba = Tree::new(vec![file("b/c"), file("a")]).unwrap();
        assert_eq!(ab.id(), ba.id());
        assert_ne!(
            ab.id(),
            Tree::new(vec![file("a"), file("b/d")]).unwrap().id()
        );
        assert_eq!(Tree::parse(&ab.text()), Ok(ab));
    }

    #[test]
    fn refuses_paths_that_are_not_plain() {
        for bad in [
            "", "/a", "../a", "a/../b", "a//b", "a\\b", "C:x", "a\nb", "con", "COM1.txt", "a.",
            "e\u{301}",
        ] {
            assert!(Tree::new(vec![file(bad)]).is_err(), "{bad:?}");
        }
        assert!(matches!(
            Tree::new(vec![file("A"), file("a")]),
            Err(TreeError::Collision(_))
        ));
    }

    #[test]
    fn refuses_other_spellings_of_a_tree() {
        let text = Tree::new(vec![file("a"), file("b")]).unwrap().text();
        let (first, rest) = text.split_once('\n').unwrap();
        let swapped: Vec<&str> = rest.lines().rev().collect();
        for bad in [
            rest.to_owned(),
            format!("{first}\n{}\n", swapped.join("\n")),
            text.trim_end().to_owned(),
        ] {
            assert!(Tree::parse(&bad).is_err(), "{bad}");
        }
    }
}
