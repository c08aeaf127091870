//! `retune store …`.

mod gc;
mod pull;
mod push;
mod verify;

use clap::Subcommand;

use crate::exit::Exit;
use crate::failure::Failure;
use crate::session::Session;

/// Verbs on the store.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Re-read every object and compare it with its digest
    Verify(verify::Args),
    /// Send the objects that the remote lacks
    Push(push::Args),
    /// Fetch the objects that are missing here
    Pull(pull::Args),
    /// Find what nobody names, move it into the trash, and days later remove it
    Gc(gc::Args),
}

impl Command {
    pub(crate) fn run(&self, session: &Session<'_>) -> Result<Exit, Failure> {
        match self {
            Self::Verify(args) => verify::run(args, session),
            Self::Push(args) => push::run(args, session),
            Self::Pull(args) => pull::run(args, session),
            Self::Gc(args) => gc::run(args, session),
        }
    }
}
