//! `retune base verify`.

use retune::base;
use retune::lifecycle::{KnownBase, Workspace, find_base};

use super::BaseRef;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::session::Session;
use crate::view::verified::{Verified, VerifiedItem};

const EXAMPLES: &str = "\
Examples:
  retune base verify
  retune base verify minilm
  retune base verify --format json | jq '.items[] | select(.problem)'

Exit codes: 0 everything is as recorded, 14 something is missing or changed.";

/// Re-read bases and compare every digest.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Args {
    /// NAME, or NAME@VERSION [default: every version of every base]
    #[arg(value_name = "REF")]
    base: Option<BaseRef>,
}

pub(crate) fn run(args: &Args, session: &Session<'_>) -> Result<Exit, Failure> {
    let workspace = session.workspace(false)?;
    let mut verified = Verified::new("base");
    for known in wanted(args, &workspace)? {
        let name = format!("{}@{}", known.record.name, known.record.label);
        let id = known.manifest.id().to_string();
        let found = base::verify(&workspace.store, &known.manifest, session.ui);
        verified.items.push(match found {
            Ok(report) => {
                VerifiedItem::sound(name, id, format!("{} files", report.files), report.bytes)
            }
            Err(error) if error.is_integrity() => VerifiedItem::damaged(name, id, &error),
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

fn wanted(args: &Args, workspace: &Workspace<'_>) -> Result<Vec<KnownBase>, Failure> {
    if let Some(wanted) = &args.base {
        return Ok(vec![find_base(workspace, &wanted.name, wanted.version())?]);
    }
    let tenant = workspace.tenant();
    let mut all = Vec::new();
    for name in tenant.bases().names()? {
        for version in tenant.bases().versions(&name)? {
            all.push(find_base(workspace, &name, Some(&version.to_string()))?);
        }
    }
    Ok(all)
}
