//! `retune migration plan`.

use std::path::PathBuf;

use retune::fsio;
use retune::lifecycle::{MigrationAsk, plan_migration, plan_retraining};
use retune::name::{AliasName, ModelName, TenantName};
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
  retune migration plan support --retrain job.yaml --suite suite.yaml --step canary:3 \\
      --step production --reason 'monthly data' --out migrations/support.yaml

With --retrain the version is made first: applied, the migration trains the job on the data and
base of the plan, has the version answer the suite, registers it and judges it by the project's
policy against what every alias points to. Only when all of that passed does an alias move.

The file says from where and to where each alias moves, and which pins of this repository follow.
Review it like code, then `migration apply` it. Every alias must point somewhere already, so that
all of it can be taken back.

Exit codes: 0 the plan is made, 2 an alias points nowhere, or to the version already, or a file
has faults.";

/// Plan the move of aliases to a version, as a file to review.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Args {
    /// [TENANT/]MODEL@VERSION: where the aliases move; with --retrain [TENANT/]MODEL
    #[arg(value_name = "REF", value_parser = aim)]
    to: Aim,
    /// The job that makes the version first, seen from the project
    #[arg(long, value_name = "JOB", requires = "suite")]
    retrain: Option<PathBuf>,
    /// The suite that the new version is judged on, seen from the project
    #[arg(long, value_name = "FILE", requires = "retrain")]
    suite: Option<PathBuf>,
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

/// Where the aliases move.
#[derive(Debug, Clone)]
enum Aim {
    Version(ModelRef),
    Model(Option<TenantName>, ModelName),
}

pub(crate) fn run(args: &Args, session: &Session<'_>) -> Result<Exit, Failure> {
    let workspace = session.workspace(true)?;
    let model = match &args.to {
        Aim::Version(reference) => &reference.model,
        Aim::Model(_, model) => model,
    };
    let ask = MigrationAsk {
        steps: &args.steps,
        reason: &args.reason,
        deadline: args.deadline,
        consumers: consumers(args, model, session)?,
    };
    let migration = match (&args.to, args.retrain.as_deref(), args.suite.as_deref()) {
        (Aim::Version(to), None, _) => plan_migration(&workspace, to, ask)?,
        (Aim::Model(tenant, model), Some(job), Some(suite)) => {
            let model = (tenant.as_ref(), model);
            plan_retraining(&workspace, model, (job, suite), ask)?
        }
        (Aim::Version(to), Some(_), _) => {
            let message = format!("--retrain makes the version, and {to} names one");
            return Err(Failure::usage(message).hint(format!("give the model alone: {}", to.model)));
        }
        (Aim::Model(_, model), ..) => {
            let message = format!("{model} names no version to move to");
            let hint = "give MODEL@VERSION, or --retrain JOB to make one";
            return Err(Failure::usage(message).hint(hint));
        }
    };
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

/// The pins of this project that follow one of the aliases.
fn consumers(
    args: &Args,
    model: &ModelName,
    session: &Session<'_>,
) -> Result<Vec<String>, Failure> {
    let project = session.required_project()?;
    let consumers = project.pins.iter().filter(|(_, ask)| {
        let aliases = args.steps.iter().map(|(alias, _)| alias);
        let follows = |alias| ask.asked == Asked::Alias(alias);
        ask.model == *model && aliases.cloned().any(follows)
    });
    Ok(consumers.map(|(name, _)| name.to_string()).collect())
}

/// A reference, or the name of a model.
fn aim(text: &str) -> Result<Aim, String> {
    if text.contains([':', '@']) {
        let reference = text.parse::<ModelRef>();
        return reference.map(Aim::Version).map_err(|e| e.to_string());
    }
    let named = |e: retune::name::ParseNameError| e.to_string();
    match text.split_once('/') {
        Some((tenant, model)) => {
            let tenant = tenant.parse().map_err(named)?;
            Ok(Aim::Model(Some(tenant), model.parse().map_err(named)?))
        }
        None => Ok(Aim::Model(None, text.parse().map_err(named)?)),
    }
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
