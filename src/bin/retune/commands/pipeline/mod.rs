//! `retune pipeline …`.

mod check;
mod plan;
mod run;

use clap::Subcommand;
use retune::lifecycle::{Workspace, init};
use retune::pin::PROJECT_FILE;
use retune::pipeline::Spec;

use crate::exit::Exit;
use crate::failure::Failure;
use crate::session::Session;

/// Verbs on pipelines.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Read a pipeline file and everything it names, and report every fault
    Check(check::Args),
    /// Show what a run would do
    Plan(plan::Args),
    /// Add, train, evaluate, register, judge, promote and pin, as far as it is not done yet
    Run(run::Args),
}

impl Command {
    pub(crate) fn run(&self, session: &Session<'_>) -> Result<Exit, Failure> {
        match self {
            Self::Check(args) => check::run(args, session),
            Self::Plan(args) => plan::run(args, session),
            Self::Run(args) => run::run(args, session),
        }
    }
}

/// The project that a pipeline works in, set up if it is not there yet.
fn workspace<'s>(
    session: &'s Session<'_>,
    spec: &Spec,
    dry_run: bool,
) -> Result<Workspace<'s>, Failure> {
    let root = spec.project.as_deref().unwrap_or(session.root());
    if !root.join(PROJECT_FILE).exists() {
        // Setting up decides nothing, so a plan does it too; the plan then has something to look into.
        let tenant = "default".parse::<retune::name::TenantName>();
        let tenant = tenant.map_err(|e| Failure::usage(e.to_string()))?;
        retune::fsio::create_dir(root)?;
        init(root, &tenant, &session.act(false))?;
    }
    session.workspace_in(root, dry_run)
}
