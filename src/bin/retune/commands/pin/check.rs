//! `retune pin check`.

use std::collections::BTreeMap;

use retune::lifecycle;
use retune::pin::{self, Depth, LockFile};

use crate::exit::Exit;
use crate::failure::Failure;
use crate::session::Session;
use crate::view::pin::{self as view, Checked};

const EXAMPLES: &str = "\
Examples:
  retune pin check
  retune pin check --locked
  retune pin check --frozen --format json

Compares retune.yaml with retune.lock, and the locked versions with the registry.

Exit codes: 0 they agree, 10 the lock is missing, stale or in conflict, or a locked version is
deprecated and its last day is over, 14 a locked version is not in the registry, or not with
these digests.";

/// Check that retune.yaml, retune.lock and the registry agree.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Args {
    /// Also fail when an alias has moved on, so that `pin update` would change the lock
    #[arg(long, conflicts_with = "frozen")]
    locked: bool,
    /// Do not look into the registry
    #[arg(long)]
    frozen: bool,
}

pub(crate) fn run(args: &Args, session: &Session<'_>) -> Result<Exit, Failure> {
    let project = session.required_project()?;
    let lock = LockFile::read(session.root())?;
    let (depth, answers) = match args.frozen {
        true => (Depth::Frozen, BTreeMap::new()),
        false => {
            let registry = session.workspace(true)?.registry;
            let answers = lifecycle::pin_answers(&registry, &project, &lock, session.now())?;
            (
                if args.locked {
                    Depth::Locked
                } else {
                    Depth::Registry
                },
                answers,
            )
        }
    };
    let problems = pin::check(&project, &lock, &answers, depth);
    session
        .ui
        .emit(&Checked::new(project.pins.len(), &problems));
    Ok(view::exit(&problems))
}
