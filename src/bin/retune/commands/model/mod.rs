//! `retune model …`.

mod deprecate;
mod diff;
mod export;
mod list;
mod log;
mod promote;
mod protect;
mod register;
mod rollback;
mod show;
mod verify;

use clap::Subcommand;
use retune::gate::Policy;
use retune::lifecycle::{self, Workspace};
use retune::name::{AliasName, ModelName};
use retune::reference::{ModelRef, Selector};
use retune::registry::{Decision, Refusal, Version};

use crate::exit::Exit;
use crate::failure::Failure;
use crate::session::Session;
use crate::view::model::{Move, Moved};

/// Verbs on models.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Register what a run made as a version
    Register(register::Args),
    /// List models, or the versions of one
    List(list::Args),
    /// Show what a version is made of
    Show(show::Args),
    /// Show what is different between two versions
    Diff(diff::Args),
    /// Show where an alias pointed, since when, and why
    Log(log::Args),
    /// Move an alias to a version that passed its gate
    Promote(promote::Args),
    /// Move an alias back to the version before
    Rollback(rollback::Args),
    /// Say who may move an alias, whether it takes two people, and whose signature
    Protect(protect::Args),
    /// Say that a version is to be replaced, by what and until when
    Deprecate(deprecate::Args),
    /// Re-read every record, version, event and alias, and the bytes they name
    Verify(verify::Args),
    /// Write a version's adapter into a new directory
    Export(export::Args),
}

impl Command {
    pub(crate) fn run(&self, session: &Session<'_>) -> Result<Exit, Failure> {
        match self {
            Self::Register(args) => register::run(args, session),
            Self::List(args) => list::run(args, session),
            Self::Show(args) => show::run(args, session),
            Self::Diff(args) => diff::run(args, session),
            Self::Log(args) => log::run(args, session),
            Self::Promote(args) => promote::run(args, session),
            Self::Rollback(args) => rollback::run(args, session),
            Self::Protect(args) => protect::run(args, session),
            Self::Deprecate(args) => deprecate::run(args, session),
            Self::Verify(args) => verify::run(args, session),
            Self::Export(args) => export::run(args, session),
        }
    }
}

/// The alias of a reference that must name one.
fn alias(reference: &ModelRef) -> Result<&AliasName, Failure> {
    match &reference.selector {
        Selector::Alias(alias) => Ok(alias),
        Selector::Version(_) | Selector::Digest(_) => Err(Failure::usage(format!(
            "{reference} names a version, not an alias"
        ))
        .hint(format!(
            "write {}:ALIAS, such as {}:production",
            reference.model, reference.model
        ))),
    }
}

/// The command that judges a version for an alias, as far as the project tells what belongs into it.
fn judging(workspace: &Workspace<'_>, version: &Version, alias: &AliasName) -> String {
    let model = &version.manifest.model;
    let policy = lifecycle::policy_of(workspace, model).map(|own| own.policy);
    let policy = policy.as_ref().ok();
    let in_use = lifecycle::current(workspace, model, alias);
    let against = match (in_use, policy.and_then(Policy::first_version)) {
        (Ok(None), Some(first)) => first
            .against
            .iter()
            .map(|kind| format!(" --against {kind}"))
            .collect(),
        (Ok(None), None) => " --against nearest-centroid --against majority".to_owned(),
        _ => format!(" --against :{alias}"),
    };
    let suite = match policy.and_then(Policy::suite) {
        Some(_) => String::new(),
        None => match workspace.tenant().suites().names().as_deref() {
            Ok([only]) => format!(" --suite {only}"),
            _ => " --suite SUITE".to_owned(),
        },
    };
    format!("retune gate check {version}{against}{suite}")
}

/// Prints a move, or turns a refusal into a failure.
fn decided(
    decision: Decision,
    reference: &ModelRef,
    alias: &AliasName,
    session: &Session<'_>,
    dry_run: bool,
) -> Result<Exit, Failure> {
    let (version, event) = match decision {
        Decision::Moved(id, event) => (event.to.version.clone(), Some(Move::new(&id, &event))),
        Decision::Unchanged(target) => (target.version, None),
        Decision::Refused(refusal) => return Err(refused(&refusal, reference, alias)),
    };
    session.ui.emit(&Moved {
        model: reference.model.to_string(),
        alias: alias.to_string(),
        dry_run,
        event,
        version: version.to_string(),
    });
    Ok(Exit::Done)
}

/// Others may do it, or who acts has not shown who they are.
pub(super) fn protected(refusal: &Refusal, model: &ModelName, alias: &AliasName) -> Failure {
    let failure =
        Failure::from_error(Exit::Failed, refusal).context(format!("{model}:{alias} is protected"));
    match refusal {
        Refusal::NoKey { .. } => failure
            .hint("name a key: git config gpg.format ssh; git config user.signingKey ~/.ssh/id_ed25519.pub")
            .hint("or for one command: RETUNE_SIGNING_KEY=FILE"),
        Refusal::NoSigner { .. } | Refusal::OtherKey { .. } => failure
            .hint(format!("signers say who signs: retune model protect {model}:{alias} --signers FILE")),
        _ => failure,
    }
}

fn refused(refusal: &Refusal, reference: &ModelRef, alias: &AliasName) -> Failure {
    let model = &reference.model;
    match refusal {
        Refusal::NothingEarlier { .. } => Failure::from_error(Exit::Failed, refusal)
            .context(format!("cannot roll back {model}:{alias}"))
            .hint(format!(
                "see where it was: retune model log {model}:{alias}"
            )),
        Refusal::NeverThere { .. } => Failure::from_error(Exit::Usage, refusal)
            .context(format!("cannot roll back {model}:{alias}"))
            .hint(format!(
                "see where it was: retune model log {model}:{alias}"
            ))
            .hint("a version that was never there needs evidence: retune model promote"),
        refusal if refusal.is_about_people() => protected(refusal, model, alias),
        Refusal::Deprecated { replacement, .. } => Failure::from_error(Exit::Findings, refusal)
            .context(format!("cannot promote {reference} to {alias}"))
            .hint(format!(
                "promote its replacement: retune model promote {model}@{replacement} --to {alias}"
            )),
        _ => Failure::from_error(Exit::GateInvalid, refusal)
            .context(format!("cannot promote {reference} to {alias}")),
    }
}
