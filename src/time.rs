//! Points in time, as values. Nothing here reads the clock: the binary does, once, and hands it down.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// A UTC time to the second, written as RFC 3339 (`2026-11-23T09:30:00Z`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Timestamp(jiff::Timestamp);

/// Why a text is not a timestamp.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not a time: expected RFC 3339 such as 2026-11-23T09:30:00Z")]
pub struct ParseTimestampError(String);

impl Timestamp {
    /// The time `seconds` after 1970-01-01T00:00:00Z; out-of-range values are moved to the nearest bound.
    pub fn from_unix(seconds: i64) -> Self {
        let seconds = seconds.clamp(
            jiff::Timestamp::MIN.as_second(),
            jiff::Timestamp::MAX.as_second(),
        );
        Self(jiff::Timestamp::from_second(seconds).unwrap_or(jiff::Timestamp::UNIX_EPOCH))
    }

    /// Seconds since 1970-01-01T00:00:00Z.
    pub fn unix(&self) -> i64 {
        self.0.as_second()
    }

    /// The UTC day as `YYYYMMDD`, as used in version labels.
    pub fn day(&self) -> String {
        self.0.strftime("%Y%m%d").to_string()
    }

    /// The UTC year and month as four and two digits, as used in paths.
    pub fn year_month(&self) -> (String, String) {
        (
            self.0.strftime("%Y").to_string(),
            self.0.strftime("%m").to_string(),
        )
    }

    /// The time in an HTTP header, such as `Mon, 23 Nov 2026 09:30:00 GMT`; `None` when it is not one.
    pub fn from_http_date(text: &str) -> Option<Self> {
        let parsed = jiff::fmt::rfc2822::parse(text).ok()?;
        Some(Self::from_unix(parsed.timestamp().as_second()))
    }

    /// The UTC time as `strftime` writes it; `None` when `format` is not one.
    pub fn formatted(&self, format: &str) -> Option<String> {
        let time = self.0.to_zoned(jiff::tz::TimeZone::UTC);
        jiff::fmt::strtime::format(format, &time).ok()
    }

    /// `YYYYMMDDTHHMMSSZ`: sorts like time and is safe in a file name.
    pub fn compact(&self) -> String {
        self.0.strftime("%Y%m%dT%H%M%SZ").to_string()
    }
}

impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0.strftime("%Y-%m-%dT%H:%M:%SZ"))
    }
}

impl FromStr for Timestamp {
    type Err = ParseTimestampError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let parsed: jiff::Timestamp = text
            .parse()
            .map_err(|_| ParseTimestampError(text.to_owned()))?;
        Ok(Self::from_unix(parsed.as_second()))
    }
}

impl Serialize for Timestamp {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Timestamp {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?
            .parse()
            .map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prints_and_parses() {
        let time = Timestamp::from_unix(1_795_426_200);
        assert_eq!(time.to_string(), "2026-11-23T09:30:00Z");
        assert_eq!(time.to_string().parse(), Ok(time));
        assert_eq!(time.day(), "20261123");
        assert_eq!(time.compact(), "20261123T093000Z");
    }
}
