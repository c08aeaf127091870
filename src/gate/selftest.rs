//! Whether the gate keeps its promises: the error rates of the rules that [`judge`](super::judge) uses, by exact
//! enumeration where that is possible and by simulation elsewhere.

use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use rayon::prelude::*;
use serde::Serialize;

use super::faults;
use super::slices;
use crate::stats::{self, Clusters, Pairs, Question, Rates, StatsError};

/// The margin, discordance and level that most rows are about.
const MARGIN: f64 = 0.02;
const DISCORDANCE: f64 = 0.10;
const ALPHA: f64 = 0.05;

/// One promise, what was found, and whether it is kept.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Promise {
    /// What is promised.
    pub goal: &'static str,
    /// The bound.
    pub bound: f64,
    /// Whether the value must not be above the bound (else not below it).
    pub at_most: bool,
    /// What was found.
    pub found: f64,
    /// Three standard errors of what was found; for enumerated values half of the bound's last digit.
    pub tolerance: f64,
    /// How many repetitions the value comes from; 0 for enumerated ones.
    pub repetitions: u64,
    /// Whether it is kept, within the tolerance.
    pub kept: bool,
}

/// Checks every promise with so many repetitions per simulated row.
pub fn selftest(repetitions: u64, seed: u64) -> Result<Vec<Promise>, StatsError> {
    let run = Run { repetitions, seed };
    let mut promises = exact()?;
    promises.extend(run.slices()?);
    promises.push(run.clusters()?);
    promises.push(reuse()?);
    promises.push(run.creep()?);
    promises.push(run.latency()?);
    promises.push(faults::refused()?);
    promises.push(lint()?);
    Ok(promises)
}

/// The rows about two arms and nothing else, summed over every outcome.
fn exact() -> Result<Vec<Promise>, StatsError> {
    let (mut size, mut far, mut false_fail) = (0.0f64, 0.0f64, 0.0f64);
    let mut equal = 1.0f64;
    let question = Question::new(-MARGIN, ALPHA)?;
    for (margin, ns) in [
        (0.02, [50, 100, 300, 1000, 3000]),
        (0.05, [50, 100, 300, 1000, 3000]),
    ] {
        let question = Question::new(-margin, ALPHA)?;
        for n in ns {
            for discordance in [0.03, 0.05, 0.10, 0.20] {
                size = size.max(question.pass_probability(n, Rates::new(discordance, -margin)));
            }
        }
    }
    for n in [300, 1000, 3000] {
        for discordance in [0.05, 0.10, 0.20] {
            far = far.max(question.pass_probability(n, Rates::new(discordance, -0.05)));
        }
        false_fail = false_fail.max(question.harm_probability(n, Rates::new(DISCORDANCE, 0.0)));
    }
    for (margin, discordance, n) in [
        (0.02, 0.02, 401),
        (0.02, 0.05, 819),
        (0.02, 0.10, 1565),
        (0.02, 0.20, 3107),
        (0.03, 0.10, 707),
        (0.05, 0.10, 263),
        (0.01, 0.10, 6217),
    ] {
        let question = Question::new(-margin, ALPHA)?;
        equal = equal.min(question.pass_probability(n, Rates::new(discordance, 0.0)));
    }
    Ok(vec![
        Promise::summed(
            "P(PASS) when the loss is the whole margin",
            0.055,
            true,
            size,
        ),
        Promise::summed("P(PASS) when equal, at the planned n", 0.80, false, equal),
        Promise::summed(
            "P(PASS) when the loss is 5 points, margin 2",
            0.003,
            true,
            far,
        ),
        Promise::summed("P(FAIL) when equal", 0.05, true, false_fail),
    ])
}

/// Twenty truly bad candidates on one suite whose alpha is shared among twenty decisions.
fn reuse() -> Result<Promise, StatsError> {
    let question = Question::new(-MARGIN, ALPHA / 20.0)?;
    let once = question.pass_probability(1000, Rates::new(DISCORDANCE, -MARGIN));
    let any = 1.0 - (1.0 - once).powi(20);
    Ok(Promise::summed(
        "any false PASS in 20 decisions on one suite",
        0.055,
        true,
        any,
    ))
}

/// A policy under which nothing could pass is refused, one case more is not.
fn lint() -> Result<Promise, StatsError> {
    let mut good = 0.0;
    let margins = [0.01, 0.02, 0.03, 0.05, 0.1];
    for margin in margins {
        let question = Question::new(-margin, ALPHA)?;
        let n = question.minimum_cases();
        let possible = question.passes(&Pairs::new(n, 0, 0)?);
        let impossible = !question.passes(&Pairs::new(n - 1, 0, 0)?);
        good += f64::from(u8::from(possible && impossible));
    }
    let share = good / margins.len() as f64;
    Ok(Promise::summed(
        "fewer cases than any PASS needs are refused",
        1.0,
        false,
        share,
    ))
}

