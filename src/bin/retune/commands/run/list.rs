//! `retune run list`.

use crate::exit::Exit;
use crate::failure::Failure;
use crate::session::Session;
use crate::view::run::List;

const EXAMPLES: &str = "\
Examples:
  retune run list
  retune run list --format json | jq -r '.runs[] | select(.state == \"interrupted\").run'";

/// List the runs of this machine, the newest first.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Args {}

pub(crate) fn run(_: &Args, session: &Session<'_>) -> Result<Exit, Failure> {
    let workspace = session.workspace(false)?;
    let runs = retune::train::runs(&workspace.runs)?;
    session.ui.emit(&List::from(&runs[..]));
    Ok(Exit::Done)
}
