//! `retune gate …`.

mod check;
mod plan;
mod show;

use clap::Subcommand;
use retune::gate::Verdict;

use crate::exit::Exit;
use crate::failure::Failure;
use crate::session::Session;

/// Verbs on the gate.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Say what a policy can decide with so many cases
    Plan(plan::Args),
    /// Judge a version against a baseline, and record the evidence
    Check(check::Args),
    /// Show recorded evidence, judged again from the stored bytes
    Show(show::Args),
}

impl Command {
    pub(crate) fn run(&self, session: &Session<'_>) -> Result<Exit, Failure> {
        match self {
            Self::Plan(args) => plan::run(args, session),
            Self::Check(args) => check::run(args, session),
            Self::Show(args) => show::run(args, session),
        }
    }
}

/// The exit code that stands for a verdict.
fn exit_of(verdict: Verdict) -> Exit {
    match verdict {
        Verdict::Pass => Exit::Done,
        Verdict::Fail => Exit::GateFail,
        Verdict::Inconclusive => Exit::GateInconclusive,
        Verdict::Invalid => Exit::GateInvalid,
    }
}
