//! `retune model verify`.

use crate::exit::Exit;
use crate::failure::Failure;
use crate::session::Session;
use crate::view::model::{Ready, Verified};

const EXAMPLES: &str = "\
Examples:
  retune model verify
  retune model verify --records-only
  retune model verify --rollback
  retune model verify --format json | jq '.faults[]'

Exit codes: 0 everything is as recorded, 14 something is not.";

/// Re-read every record, version, event and alias, and the bytes they name.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Args {
    /// Look at the registry only, not at the bytes in the store
    #[arg(long)]
    records_only: bool,
    /// Only prove that every alias can be rolled back: re-read every byte of where it would go
    #[arg(long, conflicts_with = "records_only")]
    rollback: bool,
}

pub(crate) fn run(args: &Args, session: &Session<'_>) -> Result<Exit, Failure> {
    let workspace = session.workspace(false)?;
    let tenant = workspace.tenant();
    if args.rollback {
        let found = tenant.rollback_readiness(&workspace.store)?;
        session.ui.emit(&Ready::new(&found));
        if found.iter().all(|ready| ready.faults.is_empty()) {
            return Ok(Exit::Done);
        }
        session.say_elsewhere();
        return Ok(Exit::Integrity);
    }
    let store = (!args.records_only).then_some(&workspace.store);
    let found = tenant.verify(store)?;
    session.ui.emit(&Verified::new(tenant.name(), &found));
    if found.faults.is_empty() {
        return Ok(Exit::Done);
    }
    if store.is_some() {
        session.say_elsewhere();
    }
    Ok(Exit::Integrity)
}
