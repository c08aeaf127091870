//! `retune model export`.

use std::path::PathBuf;

use retune::reference::ModelRef;

use crate::exit::Exit;
use crate::failure::Failure;
use crate::session::Session;
use crate::view::model::Exported;

const EXAMPLES: &str = "\
Examples:
  retune model export support:production --to adapters/support
  retune model export support@20261123-3f9a --to /srv/adapters/support

Exit codes: 0 every byte was checked and written, 14 one is missing or changed and nothing
was written.";

/// Write a version's adapter into a new directory.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Args {
    /// [TENANT/]MODEL:ALIAS, MODEL@VERSION or MODEL@sha256:…
    #[arg(value_name = "REF")]
    reference: ModelRef,
    /// A directory that does not exist yet, or is empty
    #[arg(long, value_name = "DIR")]
    to: PathBuf,
}

pub(crate) fn run(args: &Args, session: &Session<'_>) -> Result<Exit, Failure> {
    let workspace = session.workspace(false)?;
    let tenant = workspace.tenant_of(&args.reference);
    let version = tenant.resolve(&args.reference)?;
    tenant.export(&version, &workspace.store, &args.to)?;
    let files = &version.manifest.adapter.files;
    session.ui.emit(&Exported {
        version: version.to_string(),
        id: version.id.to_string(),
        directory: args.to.display().to_string(),
        files: files.len(),
        bytes: files.iter().map(|file| file.size).sum(),
    });
    Ok(Exit::Done)
}
