//! Criteria that rest on a judge: how far its verdicts can be trusted, and what that makes of a margin.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use super::numbers::{Numbers, rounded};
use super::policy::{Criterion, Design, Kind, Rule};
use super::reason::Code;
use super::rows::Trouble;
use super::verdict::Verdict;
use crate::document::Decimal;
use crate::eval::{Agreement, Report, Rule as GraderRule, Suite};
use crate::stats::{self, Interval, StatsError};

/// The least kappa where a policy says nothing: what Landis and Koch (1977) call substantial agreement begins there.
const MIN_KAPPA: f64 = 0.6;

/// How far a judge's verdicts can be trusted: from those on cases that people have judged.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Trust {
    /// The calibration cases.
    pub n: u64,
    /// Cohen's kappa of people and judge.
    pub kappa: Decimal,
    /// The share of what people passed that the judge passes.
    pub sensitivity: Decimal,
    /// The share of what people failed that the judge fails.
    pub specificity: Decimal,
    /// The lower limit of sensitivity + specificity − 1: of a true difference between two arms the judge shows at least so
    /// much, and margins shrink by it.
    pub factor: Decimal,
}

/// The same with its limits.
pub(super) struct Calibrated {
    pub(super) trust: Trust,
    sensitivity: Interval,
    specificity: Interval,
}

/// What a criterion's metric rests on.
enum Basis {
    /// Rules that need no trust.
    Rules,
    /// The judge's verdicts under this metric, or on their opposite.
    Judge {
        metric: String,
        opposite: bool,
        /// Which of two answers is better, rather than whether one is good.
        pairs: bool,
    },
    /// On a judge for some demands and on something else for others.
    Mixed,
}

/// What a criterion's verdicts are worth; `None` where no judge is behind them, or nothing is decided by them.
///
/// The worse of the two arms' calibrations counts. Each limit errs with probability alpha / 2 at most.
pub(super) fn trust(
    suite: &Suite,
    arms: [&Report; 2],
    criterion: &Criterion,
    design: &Design,
) -> Result<Option<Calibrated>, Trouble> {
    let untrusted = |text: String| Err(Trouble::Reason(Code::JudgeUntrusted, text));
    let (metric, opposite) = match basis(suite, criterion) {
        Basis::Rules => return Ok(None),
        _ if criterion.rule == Rule::Report => return Ok(None),
        Basis::Mixed => {
            return untrusted(format!(
                "{} mixes the judge's verdicts with other demands, or verdicts with their opposite: give the judge's metric a criterion of its own, and its grader `weight: 0`",
                criterion.metric
            ));
        }
        Basis::Judge { pairs: true, .. }
            if matches!(criterion.rule, Rule::Absolute | Rule::MustPass) =>
        {
            return untrusted(
                "a comparison says nothing about a share: use noninferior".to_owned(),
            );
        }
        Basis::Judge {
            metric, opposite, ..
        } => (metric, opposite),
    };
    if matches!(criterion.kind, Kind::Quantile { .. } | Kind::Mean) {
        return untrusted("a judge's verdicts are of kind binary or graded".to_owned());
    }
    let mut worst: Option<Calibrated> = None;
    for arm in arms {
        let judged = arm.judged.as_ref();
        let Some(agreement) = judged.and_then(|judged| judged.agreement.get(&metric)) else {
            return untrusted(format!(
                "nobody knows how good the judge is: the suite has no calibration cases for {metric}"
            ));
        };
        let found = Calibrated::of(agreement, opposite, design.alpha.get() / 2.0)?;
        let Some(found) = found else {
            return untrusted(format!(
                "the calibration cases of {metric} do not show whether the judge agrees with people"
            ));
        };
        let wanted = criterion.min_kappa.map_or(MIN_KAPPA, Decimal::get);
        if found.trust.kappa.get() < wanted {
            return untrusted(format!(
                "the judge agrees with people on {metric} with kappa {:.2} on {} cases; the policy wants {wanted}",
                found.trust.kappa.get(),
                found.trust.n
            ));
        }
        if found.trust.factor.get() <= 0.0 {
            return untrusted(format!(
                "{} calibration cases of {metric} are too few: the judge could be guessing",
                found.trust.n
            ));
        }
        match &worst {
            Some(worse) if worse.trust.factor.get() <= found.trust.factor.get() => {}
            _ => worst = Some(found),
        }
    }
    Ok(worst)
}

