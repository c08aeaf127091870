//! `retune migration abort`.

use std::path::PathBuf;

use retune::lifecycle::Migration;

use super::came_to;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::session::Session;

const EXAMPLES: &str = "\
Examples:
  retune migration abort migrations/support.yaml --dry-run
  retune migration abort migrations/support.yaml

Only what this migration moved goes back, the last alias first; what somebody else moved since
stays. Killed at any moment, run it again. An aborted migration is never gone on with.

Exit codes: 0 every alias is back, 1 the migration was completed, or an alias is protected, 14
bytes are missing or changed, 15 lost a race.";

/// Take every alias back to where it was.
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
    let outcome = migration.abort(&workspace)?;
    came_to(outcome, &migration, session, args.dry_run)
}
