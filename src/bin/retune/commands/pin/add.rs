//! `retune pin add`.

use retune::lifecycle::{self, Workspace};
use retune::name::AliasName;
use retune::pin::PinName;
use retune::reference::{ModelRef, Selector};

use crate::exit::Exit;
use crate::failure::Failure;
use crate::session::Session;
use crate::view::pin::Changes;

const EXAMPLES: &str = "\
Examples:
  retune pin add support@20261123-3f9a1c2b7d10
  retune pin add support@20261123-3f9a --alias production
  retune pin add acme/support@20261123-3f9a --name router --dry-run

Writes the pin into retune.yaml and its version, with every digest, into retune.lock. With
--alias, `retune pin update` later chooses what the alias points to then; without, the version
stays.";

/// Pin one version of a model.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Args {
    /// [TENANT/]MODEL@VERSION or MODEL@sha256:…
    #[arg(value_name = "REF")]
    reference: ModelRef,
    /// The alias that `pin update` follows
    #[arg(long, value_name = "ALIAS")]
    alias: Option<AliasName>,
    /// The pin's name [default: the model's]
    #[arg(long, value_name = "NAME")]
    name: Option<PinName>,
    /// Say what would be written, write nothing
    #[arg(long)]
    dry_run: bool,
}

pub(crate) fn run(args: &Args, session: &Session<'_>) -> Result<Exit, Failure> {
    let workspace = session.workspace(args.dry_run)?;
    let name = args.name.as_ref().unwrap_or(&args.reference.model);
    let change = lifecycle::pin(&workspace, name, &args.reference, args.alias.as_ref());
    let change = change.map_err(|error| match &args.reference.selector {
        Selector::Alias(alias) => movable(error.into(), args, alias, &workspace),
        _ => error.into(),
    })?;
    session.ui.emit(&Changes::new(&[change], args.dry_run));
    Ok(Exit::Done)
}

/// Says which version the alias means now, so that the way out can be copied.
fn movable(failure: Failure, args: &Args, alias: &AliasName, workspace: &Workspace<'_>) -> Failure {
    let found = workspace.tenant_of(&args.reference);
    match found.and_then(|tenant| tenant.resolve(&args.reference)) {
        Ok(version) => failure.hint(format!(
            "pin what it is now: retune pin add {version} --alias {alias}"
        )),
        Err(_) => failure,
    }
}
