//! `retune scan`.

use std::path::PathBuf;

use retune::git::{Checkout, GitError};
use retune::scan::{scan_folder, scan_staged};

use crate::exit::Exit;
use crate::failure::Failure;
use crate::session::Session;
use crate::view::scan::{self, Scanned};

const EXAMPLES: &str = "\
Examples:
  retune scan
  retune scan src configs/serve.yaml
  retune scan --staged
  retune scan --format json | jq -r '.findings[] | \"\\(.path):\\(.line) \\(.rule)\"'

Reads Python, notebooks, YAML, JSON, TOML and .env files that git tracks or would add. Rules,
and how to allow a place with a reason: docs/guides/scan.md.

Exit codes: 0 nothing found, 10 a model that can change was found.";

/// Find models that can change, in code and configuration.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Args {
    /// Files and folders [default: the whole project]
    #[arg(value_name = "PATH", conflicts_with = "staged")]
    paths: Vec<PathBuf>,
    /// Check what is staged for the next commit instead of the work tree
    #[arg(long)]
    staged: bool,
}

pub(crate) fn run(args: &Args, session: &Session<'_>) -> Result<Exit, Failure> {
    let root = session.root();
    let checkout = Checkout::open(root, &session.hook_environment());
    let report = if args.staged {
        scan_staged(&checkout?)?
    } else {
        let checkout = match checkout {
            Ok(checkout) => Some(checkout),
            Err(GitError::NotARepository(_)) => None,
            Err(error) => return Err(error.into()),
        };
        let exclude = session
            .project()?
            .map(|project| project.scan.exclude)
            .unwrap_or_default();
        scan_folder(root, checkout.as_ref(), &args.paths, &exclude)?
    };
    session.ui.emit(&Scanned::new(&report));
    Ok(scan::exit(&report))
}
