//! `retune base retire`.

use retune::time::Timestamp;

use super::BaseRef;
use crate::commands::day::day;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::session::Session;
use crate::view::deadline::Retired;

const EXAMPLES: &str = "\
Examples:
  retune base retire minilm --on 2027-03-31 --reason 'end of support announced by its maker'
  retune base retire minilm@20261123-3f9a --on 2027-03-31 --dry-run

Everything that was trained on the base has to be trained anew by the end of that day (UTC):
`status` and `model list --due` show it. Said again with another day, that counts.";

/// Say when a base ends: what was trained on it inherits the deadline.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Args {
    /// NAME, or NAME@VERSION
    #[arg(value_name = "BASE")]
    base: BaseRef,
    /// The last day
    #[arg(long, value_name = "DAY", value_parser = day)]
    on: Timestamp,
    /// Why
    #[arg(long, value_name = "TEXT")]
    reason: Option<String>,
    /// Check everything, record nothing
    #[arg(long)]
    dry_run: bool,
}

pub(crate) fn run(args: &Args, session: &Session<'_>) -> Result<Exit, Failure> {
    let workspace = session.workspace(args.dry_run)?;
    let tenant = workspace.tenant();
    let base = match args.base.version() {
        Some(version) => tenant.bases().find(&args.base.name, version)?,
        None => tenant.bases().newest(&args.base.name)?,
    };
    let added = tenant.retire(&base, args.on, args.reason.as_deref(), &workspace.act)?;
    let view = Retired::new(&base.label, &added, args.dry_run);
    session.ui.emit(&view);
    Ok(Exit::Done)
}
