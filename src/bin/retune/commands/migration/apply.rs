//! `retune migration apply`.

use std::path::PathBuf;

use retune::lifecycle::Migration;

use super::came_to;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::session::Session;

const EXAMPLES: &str = "\
Examples:
  retune migration apply migrations/support.yaml --dry-run
  retune migration apply migrations/support.yaml

Each alias moves by `model promote`, on evidence about exactly the two versions. A step waits
until the one before has soaked; run it again then, or from a timer. Killed at any moment, it
goes on where it was. When an alias points to neither of its two versions, nothing moves.

Exit codes: 0 everything that can be done by now is done, 1 an alias points elsewhere or is
protected, or the migration has ended, 11 gate FAIL, 12 INCONCLUSIVE, 13 no evidence or about
something else, 14 bytes are missing or changed, 15 lost a race.";

/// Take every step that can be taken by now.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Args {
    /// The migration file
    #[arg(value_name = "FILE")]
    file: PathBuf,
    /// Check everything, move nothing
    #[arg(long)]
    dry_run: bool,
}

pub(crate) fn run(args: &Args, session: &Session<'_>) -> Result<Exit, Failure> {
    let workspace = session.workspace(args.dry_run)?;
    let migration = Migration::read(&args.file)?;
    let outcome = migration.apply(&workspace)?;
    came_to(outcome, &migration, session, args.dry_run)
}
