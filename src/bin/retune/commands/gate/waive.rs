//! `retune gate waive`.

use retune::gate::{self, EvidenceId, Policy, Waiver};
use retune::git::Identity;
use retune::reference::ModelRef;

use super::recorded;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::session::Session;
use crate::view::gate::Waived;

const EXAMPLES: &str = "\
Examples:
  retune gate waive support@20261123-3f9a --reason 'known gap, see INC-88' \\
      --approver 'Ben <ben@example.org>'
  retune gate waive support@20261123-3f9a --reason 'label fix ships Monday' --days 3 \\
      --approver 'Ben <ben@example.org>'

The verdict stays what it is; `gate check`, `gate show` and `model promote` then say WAIVED, and
by whom. Only what the policy's `overrides` allow can be waived. The names are a statement by
whoever runs this: review the commit.

Exit codes: 0 waived, 2 the policy does not allow it, 13 there is no evidence, 14 it does not
follow from what it names.";

/// Take responsibility for a verdict that is not PASS.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Args {
    /// MODEL@VERSION or MODEL:ALIAS
    #[arg(value_name = "REF")]
    reference: ModelRef,
    /// Why
    #[arg(long, value_name = "TEXT")]
    reason: String,
    /// Who approves, besides you; several times where the policy wants several
    #[arg(long, value_name = "NAME <MAIL>")]
    approver: Vec<Identity>,
    /// For how many days [default: as many as the policy allows]
    #[arg(long, value_name = "N")]
    days: Option<u32>,
    /// Older evidence, by the beginning of its digest
    #[arg(long, value_name = "DIGEST")]
    evidence: Option<String>,
    /// Say what would be waived, record nothing
    #[arg(long)]
    dry_run: bool,
}

pub(crate) fn run(args: &Args, session: &Session<'_>) -> Result<Exit, Failure> {
    let workspace = session.workspace(args.dry_run)?;
    let tenant = workspace.tenant_of(&args.reference)?;
    let version = tenant.resolve(&args.reference)?;
    let id: EvidenceId = recorded(&tenant, &version, &args.reference, args.evidence.as_deref())?;
    let evidence = gate::recheck(&workspace.store, &id)?;
    let policy = Policy::load(&workspace.store, &evidence.policy)?;
    let act = &workspace.act;
    let waiver = Waiver::new(
        (id, &evidence),
        &policy,
        act.by,
        args.approver.clone(),
        &args.reason,
        (act.at, args.days),
    )
    .map_err(|refused| Failure::usage(refused.to_string()))?;
    tenant.add_waiver(&version, &waiver.document()?, act)?;
    let view = Waived::new(version.to_string(), waiver, args.dry_run);
    session.ui.emit(&view);
    Ok(Exit::Done)
}
