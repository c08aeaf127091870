//! `retune pipeline run`.

use std::path::PathBuf;

use retune::gate::Verdict;
use retune::pipeline::{End, Outcome, Spec, execute};

use super::workspace;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::session::Session;
use crate::view::pipeline::{Ran, line};

const EXAMPLES: &str = "\
Examples:
  retune pipeline run pipelines/quickstart.yaml
  retune pipeline run pipelines/quickstart.yaml --dry-run
  retune pipeline run pipelines/quickstart.yaml --format json | jq -r .summary.scores

A run that was stopped, by you or by a crash, goes on where it stopped: run it again.
When nothing has changed, it does nothing and says so.

Exit codes: 0 the alias points to the version that these inputs make, 11 gate FAIL,
12 INCONCLUSIVE, 13 INVALID or refused, 130 interrupted.";

/// Add, train, evaluate, register, judge, promote and pin, as far as it is not done yet.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Args {
    /// The pipeline file
    file: PathBuf,
    /// Show what would be done, and do nothing
    #[arg(long)]
    dry_run: bool,
}

pub(crate) fn run(args: &Args, session: &Session<'_>) -> Result<Exit, Failure> {
    let spec = Spec::read(&args.file)?;
    let workspace = workspace(session, &spec, args.dry_run)?;
    let outcome = execute(&spec, &workspace, &mut |step| session.ui.say(&line(step)))?;
    session.ui.emit(&Ran::from((&spec, &outcome)));
    Ok(exit(&outcome))
}

fn exit(outcome: &Outcome) -> Exit {
    match &outcome.end {
        End::Planned | End::Complete(_) => Exit::Done,
        End::NotPassed(_, verdict, _) => match verdict {
            Verdict::Pass => Exit::Done,
            Verdict::Fail => Exit::GateFail,
            Verdict::Inconclusive => Exit::GateInconclusive,
            Verdict::Invalid => Exit::GateInvalid,
        },
        End::Refused(_) => Exit::GateInvalid,
        End::Interrupted => Exit::Interrupted,
    }
}
