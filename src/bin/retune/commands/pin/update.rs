//! `retune pin update`.

use retune::lifecycle;
use retune::pin::PinName;

use crate::exit::Exit;
use crate::failure::Failure;
use crate::session::Session;
use crate::view::pin::Changes;

const EXAMPLES: &str = "\
Examples:
  retune pin update
  retune pin update support --dry-run

Chooses what each alias in retune.yaml points to now. Settles a retune.lock with conflict
markers: pins that both sides have in common stay, the others are chosen anew.";

/// Choose versions anew and write retune.lock.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Args {
    /// Only these pins [default: all]
    #[arg(value_name = "NAME")]
    names: Vec<PinName>,
    /// Say what would change, write nothing
    #[arg(long)]
    dry_run: bool,
}

pub(crate) fn run(args: &Args, session: &Session<'_>) -> Result<Exit, Failure> {
    let workspace = session.workspace(args.dry_run)?;
    let changes = lifecycle::update_pins(&workspace, &args.names)?;
    session.ui.emit(&Changes::new(&changes, args.dry_run));
    Ok(Exit::Done)
}
