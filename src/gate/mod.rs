//! The gate: may this candidate replace that baseline?
//!
//! A [`Policy`] (`gate.yaml`) says how large a loss is acceptable. [`judge`] first asks whether there is anything to
//! judge: same suite, every case answered in both arms, no error beyond the allowed share, nothing learned by heart.
//! If not, the verdict is INVALID. Then it asks Tango's score test whether the loss is smaller than the margin (PASS),
//! and the mid-p McNemar test whether there is harm (FAIL); neither is INCONCLUSIVE. Other criteria ask other statistics
//! the same way, slices are tested for harm as one family, an anchor keeps small losses from adding up, and a floor of cases that
//! failed once has to be passed as it is. [`check`] does so for stored
//! reports and stores the [`Evidence`]; [`recheck`] does it again from the stored bytes. A [`PassedGate`] exists only
//! where that second look says PASS.

mod changed;
mod check;
mod error;
mod evidence;
mod faults;
mod floor;
mod judge;
mod judged;
mod lineage;
mod measure;
mod near;
mod numbers;
mod passed;
mod plan;
mod policy;
mod policy_file;
mod reason;
mod rows;
mod selftest;
mod slices;
#[cfg(test)]
mod tests;
mod verdict;
mod waiver;

pub use changed::{Change, Changed, changed};
pub use check::{Arm, Arms, FloorArm, check, recheck};
pub use error::{GateError, NotPassed};
pub use evidence::{Evidence, EvidenceId, Judged};
pub use floor::{FloorResult, FloorTrial, Missed, MissedCase, missed_cases};
pub use judge::{Comparison, Judgement, Trial, judge};
pub use judged::Trust;
pub use lineage::Lineage;
pub use numbers::Numbers;
pub use passed::PassedGate;
pub use plan::{Odds, Plan, PlannedCriterion, PlannedSlices, plan};
pub use policy::{
    Anchor, Confirm, Contamination, Criterion, Design, ErrorPolicy, FirstVersion, FloorRule, Kind,
    Metric, Near, Occasion, OnInconclusive, Overrides, Policy, PolicyId, Required, Reuse, Rule,
    Severity, Slices, Unreachable, Waivable,
};
pub use reason::{Code, Reason};
pub use selftest::{Promise, selftest};
pub use slices::SliceResult;
pub use verdict::Verdict;
pub use waiver::{NotWaived, Waiver};
