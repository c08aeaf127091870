//! `retune status`.

use retune::lifecycle::{Standing, standings};

use crate::exit::Exit;
use crate::failure::Failure;
use crate::session::Session;
use crate::view::deadline::Status;

const EXAMPLES: &str = "\
Examples:
  retune status
  retune status --format json | jq '.aliases[] | select(.deadlines != [])'

Exit codes: 0 everything is in order, 10 an alias points to a version whose last day is over,
14 an alias was moved in two places at once, or without its signature, and nobody settled it.";

/// Show where every alias stands, since when, and what has to be replaced by when.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Args {}

pub(crate) fn run(_: &Args, session: &Session<'_>) -> Result<Exit, Failure> {
    let workspace = session.workspace(true)?;
    let standings = standings(&workspace)?;
    let view = Status::new(&standings, session.now());
    session.ui.emit(&view);
    let unsettled = |standing: &Standing| standing.forked || standing.unsigned;
    Ok(if standings.iter().any(unsettled) {
        Exit::Integrity
    } else if view.is_overdue() {
        Exit::Findings
    } else {
        Exit::Done
    })
}
