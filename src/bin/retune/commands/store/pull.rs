//! `retune store pull`.

use retune::lifecycle::{self, Scope, Thing};

use crate::exit::Exit;
use crate::failure::Failure;
use crate::session::Session;
use crate::view::transfer::{Direction, Transferred};

const EXAMPLES: &str = "\
Examples:
  retune store pull
  retune store pull support:production
  retune store pull tickets minilm
  retune store pull --all --dry-run

Without REF, the files that the versions in retune.lock are served with: adapter and base, and no
data. With REF, what that thing was made of and judged by, so that it can be promoted, exported
and trained on from; with --all, everything on record.

Every byte is checked against its digest before it is kept. After an interruption, the same
command goes on. What is missing both here and there is named.

Exit codes: 0 all of it is here, 1 the bucket could not be reached or refused, 2 none is named, or
there are no credentials, 14 an object is damaged, or neither here nor there, 130 interrupted.";

/// Fetch the objects that are missing here.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Args {
    /// MODEL:ALIAS, MODEL@VERSION, or a dataset, base or suite [default: what retune.lock pins]
    #[arg(value_name = "REF")]
    things: Vec<Thing>,
    /// Everything on record
    #[arg(long, conflicts_with = "things")]
    all: bool,
    /// Show what would be fetched, and keep nothing
    #[arg(long)]
    dry_run: bool,
}

pub(crate) fn run(args: &Args, session: &Session<'_>) -> Result<Exit, Failure> {
    let workspace = session.workspace(args.dry_run)?;
    let scope = match args.things.as_slice() {
        [] if args.all => Scope::Tenant,
        [] => Scope::Pins,
        things => Scope::Things(things),
    };
    let pulled = lifecycle::pull(&workspace, scope, session.bucket()?)?;
    let view = Transferred::new(
        session.store_remote()?,
        Direction::Pull,
        &pulled,
        args.dry_run,
    );
    session.ui.emit(&view);
    if pulled.missing.is_empty() {
        return Ok(Exit::Done);
    }
    session
        .ui
        .hint("whoever has these files sends them from their project: retune store push");
    Ok(Exit::Integrity)
}
