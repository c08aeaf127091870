//! `retune model list`.

use retune::name::ModelName;

use crate::exit::Exit;
use crate::failure::Failure;
use crate::session::Session;
use crate::view::model::{Model, Models, Versions};

const EXAMPLES: &str = "\
Examples:
  retune model list
  retune model list support
  retune model list support --format json | jq -r '.versions[].version'";

/// List models, or the versions of one.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Args {
    /// Only this model, version by version
    model: Option<ModelName>,
}

pub(crate) fn run(args: &Args, session: &Session<'_>) -> Result<Exit, Failure> {
    let workspace = session.workspace(false)?;
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
