//! `retune dataset diff`.

use retune::dataset::diff;
use retune::lifecycle::find_dataset;

use super::DatasetRef;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::session::Session;
use crate::view::dataset::Compared;

const EXAMPLES: &str = "\
Examples:
  retune dataset diff tickets@20261101-77ab tickets
  retune dataset diff tickets@20261101-77ab tickets --format json | jq '.splits.train.changed'

Rows are compared by content: their order, their ids and the format of the files do not count.
`changed` is the same text with another label, the same prompt with another completion, or the
same conversation with another answer.";

/// Show which rows were added, removed or changed.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Args {
    /// NAME, or NAME@VERSION
    #[arg(value_name = "BEFORE")]
    before: DatasetRef,
    /// NAME, or NAME@VERSION
    #[arg(value_name = "AFTER")]
    after: DatasetRef,
}

pub(crate) fn run(args: &Args, session: &Session<'_>) -> Result<Exit, Failure> {
    let workspace = session.workspace(false)?;
    let find = |wanted: &DatasetRef| find_dataset(&workspace, &wanted.name, wanted.version());
    let (before, after) = (find(&args.before)?, find(&args.after)?);
    let found = diff(&workspace.store, &before.manifest, &after.manifest)?;
    session.ui.emit(&Compared::new(&before, &after, &found));
    Ok(Exit::Done)
}
