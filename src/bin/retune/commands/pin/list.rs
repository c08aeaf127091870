//! `retune pin list`.

use retune::pin::LockFile;

use crate::exit::Exit;
use crate::failure::Failure;
use crate::session::Session;
use crate::view::pin::Pins;

const EXAMPLES: &str = "\
Examples:
  retune pin list
  retune pin list --format json | jq -r '.pins[].version'

Reads retune.yaml and retune.lock only; `retune pin check` compares them with the registry.";

/// List the pins.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Args {}

pub(crate) fn run(_: &Args, session: &Session<'_>) -> Result<Exit, Failure> {
    let project = session.required_project()?;
    let lock = LockFile::read(session.root())?.into_lock();
    session.ui.emit(&Pins::new(&project, &lock));
    Ok(Exit::Done)
}
