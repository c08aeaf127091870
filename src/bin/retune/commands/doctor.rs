//! `retune doctor`.

use retune::lifecycle::examine;

use crate::exit::Exit;
use crate::failure::Failure;
use crate::session::Session;
use crate::view::doctor::Examined;

const EXAMPLES: &str = "\
Examples:
  retune doctor
  retune doctor --fix
  retune doctor --format json | jq '.ailments[] | select(.mended | not)'

Looks for the lock, the half-written files and the leases of killed processes, objects that can be
overwritten, objects that are missing, registry documents and alias histories that do not fit
together, projects of the store that cannot be read, and git repositories of kinds that only the
git program reads. It does not re-read the bytes of every object: `retune store verify` does.

Exit codes: 0 nothing is wrong, or all of it was mended, 1 something is wrong, 14 something
stored is missing or does not fit together.";

/// Find what is wrong with project, registry and store, and say the way out.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Args {
    /// Mend what can be mended without risk
    #[arg(long)]
    fix: bool,
}

pub(crate) fn run(args: &Args, session: &Session<'_>) -> Result<Exit, Failure> {
    let workspace = session.workspace(!args.fix)?;
    let ailments = examine(&workspace, args.fix)?;
    session.ui.emit(&Examined::from(ailments.as_slice()));
    let mut left = ailments.iter().filter(|ailment| !ailment.mended);
    // A kind of repository that is read by other means needs no cure.
    let ill = left.clone().any(|ailment| ailment.kind.needs_cure());
    Ok(if left.any(|ailment| ailment.kind.is_integrity()) {
        Exit::Integrity
    } else if ill {
        Exit::Failed
    } else {
        Exit::Done
    })
}
