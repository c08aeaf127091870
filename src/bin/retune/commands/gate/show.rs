//! `retune gate show`.

use std::path::PathBuf;

use retune::gate::{self, Policy};
use retune::lifecycle;
use retune::reference::ModelRef;

use super::recorded;
use super::report::ReportArgs;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::session::Session;
use crate::view::gate::Judged;

const EXAMPLES: &str = "\
Examples:
  retune gate show support:production
  retune gate show support@20261123-3f9a --format json | jq .comparisons
  retune gate show support@20261123-3f9a --evidence 9c1e44d0
  retune gate show support@20261123-3f9a --report html --output gate.html

Everything the evidence names is read again and judged again; nothing is taken on trust.

Exit codes: 0 the evidence follows from what it names (whatever its verdict), 13 there is none,
14 it does not follow.";

/// Show the newest evidence about a version, judged again from the stored bytes.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Args {
    /// MODEL@VERSION or MODEL:ALIAS
    #[arg(value_name = "REF")]
    reference: ModelRef,
    /// Older evidence, by the beginning of its digest
    #[arg(long, value_name = "DIGEST")]
    evidence: Option<String>,
    /// The suite file, so that reports can say on which line a case stands
    #[arg(long, value_name = "FILE", requires = "report")]
    suite: Option<PathBuf>,
    #[command(flatten)]
    report: ReportArgs,
}

pub(crate) fn run(args: &Args, session: &Session<'_>) -> Result<Exit, Failure> {
    let workspace = session.workspace(false)?;
    let tenant = workspace.tenant_of(&args.reference)?;
    let version = tenant.resolve(&args.reference)?;
    let id = recorded(&tenant, &version, &args.reference, args.evidence.as_deref())?;
    let evidence = gate::recheck(&workspace.store, &id)?;
    let policy = Policy::load(&workspace.store, &evidence.policy)?;
    let waiver = lifecycle::waiver_of(&workspace, &version, id, &evidence)?;
    let judged = Judged::shown(id, evidence, &policy, waiver);
    args.report
        .write(&judged, &policy, &workspace, args.suite.as_deref())?;
    session.ui.emit(&judged);
    Ok(Exit::Done)
}
