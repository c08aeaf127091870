//! `retune base show`.

use retune::lifecycle::find_base;

use super::BaseRef;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::session::Session;
use crate::view::base::Shown;

const EXAMPLES: &str = "\
Examples:
  retune base show minilm
  retune base show minilm@20261123-3f9a
  retune base show minilm --format json | jq -r .id";

/// Show what a base is and which files it is made of.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Args {
    /// NAME, or NAME@VERSION
    #[arg(value_name = "REF")]
    base: BaseRef,
}

pub(crate) fn run(args: &Args, session: &Session<'_>) -> Result<Exit, Failure> {
    let workspace = session.workspace(false)?;
    let known = find_base(&workspace, &args.base.name, args.base.version())?;
    session.ui.emit(&Shown::new(&known));
    Ok(Exit::Done)
}
