//! `retune model promote`.

use retune::gate::EvidenceId;
use retune::lifecycle::{self, Promotion, Workspace};
use retune::name::AliasName;
use retune::reference::ModelRef;
use retune::registry::Version;

use super::{decided, judging};
use crate::exit::Exit;
use crate::failure::Failure;
use crate::session::Session;

const EXAMPLES: &str = "\
Examples:
  retune model promote support@20261123-3f9a --to production
  retune model promote support@20261123-3f9a --to production --reason 'covers refunds' --dry-run
  retune model promote support:canary --to production --evidence sha256:9c1e…

The evidence is judged again from the stored bytes. It must compare exactly this version with
exactly what the alias points to now, by the policy that retune.yaml names for the model (`gates`,
else gate.yaml). Every byte of both is re-read first.

Exit codes: 0 it moved or was there already, 1 others may move it, or it takes a signature, 11 the
gate says FAIL, 12 INCONCLUSIVE, 13 there is no evidence, or it is about something else or by
another policy than the project's, 14 bytes are missing or changed, 15 lost a race.";

/// Move an alias to a version that passed its gate.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Args {
    /// [TENANT/]MODEL@VERSION, MODEL@sha256:… or MODEL:ALIAS
    #[arg(value_name = "REF")]
    reference: ModelRef,
    /// The alias to move
    #[arg(long, value_name = "ALIAS")]
    to: AliasName,
    /// The evidence [default: the newest about this version and what the alias points to]
    #[arg(long, value_name = "ID")]
    evidence: Option<EvidenceId>,
    /// Why; goes into the log
    #[arg(long, value_name = "TEXT")]
    reason: Option<String>,
    /// Check everything, move nothing
    #[arg(long)]
    dry_run: bool,
}

pub(crate) fn run(args: &Args, session: &Session<'_>) -> Result<Exit, Failure> {
    let workspace = session.workspace(args.dry_run)?;
    let reason = args.reason.as_deref();
    let answer = lifecycle::promote(&workspace, &args.reference, &args.to, args.evidence, reason)?;
    let (version, exit, cause) = match answer {
        Promotion::Decided(version, decision) => {
            return decided(decision, &args.reference, &args.to, session, args.dry_run).map_err(
                |refused| match refused.exit() {
                    Exit::GateInvalid => judge_first(refused, &workspace, &version, &args.to),
                    _ => refused,
                },
            );
        }
        Promotion::NoEvidence(version) => {
            let cause = "no gate has judged it".to_owned();
            (version, Exit::GateInvalid, cause)
        }
        Promotion::OtherPolicy(other) => {
            let cause = other.to_string();
            (other.version, Exit::GateInvalid, cause)
        }
        Promotion::NotPassed(version, id, verdict) => {
            let cause = format!("the gate evidence {id} says {verdict}");
            (version, Exit::of_verdict(verdict), cause)
        }
    };
    let failure =
        Failure::new(exit, cause).context(format!("cannot promote {version} to {}", args.to));
    Err(match exit {
        Exit::GateInvalid => judge_first(failure, &workspace, &version, &args.to),
        _ => failure.hint(format!("see the numbers: retune gate show {version}")),
    })
}

fn judge_first(
    failure: Failure,
    workspace: &Workspace<'_>,
    version: &Version,
    alias: &AliasName,
) -> Failure {
    failure.hint(format!("judge it: {}", judging(workspace, version, alias)))
}
