//! `retune store verify`.

use retune::lifecycle;

use crate::exit::Exit;
use crate::failure::Failure;
use crate::session::Session;
use crate::view::store::Verified;
use crate::view::transfer::RemoteVerified;

const EXAMPLES: &str = "\
Examples:
  retune store verify
  retune store verify --format json | jq '.faults[].path'
  retune store verify --remote

Looks for objects whose bytes changed, for objects that a record of any project of the store
names and that are not there, and for files that are no objects. Objects that nobody names are
counted: `retune store gc plan` shows them.

--remote looks at the bucket that retune.yaml names instead: whether it has every object that the
tenant's records lead to, in its size. Bytes are checked when they are pulled.

Exit codes: 0 every object is there and what its name says, 1 the bucket could not be reached,
2 none is named, 14 an object is missing or damaged.";

/// Re-read every object, and look for those that records name.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Args {
    /// Look at the bucket that retune.yaml names, by names and sizes
    #[arg(long)]
    remote: bool,
}

pub(crate) fn run(args: &Args, session: &Session<'_>) -> Result<Exit, Failure> {
    match args.remote {
        true => there(session),
        false => here(session),
    }
}

fn there(session: &Session<'_>) -> Result<Exit, Failure> {
    let workspace = session.workspace(false)?;
    let report = lifecycle::inspect_remote(&workspace, session.bucket()?)?;
    let view = RemoteVerified::new(session.store_remote()?, &report);
    session.ui.emit(&view);
    Ok(match view.is_sound() {
        true => Exit::Done,
        false => Exit::Integrity,
    })
}

fn here(session: &Session<'_>) -> Result<Exit, Failure> {
    let store = session.workspace(false)?.store;
    let report = store.verify()?;
    let missing = lifecycle::missing_objects(&store)?;
    // With a damaged document, it is not known what it named.
    let unnamed = match report.faults.as_slice() {
        [] => Some(store.unnamed(&lifecycle::roots(&store)?)?),
        _ => None,
    };
    let view = Verified::new(&report, &missing, unnamed.as_deref());
    session.ui.emit(&view);
    if !missing.is_empty() {
        session.say_elsewhere();
    }
    Ok(match view.is_sound() {
        true => Exit::Done,
        false => Exit::Integrity,
    })
}
