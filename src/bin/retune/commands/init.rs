//! `retune init`.

use retune::lifecycle;
use retune::name::TenantName;

use crate::exit::Exit;
use crate::failure::Failure;
use crate::session::Session;
use crate::view::init::Project;

const EXAMPLES: &str = "\
Examples:
  retune init
  retune init --tenant acme
  retune init --dry-run

Creates .retune/registry, .retune/store and retune.yaml, and in a git work tree a line in
.gitignore. What is there already is kept.";

/// Set up a project here.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Args {
    /// Whose datasets and models these are
    #[arg(long, value_name = "NAME", default_value = "default")]
    tenant: TenantName,
    /// Say what would be created, create nothing
    #[arg(long)]
    dry_run: bool,
}

pub(crate) fn run(args: &Args, session: &Session<'_>) -> Result<Exit, Failure> {
    let act = session.act(args.dry_run);
    let done = lifecycle::init(session.root(), &args.tenant, &act)?;
    let root = session.root().display().to_string();
    let tenant = args.tenant.to_string();
    session
        .ui
        .emit(&Project::new(root, tenant, args.dry_run, &done));
    Ok(Exit::Done)
}
