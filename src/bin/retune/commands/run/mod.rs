//! `retune run …`.

mod list;
mod show;

use clap::Subcommand;

use crate::exit::Exit;
use crate::failure::Failure;
use crate::session::Session;

/// Verbs on runs.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// List runs, the newest first
    List(list::Args),
    /// Show what a run was asked to do and what came of it
    Show(show::Args),
}

impl Command {
    pub(crate) fn run(&self, session: &Session<'_>) -> Result<Exit, Failure> {
        match self {
            Self::List(args) => list::run(args, session),
            Self::Show(args) => show::run(args, session),
        }
    }
}