impl Promise {
    fn summed(goal: &'static str, bound: f64, at_most: bool, found: f64) -> Self {
        // The bounds were published rounded to three digits.
        Self::new(goal, bound, at_most, found, 0.0005, 0)
    }

    fn simulated(goal: &'static str, bound: f64, at_most: bool, hits: u64, of: u64) -> Self {
        let found = hits as f64 / of as f64;
        let error = (bound * (1.0 - bound) / of as f64).sqrt();
        Self::new(goal, bound, at_most, found, 3.0 * error, of)
    }

    fn new(
        goal: &'static str,
        bound: f64,
        at_most: bool,
        found: f64,
        tolerance: f64,
        repetitions: u64,
    ) -> Self {
        let kept = match at_most {
            true => found <= bound + tolerance,
            false => found >= bound - tolerance,
        };
        Self {
            goal,
            bound,
            at_most,
            found,
            tolerance,
            repetitions,
            kept,
        }
    }

    pub(super) fn share(goal: &'static str, good: usize, of: usize) -> Self {
        Self::new(
            goal,
            1.0,
            false,
            good as f64 / of.max(1) as f64,
            0.0,
            of as u64,
        )
    }
}

/// Which of the answers a simulated judgement gave.
#[derive(Clone, Copy, PartialEq)]
enum Answer {
    Pass,
    Fail,
    Other,
}

struct Run {
    repetitions: u64,
    seed: u64,
}

impl Run {
    /// How often `once` says yes. Each repetition has its own stream, so the result does not depend on the threads.
    fn count<F>(&self, row: u64, once: F) -> Result<u64, StatsError>
    where
        F: Fn(&mut ChaCha8Rng) -> Result<bool, StatsError> + Sync,
    {
        (0..self.repetitions)
            .into_par_iter()
            .map(|repetition| {
                let mut stream = ChaCha8Rng::seed_from_u64(self.seed ^ (row << 56) ^ repetition);
                once(&mut stream).map(u64::from)
            })
            .sum()
    }

    /// Ten slices, of which one may be worse: the whole suite and the slices together, as the gate judges.
    fn slices(&self) -> Result<Vec<Promise>, StatsError> {
        let question = Question::new(-MARGIN, ALPHA)?;
        let judge = |rates: &[Rates; 10], per_slice: u64, stream: &mut ChaCha8Rng| {
            let (mut improved, mut regressed) = (0, 0);
            let mut p_values = Vec::with_capacity(10);
            for rates in rates {
                let (b, c) = draw(per_slice, *rates, stream);
                improved += b;
                regressed += c;
                p_values.push(stats::harm_p(&Pairs::new(per_slice, b, c)?));
            }
            let all = Pairs::new(10 * per_slice, improved, regressed)?;
            Ok(if slices::any_harmed(&p_values, ALPHA) {
                Answer::Fail
            } else if question.passes(&all) {
                Answer::Pass
            } else if stats::harm_p(&all) < ALPHA {
                Answer::Fail
            } else {
                Answer::Other
            })
        };
        let equal = [Rates::new(DISCORDANCE, 0.0); 10];
        let failed = self.count(1, |stream| Ok(judge(&equal, 100, stream)? == Answer::Fail))?;
        let mut one_bad = equal;
        one_bad[0] = Rates::new(DISCORDANCE + 0.10, -0.10);
        let stopped = self.count(
            2,
            |stream| Ok(judge(&one_bad, 300, stream)? != Answer::Pass),
        )?;
        let of = self.repetitions;
        Ok(vec![
            Promise::simulated(
                "P(FAIL) when equal, with ten slices",
                0.08,
                true,
                failed,
                of,
            ),
            Promise::simulated(
                "one of ten slices 10 points worse does not pass",
                0.92,
                false,
                stopped,
                of,
            ),
        ])
    }

