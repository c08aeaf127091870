//! The numbers a comparison rests on.

use serde::{Deserialize, Serialize};

use super::policy::{Criterion, Design, Kind, Rule};
use crate::document::Decimal;
use crate::stats::{self, Interval, Pairs, Question, Rates, StatsError};

/// What was counted and computed for one criterion against one baseline.
///
/// Shares and their differences lie in `[-1, 1]`; graded scores have their own scale; quantiles and means are compared
/// as ratios candidate / baseline, where smaller is better.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Numbers {
    /// The answers compared.
    pub n: u64,
    /// Cases on which the candidate is better.
    pub improved: u64,
    /// Cases on which the candidate is worse.
    pub regressed: u64,
    /// Cases the candidate has right.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub candidate_right: Option<u64>,
    /// Cases the baseline has right.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub baseline_right: Option<u64>,
    /// The candidate's mean, where the metric is not right or wrong.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub candidate_mean: Option<Decimal>,
    /// The baseline's mean, where the metric is not right or wrong.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub baseline_mean: Option<Decimal>,
    /// The difference candidate − baseline, or the ratio; for `absolute` and `must_pass` the candidate's share.
    pub difference: Decimal,
    /// The lower limit of the difference; errs with probability alpha.
    pub lower: Decimal,
    /// The upper limit of the difference; errs with probability alpha.
    pub upper: Decimal,
    /// What has to be exceeded: −margin, the margin for superiority, the least share; or the ratio to stay below.
    pub boundary: Decimal,
    /// Tango's statistic at the boundary.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub z: Option<Decimal>,
    /// Its one-sided p-value.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub p: Option<Decimal>,
    /// The p-value of "no harm": mid-p McNemar, for graded scores Student's t.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub harm_p: Option<Decimal>,
    /// The probability of PASS on so many cases with the discordance seen: for non-inferiority when the arms are equally
    /// good, for superiority when the difference is the one seen.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub power: Option<Decimal>,
    /// By how much clusters or repeats make the cases worth less.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub design_effect: Option<Decimal>,
}

/// Numbers are stored to nine decimals: what differs beyond depends on the platform's logarithm.
const DECIMALS: f64 = 1e9;

impl Numbers {
    pub(super) fn of(
        counts: &Counts,
        criterion: &Criterion,
        design: &Design,
        effect: Option<f64>,
    ) -> Result<Self, StatsError> {
        let pairs = counts.pairs()?;
        let question = criterion.question(design)?;
        let worth = pairs.shrunk(effect.unwrap_or(1.0));
        let interval = stats::limits(worth, question.alpha());
        let z = stats::score(worth, question.boundary());
        let n = (pairs.n() as f64 / effect.unwrap_or(1.0)) as u64;
        let power = question.pass_probability(n, assumed(&pairs, criterion.rule));
        let shown = Self::shown(
            counts,
            pairs.difference(),
            interval,
            question.boundary(),
            effect,
        )?;
        Ok(Self {
            z: Some(rounded(z)?),
            p: Some(rounded(stats::upper_tail(z))?),
            harm_p: Some(rounded(stats::harm_p(worth))?),
            power: Some(rounded(power)?),
            baseline_right: Some(counts.baseline_right),
            ..shown
        })
    }

    /// Counts, an estimate and its interval.
    pub(super) fn shown(
        counts: &Counts,
        estimate: f64,
        interval: Interval,
        boundary: f64,
        effect: Option<f64>,
    ) -> Result<Self, StatsError> {
        Ok(Self {
            n: counts.n,
            improved: counts.improved,
            regressed: counts.regressed,
            candidate_right: Some(counts.candidate_right),
            baseline_right: None,
            candidate_mean: None,
            baseline_mean: None,
            difference: rounded(estimate)?,
            lower: rounded(interval.lower)?,
            upper: rounded(interval.upper)?,
            boundary: rounded(boundary)?,
            z: None,
            p: None,
            harm_p: None,
            power: None,
            design_effect: effect.map(rounded).transpose()?,
        })
    }

