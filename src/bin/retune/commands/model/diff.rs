//! `retune model diff`.

use retune::lifecycle::difference;
use retune::reference::ModelRef;

use crate::exit::Exit;
use crate::failure::Failure;
use crate::session::Session;
use crate::view::difference::Compared;

const EXAMPLES: &str = "\
Examples:
  retune model diff support@20261101-77ab support:production
  retune model diff support:production support:canary --format json | jq '.metrics'

Shows what differs: the parts by digest, the job's keys, the rows of the data, what came of the
runs, and the Euclidean norm of every tensor of the adapters and of the difference.";

/// Show what is different between two versions.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Args {
    /// [TENANT/]MODEL:ALIAS, MODEL@VERSION or MODEL@sha256:…
    #[arg(value_name = "BEFORE")]
    before: ModelRef,
    /// The same, of the same tenant
    #[arg(value_name = "AFTER")]
    after: ModelRef,
}

pub(crate) fn run(args: &Args, session: &Session<'_>) -> Result<Exit, Failure> {
    let workspace = session.workspace(true)?;
    let tenant = workspace.tenant_of(&args.before)?;
    let before = tenant.resolve(&args.before)?;
    let after = tenant.resolve(&args.after)?;
    let found = difference(&workspace, &tenant, &before, &after)?;
    session.ui.emit(&Compared::new(&before, &after, &found));
    Ok(Exit::Done)
}
