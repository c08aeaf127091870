//! `retune store …`.

mod gc;
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
    /// Find what nobody names, move it into the trash, and days later remove it
    Gc(gc::Args),
}

impl Command {
    pub(crate) fn run(&self, session: &Session<'_>) -> Result<Exit, Failure> {
        match self {
            Self::Verify(args) => verify::run(args, session),
            Self::Gc(args) => gc::run(args, session),
        }
    }
}
