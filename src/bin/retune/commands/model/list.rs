//! `retune model list`.

use retune::lifecycle::standings;
use retune::name::ModelName;

use crate::commands::day::span;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::session::Session;
use crate::view::deadline::Due;
use crate::view::model::{Model, Models, Versions};

const EXAMPLES: &str = "\
Examples:
  retune model list
  retune model list support
  retune model list --due 60d
  retune model list support --format json | jq -r '.versions[].version'";

/// List models, or the versions of one.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Args {
    /// Only this model, version by version
    #[arg(conflicts_with = "due")]
    model: Option<ModelName>,
    /// Only what is in use and has to be replaced within this time, such as 60d or 8w
    #[arg(long, value_name = "TIME", value_parser = span)]
    due: Option<i64>,
}

pub(crate) fn run(args: &Args, session: &Session<'_>) -> Result<Exit, Failure> {
    let workspace = session.workspace(false)?;
    if let Some(within) = args.due {
        let due = Due::new(&standings(&workspace)?, session.now(), within);
        session.ui.emit(&due);
        return Ok(Exit::Done);
    }
    let tenant = workspace.tenant();
    match &args.model {
        Some(model) => session.ui.emit(&Versions::new(
            model,
            &tenant.versions(model)?,
            &tenant.aliases(model)?,
        )),
        None => {
            let mut models = Vec::new();
            for model in tenant.models()? {
                let (versions, aliases) = (tenant.versions(&model)?, tenant.aliases(&model)?);
                models.push(Model::new(&model, &versions, &aliases));
            }
            session.ui.emit(&Models { models });
        }
    }
    Ok(Exit::Done)
}
