//! `retune store push`.

use retune::lifecycle::{self, Scope, Thing};

use crate::exit::Exit;
use crate::failure::Failure;
use crate::session::Session;
use crate::view::transfer::{Direction, Transferred};

const EXAMPLES: &str = "\
Examples:
  retune store push
  retune store push support:production
  retune store push tickets support@20261123-3f9a --dry-run

The bucket is the one that retune.yaml names:

  store_remote: {url: s3://team-models/retune, endpoint: https://s3.example.org}

Without REF, everything is sent that the tenant's records lead to and that the bucket does not
have; with REF, what that thing was made of and judged by. Nothing is sent twice: after an
interruption, the same command goes on. Every object is checked against its digest on the way,
and never takes the place of another one: a server that does not honour If-None-Match is refused.
Credentials come from the environment: AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY.

Exit codes: 0 the bucket has all of it, 1 it could not be reached or refused, 2 none is named, or
there are no credentials, 14 an object is damaged, or neither here nor there, 130 interrupted.";

/// Send the objects that the remote lacks.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Args {
    /// MODEL:ALIAS, MODEL@VERSION, or a dataset, base or suite [default: everything on record]
    #[arg(value_name = "REF")]
    things: Vec<Thing>,
    /// Show what would be sent, and send nothing
    #[arg(long)]
    dry_run: bool,
}

pub(crate) fn run(args: &Args, session: &Session<'_>) -> Result<Exit, Failure> {
    let workspace = session.workspace(args.dry_run)?;
    let scope = match args.things.as_slice() {
        [] => Scope::Tenant,
        things => Scope::Things(things),
    };
    let pushed = lifecycle::push(&workspace, scope, session.bucket()?)?;
    let view = Transferred::new(
        session.store_remote()?,
        Direction::Push,
        &pushed,
        args.dry_run,
    );
    session.ui.emit(&view);
    Ok(match pushed.missing.is_empty() {
        true => Exit::Done,
        false => Exit::Integrity,
    })
}
