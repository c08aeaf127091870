//! `retune model register`.

use retune::lifecycle;
use retune::name::ModelName;

use crate::exit::Exit;
use crate::failure::Failure;
use crate::session::Session;
use crate::view::model::Registered;

const EXAMPLES: &str = "\
Examples:
  retune model register support --run 3f9a1c2b7d10
  retune model register support --run 3f9a --licence Apache-2.0 --dry-run

The same run again gives the same version and changes nothing.

Exit codes: 0 it is registered, 2 there is no such run, 14 a byte of it is missing or changed,
or its base or dataset is not recorded for this tenant.";

/// Register what a run made as a version.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Args {
    /// The model; it exists from its first version on
    #[arg(value_name = "MODEL")]
    model: ModelName,
    /// The run's id, or at least 4 digits of its beginning
    #[arg(long, value_name = "ID")]
    run: String,
    /// The licence of the adapter, as an SPDX expression
    #[arg(long, value_name = "SPDX")]
    licence: Option<String>,
    /// Check everything, register nothing
    #[arg(long)]
    dry_run: bool,
}

pub(crate) fn run(args: &Args, session: &Session<'_>) -> Result<Exit, Failure> {
    let workspace = session.workspace(args.dry_run)?;
    let run = lifecycle::find_trained(&workspace, &args.run)?;
    let added = lifecycle::register(&workspace, &args.model, &run, args.licence.clone())?;
    session.ui.emit(&Registered {
        model: args.model.to_string(),
        version: added.record.label.to_string(),
        id: added.record.id.to_string(),
        new: added.new,
        dry_run: args.dry_run,
    });
    Ok(Exit::Done)
}