impl Calibrated {
    /// `None` where kappa is not defined or a class is missing.
    fn of(agreement: &Agreement, opposite: bool, alpha: f64) -> Result<Option<Self>, StatsError> {
        let (passes, fails) = (agreement.passes(), agreement.fails());
        let raters = agreement.raters();
        let Some(kappa) = raters.kappa().filter(|_| passes.1 > 0 && fails.1 > 0) else {
            return Ok(None);
        };
        // Of the opposite demand, what people fail is what is right.
        let (right, wrong) = match opposite {
            false => (passes, fails),
            true => (fails, passes),
        };
        let limits = |(hits, of): (u64, u64)| stats::proportion_limits(hits, of, alpha);
        let share = |(hits, of): (u64, u64)| rounded(hits as f64 / of as f64);
        let (sensitivity, specificity) = (limits(right)?, limits(wrong)?);
        Ok(Some(Self {
            trust: Trust {
                n: raters.n(),
                kappa: rounded(kappa)?,
                sensitivity: share(right)?,
                specificity: share(wrong)?,
                factor: rounded(sensitivity.lower + specificity.lower - 1.0)?,
            },
            sensitivity,
            specificity,
        }))
    }

    /// The criterion as it has to be asked of the judge's verdicts, so that it holds of people's.
    pub(super) fn corrected(&self, criterion: &Criterion) -> Result<Criterion, StatsError> {
        let limit = criterion.limit();
        let margin = match criterion.rule {
            Rule::Noninferior => Some(rounded(limit * self.trust.factor.get())?),
            // The judge passes at most so many, if people pass fewer than the least share.
            Rule::Absolute => Some(rounded(
                limit * self.sensitivity.upper + (1.0 - limit) * (1.0 - self.specificity.lower),
            )?),
            // A gain among the judge's verdicts is never more than the true one.
            Rule::Superior | Rule::MustPass | Rule::Report => criterion.margin,
        };
        Ok(Criterion {
            margin,
            ..criterion.clone()
        })
    }

    /// A share that is too low for the corrected limit is a FAIL only where it is too low for any judge that the
    /// calibration allows.
    pub(super) fn softened(
        &self,
        criterion: &Criterion,
        verdict: Verdict,
        numbers: &Numbers,
    ) -> Verdict {
        let limit = criterion.limit();
        let lowest =
            limit * self.sensitivity.lower + (1.0 - limit) * (1.0 - self.specificity.upper);
        match verdict {
            Verdict::Fail if criterion.rule == Rule::Absolute && numbers.upper.get() >= lowest => {
                Verdict::Inconclusive
            }
            other => other,
        }
    }
}

