//! `retune hook status`.

use super::hooks;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::session::Session;
use crate::view::hook::Status;

const EXAMPLES: &str = "\
Examples:
  retune hook status
  retune hook status --format json | jq -e 'all(.hooks[]; .state == \"installed\")'";

/// Show whether the hooks are installed.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Args {}

pub(crate) fn run(_: &Args, session: &Session<'_>) -> Result<Exit, Failure> {
    let status = hooks(session)?.status(&session.program()?)?;
    session.ui.emit(&Status::from(status.as_slice()));
    Ok(Exit::Done)
}
