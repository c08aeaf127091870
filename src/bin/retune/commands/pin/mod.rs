//! `retune pin …`.

mod add;
mod check;
mod list;
mod update;

use clap::Subcommand;

use crate::exit::Exit;
use crate::failure::Failure;
use crate::session::Session;

/// Verbs on pins.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Pin one version of a model
    Add(add::Args),
    /// Choose versions anew and write retune.lock
    Update(update::Args),
    /// List the pins
    List(list::Args),
    /// Check that retune.yaml, retune.lock and the registry agree
    Check(check::Args),
}

impl Command {
    pub(crate) fn run(&self, session: &Session<'_>) -> Result<Exit, Failure> {
        match self {
            Self::Add(args) => add::run(args, session),
            Self::Update(args) => update::run(args, session),
            Self::List(args) => list::run(args, session),
            Self::Check(args) => check::run(args, session),
        }
    }
}
