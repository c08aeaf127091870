//! Names of tenants, models, aliases, datasets and bases: parsed once at the edge, then trusted.
//!
//! A name becomes part of paths in a git tree and on disk, so the alphabet is small:
//! `[a-z0-9][a-z0-9._-]{0,62}`, no `..`, no `.lock` ending, none of a few reserved words.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// The longest a name may be, in bytes.
pub const MAX_LEN: usize = 63;

/// Words with a meaning of their own in paths, in git or on some file system.
const RESERVED: [&str; 10] = [
    "head", "con", "prn", "aux", "nul", "latest", "none", "null", "true", "false",
];

/// Why a text is not a name.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{text:?} is not a {what} name: {why}")]
pub struct ParseNameError {
    text: String,
    what: &'static str,
    why: &'static str,
}

fn check(text: &str) -> Result<(), &'static str> {
    let alphabet = |c: u8| matches!(c, b'a'..=b'z' | b'0'..=b'9' | b'.' | b'_' | b'-');
    match text.as_bytes() {
        [] => Err("it is empty"),
        bytes if bytes.len() > MAX_LEN => Err("it is longer than 63 characters"),
        bytes if !bytes.iter().all(|&c| alphabet(c)) => Err("use a-z, 0-9, '.', '_' and '-' only"),
        [first, ..] if !first.is_ascii_alphanumeric() => {
            Err("it must begin with a letter or a digit")
        }
        _ if text.contains("..") => Err("it holds '..'"),
        _ if text.ends_with(".lock") || text.ends_with('.') => Err("it ends with '.lock' or '.'"),
        _ if RESERVED.contains(&text) => Err("the word is reserved"),
        _ if is_device(text) => Err("it is the name of a device on Windows"),
        _ => Ok(()),
    }
}

/// Windows opens a device under these names, whatever ending they have.
fn is_device(text: &str) -> bool {
    let stem = text.split('.').next().unwrap_or_default();
    let numbered = |word: &str| {
        let number = stem.strip_prefix(word);
        number.is_some_and(|digit| digit.len() == 1 && digit.bytes().all(|c| c.is_ascii_digit()))
    };
    matches!(stem, "con" | "prn" | "aux" | "nul") || numbered("com") || numbered("lpt")
}

macro_rules! name {
    ($(#[$doc:meta])* $name:ident, $what:literal) => {
        $(#[$doc])*
        #[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(String);

        impl $name {
            /// The name as text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl FromStr for $name {
            type Err = ParseNameError;

            fn from_str(text: &str) -> Result<Self, Self::Err> {
                match check(text) {
                    Ok(()) => Ok(Self(text.to_owned())),
                    Err(why) => Err(ParseNameError { text: text.to_owned(), what: $what, why }),
                }
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.serialize_str(&self.0)
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
            }
        }
    };
}

name!(
    /// Whose data and models these are.
    TenantName,
    "tenant"
);
name!(
    /// A registered model.
    ModelName,
    "model"
);
name!(
    /// A movable pointer to a version, such as `production`.
    AliasName,
    "alias"
);
name!(
    /// A dataset.
    DatasetName,
    "dataset"
);
name!(
    /// A base: a frozen pretrained model.
    BaseName,
    "base"
);
name!(
    /// An evaluation suite.
    SuiteName,
    "suite"
);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn accepts_plain_names() {
        for good in [
            "a",
            "support",
            "qwen2.5-0.5b",
            "x_1",
            "com10",
            "console",
            &"a".repeat(MAX_LEN),
        ] {
            assert!(good.parse::<ModelName>().is_ok(), "{good}");
        }
    }

    #[test]
    fn refuses_everything_else() {
        let long = "a".repeat(MAX_LEN + 1);
        for bad in [
            "",
            "Support",
            "-x",
            ".x",
            "a..b",
            "a.lock",
            "a.",
            "a/b",
            "a b",
            "é",
            "head",
            "latest",
            "a\0",
            "com7",
            "lpt0.x",
            "nul.model",
            "a\u{202e}b",
            "a\u{301}",
            "..",
            "a\n",
            &long,
        ] {
            assert!(bad.parse::<ModelName>().is_err(), "{bad:?}");
        }
    }
}
