//! `retune run list`.

use crate::exit::Exit;
use crate::failure::Failure;
use crate::session::Session;
use crate::view::run::List;

const EXAMPLES: &str = "\
Examples:
  retune run list
  retune run list --format json | jq -r '.runs[] | select(.state == \"interrupted\").run'";

/// List the runs of this machine, the newest first.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Args {}

pub(crate) fn run(_: &Args, session: &Session<'_>) -> Result<Exit, Failure> {
    let workspace = session.workspace(false)?;
    let tenant = workspace.tenant();
    // A tenant that does not exist has no runs either, which is another answer than none.
    tenant.models()?;
    let mut runs = retune::train::runs(&workspace.runs)?;
    // The project may have been another tenant's.
    runs.retain(|run| {
        let what = || run.id.short();
        tenant
            .check_data(run.start.tenants.as_deref(), what)
            .is_ok()
    });
    session.ui.emit(&List::from(&runs[..]));
    Ok(Exit::Done)
}
