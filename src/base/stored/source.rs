//! Where a base was downloaded from.

use std::fmt;

use serde::{Deserialize, Serialize};

/// A repository on the Hugging Face Hub at one commit.
///
/// A statement of the person who imports, for licences and updates; the identity of a base is its bytes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "Wire", into = "Wire")]
pub struct Source {
    repo: String,
    revision: String,
}

/// Why something is not a source.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SourceError {
    /// Not `org/name`.
    #[error(
        "{0:?} is not a Hugging Face repository: write org/name, such as sentence-transformers/all-MiniLM-L6-v2"
    )]
    Repo(String),
    /// A branch, a tag or a shortened commit: they can mean other bytes tomorrow.
    #[error(
        "revision {revision:?} is not a commit: write its 40 hexadecimal digits, which \
         `git ls-remote https://huggingface.co/{repo} {revision}` prints"
    )]
    Revision {
        /// The repository.
        repo: String,
        /// What was given.
        revision: String,
    },
}

impl Source {
    /// A repository `org/name` at a commit of 40 lower-case hexadecimal digits.
    pub fn new(repo: &str, revision: &str) -> Result<Self, SourceError> {
        if !is_repo(repo) {
            return Err(SourceError::Repo(repo.to_owned()));
        }
        let digit = |c: u8| matches!(c, b'0'..=b'9' | b'a'..=b'f');
        if revision.len() != 40 || !revision.bytes().all(digit) {
            return Err(SourceError::Revision {
                repo: repo.to_owned(),
                revision: revision.to_owned(),
            });
        }
        Ok(Self {
            repo: repo.to_owned(),
            revision: revision.to_owned(),
        })
    }

    /// `org/name`.
    pub fn repo(&self) -> &str {
        &self.repo
    }

    /// The commit, 40 hexadecimal digits.
    pub fn revision(&self) -> &str {
        &self.revision
    }
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}@{}", self.repo, self.revision)
    }
}

/// Hub names: two parts of letters, digits, `-`, `_` and `.`, at most 96 characters each, not beginning or ending
/// with `-` or `.`, without `--` and `..`.
fn is_repo(text: &str) -> bool {
    let part = |part: &str| {
        (1..=96).contains(&part.len())
            && part
                .bytes()
                .all(|c| c.is_ascii_alphanumeric() || matches!(c, b'-' | b'_' | b'.'))
            && !part.starts_with(['-', '.'])
            && !part.ends_with(['-', '.'])
            && !part.contains("--")
            && !part.contains("..")
    };
    text.split_once('/')
        .is_some_and(|(org, name)| part(org) && part(name))
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Wire {
    repo: String,
    revision: String,
}

impl From<Source> for Wire {
    fn from(source: Source) -> Self {
        Self {
            repo: source.repo,
            revision: source.revision,
        }
    }
}

impl TryFrom<Wire> for Source {
    type Error = SourceError;

    fn try_from(wire: Wire) -> Result<Self, SourceError> {
        Self::new(&wire.repo, &wire.revision)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const REVISION: &str = "0123456789abcdef0123456789abcdef01234567";

    #[test]
    fn a_repository_has_an_owner_and_a_revision_is_a_commit() {
        for good in ["sentence-transformers/all-MiniLM-L6-v2", "a/b.c_d"] {
            assert!(Source::new(good, REVISION).is_ok(), "{good}");
        }
        for bad in [
            "gpt2",
            "a/b/c",
            "/b",
            "a/",
            "a b/c",
            "https://huggingface.co/a/b",
            "a/..",
            "a/-b",
        ] {
            assert!(
                matches!(Source::new(bad, REVISION), Err(SourceError::Repo(_))),
                "{bad}"
            );
        }
        for bad in [
            "main",
            "v1.0",
            "0123456",
            "",
            &REVISION.to_uppercase(),
            &format!("{REVISION}0"),
        ] {
            let error = Source::new("a/b", bad)
                .map(|_| ())
                .map_err(|e| e.to_string());
            let hint = format!("git ls-remote https://huggingface.co/a/b {bad}");
            assert!(error.is_err_and(|text| text.contains(&hint)), "{bad}");
        }
    }
}