    /// Clusters of five whose members always agree.
    fn clusters(&self) -> Result<Promise, StatsError> {
        const GROUPS: usize = 200;
        const SIZE: usize = 5;
        let question = Question::new(-MARGIN, ALPHA)?;
        let rates = Rates::new(DISCORDANCE, -MARGIN);
        let clusters = Clusters::new((0..GROUPS * SIZE).map(|i| i / SIZE).collect(), GROUPS)?;
        let passed = self.count(3, |stream| {
            let signs: Vec<f64> = (0..GROUPS)
                .flat_map(|_| [sign(rates, stream); SIZE])
                .collect();
            let count = |of: f64| signs.iter().filter(|sign| **sign == of).count() as u64;
            let pairs = Pairs::new(signs.len() as u64, count(1.0), count(-1.0))?;
            Ok(question.passes(pairs.shrunk(clusters.design_effect(&signs))))
        })?;
        let goal = "P(PASS) at the margin, clusters of five alike";
        Ok(Promise::simulated(
            goal,
            0.06,
            true,
            passed,
            self.repetitions,
        ))
    }

    /// Twenty candidates, each one point worse than what is in production, under an anchor with a margin of three.
    fn creep(&self) -> Result<Promise, StatsError> {
        let question = Question::new(-MARGIN, ALPHA)?;
        let anchor = Question::new(-0.03, ALPHA)?;
        let beyond = self.count(4, |stream| {
            let mut lost = 0.0;
            for _ in 0..20 {
                let passes = |question: &Question, loss: f64, stream: &mut ChaCha8Rng| {
                    let (b, c) = draw(1000, Rates::new(DISCORDANCE.max(loss), -loss), stream);
                    Ok::<bool, StatsError>(question.passes(&Pairs::new(1000, b, c)?))
                };
                if passes(&question, 0.01, stream)? && passes(&anchor, lost + 0.01, stream)? {
                    lost += 0.01;
                }
            }
            Ok(lost > 0.03 + 1e-9)
        })?;
        let goal = "more than 3 points lost in 20 promotions, anchor 3";
        Ok(Promise::simulated(
            goal,
            0.05,
            true,
            beyond,
            self.repetitions,
        ))
    }

    /// Latencies whose 95th percentile is exactly at the ratio that is allowed.
    fn latency(&self) -> Result<Promise, StatsError> {
        const N: usize = 500;
        let run = Self {
            repetitions: self.repetitions.min(4000),
            ..*self
        };
        let passed = run.count(5, |stream| {
            let sample = |scale: f64, stream: &mut ChaCha8Rng| -> Vec<f64> {
                (0..N)
                    .map(|_| 100.0 * scale * (0.4 * normal(stream)).exp())
                    .collect()
            };
            let (candidate, baseline) = (sample(1.10, stream), sample(1.0, stream));
            let found = stats::quantile_ratio(&candidate, &baseline, 0.95, ALPHA)?;
            Ok(found.interval.upper < 1.10)
        })?;
        let goal = "P(PASS) when the p95 latency is at its ratio";
        Ok(Promise::simulated(
            goal,
            0.06,
            true,
            passed,
            run.repetitions,
        ))
    }
}

/// The outcome of one pair: 1 improved, −1 regressed, 0 the same.
fn sign(rates: Rates, stream: &mut ChaCha8Rng) -> f64 {
    let u: f64 = stream.random();
    if u < rates.improve() {
        1.0
    } else if u < rates.improve() + rates.regress() {
        -1.0
    } else {
        0.0
    }
}

/// How many of `n` pairs improved and regressed.
fn draw(n: u64, rates: Rates, stream: &mut ChaCha8Rng) -> (u64, u64) {
    let (mut improved, mut regressed) = (0, 0);
    for _ in 0..n {
        let sign = sign(rates, stream);
        improved += u64::from(sign > 0.0);
        regressed += u64::from(sign < 0.0);
    }
    (improved, regressed)
}

/// A standard normal number, by Box and Muller.
fn normal(stream: &mut ChaCha8Rng) -> f64 {
    let u: f64 = 1.0 - stream.random::<f64>();
    let v: f64 = stream.random();
    (-2.0 * u.ln()).sqrt() * (2.0 * std::f64::consts::PI * v).cos()
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    /// Fewer repetitions than the command has: the tolerance, three standard errors, grows with their scarcity.
    #[test]
    fn every_promise_is_kept() {
        let promises = selftest(600, 7).unwrap();
        assert_eq!(promises.len(), 12);
        for promise in &promises {
            assert!(promise.kept, "{promise:?}");
        }
    }

    #[test]
    fn a_broken_promise_is_seen() {
        assert!(!Promise::simulated("x", 0.05, true, 130, 1000).kept);
        assert!(!Promise::simulated("x", 0.92, false, 850, 1000).kept);
        assert!(!Promise::share("x", 11, 12).kept);
    }

    #[test]
    fn repetitions_do_not_depend_on_threads() {
        let run = Run {
            repetitions: 40,
            seed: 3,
        };
        assert_eq!(run.clusters().unwrap(), run.clusters().unwrap());
    }
}
