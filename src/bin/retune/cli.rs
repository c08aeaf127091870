//! The command tree.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};

use crate::commands::{
    base, completions, dataset, doctor, eval, gate, hook, init, migration, model, pin, pipeline,
    run, scan, status, store, sync, train,
};
use crate::exit::Exit;
use crate::failure::Failure;
use crate::session::Session;

/// Fine-tuning as a planned, reversible, evidence-gated operation.
#[derive(Debug, Parser)]
#[command(
    name = "retune",
    version,
    propagate_version = true,
    max_term_width = 100
)]
#[command(disable_help_subcommand = true, arg_required_else_help = true)]
pub(crate) struct Cli {
    #[command(flatten)]
    pub(crate) global: Global,
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// Options of every command.
#[derive(Debug, Args)]
#[command(next_help_heading = "Global options")]
pub(crate) struct Global {
    /// The project's directory [default: nearest with retune.yaml, else the git root, else here]
    #[arg(long, global = true, value_name = "DIR", env = "RETUNE_PROJECT")]
    pub(crate) project: Option<PathBuf>,
    /// What to print on stdout
    #[arg(
        long,
        global = true,
        value_enum,
        default_value_t,
        env = "RETUNE_FORMAT"
    )]
    pub(crate) format: Format,
    /// Print results and errors only
    #[arg(long, short, global = true, conflicts_with = "verbose")]
    pub(crate) quiet: bool,
    /// Say more about what is done
    #[arg(long, short, global = true)]
    pub(crate) verbose: bool,
    /// When to colour
    #[arg(long, global = true, value_enum, default_value_t, value_name = "WHEN")]
    pub(crate) color: Color,
    /// Draw no progress bars
    #[arg(long, global = true)]
    pub(crate) no_progress: bool,
}

/// Output formats.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum Format {
    /// Text for people
    #[default]
    Human,
    /// JSON for programs
    Json,
}

/// When to colour.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum Color {
    /// On a terminal, unless NO_COLOR is set
    #[default]
    Auto,
    /// Always
    Always,
    /// Never
    Never,
}

/// The nouns, in lifecycle order, then the acts that own no object.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Set up a project here
    Init(init::Args),
    /// Add, describe and compare datasets
    #[command(subcommand)]
    Dataset(dataset::Command),
    /// Add and describe bases: frozen pretrained models
    #[command(subcommand)]
    Base(base::Command),
    /// Train a LoRA adapter as a job file says
    Train(train::Args),
    /// List and show training runs
    #[command(subcommand)]
    Run(run::Command),
    /// Have a version, or a baseline that needs no training, answer a suite
    Eval(Box<eval::Args>),
    /// Judge versions: PASS, FAIL, INCONCLUSIVE or INVALID
    #[command(subcommand)]
    Gate(gate::Command),
    /// Register, promote and roll back model versions
    #[command(subcommand)]
    Model(model::Command),
    /// Fix which model versions this repository uses
    #[command(subcommand)]
    Pin(pin::Command),
    /// Check commits and pushes for models that can change
    #[command(subcommand)]
    Hook(hook::Command),
    /// Find models that can change, in code and configuration
    Scan(scan::Args),
    /// Check, plan and run whole pipelines
    #[command(subcommand)]
    Pipeline(pipeline::Command),
    /// Plan the move of aliases to a version, take it step by step, or take it back
    #[command(subcommand)]
    Migration(migration::Command),
    /// Show where every alias stands, since when, and what has to be replaced by when
    Status(status::Args),
    /// Keep the registry in step with another clone, over git
    Sync(sync::Args),
    /// Look after the content-addressed store
    #[command(subcommand)]
    Store(store::Command),
    /// Find what is wrong with project, registry and store, and say the way out
    Doctor(doctor::Args),
    /// Print a completion script for a shell
    Completions(completions::Args),
}

impl Command {
    pub(crate) fn run(&self, session: &Session<'_>) -> Result<Exit, Failure> {
        match self {
            Self::Init(args) => init::run(args, session),
            Self::Dataset(command) => command.run(session),
            Self::Base(command) => command.run(session),
            Self::Train(args) => train::run(args, session),
            Self::Run(command) => command.run(session),
            Self::Eval(args) => eval::run(args, session),
            Self::Gate(command) => command.run(session),
            Self::Model(command) => command.run(session),
            Self::Pin(command) => command.run(session),
            Self::Hook(command) => command.run(session),
            Self::Scan(args) => scan::run(args, session),
            Self::Pipeline(command) => command.run(session),
            Self::Migration(command) => command.run(session),
            Self::Status(args) => status::run(args, session),
            Self::Sync(args) => sync::run(args, session),
            Self::Store(command) => command.run(session),
            Self::Doctor(args) => doctor::run(args, session),
            Self::Completions(args) => completions::run(args, session),
        }
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_tree_is_sound() {
        Cli::command().debug_assert();
    }

    #[test]
    fn every_command_shows_an_example() {
        fn check(path: &str, command: &clap::Command) {
            let leaf = command.get_subcommands().next().is_none();
            let help = command.clone().render_long_help().to_string();
            assert!(
                !leaf || help.contains("Example"),
                "{path} --help shows no example"
            );
            for sub in command.get_subcommands() {
                check(&format!("{path} {}", sub.get_name()), sub);
            }
        }
        check("retune", &Cli::command());
    }
}