    /// The arms' means instead of counts of what is right.
    pub(super) fn with_arms(self, candidate: f64, baseline: f64) -> Result<Self, StatsError> {
        Ok(Self {
            candidate_right: None,
            baseline_right: None,
            candidate_mean: Some(rounded(candidate)?),
            baseline_mean: Some(rounded(baseline)?),
            ..self
        })
    }

    /// Whether harm is shown at this level.
    pub fn is_harmful(&self, alpha: f64) -> bool {
        self.harm_p.is_some_and(|p| p.get() < alpha)
    }

    /// How many cases in all would pass with the policy's power: the discordance stays what it is, and the arms are
    /// equally good (non-inferiority) or as far apart as they seem (all others). `None`: no number would.
    ///
    /// Exact for right and wrong in two arms; for the other kinds from the width of the interval, which shrinks with the
    /// square root of the cases.
    pub fn needed_cases(&self, criterion: &Criterion, design: &Design) -> Option<u64> {
        if !criterion.is_paired() {
            return self.needed_by_width(criterion, design);
        }
        let pairs = Pairs::new(self.n, self.improved, self.regressed).ok()?;
        let question: Question = criterion.question(design).ok()?;
        let needed = question.needed_cases(assumed(&pairs, criterion.rule), design.power.get())?;
        let effect = self.design_effect.map_or(1.0, Decimal::get);
        Some((needed as f64 * effect).ceil() as u64)
    }

    fn needed_by_width(&self, criterion: &Criterion, design: &Design) -> Option<u64> {
        let get = Decimal::get;
        let (seen, lower, upper) = (get(self.difference), get(self.lower), get(self.upper));
        let boundary = get(self.boundary);
        let (distance, width) = match criterion.kind {
            Kind::Quantile { .. } | Kind::Mean => {
                // Equal arms have the ratio 1.
                (boundary.ln() - seen.min(1.0).ln(), upper.ln() - seen.ln())
            }
            _ if criterion.rule == Rule::Noninferior => (-boundary, seen - lower),
            _ => (seen - boundary, seen - lower),
        };
        let z = stats::quantile(1.0 - design.alpha.get());
        let factor = width * (1.0 + stats::quantile(design.power.get()) / z) / distance;
        let needed = self.n as f64 * factor * factor;
        (distance > 0.0 && needed.is_finite() && needed < stats::MAX_CASES as f64)
            .then(|| needed.ceil() as u64)
    }

    /// The margin with which the same outcomes would pass: from here on for non-inferiority and ratios, up to here for
    /// superiority and least shares. `None`: no margin would.
    pub fn passing_margin(&self, criterion: &Criterion) -> Option<f64> {
        let (lower, upper) = (self.lower.get(), self.upper.get());
        // Rounded away from the limit, to a tenth of a point.
        let up = |x: f64| (x * 1000.0).ceil() / 1000.0;
        let down = |x: f64| (x * 1000.0).floor() / 1000.0;
        match (criterion.kind, criterion.rule) {
            (Kind::Quantile { .. } | Kind::Mean, _) => {
                Some(up(upper + 1e-9)).filter(|r| *r <= 10.0)
            }
            (Kind::Binary, Rule::Noninferior) => Some(up(-lower)).filter(|m| *m > 0.0 && *m <= 0.5),
            (_, Rule::Noninferior) => Some(up(-lower + 1e-9)).filter(|m| *m > 0.0),
            (_, Rule::Superior | Rule::Absolute) => Some(down(lower)).filter(|m| *m > 0.0),
            (_, Rule::MustPass | Rule::Report) => None,
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
        Rule::Superior => pairs.difference(),
        _ => 0.0,
    };
    Rates::new(pairs.discordance(), difference)
}

pub(super) fn rounded(value: f64) -> Result<Decimal, StatsError> {
    Decimal::new((value * DECIMALS).round() / DECIMALS).map_err(|_| StatsError::Range {
        what: "a number of the judgement",
        value,
        range: "the finite numbers",
    })
}
