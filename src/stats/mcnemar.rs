//! The mid-p McNemar test.

use super::binomial::Binomial;
use super::pairs::Effective;

/// The one-sided mid-p value of "the candidate does no harm": small when regressions outnumber improvements.
///
/// P(X < b) + ½ P(X = b) for X ~ Bin(b + c, ½), with b improved and c regressed cases. Source: Fagerland,
/// Lydersen and Laake, BMC Medical Research Methodology 13 (2013), 91.
///
/// Counts that a design effect has made fractions are rounded towards less harm.
pub fn harm_p(pairs: impl Into<Effective>) -> f64 {
    let pairs: Effective = pairs.into();
    let (b, c) = (pairs.improved.ceil() as u64, pairs.regressed.floor() as u64);
    let coin = Binomial::new(b + c, 0.5);
    (coin.below(b) + 0.5 * coin.mass(b)).min(1.0)
}
