//! `retune model show`.

use std::path::PathBuf;

use retune::fsio;
use retune::lifecycle::lineage;
use retune::reference::ModelRef;

use crate::exit::Exit;
use crate::failure::Failure;
use crate::session::Session;
use crate::view::lineage::Drawn;
use crate::view::model::Shown;

const EXAMPLES: &str = "\
Examples:
  retune model show support:production
  retune model show support@20261123-3f9a
  retune model show support:production --format json | jq .manifest.adapter
  retune model show support:production --lineage
  retune model show support:production --html lineage.html";

/// Show what a version is made of.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Args {
    /// [TENANT/]MODEL:ALIAS, MODEL@VERSION or MODEL@sha256:…
    #[arg(value_name = "REF")]
    reference: ModelRef,
    /// Show where it comes from and what rests on it: dataset, base, run, evidence, aliases
    #[arg(long)]
    lineage: bool,
    /// Also write the lineage as one page with a drawing, which needs nothing else
    #[arg(long, value_name = "FILE")]
    html: Option<PathBuf>,
}

pub(crate) fn run(args: &Args, session: &Session<'_>) -> Result<Exit, Failure> {
    let workspace = session.workspace(false)?;
    let tenant = workspace.tenant_of(&args.reference)?;
    let version = tenant.resolve(&args.reference)?;
    if args.lineage || args.html.is_some() {
        let drawn = Drawn::new(&version, &lineage(&tenant, &version)?);
        if let Some(path) = &args.html {
            fsio::write_atomic(path, drawn.page().as_bytes())?;
        }
        session.ui.emit(&drawn);
        return Ok(Exit::Done);
    }
    let aliases = tenant.aliases(&args.reference.model)?;
    let evidence = tenant.evidence(&version)?;
    session.ui.emit(&Shown::new(&version, &aliases, &evidence));
    Ok(Exit::Done)
}
