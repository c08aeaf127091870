//! The numbers a comparison rests on.

use serde::{Deserialize, Serialize};

use super::policy::{Criterion, Design, Rule};
use crate::document::Decimal;
use crate::stats::{self, Pairs, Question, Rates, StatsError};

/// What was counted and computed for one criterion against one baseline. Shares and differences lie in `[-1, 1]`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Numbers {
    /// The cases compared.
    pub n: u64,
    /// Cases the baseline has wrong and the candidate right.
    pub improved: u64,
    /// Cases the baseline has right and the candidate wrong.
    pub regressed: u64,
    /// Cases the candidate has right.
    pub candidate_right: u64,
    /// Cases the baseline has right.
    pub baseline_right: u64,
    /// The difference of the shares that are right, candidate − baseline.
    pub difference: Decimal,
    /// The lower limit of the difference; errs with probability alpha.
    pub lower: Decimal,
    /// The upper limit of the difference; errs with probability alpha.
    pub upper: Decimal,
    /// The difference that has to be exceeded: −margin, or the margin for superiority.
    pub boundary: Decimal,
    /// Tango's statistic at the boundary.
    pub z: Decimal,
    /// Its one-sided p-value.
    pub p: Decimal,
    /// The mid-p value of "no harm".
    pub harm_p: Decimal,
    /// The probability of PASS on so many cases with the discordance seen: for non-inferiority when the arms are equally
    /// good, for superiority when the difference is the one seen.
    pub power: Decimal,
}

/// Numbers are stored to nine decimals: what differs beyond depends on the platform's logarithm.
const DECIMALS: f64 = 1e9;

impl Numbers {
    pub(super) fn of(
        counts: &Counts,
        criterion: &Criterion,
        design: &Design,
    ) -> Result<Self, StatsError> {
        let pairs = counts.pairs()?;
        let question = criterion.question(design)?;
        let interval = stats::limits(&pairs, question.alpha());
        let z = stats::score(&pairs, question.boundary());
        let power = question.pass_probability(pairs.n(), assumed(&pairs, criterion.rule));
        Ok(Self {
            n: pairs.n(),
            improved: pairs.improved(),
            regressed: pairs.regressed(),
            candidate_right: counts.candidate_right,
            baseline_right: counts.baseline_right,
            difference: rounded(pairs.difference())?,
            lower: rounded(interval.lower)?,
            upper: rounded(interval.upper)?,
            boundary: rounded(question.boundary())?,
            z: rounded(z)?,
            p: rounded(stats::upper_tail(z))?,
            harm_p: rounded(stats::harm_p(&pairs))?,
            power: rounded(power)?,
        })
    }

    /// How many cases in all would pass with the policy's power: the discordance stays what it is, and the arms are
    /// equally good (non-inferiority) or as far apart as they seem (superiority). `None`: no number would.
    pub fn needed_cases(&self, criterion: &Criterion, design: &Design) -> Option<u64> {
        let pairs = Pairs::new(self.n, self.improved, self.regressed).ok()?;
        let question: Question = criterion.question(design).ok()?;
        question.needed_cases(assumed(&pairs, criterion.rule), design.power.get())
    }

    /// The margin with which the same outcomes would pass: from here on for non-inferiority, up to here for superiority.
    /// `None`: no margin would.
    pub fn passing_margin(&self, rule: Rule) -> Option<f64> {
        let lower = self.lower.get();
        match rule {
            // Rounded away from the limit, to a tenth of a point.
            Rule::Noninferior => {
                Some((-lower * 1000.0).ceil() / 1000.0).filter(|m| *m > 0.0 && *m <= 0.5)
            }
            Rule::Superior => Some((lower * 1000.0).floor() / 1000.0).filter(|m| *m > 0.0),
        }
    }
}

/// Outcomes of both arms, counted.
#[derive(Debug, Default, Clone, Copy)]
pub(super) struct Counts {
    pub(super) n: u64,
    pub(super) improved: u64,
    pub(super) regressed: u64,
    pub(super) candidate_right: u64,
    pub(super) baseline_right: u64,
}

impl Counts {
    pub(super) fn add(&mut self, candidate: bool, baseline: bool) {
        self.n += 1;
        self.candidate_right += u64::from(candidate);
        self.baseline_right += u64::from(baseline);
        self.improved += u64::from(candidate && !baseline);
        self.regressed += u64::from(!candidate && baseline);
    }

    pub(super) fn pairs(&self) -> Result<Pairs, StatsError> {
        Pairs::new(self.n, self.improved, self.regressed)
    }
}

fn assumed(pairs: &Pairs, rule: Rule) -> Rates {
    let difference = match rule {
        Rule::Noninferior => 0.0,
        Rule::Superior => pairs.difference(),
    };
    Rates::new(pairs.discordance(), difference)
}

fn rounded(value: f64) -> Result<Decimal, StatsError> {
    Decimal::new((value * DECIMALS).round() / DECIMALS).map_err(|_| StatsError::Range {
        what: "a number of the judgement",
        value,
        range: "the finite numbers",
    })
}
