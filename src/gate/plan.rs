//! What a policy can decide, before anything is measured.

use super::policy::{Criterion, Design, Kind, Metric, Occasion, Policy, Rule, Severity};
use super::slices;
use crate::stats::{Question, Rates, StatsError};

/// What each criterion needs, and what it can do with a given number of cases.
#[derive(Debug, Clone, PartialEq)]
pub struct Plan {
    /// The number of cases planned with.
    pub cases: u64,
    /// The one-sided alpha of this occasion.
    pub alpha: f64,
    /// Against a version: the criteria in the policy's order, then the anchor.
    pub criteria: Vec<PlannedCriterion>,
    /// Against the untrained baselines, where the policy has a rule for that.
    pub first_version: Option<PlannedCriterion>,
    /// What slices need, where the policy has any.
    pub slices: Option<PlannedSlices>,
}

/// One criterion.
#[derive(Debug, Clone, PartialEq)]
pub struct PlannedCriterion {
    /// The criterion.
    pub criterion: Criterion,
    /// The fewest cases on which it can be met at all.
    pub minimum_cases: u64,
    /// What its answers are worth; `None` for kinds whose spread is not known before they are measured.
    pub odds: Option<Odds>,
}

/// Probabilities, exact for the policy's discordance.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Odds {
    /// The cases from which an equally good candidate passes with the policy's power; `None` for superiority, which
    /// equally good candidates must not pass, and beyond a million cases.
    pub needed_cases: Option<u64>,
    /// P(PASS) of an equally good candidate.
    pub pass_when_equal: f64,
    /// P(PASS) of a candidate that is exactly at the boundary, the margin worse or no better than the margin; at most
    /// about alpha.
    pub pass_at_boundary: f64,
    /// P(FAIL) of an equally good candidate.
    pub fail_when_equal: f64,
    /// What so many cases can resolve with the policy's power: the smallest margin with which an equally good candidate
    /// passes, or the smallest true gain with which a better one does. `None`: not even one half.
    pub resolves: Option<f64>,
}

/// What slices need, if they are `count` and equally large.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct PlannedSlices {
    /// How many there are.
    pub count: usize,
    /// The fewest cases of a slice on which harm could be shown at all.
    pub fewest: u64,
    /// The drop that they should show.
    pub detect: f64,
    /// The cases of a slice that show it with the policy's power.
    pub enough: u64,
}

/// Plans with `cases` cases, at least 1, for this occasion; `slices` is how many the policy's keys give.
pub fn plan(
    policy: &Policy,
    cases: u64,
    occasion: Occasion,
    slices: usize,
) -> Result<Plan, StatsError> {
    if cases == 0 {
        return Err(StatsError::Empty);
    }
    let design = policy.design_for(occasion)?;
    let planned = |criterion| planned(&design, criterion, cases);
    let anchor = policy.anchor().map(|anchor| Criterion {
        id: "anchor".to_owned(),
        metric: Metric::new("accuracy"),
        kind: Kind::Binary,
        rule: Rule::Noninferior,
        margin: Some(anchor.margin),
        severity: Severity::Block,
        min_kappa: None,
    });
    let criteria = policy.criteria_for(false).into_iter().chain(anchor);
    let first = policy.criteria_for(true).into_iter().map(planned).next();
    let alpha_slices = policy.slice_alpha(occasion)?;
    Ok(Plan {
        cases,
        alpha: design.alpha.get(),
        criteria: criteria.map(planned).collect::<Result<_, _>>()?,
        first_version: first.transpose()?,
        slices: policy.slices().map(|rules| PlannedSlices {
            count: slices,
            fewest: rules
                .min_n
                .unwrap_or_else(|| slices::fewest(slices, alpha_slices)),
            detect: rules.detect.get(),
            enough: slices::enough(rules, slices, &design, alpha_slices),
        }),
    })
}

fn planned(
    design: &Design,
    criterion: Criterion,
    cases: u64,
) -> Result<PlannedCriterion, StatsError> {
    let odds = match criterion.is_paired() {
        true => Some(odds(design, &criterion, cases)?),
        false => None,
    };
    Ok(PlannedCriterion {
        minimum_cases: criterion.minimum_cases(design)?,
        odds,
        criterion,
    })
}

fn odds(design: &Design, criterion: &Criterion, cases: u64) -> Result<Odds, StatsError> {
    let question = criterion.question(design)?;
    let discordance = design.discordance.get();
    let power = design.power.get();
    let equal = Rates::new(discordance, 0.0);
    let at_boundary = Rates::new(discordance, question.boundary());
    let enough = |size| suffices(criterion, question, cases, discordance, size) >= power;
    Ok(Odds {
        needed_cases: question.needed_cases(equal, power),
        pass_when_equal: question.pass_probability(cases, equal),
        pass_at_boundary: question.pass_probability(cases, at_boundary),
        fail_when_equal: question.harm_probability(cases, equal),
        resolves: smallest(enough),
    })
}

/// P(PASS) on `cases` cases when the margin, or for superiority the true gain, is `size`.
fn suffices(
    criterion: &Criterion,
    question: Question,
    cases: u64,
    discordance: f64,
    size: f64,
) -> f64 {
    match criterion.rule {
        Rule::Superior => question.pass_probability(cases, Rates::new(discordance, size)),
        _ => Question::new(-size, question.alpha())
            .map(|wider| wider.pass_probability(cases, Rates::new(discordance, 0.0)))
            .unwrap_or(0.0),
    }
}

/// The smallest share, to a hundredth of a point, from which `holds`; at most one half.
fn smallest(holds: impl Fn(f64) -> bool) -> Option<f64> {
    const STEPS: f64 = 10_000.0;
    let (mut no, mut yes) = (0u32, 5_000u32);
    if !holds(f64::from(yes) / STEPS) {
        return None;
    }
    while yes - no > 1 {
        let middle = no + (yes - no) / 2;
        if holds(f64::from(middle) / STEPS) {
            yes = middle;
        } else {
            no = middle;
        }
    }
    Some(f64::from(yes) / STEPS)
}
