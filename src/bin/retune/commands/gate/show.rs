//! `retune gate show`.

use retune::gate::{self, EvidenceId, Policy};
use retune::reference::ModelRef;

use crate::commands::eval::enter;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::session::Session;
use crate::view::gate::Judged;

const EXAMPLES: &str = "\
Examples:
  retune gate show support:production
  retune gate show support@20261123-3f9a --format json | jq .comparisons
  retune gate show support@20261123-3f9a --evidence 9c1e44d0

Everything the evidence names is read again and judged again; nothing is taken on trust.

Exit codes: 0 the evidence follows from what it names (whatever its verdict), 13 there is none, 14 it does not follow.";

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
}

pub(crate) fn run(args: &Args, session: &Session<'_>) -> Result<Exit, Failure> {
    let mut workspace = session.workspace(false)?;
    enter(&mut workspace, Some(&args.reference));
    let tenant = workspace.tenant();
    let version = tenant.resolve(&args.reference)?;
    let recorded = tenant.evidence(&version)?;
    let wanted = args.evidence.as_deref().unwrap_or_default();
    let digits = wanted.strip_prefix("sha256:").unwrap_or(wanted);
    let record = recorded
        .iter()
        .find(|record| record.id.hex().starts_with(digits))
        .ok_or_else(|| none(&args.reference, recorded.len()))?;
    let id = EvidenceId::from(record.id);
    let evidence = gate::recheck(&workspace.store, &id)?;
    let policy = Policy::load(&workspace.store, &evidence.policy)?;
    session.ui.emit(&Judged::shown(id, evidence, &policy));
    Ok(Exit::Done)
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
