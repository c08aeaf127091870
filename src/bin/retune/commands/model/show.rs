//! `retune model show`.

use retune::reference::ModelRef;

use crate::exit::Exit;
use crate::failure::Failure;
use crate::session::Session;
use crate::view::model::Shown;

const EXAMPLES: &str = "\
Examples:
  retune model show support:production
  retune model show support@20261123-3f9a
  retune model show support:production --format json | jq .manifest.adapter";

/// Show what a version is made of.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Args {
    /// [TENANT/]MODEL:ALIAS, MODEL@VERSION or MODEL@sha256:…
    #[arg(value_name = "REF")]
    reference: ModelRef,
}

pub(crate) fn run(args: &Args, session: &Session<'_>) -> Result<Exit, Failure> {
    let workspace = session.workspace(false)?;
    let tenant = workspace.tenant_of(&args.reference);
    let version = tenant.resolve(&args.reference)?;
    let aliases = tenant.aliases(&args.reference.model)?;
    let evidence = tenant.evidence(&version)?;
    session.ui.emit(&Shown::new(&version, &aliases, &evidence));
    Ok(Exit::Done)
}
