//! Judging stored reports, and judging them again.

use super::error::GateError;
use super::evidence::{Evidence, EvidenceId, Judged};
use super::judge::{Comparison, Judgement, is_first_version, judge};
use super::lineage::Lineage;
use super::numbers::Numbers;
use super::policy::{Policy, PolicyId};
use crate::document::Decimal;
use crate::eval::{Report, ReportId, Suite};
use crate::store::Store;

/// Two platforms may differ in the last digits of a logarithm, by far less than this.
const TOLERANCE: f64 = 1e-6;

/// A stored report, and what its subject is called.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Arm {
    /// The report.
    pub report: ReportId,
    /// What people call its subject.
    pub label: Option<String>,
}

/// Judges stored reports and stores the evidence, whatever the verdict.
///
/// A policy that cannot answer here at all (no outcome could pass, no rule for a first version) is an error, not a
/// verdict.
pub fn check(
    store: &Store,
    policy: &Policy,
    candidate: &Arm,
    baselines: &[Arm],
) -> Result<(EvidenceId, Evidence), GateError> {
    let inputs = Inputs::load(store, candidate, baselines)?;
    inputs.refuse_what_cannot_pass(policy)?;
    let judgement = inputs.judge(policy)?;
    let evidence = inputs.evidence(policy.store(store)?, judgement);
    Ok((evidence.store(store)?, evidence))
}

/// Judges again from the stored bytes, all of them checked, and compares with what the evidence says.
pub fn recheck(store: &Store, id: &EvidenceId) -> Result<Evidence, GateError> {
    let said = Evidence::load(store, id)?;
    let policy = Policy::load(store, &said.policy)?;
    let baselines: Vec<Arm> = said.baselines.iter().map(Arm::of).collect();
    let inputs = Inputs::load(store, &Arm::of(&said.candidate), &baselines)?;
    let judgement = inputs.judge(&policy)?;
    let found = inputs.evidence(said.policy, judgement);
    match difference(&said, &found) {
        None => Ok(said),
        Some(what) => Err(GateError::Disagrees {
            evidence: *id,
            what: what.to_owned(),
        }),
    }
}

impl Arm {
    fn of(judged: &Judged) -> Self {
        Self {
            report: judged.report,
            label: judged.label.clone(),
        }
    }
}

/// Everything a judgement needs, read from the store.
struct Inputs {
    suite: Suite,
    candidate: (Judged, Report),
    baselines: Vec<(Judged, Report)>,
    lineage: Lineage,
}

impl Inputs {
    fn load(store: &Store, candidate: &Arm, baselines: &[Arm]) -> Result<Self, GateError> {
        let arm = |arm: &Arm| -> Result<(Judged, Report), GateError> {
            let report = Report::load(store, &arm.report)?;
            let judged = Judged {
                report: arm.report,
                subject: report.subject.clone(),
                label: arm.label.clone(),
            };
            Ok((judged, report))
        };
        let candidate = arm(candidate)?;
        let suite = Suite::load(store, &candidate.1.suite)?;
        Ok(Self {
            lineage: Lineage::trace(store, &candidate.1.subject, &suite)?,
            suite,
            baselines: baselines.iter().map(arm).collect::<Result<_, _>>()?,
            candidate,
        })
    }

    fn reports(&self) -> Vec<&Report> {
        self.baselines.iter().map(|(_, report)| report).collect()
    }

    fn refuse_what_cannot_pass(&self, policy: &Policy) -> Result<(), GateError> {
        let first = is_first_version(&self.reports());
        if first && policy.first_version().is_none() {
            return Err(GateError::NoFirstVersion);
        }
        let cases = self.suite.cases().len() as u64;
        let unreachable = policy.unreachable(cases, first)?;
        if unreachable.is_empty() {
            return Ok(());
        }
        Err(GateError::Unreachable { cases, unreachable })
    }

    fn judge(&self, policy: &Policy) -> Result<Judgement, GateError> {
        let (_, candidate) = &self.candidate;
        let lineage = &self.lineage;
        Ok(judge(
            policy,
            &self.suite,
            candidate,
            &self.reports(),
            lineage,
        )?)
    }

    fn evidence(self, policy: PolicyId, judgement: Judgement) -> Evidence {
        Evidence {
            suite: self.candidate.1.suite,
            policy,
            candidate: self.candidate.0,
            baselines: self
                .baselines
                .into_iter()
                .map(|(judged, _)| judged)
                .collect(),
            lineage: self.lineage,
            verdict: judgement.verdict,
            comparisons: judgement.comparisons,
            reasons: judgement.reasons,
            tool: env!("CARGO_PKG_VERSION").to_owned(),
        }
    }
}

/// In what two evidences of the same judgement differ; the wording of reasons and the tool may.
fn difference(said: &Evidence, found: &Evidence) -> Option<&'static str> {
    let codes = |evidence: &Evidence| -> Vec<_> {
        evidence.reasons.iter().map(|reason| reason.code).collect()
    };
    if said.verdict != found.verdict {
        Some("the verdict")
    } else if said.suite != found.suite {
        Some("the suite")
    } else if said.candidate != found.candidate || said.baselines != found.baselines {
        Some("the subjects")
    } else if said.lineage != found.lineage {
        Some("the lineage")
    } else if codes(said) != codes(found) {
        Some("the reasons")
    } else if said.comparisons.len() != found.comparisons.len()
        || !said
            .comparisons
            .iter()
            .zip(&found.comparisons)
            .all(|(a, b)| same(a, b))
    {
        Some("the numbers")
    } else {
        None
    }
}

fn same(said: &Comparison, found: &Comparison) -> bool {
    let rest = |comparison: &Comparison| Comparison {
        numbers: found.numbers.clone(),
        ..comparison.clone()
    };
    rest(said) == rest(found) && close(&said.numbers, &found.numbers)
}

fn close(said: &Numbers, found: &Numbers) -> bool {
    let counts = |x: &Numbers| {
        [
            x.n,
            x.improved,
            x.regressed,
            x.candidate_right,
            x.baseline_right,
        ]
    };
    let reals = |x: &Numbers| {
        [
            x.difference,
            x.lower,
            x.upper,
            x.boundary,
            x.z,
            x.p,
            x.harm_p,
            x.power,
        ]
    };
    let near = |(a, b): (Decimal, Decimal)| (a.get() - b.get()).abs() <= TOLERANCE;
    counts(said) == counts(found) && reals(said).into_iter().zip(reals(found)).all(near)
}
