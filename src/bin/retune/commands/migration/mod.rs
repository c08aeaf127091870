//! `retune migration …`.

mod abort;
mod apply;
mod plan;
mod show;

use clap::Subcommand;
use retune::lifecycle::{Migration, MigrationOutcome, Promotion};
use retune::name::{AliasName, ModelName};
use retune::registry::Decision;

use super::model::protected;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::session::Session;
use crate::view::migration::Standing;

/// Verbs on migrations.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Plan the move of aliases to a version, as a file to review
    Plan(plan::Args),
    /// Show where a migration stands
    Show(show::Args),
    /// Take every step that can be taken by now
    Apply(apply::Args),
    /// Take every alias back to where it was
    Abort(abort::Args),
}

impl Command {
    pub(crate) fn run(&self, session: &Session<'_>) -> Result<Exit, Failure> {
        match self {
            Self::Plan(args) => plan::run(args, session),
            Self::Show(args) => show::run(args, session),
            Self::Apply(args) => apply::run(args, session),
            Self::Abort(args) => abort::run(args, session),
        }
    }
}

/// Prints where a migration stands, or says why an alias did not move.
fn came_to(
    outcome: MigrationOutcome,
    migration: &Migration,
    session: &Session<'_>,
    dry_run: bool,
) -> Result<Exit, Failure> {
    let model = &migration.plan.model;
    match outcome {
        MigrationOutcome::Stands(status) => {
            let view = Standing::new(migration, &status, session.now(), dry_run);
            session.ui.emit(&view);
            Ok(Exit::Done)
        }
        MigrationOutcome::Refused(alias, refusal) => {
            let why = match refusal.is_about_people() {
                true => protected(&refusal, model, &alias),
                false => Failure::from_error(Exit::Failed, &refusal),
            };
            Err(why.context(format!("{model}:{alias} was not taken back")))
        }
        MigrationOutcome::Interrupted(run, _) => {
            let short = run.short();
            session.ui.say(&format!(
                "run {short} was interrupted; apply the migration again to go on"
            ));
            Ok(Exit::Interrupted)
        }
        MigrationOutcome::Stopped(alias, promotion) => Err(stopped(&promotion, model, &alias)
            .context(format!("the migration stops before {model}:{alias}"))
            .hint("mend the cause and apply it again, or give it up: retune migration abort")),
    }
}

fn stopped(promotion: &Promotion, model: &ModelName, alias: &AliasName) -> Failure {
    match promotion {
        Promotion::NoEvidence(version) => {
            let message = format!("no gate has judged {version} against where the alias points");
            Failure::new(Exit::GateInvalid, message)
        }
        Promotion::OtherPolicy(other) => Failure::from_error(Exit::GateInvalid, other.as_ref()),
        Promotion::NotPassed(version, id, verdict) => {
            let message = format!("the gate evidence {id} about {version} says {verdict}");
            Failure::new(Exit::of_verdict(*verdict), message)
        }
        Promotion::Decided(_, Decision::Refused(refusal)) if refusal.is_about_people() => {
            protected(refusal, model, alias)
        }
        Promotion::Decided(_, Decision::Refused(refusal)) => {
            Failure::from_error(Exit::GateInvalid, refusal)
        }
        Promotion::Decided(version, _) => Failure::new(Exit::Failed, version.to_string()),
    }
}
