//! `retune store gc`.

use clap::ValueEnum;
use retune::lifecycle;

use crate::exit::Exit;
use crate::failure::Failure;
use crate::session::Session;
use crate::view::store::{Planned, Purged, Swept};

const EXAMPLES: &str = "\
Examples:
  retune store gc plan
  retune store gc sweep
  retune store gc purge --dry-run

Named is what a digest in any record, run or lock of any project of the store leads to. The rest
stays for a day, or as long as somebody who stores things has not recorded them. `sweep` moves it
into the trash, from where it comes back by itself when anybody asks for it; `purge` removes what
has lain there for 14 days.

When anything cannot be read, nothing is moved. There is no way to force it.

Exit codes: 0 done, 1 something could not be read, 14 an object is damaged, 15 another collection
is at work.";

/// Find what nobody names, move it into the trash, and days later remove it.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Args {
    /// What to do
    #[arg(value_enum)]
    phase: Phase,
    /// Show what would be done, and do nothing
    #[arg(long)]
    dry_run: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Phase {
    /// Show what nobody names
    Plan,
    /// Move it into the trash
    Sweep,
    /// Remove what has been in the trash for 14 days
    Purge,
}

pub(crate) fn run(args: &Args, session: &Session<'_>) -> Result<Exit, Failure> {
    let store = session.workspace(false)?.store;
    let roots = || lifecycle::roots(&store);
    match (args.phase, args.dry_run) {
        (Phase::Plan, _) | (Phase::Sweep, true) => {
            session.ui.emit(&Planned::from(&store.plan_gc(roots()?)?));
        }
        (Phase::Sweep, false) => {
            let swept = store.sweep(session.now(), roots)?;
            session.ui.emit(&Swept::new(&swept, &store));
        }
        (Phase::Purge, dry_run) => {
            let purged = store.purge(&roots()?, dry_run)?;
            session.ui.emit(&Purged::new(&purged, dry_run));
        }
    }
    Ok(Exit::Done)
}
