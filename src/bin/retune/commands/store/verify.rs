//! `retune store verify`.

use crate::exit::Exit;
use crate::failure::Failure;
use crate::session::Session;
use crate::view::store::Verified;

const EXAMPLES: &str = "\
Examples:
  retune store verify
  retune store verify --format json | jq '.faults[].path'

Exit codes: 0 every object is what its name says, 14 one is not.";

/// Re-read every object and compare it with its digest.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Args {}

pub(crate) fn run(_: &Args, session: &Session<'_>) -> Result<Exit, Failure> {
    let report = session.store()?.verify()?;
    session.ui.emit(&Verified::from(&report));
    Ok(if report.faults.is_empty() {
        Exit::Done
    } else {
        Exit::Integrity
    })
}
