//! Ratios of quantiles, such as of the 95th percentile of the latency.

use super::binomial::Binomial;
use super::error::StatsError;
use super::means::Ratio;
use super::tango::Interval;

/// The ratio of the `q` quantiles of two samples, with bootstrap limits.
///
/// A bootstrap draw of a sample's quantile is its order statistic at U ~ Beta(j, n − j + 1) with j = ⌈q n⌉. Nothing
/// is drawn here: the distribution of that order statistic is summed exactly, so the limits are those of infinitely
/// many draws and the same on every machine. All values are finite and above 0.
pub fn quantile_ratio(
    candidate: &[f64],
    baseline: &[f64],
    q: f64,
    alpha: f64,
) -> Result<Ratio, StatsError> {
    let (over, under) = (Draws::of(candidate, q)?, Draws::of(baseline, q)?);
    Ok(Ratio {
        estimate: over.estimate / under.estimate,
        interval: Interval {
            lower: ratio_at(&over, &under, alpha),
            upper: ratio_at(&over, &under, 1.0 - alpha),
        },
    })
}

/// What bootstrap draws of a quantile can be, and how probable each is.
struct Draws {
    estimate: f64,
    /// Ascending values.
    values: Vec<f64>,
    weights: Vec<f64>,
    /// Running sums of the weights.
    below: Vec<f64>,
}

impl Draws {
    fn of(sample: &[f64], q: f64) -> Result<Self, StatsError> {
        let range = |what, value, range| Err(StatsError::Range { what, value, range });
        if sample.is_empty() {
            return Err(StatsError::Empty);
        }
        if !(q > 0.0 && q < 1.0) {
            return range("the quantile", q, "0 to 1, both excluded");
        }
        if let Some(bad) = sample.iter().find(|x| !(**x > 0.0 && x.is_finite())) {
            return range("a measured value", *bad, "the finite numbers above 0");
        }
        let mut sorted = sample.to_vec();
        sorted.sort_by(f64::total_cmp);
        let n = sorted.len();
        let rank = ((q * n as f64).ceil() as usize).clamp(1, n);
        let reach = (9.0 * (n as f64 * q * (1.0 - q)).sqrt()) as usize + 20;
        let (first, last) = (rank.saturating_sub(reach).max(1), (rank + reach).min(n));
        // P(U ≤ k/n) = P(Bin(n, k/n) ≥ j).
        let up_to = |k: usize| Binomial::new(n as u64, k as f64 / n as f64).at_least(rank as u64);
        let mut weights = Vec::with_capacity(last - first + 1);
        let mut below = Vec::with_capacity(last - first + 1);
        let (mut before, mut sum) = (up_to(first - 1), 0.0);
        for k in first..=last {
            let now = up_to(k);
            weights.push((now - before).max(0.0));
            sum += (now - before).max(0.0);
            below.push(sum);
            before = now;
        }
        Ok(Self {
            estimate: sorted[rank - 1],
            values: sorted[first - 1..last].to_vec(),
            weights,
            below,
        })
    }

    /// P(draw ≤ `value`).
    fn up_to(&self, value: f64) -> f64 {
        match self.values.partition_point(|x| *x <= value) {
            0 => 0.0,
            count => self.below[count - 1],
        }
    }
}

/// The smallest ratio that a draw of both does not exceed with probability `p`.
fn ratio_at(over: &Draws, under: &Draws, p: f64) -> f64 {
    let within = |ratio: f64| -> f64 {
        let parts = under.values.iter().zip(&under.weights);
        // One rounding of the product must not turn an equal value into a larger one.
        parts
            .map(|(value, weight)| weight * over.up_to(ratio * value * (1.0 + 4.0 * f64::EPSILON)))
            .sum()
    };
    let first = |values: &[f64]| values.first().copied().unwrap_or(1.0);
    let last = |values: &[f64]| values.last().copied().unwrap_or(1.0);
    let mut low = first(&over.values) / last(&under.values) * 0.5;
    let mut high = last(&over.values) / first(&under.values);
    for _ in 0..100 {
        let middle = 0.5 * (low + high);
        if middle <= low || middle >= high {
            break;
        }
        if within(middle) < p {
            low = middle;
        } else {
            high = middle;
        }
    }
    high
}
