//! `NAME` or `NAME@VERSION` on the command line.

use std::fmt;
use std::str::FromStr;

use retune::name::ParseNameError;

/// A name, and which of its versions; the newest unless one is written.
#[derive(Debug, Clone)]
pub(crate) struct Wanted<N> {
    pub(crate) name: N,
    pub(crate) version: Option<String>,
}

impl<N> Wanted<N> {
    pub(crate) fn version(&self) -> Option<&str> {
        self.version.as_deref()
    }
}

impl<N: FromStr<Err = ParseNameError>> FromStr for Wanted<N> {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (name, version) = match text.split_once('@') {
            Some((_, "")) => return Err(format!("{text:?} names no version after '@'")),
            Some((name, version)) => (name, Some(version.to_owned())),
            None => (text, None),
        };
        Ok(Self {
            name: name.parse().map_err(|e: ParseNameError| e.to_string())?,
            version,
        })
    }
}

impl<N: fmt::Display> fmt::Display for Wanted<N> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.version {
            Some(version) => write!(f, "{}@{version}", self.name),
            None => self.name.fmt(f),
        }
    }
}
