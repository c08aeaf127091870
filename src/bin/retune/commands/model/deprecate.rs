//! `retune model deprecate`.

use retune::reference::{ModelRef, Selector, VersionLabel};
use retune::time::Timestamp;

use crate::commands::day::day;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::session::Session;
use crate::view::deadline::Deprecated;

const EXAMPLES: &str = "\
Examples:
  retune model deprecate support@20261101-77ab --replacement 20261123-3f9a --until 2027-01-31
  retune model deprecate support@20261101-77ab \\
      --replacement 20261123-3f9a --until 2027-01-31 --dry-run

The version itself never changes. Until the end of that day (UTC), `status` and `model list --due`
show the deadline; after it, the version cannot be promoted or pinned, and `pin check` finds it.
Rolling back to it stays possible. Said again with another day or replacement, that counts.

Exit codes: 0 it is recorded, 2 the replacement does not exist or is deprecated itself.";

/// Say that a version is to be replaced, by what and until when.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Args {
    /// [TENANT/]MODEL@VERSION, MODEL@sha256:… or MODEL:ALIAS
    #[arg(value_name = "REF")]
    reference: ModelRef,
    /// The version of the same model that replaces it
    #[arg(long, value_name = "VERSION")]
    replacement: VersionLabel,
    /// The last day that it can be used
    #[arg(long, value_name = "DAY", value_parser = day)]
    until: Timestamp,
    /// Why
    #[arg(long, value_name = "TEXT")]
    reason: Option<String>,
    /// Check everything, record nothing
    #[arg(long)]
    dry_run: bool,
}

pub(crate) fn run(args: &Args, session: &Session<'_>) -> Result<Exit, Failure> {
    let workspace = session.workspace(args.dry_run)?;
    let tenant = workspace.tenant_of(&args.reference)?;
    let version = tenant.resolve(&args.reference)?;
    let replacement = tenant.resolve(&ModelRef {
        selector: Selector::Version(args.replacement.clone()),
        ..args.reference.clone()
    })?;
    let reason = args.reason.as_deref();
    let added = tenant.deprecate(&version, &replacement, args.until, reason, &workspace.act)?;
    session.ui.emit(&Deprecated::new(&added, args.dry_run));
    Ok(Exit::Done)
}
