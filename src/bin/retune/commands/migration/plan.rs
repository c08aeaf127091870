//! `retune migration plan`.

use std::path::PathBuf;

use retune::fsio;
use retune::lifecycle::plan_migration;
use retune::name::AliasName;
use retune::pin::Asked;
use retune::reference::ModelRef;
use retune::time::Timestamp;

use crate::commands::day::day;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::session::Session;
use crate::view::migration::Planned;

const EXAMPLES: &str = "\
Examples:
  retune migration plan support@20261123-3f9a --step canary:3 --step production \\
      --reason 'base retires'
  retune migration plan support@20261123-3f9a --step production --reason drift \\
      --out migrations/support.yaml

The file says from where and to where each alias moves, and which pins of this repository follow.
Review it like code, then `migration apply` it. Every alias must point somewhere already, so that
all of it can be taken back.

Exit codes: 0 the plan is made, 2 an alias points nowhere, or to the version already.";

/// Plan the move of aliases to a version, as a file to review.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Args {
    /// [TENANT/]MODEL@VERSION: where the aliases move
    #[arg(value_name = "REF")]
    to: ModelRef,
    /// An alias and how many days it soaks before the next one moves, such as canary:3; repeat it in order
    #[arg(long = "step", value_name = "ALIAS[:DAYS]", required = true, value_parser = step)]
    steps: Vec<(AliasName, u32)>,
    /// Why, or what triggered it
    #[arg(long, value_name = "TEXT")]
    reason: String,
    /// The last day for it
    #[arg(long, value_name = "DAY", value_parser = day)]
    deadline: Option<Timestamp>,
    /// Write the file here, where there is none yet [default: print it]
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
}

pub(crate) fn run(args: &Args, session: &Session<'_>) -> Result<Exit, Failure> {
    let workspace = session.workspace(true)?;
    let project = session.required_project()?;
    let consumers = project.pins.iter().filter(|(_, ask)| {
        let aliases = args.steps.iter().map(|(alias, _)| alias);
        let follows = |alias| ask.asked == Asked::Alias(alias);
        ask.model == args.to.model && aliases.cloned().any(follows)
    });
    let consumers = consumers.map(|(name, _)| name.to_string()).collect();
    let migration = plan_migration(
        &workspace,
        &args.to,
        &args.steps,
        &args.reason,
        args.deadline,
        consumers,
    )?;
    if let Some(path) = &args.out {
        if path.exists() {
            let message = format!("{} is there already", path.display());
            return Err(Failure::usage(message).hint("a reviewed plan is not overwritten"));
        }
        fsio::write_atomic(path, migration.text.as_bytes())?;
    }
    session
        .ui
        .emit(&Planned::new(&migration, args.out.as_deref()));
    Ok(Exit::Done)
}

/// `ALIAS` or `ALIAS:DAYS`.
fn step(text: &str) -> Result<(AliasName, u32), String> {
    let (alias, days) = text.split_once(':').unwrap_or((text, "0"));
    let alias = alias
        .parse()
        .map_err(|e: retune::name::ParseNameError| e.to_string())?;
    let days = days.parse().ok().filter(|days| *days <= 3650);
    Ok((
        alias,
        days.ok_or("expected ALIAS or ALIAS:DAYS, such as canary:3")?,
    ))
}
