//! `retune model log`.

use retune::reference::ModelRef;
use retune::time::Timestamp;

use super::alias;
use crate::commands::day::time_or_day;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::session::Session;
use crate::view::model::{Log, Move};

const EXAMPLES: &str = "\
Examples:
  retune model log support:production
  retune model log support:production --at 2026-03-01
  retune model log support:production --at 2026-03-01 --format json | jq -r '.events[0].to'";

/// Show where an alias pointed, since when, and why.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Args {
    /// [TENANT/]MODEL:ALIAS
    #[arg(value_name = "REF")]
    reference: ModelRef,
    /// Only the move that was in force at this time; a day means its end (UTC)
    #[arg(long, value_name = "TIME", value_parser = time_or_day)]
    at: Option<Timestamp>,
}

pub(crate) fn run(args: &Args, session: &Session<'_>) -> Result<Exit, Failure> {
    let workspace = session.workspace(false)?;
    let tenant = workspace.tenant_of(&args.reference)?;
    let alias = alias(&args.reference)?;
    let chain = tenant.history(&args.reference.model, alias)?;
    if let Some(fork) = chain.forked(&args.reference.model, alias) {
        return Err(fork.into());
    }
    if chain.links.is_empty() {
        // Nothing was ever there: resolving says so, with the aliases that exist.
        tenant.resolve(&args.reference)?;
    }
    let events = match args.at {
        Some(time) => {
            let in_force = chain.at(time);
            in_force
                .map(|(id, event)| Move::new(id, event))
                .into_iter()
                .collect()
        }
        None => Log::moves(&chain),
    };
    session
        .ui
        .emit(&Log::new(&args.reference.model, alias, events));
    Ok(Exit::Done)
}
