//! What a policy can decide, before anything is measured.

use super::policy::{Criterion, Policy, Rule};
use crate::stats::{Question, Rates, StatsError};

/// What each criterion needs, and what it can do with a given number of cases.
#[derive(Debug, Clone, PartialEq)]
pub struct Plan {
    /// The number of cases planned with.
    pub cases: u64,
    /// Against a version: the criteria in the policy's order.
    pub criteria: Vec<PlannedCriterion>,
    /// Against the untrained baselines, where the policy has a rule for that.
    pub first_version: Option<PlannedCriterion>,
}

/// One criterion. Probabilities are exact for the policy's discordance.
#[derive(Debug, Clone, PartialEq)]
pub struct PlannedCriterion {
    /// The criterion.
    pub criterion: Criterion,
    /// The fewest cases on which it can be met at all.
    pub minimum_cases: u64,
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

/// Plans with `cases` cases, at least 1.
pub fn plan(policy: &Policy, cases: u64) -> Result<Plan, StatsError> {
    if cases == 0 {
        return Err(StatsError::Empty);
    }
    let planned = |criterion| planned(policy, criterion, cases);
    let criteria = policy.criteria_for(false).into_iter().map(planned);
    let first = policy.criteria_for(true).into_iter().map(planned).next();
    Ok(Plan {
        cases,
        criteria: criteria.collect::<Result<_, _>>()?,
        first_version: first.transpose()?,
    })
}

fn planned(
    policy: &Policy,
    criterion: Criterion,
    cases: u64,
) -> Result<PlannedCriterion, StatsError> {
    let design = policy.design();
    let question = criterion.question(design)?;
    let discordance = design.discordance.get();
    let power = design.power.get();
    let equal = Rates::new(discordance, 0.0);
    Ok(PlannedCriterion {
        minimum_cases: question.minimum_cases(),
        needed_cases: question.needed_cases(equal, power),
        pass_when_equal: question.pass_probability(cases, equal),
        pass_at_boundary: question
            .pass_probability(cases, Rates::new(discordance, question.boundary())),
        fail_when_equal: question.harm_probability(cases, equal),
        resolves: smallest(|size| {
            suffices(&criterion, question, cases, discordance, size) >= power
        }),
        criterion,
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
        Rule::Noninferior => Question::new(-size, question.alpha())
            .map(|wider| wider.pass_probability(cases, Rates::new(discordance, 0.0)))
            .unwrap_or(0.0),
        Rule::Superior => question.pass_probability(cases, Rates::new(discordance, size)),
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
