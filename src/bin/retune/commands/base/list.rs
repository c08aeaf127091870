//! `retune base list`.

use retune::lifecycle::find_base;
use retune::name::BaseName;

use crate::exit::Exit;
use crate::failure::Failure;
use crate::session::Session;
use crate::view::base::{Bases, Line};

const EXAMPLES: &str = "\
Examples:
  retune base list
  retune base list minilm
  retune base list --format json | jq -r '.bases[] | \"\\(.name) \\(.id)\"'

Without a name: the newest version of every base. With one: its versions, the newest first.";

/// List bases, or the versions of one.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Args {
    /// Only this base, version by version
    name: Option<BaseName>,
}

pub(crate) fn run(args: &Args, session: &Session<'_>) -> Result<Exit, Failure> {
    let workspace = session.workspace(false)?;
    let tenant = workspace.tenant();
    let catalogue = tenant.bases();
    let mut bases = Vec::new();
    match &args.name {
        Some(name) => {
            for version in catalogue.versions(name)? {
                let known = find_base(&workspace, name, Some(&version.to_string()))?;
                bases.push(Line::new(&known, None));
            }
        }
        None => {
            for name in catalogue.names()? {
                let versions = catalogue.versions(&name)?.len();
                bases.push(Line::new(
                    &find_base(&workspace, &name, None)?,
                    Some(versions),
                ));
            }
        }
    }
    session.ui.emit(&Bases { bases });
    Ok(Exit::Done)
}
