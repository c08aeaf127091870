//! Judging stored reports, and judging them again.

use super::error::GateError;
use super::evidence::{Evidence, EvidenceId, Judged};
use super::floor::{FloorResult, FloorTrial, Missed};
use super::judge::{Comparison, Judgement, Trial, is_first_version, judge};
use super::lineage::Lineage;
use super::numbers::Numbers;
use super::policy::{Occasion, Policy, PolicyId};
use super::slices::SliceResult;
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

/// The candidate's stored answers to a floor.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FloorArm {
    /// The report on all of its cases.
    pub report: ReportId,
    /// The report on those that were missed, asked again.
    pub again: Option<ReportId>,
}

/// The arms of a judgement, and when it is made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Arms {
    /// What wants to be promoted.
    pub candidate: Arm,
    /// One version, or for a first version the untrained baselines.
    pub baselines: Vec<Arm>,
    /// The policy's anchor.
    pub anchor: Option<Arm>,
    /// The candidate's answers to the suite's floor, where it has one.
    pub floor: Option<FloorArm>,
    /// Which look and which decision this is.
    pub occasion: Occasion,
}

/// Judges stored reports and stores the evidence, whatever the verdict.
///
/// A policy that cannot answer here at all (no outcome could pass, no rule for a first version) is an error, not a
/// verdict.
pub fn check(
    store: &Store,
    policy: &Policy,
    arms: &Arms,
) -> Result<(EvidenceId, Evidence), GateError> {
    let inputs = Inputs::load(store, policy, arms)?;
    inputs.refuse_what_cannot_pass(policy)?;
    let judgement = inputs.judge(policy)?;
    let evidence = inputs.evidence(policy.store(store)?, judgement);
    Ok((evidence.store(store)?, evidence))
}

