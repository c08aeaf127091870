//! How the library speaks: events to a [`Reporter`]. It never prints.

use std::fmt::Write as _;

/// Something worth telling the person who waits.
#[derive(Debug, Clone, PartialEq)]
pub enum Event<'a> {
    /// A piece of long work begins. `total` is in `unit`s, when it is known.
    Started {
        /// What is being done, such as `training`.
        what: &'a str,
        /// How many units there are in all.
        total: Option<u64>,
        /// What is counted.
        unit: Unit,
    },
    /// The work that began last has come this far.
    Advanced {
        /// Units done since the start.
        done: u64,
        /// A short remark on the state, such as `loss 0.41 · 5.1k tok/s`; may be empty.
        note: &'a str,
    },
    /// The work that began last is over.
    Finished,
    /// A fact a person would want to see pass by.
    Note(&'a str),
    /// Something that is allowed but may not be wanted.
    Warning(&'a str),
}

/// What a progress bar counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unit {
    /// Bytes.
    Bytes,
    /// Anything else: steps, cases, files.
    Items,
}

/// Receives [`Event`]s: a terminal, a log or nobody.
pub trait Reporter: Sync {
    /// Takes one event. Must not fail and must return quickly.
    fn report(&self, event: &Event<'_>);

    /// Whether someone asked for the work to stop; long work looks between steps and stops resumably.
    fn interrupted(&self) -> bool {
        false
    }
}

/// Reports to nobody.
#[derive(Debug, Clone, Copy, Default)]
pub struct Silent;

impl Reporter for Silent {
    fn report(&self, _: &Event<'_>) {}
}

/// A count with thousands marks, for people: `1,234,567`.
pub fn grouped(count: u64) -> String {
    let digits = count.to_string();
    let mut out = String::with_capacity(digits.len() + digits.len() / 3);
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

/// A size in bytes for people, in powers of 1000: `1.6 MB`.
pub fn bytes(size: u64) -> String {
    const UNITS: [&str; 5] = ["B", "kB", "MB", "GB", "TB"];
    let mut value = size as f64;
    let mut unit = 0;
    while value >= 1000.0 && unit + 1 < UNITS.len() {
        value /= 1000.0;
        unit += 1;
    }
    let mut out = String::new();
    let digits = usize::from(unit > 0);
    let _ = write!(out, "{value:.digits$} {}", UNITS[unit]);
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_for_people() {
        assert_eq!(
            [0, 999, 1000, 1_234_567].map(grouped),
            ["0", "999", "1,000", "1,234,567"]
        );
        assert_eq!([0, 999, 1_600_000].map(bytes), ["0 B", "999 B", "1.6 MB"]);
    }
}