fn basis(suite: &Suite, criterion: &Criterion) -> Basis {
    if suite.judge().is_none() {
        return Basis::Rules;
    }
    let cases = || suite.cases().iter();
    let name = criterion.metric.as_str();
    let name = name.strip_suffix(".pass").unwrap_or(name);
    let named = cases().flat_map(|case| suite.graders_of(case));
    let named: Vec<_> = named.filter(|grader| grader.metric == name).collect();
    let accuracy = criterion.metric.is_accuracy() && named.is_empty();
    let behind: Vec<_> = match accuracy {
        false => named,
        true => {
            let all = cases().flat_map(|case| suite.graders_of(case));
            all.filter(|grader| grader.is_demand()).collect()
        }
    };
    if !behind.iter().any(|grader| grader.is_judged()) {
        return Basis::Rules;
    }
    let kinds: BTreeSet<_> = behind
        .iter()
        .map(|grader| {
            let pairs = matches!(grader.rule, GraderRule::Pairwise { .. });
            (grader.is_judged(), &grader.metric, grader.not, pairs)
        })
        .collect();
    // A case that passes by its mean score passes by something else than the judge's verdict.
    let by_score = accuracy && cases().any(|case| case.threshold.is_some());
    let mut kinds = kinds.into_iter();
    match (kinds.next(), kinds.next()) {
        (Some((true, metric, opposite, pairs)), None) if !by_score => Basis::Judge {
            metric: metric.clone(),
            opposite,
            pairs,
        },
        _ => Basis::Mixed,
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use serde_json::Value;

    use super::*;
    use crate::gate::policy::{Metric, Severity};
    use crate::stats::{Question, Rates};

    fn criterion(rule: Rule, margin: f64) -> Criterion {
        Criterion {
            id: "help".to_owned(),
            metric: Metric::new("helpful.pass"),
            kind: Kind::Binary,
            rule,
            margin: Decimal::new(margin).ok(),
            severity: Severity::Block,
            min_kappa: None,
        }
    }

    fn calibrated(
        [both_pass, only_people_pass, only_judge_passes, both_fail]: [u64; 4],
    ) -> Calibrated {
        let agreement = Agreement {
            both_pass,
            only_people_pass,
            only_judge_passes,
            both_fail,
            undecided: 0,
        };
        Calibrated::of(&agreement, false, 0.025).unwrap().unwrap()
    }

    // Expected values: tests/fixtures/stats/make_agreement.py. What is stored is rounded to nine decimals.
    #[test]
    fn trust_is_what_the_references_compute() {
        let file = include_str!("../../tests/fixtures/stats/agreement.json");
        let expected: Value = serde_json::from_str(file).unwrap();
        for row in expected["tables"].as_array().unwrap() {
            let found = calibrated(serde_json::from_value(row["table"].clone()).unwrap());
            let close = |ours: f64, theirs: &Value| {
                assert!(
                    (ours - theirs.as_f64().unwrap()).abs() < 1e-9,
                    "{ours}: {row}"
                );
            };
            close(found.trust.kappa.get(), &row["kappa"]);
            close(found.trust.factor.get(), &row["factor"]);
            for (ours, key) in [
                (found.sensitivity, "sensitivity"),
                (found.specificity, "specificity"),
            ] {
                close(ours.lower, &row[key][0]);
                close(ours.upper, &row[key][1]);
            }
            let least = criterion(Rule::Absolute, row["least"].as_f64().unwrap());
            close(
                found.corrected(&least).unwrap().limit(),
                &row["least_shown"][0],
            );
            let loss = found.corrected(&criterion(Rule::Noninferior, 0.1)).unwrap();
            assert!((loss.limit() - 0.1 * found.trust.factor.get()).abs() < 1e-9);
            let gain = criterion(Rule::Superior, 0.1);
            assert_eq!(found.corrected(&gain).unwrap(), gain);
        }
    }

    #[test]
    fn a_judges_mistakes_do_not_make_a_loss_pass() {
        let found = calibrated([95, 5, 10, 90]);
        // Just as good as the calibration says: of a loss of ten points it shows 8.5.
        let shown = Rates::new(0.2, -0.085);
        let passes = |criterion: &Criterion| {
            let question = Question::new(-criterion.limit(), 0.05).unwrap();
            question.pass_probability(1000, shown)
        };
        let asked = criterion(Rule::Noninferior, 0.1);
        assert!(passes(&asked) > 0.2);
        assert!(passes(&found.corrected(&asked).unwrap()) < 0.05);
    }

    #[test]
    fn of_the_opposite_the_judge_is_as_sensitive_as_it_was_specific() {
        let agreement = Agreement {
            both_pass: 95,
            only_people_pass: 5,
            only_judge_passes: 10,
            both_fail: 90,
            undecided: 0,
        };
        let [plain, turned] = [false, true].map(|opposite| {
            let found = Calibrated::of(&agreement, opposite, 0.025)
                .unwrap()
                .unwrap();
            found.trust
        });
        assert_eq!(plain.sensitivity, turned.specificity);
        assert_eq!((plain.factor, plain.kappa), (turned.factor, turned.kappa));
    }

    #[test]
    fn one_class_alone_shows_nothing() {
        let agreement = Agreement {
            both_pass: 50,
            ..Agreement::default()
        };
        assert!(Calibrated::of(&agreement, false, 0.025).unwrap().is_none());
    }
}
