//! `retune dataset verify`.

use retune::dataset;
use retune::lifecycle::{KnownDataset, Workspace, find_dataset};

use super::DatasetRef;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::session::Session;
use crate::view::verified::{Verified, VerifiedItem};

const EXAMPLES: &str = "\
Examples:
  retune dataset verify
  retune dataset verify tickets@20261123-3f9a
  retune dataset verify --format json | jq '.items[] | select(.problem)'

Exit codes: 0 everything is as recorded, 14 something is missing or changed.";

/// Re-read datasets and compare every digest and count.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Args {
    /// NAME, or NAME@VERSION [default: every version of every dataset]
    #[arg(value_name = "REF")]
    dataset: Option<DatasetRef>,
}

pub(crate) fn run(args: &Args, session: &Session<'_>) -> Result<Exit, Failure> {
    let workspace = session.workspace(false)?;
    let mut verified = Verified::new("dataset");
    for known in wanted(args, &workspace)? {
        let name = format!("{}@{}", known.record.name, known.record.label);
        let found = dataset::verify(&workspace.store, &known.id, session.ui);
        verified.items.push(match found {
            Ok(report) => VerifiedItem::sound(
                name,
                known.id.to_string(),
                format!("{} rows", report.rows),
                report.bytes,
            ),
            Err(error) if error.is_integrity() => {
                VerifiedItem::damaged(name, known.id.to_string(), &error)
            }
            Err(error) => return Err(error.into()),
        });
    }
    let exit = verified.exit();
    session.ui.emit(&verified);
    if exit != Exit::Done {
        session.say_elsewhere();
    }
    Ok(exit)
}

fn wanted(args: &Args, workspace: &Workspace<'_>) -> Result<Vec<KnownDataset>, Failure> {
    if let Some(wanted) = &args.dataset {
        return Ok(vec![find_dataset(
            workspace,
            &wanted.name,
            wanted.version(),
        )?]);
    }
    let tenant = workspace.tenant();
    let mut all = Vec::new();
    for name in tenant.datasets().names()? {
        for version in tenant.datasets().versions(&name)? {
            all.push(find_dataset(workspace, &name, Some(&version.to_string()))?);
        }
    }
    Ok(all)
}
