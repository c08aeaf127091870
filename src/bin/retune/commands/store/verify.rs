//! `retune store verify`.

use retune::lifecycle;

use crate::exit::Exit;
use crate::failure::Failure;
use crate::session::Session;
use crate::view::store::Verified;

const EXAMPLES: &str = "\
Examples:
  retune store verify
  retune store verify --format json | jq '.faults[].path'

Looks for objects whose bytes changed, for objects that a record of any project of the store
names and that are not there, and for files that are no objects. Objects that nobody names are
counted: `retune store gc plan` shows them.

Exit codes: 0 every object is there and what its name says, 14 one is not.";

/// Re-read every object, and look for those that records name.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Args {}

pub(crate) fn run(_: &Args, session: &Session<'_>) -> Result<Exit, Failure> {
    let store = session.workspace(false)?.store;
    let report = store.verify()?;
    let missing = lifecycle::missing_objects(&store)?;
    // With a damaged document, it is not known what it named.
    let unnamed = match report.faults.as_slice() {
        [] => Some(store.unnamed(&lifecycle::roots(&store)?)?),
        _ => None,
    };
    let view = Verified::new(&report, &missing, unnamed.as_deref());
    session.ui.emit(&view);
    Ok(match view.is_sound() {
        true => Exit::Done,
        false => Exit::Integrity,
    })
}
