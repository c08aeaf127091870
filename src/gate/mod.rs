//! The gate: may this candidate replace that baseline?
//!
//! A [`Policy`] (`gate.yaml`) says how large a loss is acceptable. [`judge`] first asks whether there is anything to
//! judge: same suite, every case answered in both arms, no error beyond the allowed share, nothing learned by heart.
//! If not, the verdict is INVALID. Then it asks Tango's score test whether the loss is smaller than the margin (PASS),
//! and the mid-p McNemar test whether there is harm (FAIL); neither is INCONCLUSIVE. [`check`] does so for stored
//! reports and stores the [`Evidence`]; [`recheck`] does it again from the stored bytes. A [`PassedGate`] exists only
//! where that second look says PASS.

mod check;
mod error;
mod evidence;
mod judge;
mod lineage;
mod numbers;
mod passed;
mod plan;
mod policy;
mod policy_file;
mod reason;
#[cfg(test)]
mod tests;
mod verdict;

pub use check::{Arm, check, recheck};
pub use error::{GateError, NotPassed};
pub use evidence::{Evidence, EvidenceId, Judged};
pub use judge::{Comparison, Judgement, judge};
pub use lineage::Lineage;
pub use numbers::Numbers;
pub use passed::PassedGate;
pub use plan::{Plan, PlannedCriterion, plan};
pub use policy::{
    Contamination, Criterion, Design, FirstVersion, Metric, OnInconclusive, Policy, PolicyId, Rule,
    Severity, Unreachable,
};
pub use reason::{Code, Reason};
pub use verdict::Verdict;
