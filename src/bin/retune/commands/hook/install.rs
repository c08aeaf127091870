//! `retune hook install`.

use super::hooks;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::session::Session;
use crate::view::hook::Changed;

const EXAMPLES: &str = "\
Examples:
  retune hook install
  retune hook install --dry-run

Writes into the folder that git runs hooks from: the one of core.hooksPath when it is set, else
the repository's, which all its work trees share. A hook that is there already is kept and runs
first.";

/// Add the pre-commit and pre-push hooks to this repository.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Args {
    /// Say what would be written, write nothing
    #[arg(long)]
    dry_run: bool,
}

pub(crate) fn run(args: &Args, session: &Session<'_>) -> Result<Exit, Failure> {
    let done = hooks(session)?.install(&session.program()?, args.dry_run)?;
    session.ui.emit(&Changed::new(&done, args.dry_run));
    Ok(Exit::Done)
}
