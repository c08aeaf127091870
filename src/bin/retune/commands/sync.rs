//! `retune sync`.

use retune::git::{Remote, RemoteError};
use retune::lifecycle::missing_objects;

use crate::exit::Exit;
use crate::failure::Failure;
use crate::session::Session;
use crate::view::sync::Synced;

const EXAMPLES: &str = "\
Examples:
  retune sync
  retune sync ssh://git@example.org/team/registry.git
  retune sync /mnt/shared/registry.git --dry-run
  retune sync --give-way

The other clone is a bare git repository (git init --bare), empty at first. What was decided
in both is in both afterwards; registering, adding and judging different things never collide.
When both moved one alias, or judged on the same suite, the other clone was faster: nothing is
changed on either side until this one gives way. Files of datasets, bases and adapters are not
sent: let the clones share a store, or a bucket (retune store push, retune store pull).

Exit codes: 0 both are in step, 1 the other clone could not be reached, 2 it is another
registry, 14 it is damaged, an alias was moved there without the signature that it takes, or in
two places and is not settled, 15 the other clone was faster.";

/// Keep the registry in step with another clone, over git.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Args {
    /// The other clone: a directory, ssh://, https:// or HOST:PATH [default: `remote` of retune.yaml]
    #[arg(value_name = "REMOTE")]
    remote: Option<String>,
    /// Where both decided the same, take what the other clone decided
    #[arg(long)]
    give_way: bool,
    /// Look at both, change neither
    #[arg(long)]
    dry_run: bool,
}

pub(crate) fn run(args: &Args, session: &Session<'_>) -> Result<Exit, Failure> {
    let workspace = session.workspace(args.dry_run)?;
    let remote = remote(args, session)?.from_dir(session.root());
    let synced = workspace
        .registry
        .sync(&remote, args.give_way, &workspace.act)?;
    // A project of the store that cannot be read is for `retune doctor` to name.
    let missing = missing_objects(&workspace.store).map_or(0, |missing| missing.len());
    let exit = match synced.forks.as_slice() {
        [] => Exit::Done,
        _ => Exit::Integrity,
    };
    session
        .ui
        .emit(&Synced::new(&remote, &synced, missing, args.dry_run));
    Ok(exit)
}

fn remote(args: &Args, session: &Session<'_>) -> Result<Remote, Failure> {
    if let Some(text) = &args.remote {
        return text
            .parse()
            .map_err(|error: RemoteError| Failure::usage(error.to_string()));
    }
    let configured = session.required_project()?.remote;
    configured.ok_or_else(|| {
        Failure::usage("with which clone? retune.yaml names no `remote`")
            .hint("retune sync REMOTE, or write `remote: REMOTE` into retune.yaml")
    })
}
