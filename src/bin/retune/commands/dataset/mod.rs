//! `retune dataset …`.

mod add;
mod diff;
mod list;
mod show;
mod verify;

use clap::Subcommand;
use retune::name::DatasetName;

use super::wanted::Wanted;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::session::Session;

/// A dataset on the command line.
type DatasetRef = Wanted<DatasetName>;

/// Verbs on datasets.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Add JSONL or CSV files, or folders of texts, as a dataset version
    Add(add::Args),
    /// List datasets, or the versions of one
    List(list::Args),
    /// Show what is in a dataset: labels, lengths, duplicates, texts that stand in two splits
    Show(show::Args),
    /// Show which rows were added, removed or changed
    Diff(diff::Args),
    /// Re-read datasets and compare every digest and count
    Verify(verify::Args),
}

impl Command {
    pub(crate) fn run(&self, session: &Session<'_>) -> Result<Exit, Failure> {
        match self {
            Self::Add(args) => add::run(args, session),
            Self::List(args) => list::run(args, session),
            Self::Show(args) => show::run(args, session),
            Self::Diff(args) => diff::run(args, session),
            Self::Verify(args) => verify::run(args, session),
        }
    }
}
