//! Pure statistics: numbers in, numbers out.
//!
//! What the gate's decisions rest on: Tango's score test for paired yes/no outcomes ([`Pairs`], [`score`],
//! [`limits`]), the mid-p McNemar test for harm ([`harm_p`]), exact power by summing over every outcome
//! ([`Question`]), Clopper-Pearson limits ([`proportion_limits`]), limits of graded scores ([`mean_difference`]), of
//! ratios of means ([`mean_ratio`]) and of quantiles ([`quantile_ratio`]), what clusters cost ([`Clusters`]), several
//! tests at once ([`holm`]) and several looks ([`look_levels`]), how well two raters agree ([`Raters`]), and
//! classification metrics as scikit-learn computes them ([`Metrics`]). Home of `statrs`.

mod agreement;
mod binomial;
mod classification;
mod clusters;
mod error;
mod holm;
mod looks;
mod mcnemar;
mod means;
mod normal;
mod pairs;
mod power;
mod quantiles;
mod tango;
#[cfg(test)]
mod tests;

pub use agreement::Raters;
pub use binomial::proportion_limits;
pub use classification::{LabelMetrics, Metrics};
pub use clusters::{Clusters, MIN_CLUSTERS};
pub use error::StatsError;
pub use holm::holm;
pub use looks::{MAX_LOOKS, look_levels};
pub use mcnemar::harm_p;
pub use means::{MeanDifference, Ratio, mean_difference, mean_ratio};
pub use normal::{quantile, upper_tail};
pub use pairs::{Effective, Pairs};
pub use power::{MAX_CASES, Question, Rates};
pub use quantiles::quantile_ratio;
pub use tango::{Interval, limits, score};
