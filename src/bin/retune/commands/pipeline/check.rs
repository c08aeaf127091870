//! `retune pipeline check`.

use std::path::PathBuf;

use retune::pipeline::{Spec, check};

use crate::exit::Exit;
use crate::failure::Failure;
use crate::session::Session;
use crate::view::pipeline::Checked;

const EXAMPLES: &str = "\
Examples:
  retune pipeline check pipelines/quickstart.yaml
  retune pipeline check pipelines/*.yaml

Exit codes: 0 every file can be read and they fit together, 2 something is wrong with one.";

/// Read pipeline files and everything they name, and report every fault.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Args {
    /// The pipeline files
    #[arg(required = true, value_name = "FILE")]
    files: Vec<PathBuf>,
}

pub(crate) fn run(args: &Args, session: &Session<'_>) -> Result<Exit, Failure> {
    for file in &args.files {
        let spec = Spec::read(file)?;
        check(&spec)?;
        session.ui.emit(&Checked::from(&spec));
    }
    Ok(Exit::Done)
}
