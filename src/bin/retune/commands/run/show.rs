//! `retune run show`.

use retune::lifecycle;

use crate::exit::Exit;
use crate::failure::Failure;
use crate::session::Session;
use crate::view::run::Shown;

const EXAMPLES: &str = "\
Examples:
  retune run show 3f9a1c2b7d10
  retune run show 3f9a --format json | jq .record.totals

Exit codes: 0 shown, 2 there is no such completed run.";

/// Show what a run was asked to do and what came of it.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Args {
    /// The run's id, or at least 4 digits of its beginning
    #[arg(value_name = "RUN")]
    run: String,
}

pub(crate) fn run(args: &Args, session: &Session<'_>) -> Result<Exit, Failure> {
    let workspace = session.workspace(false)?;
    let run = lifecycle::find_trained(&workspace, &args.run)?;
    session.ui.emit(&Shown::from(&run));
    Ok(Exit::Done)
}
