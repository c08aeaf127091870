//! Pure statistics: numbers in, numbers out.
//!
//! What the gate's decisions rest on: Tango's score test for paired yes/no outcomes ([`Pairs`], [`score`],
//! [`limits`]), the mid-p McNemar test for harm ([`harm_p`]), exact power by summing over every outcome
//! ([`Question`]), Clopper-Pearson limits ([`proportion_limits`]), and classification metrics as
//! scikit-learn computes them ([`Metrics`]). Home of `statrs`.

mod binomial;
mod classification;
mod error;
mod mcnemar;
mod normal;
mod pairs;
mod power;
mod tango;
#[cfg(test)]
mod tests;

pub use binomial::proportion_limits;
pub use classification::{LabelMetrics, Metrics};
pub use error::StatsError;
pub use mcnemar::harm_p;
pub use normal::{quantile, upper_tail};
pub use pairs::Pairs;
pub use power::{MAX_CASES, Question, Rates};
pub use tango::{Interval, limits, score};
