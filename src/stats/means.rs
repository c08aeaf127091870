//! Differences of graded scores, and ratios of means.

use statrs::function::beta::beta_reg;

use super::clusters::Clusters;
use super::error::StatsError;
use super::normal;
use super::tango::Interval;

/// A mean difference and its limits.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct MeanDifference {
    /// The mean, drawn a little towards 0 by the two values that are added.
    pub mean: f64,
    /// Limits that each err with probability about alpha.
    pub interval: Interval,
    /// The one-sided p-value of "the mean is not below 0".
    pub harm_p: f64,
    /// What the cases are worth less for coming in clusters; 1 without.
    pub design_effect: f64,
}

/// Student's t limits of the mean of paired differences in `[-reach, reach]`.
///
/// The values −reach and +reach are added, so that a sample without any variance still has wide limits. With
/// clusters the variance is multiplied by the design effect and the degrees of freedom are clusters − 1.
pub fn mean_difference(
    differences: &[f64],
    reach: f64,
    alpha: f64,
    clusters: Option<&Clusters>,
) -> Result<MeanDifference, StatsError> {
    if differences.is_empty() {
        return Err(StatsError::Empty);
    }
    // NaN lies in no range.
    let within = |d: &&f64| (-reach..=reach).contains(*d);
    if let Some(outside) = differences.iter().find(|d| !within(d)) {
        return Err(StatsError::Range {
            what: "a difference of scores",
            value: *outside,
            range: "the range of the scores",
        });
    }
    let n = differences.len() as f64 + 2.0;
    let mean = differences.iter().sum::<f64>() / n;
    let added = (reach - mean).powi(2) + (reach + mean).powi(2);
    let squares: f64 = differences.iter().map(|d| (d - mean).powi(2)).sum();
    let variance = (squares + added) / (n - 1.0);
    let design_effect = clusters.map_or(1.0, |clusters| clusters.design_effect(differences));
    let freedom = clusters.map_or(n - 1.0, |clusters| clusters.count() as f64 - 1.0);
    let error = (variance * design_effect / n).sqrt();
    let width = student_quantile(1.0 - alpha, freedom) * error;
    Ok(MeanDifference {
        mean,
        interval: Interval {
            lower: mean - width,
            upper: mean + width,
        },
        harm_p: student_below(mean / error, freedom),
        design_effect,
    })
}

/// A ratio candidate / baseline and its limits.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Ratio {
    /// The ratio of the two estimates.
    pub estimate: f64,
    /// Limits that each err with probability about alpha.
    pub interval: Interval,
}

/// The ratio of paired means, by the delta method on its logarithm.
///
/// Var(ln(x̄/ȳ)) is estimated by Σ (x_i/x̄ − y_i/ȳ)² / (n (n − 1)), times the design effect of these terms where
/// there are clusters. All values are finite and at least 0, and neither mean is 0.
pub fn mean_ratio(
    candidate: &[f64],
    baseline: &[f64],
    alpha: f64,
    clusters: Option<&Clusters>,
) -> Result<Ratio, StatsError> {
    let n = candidate.len() as f64;
    if candidate.len() < 2 || candidate.len() != baseline.len() {
        return Err(StatsError::Empty);
    }
    let (over, under) = (mean_of(candidate)?, mean_of(baseline)?);
    let terms: Vec<f64> = candidate
        .iter()
        .zip(baseline)
        .map(|(x, y)| x / over - y / under)
        .collect();
    let design_effect = clusters.map_or(1.0, |clusters| clusters.design_effect(&terms));
    let squares: f64 = terms.iter().map(|term| term * term).sum();
    let error = (design_effect * squares / (n * (n - 1.0))).sqrt();
    let width = (normal::quantile(1.0 - alpha) * error).exp();
    let estimate = over / under;
    Ok(Ratio {
        estimate,
        interval: Interval {
            lower: estimate / width,
            upper: estimate * width,
        },
    })
}

fn mean_of(values: &[f64]) -> Result<f64, StatsError> {
    let mean = values.iter().sum::<f64>() / values.len() as f64;
    match values.iter().find(|value| !(0.0..).contains(*value)) {
        None if mean > 0.0 && mean.is_finite() => Ok(mean),
        found => Err(StatsError::Range {
            what: "a value of a ratio of means",
            value: found.copied().unwrap_or(mean),
            range: "the finite numbers from 0, not all of them 0",
        }),
    }
}

/// P(T < `t`) for Student's t with `freedom` degrees of freedom.
fn student_below(t: f64, freedom: f64) -> f64 {
    let outer = 0.5 * beta_reg(0.5 * freedom, 0.5, freedom / (freedom + t * t));
    if t < 0.0 { outer } else { 1.0 - outer }
}

/// The `p` quantile of Student's t, `p` above one half, by bisection of its distribution.
fn student_quantile(p: f64, freedom: f64) -> f64 {
    let (mut low, mut high) = (0.0, 1.0);
    while student_below(high, freedom) < p && high < 1e9 {
        high *= 2.0;
    }
    for _ in 0..200 {
        let middle = 0.5 * (low + high);
        if middle <= low || middle >= high {
            break;
        }
        if student_below(middle, freedom) < p {
            low = middle;
        } else {
            high = middle;
        }
    }
    0.5 * (low + high)
}
