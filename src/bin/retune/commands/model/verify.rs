//! `retune model verify`.

use crate::exit::Exit;
use crate::failure::Failure;
use crate::session::Session;
use crate::view::model::Verified;

const EXAMPLES: &str = "\
Examples:
  retune model verify
  retune model verify --records-only
  retune model verify --format json | jq '.faults[]'

Exit codes: 0 everything is as recorded, 14 something is not.";

/// Re-read every record, version, event and alias, and the bytes they name.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Args {
    /// Look at the registry only, not at the bytes in the store
    #[arg(long)]
    records_only: bool,
}

pub(crate) fn run(args: &Args, session: &Session<'_>) -> Result<Exit, Failure> {
    let workspace = session.workspace(false)?;
    let tenant = workspace.tenant();
    let store = (!args.records_only).then_some(&workspace.store);
    let found = tenant.verify(store)?;
    session.ui.emit(&Verified::new(tenant.name(), &found));
    Ok(match found.faults.as_slice() {
        [] => Exit::Done,
        _ => Exit::Integrity,
    })
}
