//! The exit codes: one table for the whole tool, documented in `docs/exit-codes.md`.

use std::process::ExitCode;

use retune::gate::Verdict;

/// What a command's end means to the program that called it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Exit {
    /// Done, or the gate passed.
    Done = 0,
    /// It could not be done: I/O, network, device.
    Failed = 1,
    /// Wrong usage or configuration.
    Usage = 2,
    /// An unpinned or forbidden reference was found.
    Findings = 10,
    /// The gate says FAIL.
    GateFail = 11,
    /// The gate says INCONCLUSIVE.
    GateInconclusive = 12,
    /// The gate says INVALID: evidence is missing or not comparable.
    GateInvalid = 13,
    /// Stored bytes or lineage do not match their digests.
    Integrity = 14,
    /// Another writer was faster; try again.
    LostRace = 15,
    /// Interrupted; the work can be resumed.
    Interrupted = 130,
}

impl Exit {
    /// The code of a gate's answer.
    pub(crate) fn of_verdict(verdict: Verdict) -> Self {
        match verdict {
            Verdict::Pass => Self::Done,
            Verdict::Fail => Self::GateFail,
            Verdict::Inconclusive => Self::GateInconclusive,
            Verdict::Invalid => Self::GateInvalid,
        }
    }

    /// The word for this outcome in JSON error documents.
    pub(crate) fn kind(self) -> &'static str {
        match self {
            Self::Done => "done",
            Self::Failed => "failed",
            Self::Usage => "usage",
            Self::Findings => "findings",
            Self::GateFail => "gate-fail",
            Self::GateInconclusive => "gate-inconclusive",
            Self::GateInvalid => "gate-invalid",
            Self::Integrity => "integrity",
            Self::LostRace => "lost-race",
            Self::Interrupted => "interrupted",
        }
    }
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit as u8)
    }
}
