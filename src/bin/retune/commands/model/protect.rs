//! `retune model protect`.

use retune::reference::ModelRef;
use retune::registry::Protected as Answer;

use super::{alias, refused};
use crate::exit::Exit;
use crate::failure::Failure;
use crate::session::Session;
use crate::view::model::Protected;

const EXAMPLES: &str = "\
Examples:
  retune model protect support:production --allow ana@example.org --allow ben@example.org
  retune model protect support:production --allow ana@example.org --two-people --dry-run

Promotion and rollback by anybody else are refused; with --two-people, who registered a version
cannot promote it. Only who may move the alias can change that. Who acts is what git says about
them: keep people out of the registry itself with the rights of its directory and its remote.

Exit codes: 0 it counts, 1 others may move the alias.";

/// Say who may move an alias, and whether it takes two people.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Args {
    /// [TENANT/]MODEL:ALIAS
    #[arg(value_name = "REF")]
    reference: ModelRef,
    /// The mail address of somebody who may move it [default: everybody]
    #[arg(long, value_name = "MAIL")]
    allow: Vec<String>,
    /// Who promotes a version must be somebody else than who registered it
    #[arg(long)]
    two_people: bool,
    /// Check everything, record nothing
    #[arg(long)]
    dry_run: bool,
}

pub(crate) fn run(args: &Args, session: &Session<'_>) -> Result<Exit, Failure> {
    let workspace = session.workspace(args.dry_run)?;
    let tenant = workspace.tenant_of(&args.reference)?;
    let (model, alias) = (&args.reference.model, alias(&args.reference)?);
    let allow = args.allow.iter().cloned().collect();
    match tenant.protect(model, alias, allow, args.two_people, &workspace.act)? {
        Answer::Done(added) => {
            session.ui.emit(&Protected::new(&added, args.dry_run));
            Ok(Exit::Done)
        }
        Answer::Refused(refusal) => Err(refused(&refusal, &args.reference, alias)),
    }
}
