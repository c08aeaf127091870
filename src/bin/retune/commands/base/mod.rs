//! `retune base …`.

mod add;
mod list;
mod retire;
mod show;
mod verify;

use clap::Subcommand;
use retune::name::BaseName;

use super::wanted::Wanted;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::session::Session;

/// A base on the command line.
type BaseRef = Wanted<BaseName>;

/// Verbs on bases.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Add a Hugging Face checkpoint folder
    Add(add::Args),
    /// List bases, or the versions of one
    List(list::Args),
    /// Show what a base is and which files it is made of
    Show(show::Args),
    /// Say when a base ends: what was trained on it inherits the deadline
    Retire(retire::Args),
    /// Re-read bases and compare every digest
    Verify(verify::Args),
}

impl Command {
    pub(crate) fn run(&self, session: &Session<'_>) -> Result<Exit, Failure> {
        match self {
            Self::Add(args) => add::run(args, session),
            Self::List(args) => list::run(args, session),
            Self::Show(args) => show::run(args, session),
            Self::Retire(args) => retire::run(args, session),
            Self::Verify(args) => verify::run(args, session),
        }
    }
}
