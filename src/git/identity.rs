//! Who acts.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// A person or a machine account, written `Name <mail@host>`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Identity {
    name: String,
    email: String,
}

/// Why a text is not an identity.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{text:?} is not an identity: {why}")]
pub struct IdentityError {
    text: String,
    why: &'static str,
}

impl Identity {
    /// An identity of a name and a mail address; neither may be empty or hold a control character, `<` or `>`.
    pub fn new(name: &str, email: &str) -> Result<Self, IdentityError> {
        for part in [name, email] {
            check(part).map_err(|why| IdentityError {
                text: part.to_owned(),
                why,
            })?;
        }
        Ok(Self {
            name: name.to_owned(),
            email: email.to_owned(),
        })
    }

    /// The name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The mail address.
    pub fn email(&self) -> &str {
        &self.email
    }
}

/// What git would silently strip or mistake for its own punctuation is refused instead.
fn check(part: &str) -> Result<(), &'static str> {
    let crud =
        |c: char| matches!(c, '.' | ',' | ':' | ';' | '"' | '\\' | '\'') || c.is_whitespace();
    if part.is_empty() || part.len() > 200 {
        return Err("a part is empty or longer than 200 bytes");
    }
    if part
        .chars()
        .any(|c| c.is_control() || matches!(c, '<' | '>'))
    {
        return Err("it holds a control character, '<' or '>'");
    }
    if part.starts_with(crud) || part.ends_with(crud) {
        return Err("a part begins or ends with a blank or punctuation");
    }
    Ok(())
}

impl fmt::Display for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} <{}>", self.name, self.email)
    }
}

impl FromStr for Identity {
    type Err = IdentityError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let parts = text
            .strip_suffix('>')
            .and_then(|rest| rest.split_once(" <"));
        let (name, email) = parts.ok_or_else(|| IdentityError {
            text: text.to_owned(),
            why: "expected NAME <MAIL>",
        })?;
        Self::new(name, email)
    }
}

impl Serialize for Identity {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Identity {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?
            .parse()
            .map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn parses_what_it_prints_and_refuses_what_git_would_change() {
        let ana = Identity::new("Ana Q. Ruiz", "ana@acme.example").unwrap();
        assert_eq!(ana.to_string(), "Ana Q. Ruiz <ana@acme.example>");
        assert_eq!(ana.to_string().parse(), Ok(ana));
        for bad in [
            "",
            "ana",
            "ana <>",
            " <a@b>",
            "a\nb <a@b>",
            "a<b <a@b>",
            "ana. <a@b>",
            "ana <a@b> ",
        ] {
            assert!(bad.parse::<Identity>().is_err(), "{bad:?}");
        }
    }
}
