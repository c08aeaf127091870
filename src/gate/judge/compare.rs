//! The criteria applied, against every baseline, the anchor, and on slices.

use super::explain::Measured;
use super::{Comparison, Judging};
use crate::eval::Report;
use crate::gate::policy::{Criterion, Rule, Severity};
use crate::gate::reason::Code;
use crate::gate::rows::{Rows, Trouble};
use crate::gate::slices::{self, SliceResult};
use crate::gate::{judged, measure};
use crate::stats::StatsError;

impl<'a> Judging<'a> {
    pub(super) fn compare(&mut self) -> Result<Vec<Comparison>, StatsError> {
        let criteria = self.policy.criteria_for(self.first);
        let mut comparisons = Vec::new();
        for baseline in self.baselines {
            let rows = Rows::pair(self.suite, self.candidate, baseline, &self.left_out);
            for criterion in &criteria {
                comparisons.extend(self.apply(criterion, &rows, baseline, None)?);
            }
            if !self.first {
                comparisons.extend(self.compare_required(&rows, baseline)?);
            }
        }
        if let (Some(report), Some(anchor), false) = (self.anchor, self.policy.anchor(), self.first)
        {
            let rows = Rows::pair(self.suite, self.candidate, report, &self.left_out);
            for criterion in criteria.iter().filter(|criterion| is_core(criterion)) {
                let own = Criterion {
                    rule: Rule::Noninferior,
                    margin: Some(anchor.margin),
                    ..criterion.clone()
                };
                let compared = self.apply(&own, &rows, report, None)?;
                comparisons.extend(compared.map(|comparison| Comparison {
                    anchor: true,
                    ..comparison
                }));
            }
        }
        Ok(comparisons)
    }

    /// Non-inferiority on each required slice. No correction: every one has to hold.
    fn compare_required(
        &mut self,
        rows: &Rows<'a>,
        baseline: &Report,
    ) -> Result<Vec<Comparison>, StatsError> {
        let mut comparisons = Vec::new();
        let required = self
            .policy
            .slices()
            .map(|slices| slices.required.as_slice());
        for slice in required.unwrap_or_default() {
            let part = rows.only(|case| slices::has(case, &slice.is));
            let name = slices::named(&slice.is);
            for criterion in self.policy.criteria().iter().filter(|c| is_core(c)) {
                let own = Criterion {
                    rule: Rule::Noninferior,
                    margin: Some(slice.margin),
                    ..criterion.clone()
                };
                let needs = own.minimum_cases(&self.design)?;
                if (part.all.len() as u64) < needs {
                    let text = format!(
                        "the required slice {name} has {} cases; with its margin it needs {needs}",
                        part.all.len()
                    );
                    self.say(Code::SliceMissing, text);
                    continue;
                }
                comparisons.extend(self.apply(&own, &part, baseline, Some(name.clone()))?);
            }
        }
        Ok(comparisons)
    }

    /// One criterion on some rows; `None` when they do not allow it, which is then a reason.
    fn apply(
        &mut self,
        criterion: &Criterion,
        rows: &Rows<'_>,
        baseline: &Report,
        slice: Option<String>,
    ) -> Result<Option<Comparison>, StatsError> {
        let arms = [self.candidate, baseline];
        let trusted = judged::trust(self.suite, arms, criterion, &self.design);
        let Some(trusted) = self.heard(trusted, &criterion.id)? else {
            return Ok(None);
        };
        let asked = trusted.as_ref().map(|judge| judge.corrected(criterion));
        let asked = asked.transpose()?;
        let asked = asked.as_ref().unwrap_or(criterion);
        let measured = measure::measure(asked, rows, &self.design);
        let Some((verdict, numbers)) = self.heard(measured, &criterion.id)? else {
            return Ok(None);
        };
        let verdict = match &trusted {
            Some(judge) => judge.softened(criterion, verdict, &numbers),
            None => verdict,
        };
        if slice.is_none() && criterion.is_paired() {
            self.check_constant(&numbers, &baseline.subject);
        }
        let what = Measured {
            criterion: asked,
            baseline: &baseline.subject,
            slice: slice.as_deref(),
            verdict,
            numbers: &numbers,
            judge: trusted.as_ref(),
        };
        self.explain(&what);
        Ok(Some(Comparison {
            baseline: baseline.subject.clone(),
            judge: trusted.map(|judge| judge.trust),
            criterion: criterion.id.clone(),
            anchor: false,
            slice,
            kind: criterion.kind,
            rule: criterion.rule,
            margin: criterion.margin,
            severity: criterion.severity,
            verdict,
            numbers,
        }))
    }

    /// Inputs that do not allow a measurement are a reason, not an error.
    fn heard<T>(
        &mut self,
        measured: Result<T, Trouble>,
        criterion: &str,
    ) -> Result<Option<T>, StatsError> {
        match measured {
            Ok(value) => Ok(Some(value)),
            Err(Trouble::Stats(error)) => Err(error),
            Err(Trouble::Reason(code, text)) => {
                self.say(code, format!("criterion {criterion}: {text}"));
                Ok(None)
            }
        }
    }

    /// Harm in any slice, against the one version that the candidate is to replace.
    pub(super) fn compare_slices(&mut self) -> Result<Vec<SliceResult>, StatsError> {
        let (Some(slices), false, [baseline]) = (self.policy.slices(), self.first, self.baselines)
        else {
            return Ok(Vec::new());
        };
        let mut missing = Vec::new();
        for key in slices.by.iter().chain(&self.design.clusters) {
            if self
                .suite
                .cases()
                .iter()
                .all(|case| case.value(key).is_none())
            {
                missing.push(format!("no case of the suite has {key}"));
            }
        }
        if !missing.is_empty() {
            for text in missing {
                self.say(Code::SliceMissing, text);
            }
            return Ok(Vec::new());
        }
        let alpha = self.policy.slice_alpha(self.occasion)?;
        let rows = Rows::pair(self.suite, self.candidate, baseline, &self.left_out);
        let criteria: Vec<&Criterion> = self
            .policy
            .criteria()
            .iter()
            .filter(|criterion| is_core(criterion))
            .collect();
        let measured = slices::measure(slices, &criteria, &rows, &self.design, alpha);
        let Some(found) = self.heard(measured, "slices")? else {
            return Ok(Vec::new());
        };
        self.explain_slices(&found, alpha);
        Ok(found)
    }
}

/// Criteria on which slices and the anchor are judged: right and wrong against the baseline, and blocking.
fn is_core(criterion: &Criterion) -> bool {
    criterion.is_paired() && criterion.severity == Severity::Block
}
