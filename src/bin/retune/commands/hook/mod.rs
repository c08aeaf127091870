//! `retune hook …`.

mod exec;
mod install;
mod status;
mod uninstall;

use clap::Subcommand;
use retune::git::Checkout;
use retune::scan::hook::Hooks;

use crate::exit::Exit;
use crate::failure::Failure;
use crate::session::Session;

/// Verbs on the git hooks.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Add the pre-commit and pre-push hooks to this repository
    Install(install::Args),
    /// Remove them, and put back what was there before
    Uninstall(uninstall::Args),
    /// Show whether they are installed
    Status(status::Args),
    /// What the installed hooks run
    Exec(exec::Args),
}

impl Command {
    pub(crate) fn run(&self, session: &Session<'_>) -> Result<Exit, Failure> {
        match self {
            Self::Install(args) => install::run(args, session),
            Self::Uninstall(args) => uninstall::run(args, session),
            Self::Status(args) => status::run(args, session),
            Self::Exec(args) => exec::run(args, session),
        }
    }
}

/// The hooks of the repository that the project lies in.
fn hooks(session: &Session<'_>) -> Result<Hooks, Failure> {
    let checkout = Checkout::open(session.root(), &session.hook_environment())?;
    Ok(Hooks::of(&checkout)?)
}