/// Judges again from the stored bytes, all of them checked, and compares with what the evidence says.
pub fn recheck(store: &Store, id: &EvidenceId) -> Result<Evidence, GateError> {
    let said = Evidence::load(store, id)?;
    let policy = Policy::load(store, &said.policy)?;
    let inputs = Inputs::load(store, &policy, &Arms::of(&said))?;
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

impl Arms {
    /// A candidate against baselines, outside any looks and decisions.
    pub fn new(candidate: Arm, baselines: Vec<Arm>) -> Self {
        Self {
            candidate,
            baselines,
            anchor: None,
            floor: None,
            occasion: Occasion::default(),
        }
    }

    fn of(evidence: &Evidence) -> Self {
        Self {
            candidate: Arm::of(&evidence.candidate),
            baselines: evidence.baselines.iter().map(Arm::of).collect(),
            anchor: evidence.anchor.as_ref().map(Arm::of),
            floor: evidence.floor.as_ref().map(|floor| FloorArm {
                report: floor.report,
                again: floor.again,
            }),
            occasion: Occasion {
                look: evidence.look,
                decision: evidence.decision,
            },
        }
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
    anchor: Option<(Judged, Report)>,
    floor: Option<Floor>,
    occasion: Occasion,
    lineage: Lineage,
}

/// The candidate's answers to the floor, read from the store.
struct Floor {
    arm: FloorArm,
    suite: Suite,
    report: Report,
    again: Option<Report>,
}

impl Floor {
    fn load(store: &Store, arm: FloorArm) -> Result<Self, GateError> {
        let report = Report::load(store, &arm.report)?;
        let again = arm.again.map(|again| Report::load(store, &again));
        Ok(Self {
            arm,
            suite: Suite::load(store, &report.suite)?,
            again: again.transpose()?,
            report,
        })
    }

    fn trial(&self) -> FloorTrial<'_> {
        FloorTrial {
            suite: &self.suite,
            report: &self.report,
            again: self.again.as_ref(),
        }
    }

    fn result(&self, missed: Vec<Missed>) -> FloorResult {
        FloorResult {
            suite: self.report.suite,
            report: self.arm.report,
            again: self.arm.again,
            cases: self.suite.cases().len() as u64,
            missed,
        }
    }
}

impl Inputs {
    fn load(store: &Store, policy: &Policy, arms: &Arms) -> Result<Self, GateError> {
        let arm = |arm: &Arm| -> Result<(Judged, Report), GateError> {
            let report = Report::load(store, &arm.report)?;
            let judged = Judged {
                report: arm.report,
                subject: report.subject.clone(),
                label: arm.label.clone(),
            };
            Ok((judged, report))
        };
        let candidate = arm(&arms.candidate)?;
        let suite = Suite::load(store, &candidate.1.suite)?;
        Ok(Self {
            lineage: Lineage::trace(store, &candidate.1.subject, &suite, policy.near())?,
            suite,
            baselines: arms.baselines.iter().map(arm).collect::<Result<_, _>>()?,
            anchor: arms.anchor.as_ref().map(arm).transpose()?,
            floor: arms
                .floor
                .map(|floor| Floor::load(store, floor))
                .transpose()?,
            occasion: arms.occasion,
            candidate,
        })
    }

    fn reports(&self) -> Vec<&Report> {
        self.baselines.iter().map(|(_, report)| report).collect()
    }

    fn refuse_what_cannot_pass(&self, policy: &Policy) -> Result<(), GateError> {
        policy.fits_floor(self.floor.as_ref().map(|floor| &floor.suite))?;
        let first = is_first_version(&self.reports());
        if first && policy.first_version().is_none() {
            return Err(GateError::NoFirstVersion);
        }
        let cases = self.suite.cases().len() as u64;
        let unreachable = policy.unreachable(cases, first, self.occasion)?;
        if unreachable.is_empty() {
            return Ok(());
        }
        Err(GateError::Unreachable { cases, unreachable })
    }

    fn judge(&self, policy: &Policy) -> Result<Judgement, GateError> {
        let trial = Trial {
            suite: &self.suite,
            candidate: &self.candidate.1,
            baselines: &self.reports(),
            anchor: self.anchor.as_ref().map(|(_, report)| report),
            lineage: &self.lineage,
            floor: self.floor.as_ref().map(Floor::trial),
            occasion: self.occasion,
        };
        Ok(judge(policy, trial)?)
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
            anchor: self.anchor.map(|(judged, _)| judged),
            look: self.occasion.look,
            decision: self.occasion.decision,
            lineage: self.lineage,
            verdict: judgement.verdict,
            comparisons: judgement.comparisons,
            slices: judgement.slices,
            floor: self.floor.map(|floor| floor.result(judgement.missed)),
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
    } else if (&said.candidate, &said.baselines, &said.anchor)
        != (&found.candidate, &found.baselines, &found.anchor)
    {
        Some("the subjects")
    } else if said.floor != found.floor {
        Some("the floor")
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
        || said.slices.len() != found.slices.len()
        || !said
            .slices
            .iter()
            .zip(&found.slices)
            .all(|(a, b)| same_slice(a, b))
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

fn same_slice(said: &SliceResult, found: &SliceResult) -> bool {
    let rest = |slice: &SliceResult| SliceResult {
        harm_p: None,
        adjusted_p: None,
        ..slice.clone()
    };
    rest(said) == rest(found)
        && near(said.harm_p, found.harm_p)
        && near(said.adjusted_p, found.adjusted_p)
}

fn close(said: &Numbers, found: &Numbers) -> bool {
    let counts = |x: &Numbers| {
        let right = (x.candidate_right, x.baseline_right);
        (x.n, x.improved, x.regressed, right)
    };
    let reals = |x: &Numbers| {
        [
            Some(x.difference),
            Some(x.lower),
            Some(x.upper),
            Some(x.boundary),
            x.candidate_mean,
            x.baseline_mean,
            x.z,
            x.p,
            x.harm_p,
            x.power,
            x.design_effect,
        ]
    };
    let mut pairs = reals(said).into_iter().zip(reals(found));
    counts(said) == counts(found) && pairs.all(|(a, b)| near(a, b))
}

fn near(said: Option<Decimal>, found: Option<Decimal>) -> bool {
    match (said, found) {
        (None, None) => true,
        (Some(a), Some(b)) => (a.get() - b.get()).abs() <= TOLERANCE,
        _ => false,
    }
}
