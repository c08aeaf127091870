//! References to model versions: `[tenant/]model(:alias | @version | @sha256:…)`.
//!
//! The spelling shows movability: `:` names an alias, which may point elsewhere tomorrow; `@` names one
//! immutable version. Pins accept only `@`.

use std::fmt;
use std::str::FromStr;

use crate::digest::Digest;
use crate::name::{AliasName, ModelName, ParseNameError, TenantName};

/// A reference to a version of a model.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct ModelRef {
    /// The tenant, when written; else the project's.
    pub tenant: Option<TenantName>,
    /// The model.
    pub model: ModelName,
    /// Which version.
    pub selector: Selector,
}

/// How a reference picks the version.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Selector {
    /// `:production`: whatever the alias points to now. Movable.
    Alias(AliasName),
    /// `@20261123-3f9a1c2b7d10`, or an unambiguous beginning of it. Fixed.
    Version(VersionLabel),
    /// `@sha256:…`: the manifest's digest. Fixed.
    Digest(Digest),
}

/// A version as people write it: `YYYYMMDD-<12 hex>`, or a beginning of it with at least 4 hex digits.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct VersionLabel(String);

/// Why a text is not a reference.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ParseReferenceError {
    /// No `:` and no `@`.
    #[error("{0:?} names a model but no version: write {0}:ALIAS or {0}@VERSION")]
    NoSelector(String),
    /// What follows `@` is neither a version nor a digest.
    #[error("{0:?} is not a version: expected YYYYMMDD-<12 hex> or sha256:<64 hex>")]
    BadVersion(String),
    /// A part is not a name.
    #[error(transparent)]
    Name(#[from] ParseNameError),
}

impl ModelRef {
    /// Whether the version behind this reference can change.
    pub fn is_movable(&self) -> bool {
        matches!(self.selector, Selector::Alias(_))
    }
}

impl FromStr for ModelRef {
    type Err = ParseReferenceError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let at = text
            .find([':', '@'])
            .ok_or_else(|| ParseReferenceError::NoSelector(text.to_owned()))?;
        let (path, selector) = text.split_at(at);
        let (tenant, model) = match path.split_once('/') {
            Some((tenant, model)) => (Some(tenant.parse()?), model),
            None => (None, path),
        };
        Ok(Self {
            tenant,
            model: model.parse()?,
            selector: selector.parse()?,
        })
    }
}

impl fmt::Display for ModelRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(tenant) = &self.tenant {
            write!(f, "{tenant}/")?;
        }
        write!(f, "{}{}", self.model, self.selector)
    }
}

/// Parses a selector with its sign: `:alias`, `@version` or `@sha256:…`.
impl FromStr for Selector {
    type Err = ParseReferenceError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let bad = || ParseReferenceError::BadVersion(text.to_owned());
        if let Some(alias) = text.strip_prefix(':') {
            return Ok(Self::Alias(alias.parse()?));
        }
        let fixed = text.strip_prefix('@').ok_or_else(bad)?;
        match fixed.parse::<Digest>() {
            Ok(digest) => Ok(Self::Digest(digest)),
            Err(_) => fixed.parse().map(Self::Version),
        }
    }
}

impl fmt::Display for Selector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Alias(alias) => write!(f, ":{alias}"),
            Self::Version(label) => write!(f, "@{label}"),
            Self::Digest(digest) => write!(f, "@{digest}"),
        }
    }
}

impl VersionLabel {
    /// The full label of a version made on `day` (`YYYYMMDD`) with this manifest digest.
    pub fn new(day: &str, digest: &Digest) -> Self {
        Self(format!("{day}-{}", digest.short()))
    }

    /// The label as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether this label, perhaps shortened, means `full`.
    pub fn matches(&self, full: &VersionLabel) -> bool {
        full.0.starts_with(&self.0)
    }
}

impl FromStr for VersionLabel {
    type Err = ParseReferenceError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let well_formed = text.split_once('-').is_some_and(|(day, hex)| {
            day.len() == 8
                && day.bytes().all(|c| c.is_ascii_digit())
                && (4..=12).contains(&hex.len())
                && hex.bytes().all(|c| matches!(c, b'0'..=b'9' | b'a'..=b'f'))
        });
        if well_formed {
            Ok(Self(text.to_owned()))
        } else {
            Err(ParseReferenceError::BadVersion(text.to_owned()))
        }
    }
}

impl fmt::Display for VersionLabel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl serde::Serialize for VersionLabel {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.0)
    }
}

impl<'de> serde::Deserialize<'de> for VersionLabel {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?
            .parse()
            .map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn movability_is_in_the_sign() {
        for (text, movable) in [
            ("support:production", true),
            ("acme/support:production", true),
            ("acme/support@20261123-3f9a1c2b7d10", false),
            ("support@20261123-3f9a", false),
            (&format!("support@{}", Digest::of(b"x")), false),
        ] {
            let reference: ModelRef = text.parse().unwrap_or_else(|e| unreachable!("{text}: {e}"));
            assert_eq!(reference.is_movable(), movable, "{text}");
            assert_eq!(reference.to_string(), text);
        }
    }

    #[test]
    fn refuses_what_names_no_version() {
        for bad in [
            "support",
            "support@",
            "support@latest",
            "support@2026-3f9a",
            "Support:production",
            "a/b/c:x",
            ":x",
            "",
        ] {
            assert!(bad.parse::<ModelRef>().is_err(), "{bad}");
        }
    }
}
