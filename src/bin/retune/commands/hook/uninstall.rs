//! `retune hook uninstall`.

use super::hooks;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::session::Session;
use crate::view::hook::Changed;

const EXAMPLES: &str = "\
Examples:
  retune hook uninstall
  retune hook uninstall --dry-run";

/// Remove the hooks, and put back what was there before.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Args {
    /// Say what would be removed, remove nothing
    #[arg(long)]
    dry_run: bool,
}

pub(crate) fn run(args: &Args, session: &Session<'_>) -> Result<Exit, Failure> {
    let done = hooks(session)?.uninstall(&session.program()?, args.dry_run)?;
    session.ui.emit(&Changed::new(&done, args.dry_run));
    Ok(Exit::Done)
}
