//! What people are told of the numbers.

use super::Judging;
use crate::document::Decimal;
use crate::eval::Subject;
use crate::gate::judged::Calibrated;
use crate::gate::numbers::Numbers;
use crate::gate::policy::{Criterion, Kind, Rule, Severity};
use crate::gate::reason::Code;
use crate::gate::slices::{self, SliceResult};
use crate::gate::verdict::Verdict;

/// A criterion as it was asked, and what came of it.
pub(super) struct Measured<'a> {
    pub(super) criterion: &'a Criterion,
    pub(super) baseline: &'a Subject,
    pub(super) slice: Option<&'a str>,
    pub(super) verdict: Verdict,
    pub(super) numbers: &'a Numbers,
    pub(super) judge: Option<&'a Calibrated>,
}

impl Judging<'_> {
    pub(super) fn explain_slices(&mut self, found: &[SliceResult], alpha: f64) {
        for slice in found.iter().filter(|slice| slice.harmed) {
            let p = slice.adjusted_p.map_or(0.0, Decimal::get);
            let text = format!(
                "slice {} of criterion {}: {} improved, {} regressed of {}: worse (p = {p} after Holm's correction)",
                slice.slice, slice.criterion, slice.improved, slice.regressed, slice.n
            );
            self.say(Code::SliceHarm, text);
        }
        let Some(slices) = self.policy.slices() else {
            return;
        };
        let untested = found.iter().filter(|slice| slice.harm_p.is_none()).count();
        let enough = slices::enough(slices, found.len(), &self.design, alpha);
        let shows = |slice: &&SliceResult| slice.n >= enough && slice.harm_p.is_some();
        let coarse = found.len() - found.iter().filter(shows).count();
        if coarse > 0 {
            let text = format!(
                "{coarse} of {} slices have too few cases to show a drop of {:.1} points, which takes {enough}; {untested} of them too few to be tested at all",
                found.len(),
                100.0 * slices.detect.get()
            );
            self.say(Code::SlicesCoarse, text);
        }
    }

    pub(super) fn check_constant(&mut self, numbers: &Numbers, baseline: &Subject) {
        let both = (numbers.candidate_right, numbers.baseline_right);
        if both == (Some(0), Some(0)) {
            let text = format!(
                "the candidate and the {baseline} have every case wrong: the labels do not fit the suite"
            );
            self.say(Code::NothingRight, text);
        } else if both == (Some(numbers.n), Some(numbers.n)) {
            let text = format!(
                "the candidate and the {baseline} have every case right: the suite cannot tell them apart"
            );
            self.say(Code::Saturated, text);
        }
    }

    pub(super) fn explain(&mut self, measured: &Measured<'_>) {
        let Measured {
            criterion,
            baseline,
            numbers,
            verdict,
            ..
        } = *measured;
        let what = match measured.slice {
            Some(slice) => format!(
                "criterion {} on {slice} against the {baseline}",
                criterion.id
            ),
            None => format!("criterion {} against the {baseline}", criterion.id),
        };
        let what = format!("{what}: {}", seen(criterion, numbers));
        let harmful = numbers.is_harmful(self.design.alpha.get());
        let remark = match verdict {
            _ if criterion.rule == Rule::Report => None,
            Verdict::Pass if harmful => Some((
                Code::SmallRegression,
                format!("{what}: worse{}, by less than the margin", p_value(numbers)),
            )),
            Verdict::Pass => None,
            Verdict::Fail => Some((
                Code::Harm,
                format!("{what}: {}{}", failing(criterion), p_value(numbers)),
            )),
            Verdict::Inconclusive | Verdict::Invalid => {
                let advice = self.advice(measured);
                Some((
                    Code::Undecided,
                    format!("{what}: not enough to decide; {advice}"),
                ))
            }
        };
        match remark {
            Some((code, text))
                if criterion.severity != Severity::Block && code.verdict().is_some() =>
            {
                self.say(Code::NotHeld, text);
            }
            Some((code, text)) => self.say(code, text),
            None => {}
        }
    }

    /// What would decide: more cases, or another margin.
    fn advice(&self, measured: &Measured<'_>) -> String {
        let Measured {
            criterion, numbers, ..
        } = *measured;
        // Of a judge's verdicts the margin is a part of the policy's.
        let part = measured.judge.map_or(1.0, |judge| judge.trust.factor.get());
        let design = &self.design;
        let cases = match numbers.needed_cases(criterion, design) {
            Some(needed) if needed > numbers.n => {
                let more = needed - numbers.n;
                format!(
                    "{more} more cases ({needed} in all) would pass with probability {}",
                    design.power
                )
            }
            Some(_) => "so many cases usually suffice for an equally good candidate".to_owned(),
            None => "no number of cases would pass if the difference is the one seen".to_owned(),
        };
        let advice = numbers.passing_margin(criterion).map(|margin| {
            let points = format!("{:.1} points", 100.0 * margin);
            match (criterion.kind, criterion.rule) {
                (Kind::Quantile { .. } | Kind::Mean, _) => {
                    format!("these cases would pass with a ratio of {margin:.3}")
                }
                (Kind::Graded { .. }, Rule::Noninferior) => {
                    let margin = margin / part;
                    format!("these cases would pass with a margin of {margin:.3}")
                }
                (_, Rule::Noninferior) => {
                    let points = 100.0 * margin / part;
                    format!("these cases would pass with a margin of {points:.1} points")
                }
                (_, Rule::Absolute) => format!("these cases show {:.1} % at least", 100.0 * margin),
                (Kind::Graded { .. }, _) => {
                    format!("these cases show a gain of {margin:.3} at least")
                }
                _ => format!("these cases show a gain of {points} at least"),
            }
        });
        match advice {
            Some(advice) => format!("{cases}; {advice}"),
            None => cases,
        }
    }
}

fn seen(criterion: &Criterion, numbers: &Numbers) -> String {
    match (criterion.kind, criterion.rule, numbers.candidate_right) {
        (Kind::Binary, Rule::Absolute | Rule::MustPass, Some(right)) => {
            format!("{right} right of {}", numbers.n)
        }
        (Kind::Quantile { .. } | Kind::Mean, ..) => format!(
            "ratio {:.3} (at most {:.3}) on {}",
            numbers.difference.get(),
            numbers.upper.get(),
            numbers.n
        ),
        _ => format!(
            "{} improved, {} regressed of {}",
            numbers.improved, numbers.regressed, numbers.n
        ),
    }
}

fn failing(criterion: &Criterion) -> &'static str {
    match (criterion.kind, criterion.rule) {
        (_, Rule::Absolute) => "less than the least share",
        (_, Rule::MustPass) => "every case has to be right",
        (Kind::Quantile { .. } | Kind::Mean, _) => "more than the ratio allows",
        _ => "worse",
    }
}

fn p_value(numbers: &Numbers) -> String {
    let text = numbers.harm_p.map(|p| format!(" (p = {p})"));
    text.unwrap_or_default()
}
