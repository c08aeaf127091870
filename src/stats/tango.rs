//! Tango's score test for the difference of paired proportions, and the interval it inverts to.
//!
//! Source: T. Tango, "Equivalence test and confidence interval for the difference in proportions for the
//! paired-sample design", Statistics in Medicine 17 (1998), 891–908.

use super::normal;
use super::pairs::Effective;

/// Two-sided limits of a difference, each in `[-1, 1]`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Interval {
    /// The lower limit.
    pub lower: f64,
    /// The upper limit.
    pub upper: f64,
}

/// The score statistic of H0: difference = `delta`, with `delta` in `(-1, 1)`; large when the difference is larger.
///
/// The variance uses the maximum-likelihood estimate `q` of the regression probability under H0, so the
/// statistic is defined for no discordant pairs at all.
pub fn score(pairs: impl Into<Effective>, delta: f64) -> f64 {
    let pairs: Effective = pairs.into();
    let n = pairs.n;
    let distance = pairs.improved - pairs.regressed - n * delta;
    let variance = n * (2.0 * regression_under(&pairs, delta) + delta * (1.0 - delta));
    if variance > 0.0 {
        distance / variance.sqrt()
    } else if distance == 0.0 {
        0.0
    } else {
        distance.signum() * f64::INFINITY
    }
}

/// The maximum-likelihood probability of a regression when the difference is `delta`.
fn regression_under(pairs: &Effective, delta: f64) -> f64 {
    let (n, b, c) = (pairs.n, pairs.improved, pairs.regressed);
    let quadratic = 2.0 * n;
    let linear = -(b + c) + delta * (2.0 * n - b + c);
    let constant = -c * delta * (1.0 - delta);
    let root = (linear * linear - 4.0 * quadratic * constant)
        .max(0.0)
        .sqrt();
    // The larger root; the second form avoids the cancellation of nearly equal numbers.
    if linear <= 0.0 {
        (root - linear) / (2.0 * quadratic)
    } else {
        -2.0 * constant / (root + linear)
    }
}

/// The differences that the score test at one-sided level `alpha` does not reject from either side.
///
/// Each limit errs with probability about `alpha`; together they are the `1 − 2·alpha` interval.
pub fn limits(pairs: impl Into<Effective>, alpha: f64) -> Interval {
    let pairs: Effective = pairs.into();
    let z = normal::quantile(1.0 - alpha);
    let estimate = (pairs.improved - pairs.regressed) / pairs.n;
    Interval {
        lower: crossing(-1.0, estimate, |delta| score(pairs, delta) > z),
        upper: crossing(estimate, 1.0, |delta| score(pairs, delta) >= -z),
    }
}

/// Where `holds` changes from true to false between `low` and `high`; bisects to the last bit.
fn crossing(mut low: f64, mut high: f64, holds: impl Fn(f64) -> bool) -> f64 {
    for _ in 0..200 {
        let middle = 0.5 * (low + high);
        if middle <= low || middle >= high {
            break;
        }
        if holds(middle) {
            low = middle;
        } else {
            high = middle;
        }
    }
    0.5 * (low + high)
}
