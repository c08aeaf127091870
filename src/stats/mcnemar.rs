//! The mid-p McNemar test.

use super::binomial::Binomial;
use super::pairs::Pairs;

/// The one-sided mid-p value of "the candidate does no harm": small when regressions outnumber improvements.
///
/// P(X < b) + ½ P(X = b) for X ~ Bin(b + c, ½), with b improved and c regressed cases. Source: Fagerland,
/// Lydersen and Laake, BMC Medical Research Methodology 13 (2013), 91.
pub fn harm_p(pairs: &Pairs) -> f64 {
    let (b, c) = (pairs.improved(), pairs.regressed());
    let coin = Binomial::new(b + c, 0.5);
    (coin.below(b) + 0.5 * coin.mass(b)).min(1.0)
}
