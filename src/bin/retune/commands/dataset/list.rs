//! `retune dataset list`.

use retune::lifecycle::find_dataset;
use retune::name::DatasetName;

use crate::exit::Exit;
use crate::failure::Failure;
use crate::session::Session;
use crate::view::dataset::{Datasets, Line};

const EXAMPLES: &str = "\
Examples:
  retune dataset list
  retune dataset list tickets
  retune dataset list tickets --format json | jq -r '.datasets[0].version'

Without a name: the newest version of every dataset. With one: its versions, the newest first.";

/// List datasets, or the versions of one.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Args {
    /// Only this dataset, version by version
    name: Option<DatasetName>,
}

pub(crate) fn run(args: &Args, session: &Session<'_>) -> Result<Exit, Failure> {
    let workspace = session.workspace(false)?;
    let tenant = workspace.tenant();
    let catalogue = tenant.datasets();
    let mut datasets = Vec::new();
    match &args.name {
        Some(name) => {
            for version in catalogue.versions(name)? {
                let known = find_dataset(&workspace, name, Some(&version.to_string()))?;
                datasets.push(Line::new(&known, None));
            }
        }
        None => {
            for name in catalogue.names()? {
                let versions = catalogue.versions(&name)?.len();
                let known = find_dataset(&workspace, &name, None)?;
                datasets.push(Line::new(&known, Some(versions)));
            }
        }
    }
    session.ui.emit(&Datasets { datasets });
    Ok(Exit::Done)
}
