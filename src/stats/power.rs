//! Exact power: the probability of each answer, summed over every outcome of `n` paired cases.

use super::binomial::Binomial;
use super::error::StatsError;
use super::mcnemar::harm_p;
use super::normal;
use super::pairs::{Effective, Pairs};
use super::tango;

/// Searches for a number of cases stop here.
pub const MAX_CASES: u64 = 1_000_000;

/// Numbers of discordant pairs less probable than this are left out of the sums.
const NEGLIGIBLE: f64 = 1e-15;

/// "Is the difference larger than `boundary`?", answered by Tango's score test at one-sided level `alpha`.
///
/// Non-inferiority with margin m is the boundary −m; superiority by s is the boundary s.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Question {
    boundary: f64,
    alpha: f64,
    z: f64,
}

/// The true probabilities that a case improves and that it regresses.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Rates {
    improve: f64,
    regress: f64,
}

impl Rates {
    /// From the share of discordant cases and the true difference; a discordance smaller than the difference is raised to it.
    pub fn new(discordance: f64, difference: f64) -> Self {
        let discordance = discordance.max(difference.abs()).min(1.0);
        Self {
            improve: 0.5 * (discordance + difference),
            regress: 0.5 * (discordance - difference),
        }
    }

    /// The probability that a case improves.
    pub fn improve(&self) -> f64 {
        self.improve
    }

    /// The probability that a case regresses.
    pub fn regress(&self) -> f64 {
        self.regress
    }

    fn discordance(&self) -> f64 {
        self.improve + self.regress
    }
}

impl Question {
    /// A question with `boundary` in `(-1, 1)` and `alpha` in `(0, 0.5)`.
    pub fn new(boundary: f64, alpha: f64) -> Result<Self, StatsError> {
        let range = |what, value, range| Err(StatsError::Range { what, value, range });
        if !(boundary > -1.0 && boundary < 1.0) {
            return range("the boundary", boundary, "-1 to 1");
        }
        if !(alpha > 0.0 && alpha < 0.5) {
            return range("alpha", alpha, "0 to 0.5");
        }
        Ok(Self {
            boundary,
            alpha,
            z: normal::quantile(1.0 - alpha),
        })
    }

    /// The boundary.
    pub fn boundary(&self) -> f64 {
        self.boundary
    }

    /// The one-sided level.
    pub fn alpha(&self) -> f64 {
        self.alpha
    }

    /// The fewest cases on which yes can be an answer.
    ///
    /// With fewer, even the best outcome has a probability above `alpha` when the truth is the boundary:
    /// no regression at all for a negative boundary, nothing but improvements for the others.
    pub fn minimum_cases(&self) -> u64 {
        let best = if self.boundary < 0.0 {
            1.0 + self.boundary
        } else {
            0.5 * (1.0 + self.boundary)
        };
        (self.alpha.ln() / best.ln()).ceil().max(1.0) as u64
    }

    /// Whether these outcomes answer yes.
    pub fn passes(&self, pairs: impl Into<Effective>) -> bool {
        let pairs: Effective = pairs.into();
        pairs.n >= self.minimum_cases() as f64 && tango::score(pairs, self.boundary) > self.z
    }

    /// The probability of yes on `n` cases.
    pub fn pass_probability(&self, n: u64, rates: Rates) -> f64 {
        if n < self.minimum_cases() {
            return 0.0;
        }
        self.sum(n, rates, |split, first_yes, _| split.at_least(first_yes))
    }

    /// The probability, on `n` cases, of a significant harm that is not a yes.
    pub fn harm_probability(&self, n: u64, rates: Rates) -> f64 {
        self.sum(n, rates, |split, first_yes, first_harmless| {
            split.below(first_harmless.min(first_yes))
        })
    }

    /// The smallest number of cases from which the probability of yes stays at `power` or above.
    ///
    /// The probability is a saw-tooth in `n`, so this is the end of its last tooth that dips below `power`;
    /// exact up to 2000 cases, to 0.05 % beyond. `None` beyond [`MAX_CASES`], or when no number suffices
    /// because the truth is not beyond the boundary.
    pub fn needed_cases(&self, rates: Rates, power: f64) -> Option<u64> {
        let difference = rates.improve - rates.regress;
        if difference <= self.boundary {
            return None;
        }
        let mut n = self.upper_bound(rates, power)?;
        let floor = self.minimum_cases();
        while n > floor {
            let fewer = n - (n / 2000).max(1);
            if self.pass_probability(fewer, rates) < power {
                break;
            }
            n = fewer;
        }
        Some(n.max(floor))
    }

    /// A number of cases with clearly more than `power`, beyond the reach of the saw-tooth.
    fn upper_bound(&self, rates: Rates, power: f64) -> Option<u64> {
        let clear = power + 0.25 * (1.0 - power);
        let mut n = self.minimum_cases();
        while self.pass_probability(n, rates) < clear {
            n = n + n / 8 + 1;
            if n > MAX_CASES {
                return None;
            }
        }
        Some(n)
    }

    /// Σ over the number of discordant pairs k of P(k) · `part`(split of k, first b that is a yes, first b without harm).
    ///
    /// For a given k, yes and harm depend on b monotonically, so each is a tail of the split Bin(k, share).
    fn sum(&self, n: u64, rates: Rates, part: impl Fn(&Binomial, u64, u64) -> f64) -> f64 {
        let discordance = rates.discordance();
        let share = if discordance > 0.0 {
            rates.improve / discordance
        } else {
            0.5
        };
        let discordant = Binomial::new(n, discordance);
        let (mut yes, mut harmless) = (0, 0);
        let mut total = 0.0;
        for k in span(n, discordance) {
            let weight = discordant.mass(k);
            if weight < NEGLIGIBLE {
                continue;
            }
            yes = first(k, yes, |pairs| self.passes(pairs), n);
            harmless = first(k, harmless, |pairs| harm_p(pairs) >= self.alpha, n);
            total += weight * part(&Binomial::new(k, share), yes, harmless);
        }
        total.clamp(0.0, 1.0)
    }
}

/// The numbers of successes within nine standard deviations of the mean, and a few more.
fn span(n: u64, p: f64) -> std::ops::RangeInclusive<u64> {
    let mean = n as f64 * p;
    let reach = 9.0 * (mean * (1.0 - p)).max(0.0).sqrt() + 20.0;
    ((mean - reach).max(0.0) as u64)..=(((mean + reach) as u64).min(n))
}

/// The smallest b in `0..=k` for which `holds(n, b, k − b)`, or `k + 1`; `guess` is where the search starts.
fn first(k: u64, guess: u64, holds: impl Fn(&Pairs) -> bool, n: u64) -> u64 {
    let holds_at = |b: u64| Pairs::new(n, b, k - b).is_ok_and(|pairs| holds(&pairs));
    let mut b = guess.min(k + 1);
    while b > 0 && holds_at(b - 1) {
        b -= 1;
    }
    while b <= k && !holds_at(b) {
        b += 1;
    }
    b
}
