//! `retune migration show`.

use std::path::PathBuf;

use retune::lifecycle::Migration;

use crate::exit::Exit;
use crate::failure::Failure;
use crate::session::Session;
use crate::view::migration::Standing;

const EXAMPLES: &str = "\
Examples:
  retune migration show migrations/support.yaml
  retune migration show migrations/support.yaml --format json | jq '.steps[].state'";

/// Show where a migration stands.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Args {
    /// The migration file
    #[arg(value_name = "FILE")]
    file: PathBuf,
}

pub(crate) fn run(args: &Args, session: &Session<'_>) -> Result<Exit, Failure> {
    let workspace = session.workspace(true)?;
    let migration = Migration::read(&args.file)?;
    let status = migration.status(&workspace)?;
    let view = Standing::new(&migration, &status, session.now(), false);
    session.ui.emit(&view);
    Ok(Exit::Done)
}
