//! Numbers with a fraction inside canonical documents.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// A finite `f64` that is written as the shortest decimal string that reads back to the same bits.
///
/// Canonical documents hold no JSON floats, because two writers may spell one float differently.
#[derive(Clone, Copy, Debug, Default, PartialEq, PartialOrd)]
pub struct Decimal(f64);

/// A number that is not finite, or a text that is not a decimal in its shortest spelling.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not a finite decimal in its shortest spelling")]
pub struct DecimalError(String);

impl Decimal {
    /// Wraps a finite number.
    pub fn new(value: f64) -> Result<Self, DecimalError> {
        // `-0.0 + 0.0` is `0.0`: one value, one spelling.
        if value.is_finite() {
            Ok(Self(value + 0.0))
        } else {
            Err(DecimalError(value.to_string()))
        }
    }

    /// The number.
    pub fn get(self) -> f64 {
        self.0
    }
}

impl fmt::Display for Decimal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)
    }
}

impl FromStr for Decimal {
    type Err = DecimalError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let fault = || DecimalError(text.to_owned());
        let decimal = Self::new(text.parse().map_err(|_| fault())?)?;
        if decimal.to_string() == text {
            Ok(decimal)
        } else {
            Err(fault())
        }
    }
}

impl Serialize for Decimal {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Decimal {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?
            .parse()
            .map_err(serde::de::Error::custom)
    }
}
