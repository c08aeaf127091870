//! The binomial distribution, exactly, and Clopper-Pearson limits.

use statrs::function::factorial::ln_factorial;

use super::error::StatsError;
use super::tango::Interval;

/// Terms smaller than this share of the sum so far no longer change it.
const NEGLIGIBLE: f64 = 1e-17;

/// Bin(`n`, `p`).
#[derive(Debug, Clone, Copy)]
pub(super) struct Binomial {
    n: u64,
    p: f64,
}

impl Binomial {
    /// `p` is moved into `[0, 1]`.
    pub(super) fn new(n: u64, p: f64) -> Self {
        Self {
            n,
            p: p.clamp(0.0, 1.0),
        }
    }

    /// P(X = k).
    pub(super) fn mass(&self, k: u64) -> f64 {
        if k > self.n {
            return 0.0;
        }
        let (hits, misses) = (k as f64, (self.n - k) as f64);
        let ways = ln_factorial(self.n) - ln_factorial(k) - ln_factorial(self.n - k);
        (ways + times_ln(hits, self.p) + times_ln(misses, 1.0 - self.p)).exp()
    }

    /// P(X < k): the shorter side is summed from the boundary outwards.
    pub(super) fn below(&self, k: u64) -> f64 {
        if k == 0 {
            0.0
        } else if k > self.n {
            1.0
        } else if k as f64 <= self.n as f64 * self.p {
            self.sum_down(k - 1)
        } else {
            (1.0 - self.sum_up(k)).max(0.0)
        }
    }

    /// P(X ≥ k).
    pub(super) fn at_least(&self, k: u64) -> f64 {
        if k == 0 {
            1.0
        } else if k > self.n {
            0.0
        } else if k as f64 > self.n as f64 * self.p {
            self.sum_up(k)
        } else {
            (1.0 - self.sum_down(k - 1)).max(0.0)
        }
    }

    fn sum_up(&self, from: u64) -> f64 {
        let odds = self.p / (1.0 - self.p);
        let mut term = self.mass(from);
        let mut sum = term;
        for k in from..self.n {
            term *= odds * (self.n - k) as f64 / (k + 1) as f64;
            sum += term;
            if term < sum * NEGLIGIBLE {
                break;
            }
        }
        sum.min(1.0)
    }

    fn sum_down(&self, from: u64) -> f64 {
        let odds = (1.0 - self.p) / self.p;
        let mut term = self.mass(from);
        let mut sum = term;
        for k in (1..=from).rev() {
            term *= odds * k as f64 / (self.n - k + 1) as f64;
            sum += term;
            if term < sum * NEGLIGIBLE {
                break;
            }
        }
        sum.min(1.0)
    }
}

/// `count · ln(p)` with `0 · ln(0) = 0`.
fn times_ln(count: f64, p: f64) -> f64 {
    if count == 0.0 { 0.0 } else { count * p.ln() }
}

/// Clopper-Pearson limits of a share of `successes` among `n`, each erring with probability at most `alpha`.
///
/// Together they are the exact `1 − 2·alpha` interval. `n` is at least 1, `successes` at most `n`.
pub fn proportion_limits(successes: u64, n: u64, alpha: f64) -> Result<Interval, StatsError> {
    if n == 0 {
        return Err(StatsError::Empty);
    }
    if successes > n {
        return Err(StatsError::Range {
            what: "the number of successes",
            value: successes as f64,
            range: "0 to the number of cases",
        });
    }
    let lower = match successes {
        0 => 0.0,
        k => bisect(|p| Binomial::new(n, p).at_least(k) < alpha),
    };
    let upper = match successes {
        k if k == n => 1.0,
        k => bisect(|p| Binomial::new(n, p).below(k + 1) > alpha),
    };
    Ok(Interval { lower, upper })
}

/// Where `holds` changes from true to false in `[0, 1]`.
fn bisect(holds: impl Fn(f64) -> bool) -> f64 {
    let (mut low, mut high) = (0.0, 1.0);
    for _ in 0..60 {
        let middle = 0.5 * (low + high);
        if holds(middle) {
            low = middle;
        } else {
            high = middle;
        }
    }
    0.5 * (low + high)
}
