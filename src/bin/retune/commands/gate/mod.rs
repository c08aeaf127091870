//! `retune gate …`.

mod check;
mod plan;
mod report;
mod selftest;
mod show;
mod waive;

use clap::Subcommand;
use retune::gate::{EvidenceId, Verdict};
use retune::reference::ModelRef;
use retune::registry::{Tenant, Version};

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
    /// Take responsibility for a verdict that is not PASS
    Waive(waive::Args),
    /// Measure the error rates that the gate promises
    Selftest(selftest::Args),
}

impl Command {
    pub(crate) fn run(&self, session: &Session<'_>) -> Result<Exit, Failure> {
        match self {
            Self::Plan(args) => plan::run(args, session),
            Self::Check(args) => check::run(args, session),
            Self::Show(args) => show::run(args, session),
            Self::Waive(args) => waive::run(args, session),
            Self::Selftest(args) => selftest::run(args, session),
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

/// The recorded evidence about a version whose digest begins so, by default the newest.
fn recorded(
    tenant: &Tenant<'_>,
    version: &Version,
    reference: &ModelRef,
    wanted: Option<&str>,
) -> Result<EvidenceId, Failure> {
    let records = tenant.evidence(version)?;
    let wanted = wanted.unwrap_or_default();
    let digits = wanted.strip_prefix("sha256:").unwrap_or(wanted);
    let found = records
        .iter()
        .find(|record| record.id.hex().starts_with(digits));
    found
        .map(|record| EvidenceId::from(record.id))
        .ok_or_else(|| none(reference, records.len()))
}

fn none(reference: &ModelRef, others: usize) -> Failure {
    let failure = Failure::new(
        Exit::GateInvalid,
        format!("there is no such evidence about {reference}"),
    );
    match others {
        0 => failure.hint(format!(
            "run `retune gate check {reference} --against BASELINE`"
        )),
        _ => failure.hint(format!("see what there is: retune model show {reference}")),
    }
}
