//! `retune dataset show`.

use retune::dataset::stats;
use retune::lifecycle::find_dataset;

use super::DatasetRef;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::session::Session;
use crate::view::dataset::Shown;

const EXAMPLES: &str = "\
Examples:
  retune dataset show tickets
  retune dataset show tickets@20261123-3f9a --labels
  retune dataset show tickets --format json | jq '.overlaps[].rows'

Duplicates and conflicts are exact: same text, same or other label. Overlaps between splits are
found with case, punctuation, blanks and Unicode compatibility forms (NFKC) taken out.";

/// Show what is in a dataset: labels, lengths, duplicates, texts that stand in two splits.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Args {
    /// NAME, or NAME@VERSION
    #[arg(value_name = "REF")]
    dataset: DatasetRef,
    /// Print the rows of every label
    #[arg(long)]
    labels: bool,
}

pub(crate) fn run(args: &Args, session: &Session<'_>) -> Result<Exit, Failure> {
    let workspace = session.workspace(false)?;
    let known = find_dataset(&workspace, &args.dataset.name, args.dataset.version())?;
    let stats = stats(&workspace.store, &known.manifest)?;
    session.ui.emit(&Shown::new(&known, &stats, args.labels));
    Ok(Exit::Done)
}
