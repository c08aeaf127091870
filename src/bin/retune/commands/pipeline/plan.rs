//! `retune pipeline plan`.

use std::path::PathBuf;

use retune::pipeline::{Spec, execute};

use super::workspace;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::session::Session;
use crate::view::pipeline::Plan;

const EXAMPLES: &str = "\
Examples:
  retune pipeline plan pipelines/quickstart.yaml
  retune pipeline plan pipelines/quickstart.yaml --format json |
      jq '.steps[] | select(.state == \"pending\")'";

/// Show what a run would do.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Args {
    /// The pipeline file
    file: PathBuf,
}

pub(crate) fn run(args: &Args, session: &Session<'_>) -> Result<Exit, Failure> {
    let spec = Spec::read(&args.file)?;
    let workspace = workspace(session, &spec, true)?;
    let outcome = execute(&spec, &workspace, &mut |_| {})?;
    session.ui.emit(&Plan::from((&spec, &outcome)));
    Ok(Exit::Done)
}
