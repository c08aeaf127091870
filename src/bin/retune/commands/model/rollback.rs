//! `retune model rollback`.

use retune::reference::{ModelRef, Selector, VersionLabel};

use super::{alias, decided};
use crate::exit::Exit;
use crate::failure::Failure;
use crate::session::Session;

const EXAMPLES: &str = "\
Examples:
  retune model rollback support:production --reason 'refunds answered as complaints'
  retune model rollback support:production --to 20261101-77ab --dry-run

Needs no evidence and no network. Twice goes two versions back. Where two people moved the
alias at once, or somebody without the signature that it takes, it settles on the last version
before that, or on the one that --to confirms.

Exit codes: 0 it moved, 1 there is no earlier version, others may move it, or it takes a
signature, 14 the version's bytes are not in the store, 15 lost a race.";

/// Move an alias back to the version before.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Args {
    /// [TENANT/]MODEL:ALIAS
    #[arg(value_name = "REF")]
    reference: ModelRef,
    /// Go back to this version, where the alias has been before
    #[arg(long, value_name = "VERSION")]
    to: Option<VersionLabel>,
    /// Why; goes into the log
    #[arg(long, value_name = "TEXT")]
    reason: Option<String>,
    /// Check everything, move nothing
    #[arg(long)]
    dry_run: bool,
}

pub(crate) fn run(args: &Args, session: &Session<'_>) -> Result<Exit, Failure> {
    let workspace = session.workspace(args.dry_run)?;
    let tenant = workspace.tenant_of(&args.reference)?;
    let alias = alias(&args.reference)?;
    let to = match &args.to {
        Some(label) => Some(tenant.resolve(&ModelRef {
            selector: Selector::Version(label.clone()),
            ..args.reference.clone()
        })?),
        None => None,
    };
    let decision = tenant.rollback(
        &args.reference.model,
        alias,
        to.as_ref(),
        args.reason.as_deref(),
        &workspace.store,
        &workspace.act,
    )?;
    decided(decision, &args.reference, alias, session, args.dry_run)
}
