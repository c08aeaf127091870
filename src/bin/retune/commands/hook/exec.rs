//! `retune hook exec`: what the installed hooks run.

use std::io::Read;
use std::path::Path;

use retune::git::{Checkout, PushedRef};
use retune::pin::{LOCK_FILE, PROJECT_FILE, check_frozen};
use retune::scan::hook::Hook;
use retune::scan::{scan_pushed, scan_staged};

use crate::exit::Exit;
use crate::failure::Failure;
use crate::session::Session;
use crate::view::hook::HookRun;

const EXAMPLES: &str = "\
Examples:
  retune hook exec pre-commit
  git rev-parse HEAD | sed \\
    's|.*|refs/heads/main & refs/heads/main 0000000000000000000000000000000000000000|' |
    retune hook exec pre-push origin

Reads git objects, never the work tree: what is checked is what would be committed or pushed.
Models are looked for in the files that change; retune.lock must be what retune.yaml asks for,
as `retune pin check --frozen` tells it.

Exit codes: 0 nothing found, 10 a model that can change was found, or a lock that is stale,
missing or in conflict, 2 a lock or project file that cannot be read.";

/// What the installed hooks run.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Args {
    /// pre-commit or pre-push
    #[arg(value_name = "HOOK")]
    hook: Hook,
    /// What git passes to the hook: for pre-push, the remote's name and address
    #[arg(value_name = "ARG", allow_hyphen_values = true)]
    rest: Vec<String>,
}

pub(crate) fn run(args: &Args, session: &Session<'_>) -> Result<Exit, Failure> {
    // git runs hooks at the top of the work tree.
    let checkout = Checkout::open(Path::new("."), &session.hook_environment())?;
    let run = match args.hook {
        Hook::PreCommit => staged(&checkout)?,
        Hook::PrePush => pushed(&checkout, args)?,
    };
    session.ui.emit(&run);
    Ok(run.exit())
}

fn staged(checkout: &Checkout) -> Result<HookRun, Failure> {
    let mut run = HookRun::new(Hook::PreCommit, &scan_staged(checkout)?);
    let file = |name| checkout.staged_file(name);
    run.add_pins(None, &check_frozen(file(PROJECT_FILE)?, file(LOCK_FILE)?)?);
    Ok(run)
}

fn pushed(checkout: &Checkout, args: &Args) -> Result<HookRun, Failure> {
    let remote = args
        .rest
        .first()
        .ok_or_else(|| Failure::usage("pre-push needs the name of the remote"))?;
    let mut input = String::new();
    std::io::stdin()
        .read_to_string(&mut input)
        .map_err(|e| Failure::new(Exit::Failed, format!("cannot read what is pushed: {e}")))?;
    let pushes = input
        .lines()
        .map(PushedRef::parse)
        .filter_map(Result::transpose)
        .collect::<Result<Vec<_>, _>>()
        .map_err(|line| {
            Failure::usage(format!("not a line that git writes for pre-push: {line:?}"))
        })?;
    let mut run = HookRun::new(Hook::PrePush, &scan_pushed(checkout, &pushes, remote)?);
    for push in &pushes {
        let file = |name| checkout.tip_file(&push.tip, name);
        let problems = check_frozen(file(PROJECT_FILE)?, file(LOCK_FILE)?)?;
        run.add_pins(Some(&push.local_ref), &problems);
    }
    Ok(run)
}
