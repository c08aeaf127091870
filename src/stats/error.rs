//! What can be wrong with the numbers asked about.

/// Numbers that no statistic can be computed from.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum StatsError {
    /// Nothing was counted.
    #[error("there is nothing to compute from: no cases")]
    Empty,
    /// More discordant pairs than pairs.
    #[error("{improved} improved and {regressed} regressed cannot be among {n} cases")]
    Counts {
        /// Pairs in all.
        n: u64,
        /// Wrong before, right now.
        improved: u64,
        /// Right before, wrong now.
        regressed: u64,
    },
    /// A number outside its range.
    #[error("{what} is {value}, outside {range}")]
    Range {
        /// What it is.
        what: &'static str,
        /// Its value.
        value: f64,
        /// Where it must lie.
        range: &'static str,
    },
}
