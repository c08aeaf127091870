//! `retune gate check`.

use std::path::{Path, PathBuf};
use std::str::FromStr;

use clap::ValueEnum;
use retune::eval::{BaselineKind, Suites};
use retune::gate::{OnInconclusive, Policy, Verdict};
use retune::lifecycle::{self, Baseline, JudgeError, PolicyError, Workspace};
use retune::reference::{ModelRef, ParseReferenceError, Selector};
use retune::registry::Version;

use super::exit_of;
use super::report::ReportArgs;
use crate::commands::eval::suites;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::session::Session;
use crate::view::gate::Judged;

const EXAMPLES: &str = "\
Examples:
  retune gate check support@20261123-3f9a --against :production \\
      --suite suite.yaml
  retune gate check support@20261123-3f9a \\
      --against nearest-centroid --against majority --suite suite.yaml
  retune gate check support@20261123-3f9a --against support@20261101-77ab \\
      --suite suite.yaml --format json
  retune gate check support@20261123-3f9a --against :production \\
      --suite suite.yaml --report sarif --output gate.sarif

Judges from recorded reports (`retune eval` makes them); nothing is run.

Exit codes: 0 PASS or WAIVED, 11 FAIL, 12 INCONCLUSIVE, 13 INVALID or a report is missing, 2 no
outcome on so few cases could pass.";

/// Judge a version against a baseline, and record the evidence.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Args {
    /// The version that wants to be promoted: MODEL@VERSION or MODEL:ALIAS
    #[arg(value_name = "CANDIDATE")]
    candidate: ModelRef,
    /// What to compare with: a version, :ALIAS of the same model, or for a first version
    /// what needs no training and the policy names: nearest-centroid, majority, zero-shot
    #[arg(long, value_name = "BASELINE", required = true)]
    against: Vec<Against>,
    /// The suite file or recorded suite that both were evaluated on [default: the suite the policy fixes]
    #[arg(long, value_name = "SUITE")]
    suite: Option<String>,
    /// The gate's policy [default: what retune.yaml says under `gates`, else gate.yaml]; nothing is
    /// promoted on another one
    #[arg(long, value_name = "FILE")]
    policy: Option<PathBuf>,
    /// Exit 0 on INCONCLUSIVE too, where the policy says `on_inconclusive: warn`; the verdict stays
    #[arg(long, value_name = "OUTCOME", value_enum)]
    inconclusive: Option<Inconclusive>,
    /// Which of the policy's looks at growing data this is, from 1
    #[arg(long, value_name = "N")]
    look: Option<u32>,
    #[command(flatten)]
    report: ReportArgs,
    /// Judge, but record nothing
    #[arg(long)]
    dry_run: bool,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Inconclusive {
    /// Exit 0
    Pass,
}

/// A baseline as people write it.
#[derive(Debug, Clone)]
enum Against {
    Untrained(BaselineKind),
    Of(Selector),
    Model(ModelRef),
}

impl FromStr for Against {
    type Err = ParseReferenceError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if let Ok(kind) = text.parse() {
            return Ok(Self::Untrained(kind));
        }
        if text.starts_with([':', '@']) {
            return text.parse().map(Self::Of);
        }
        text.parse().map(Self::Model)
    }
}

pub(crate) fn run(args: &Args, session: &Session<'_>) -> Result<Exit, Failure> {
    let workspace = session.workspace(args.dry_run)?;
    let tenant = workspace.tenant_of(&args.candidate)?;
    let policy = policy(args, &workspace)?;
    let lenient = lenient(args, &policy)?;
    let suites = suites_of(args, &policy, &workspace)?;
    let candidate = tenant.resolve(&args.candidate)?;
    let baselines = args
        .against
        .iter()
        .map(|against| baseline(against, args, &workspace))
        .collect::<Result<Vec<_>, _>>()?;
    let checked = lifecycle::judge(
        &workspace, &policy, &suites, &candidate, &baselines, args.look,
    )
    .map_err(|error| missing(error, args, &candidate))?;
    let verdict = checked.evidence.verdict;
    if let Some(remark) = another_policy(args, &policy, &workspace)? {
        session.ui.say(&remark);
    }
    let waiver = match args.dry_run {
        true => None,
        false => lifecycle::waiver_of(&workspace, &candidate, checked.id, &checked.evidence)?,
    };
    let waived = waiver.is_some();
    let (id, evidence) = (checked.id, checked.evidence);
    let judged = Judged::new(id, evidence, &policy, waiver, args.dry_run);
    let file = args
        .suite
        .as_deref()
        .map(Path::new)
        .filter(|path| path.is_file());
    args.report.write(&judged, &policy, &workspace, file)?;
    session.ui.emit(&judged);
    Ok(match verdict {
        _ if waived => Exit::Done,
        Verdict::Inconclusive if lenient => Exit::Done,
        other => exit_of(other),
    })
}

/// `--policy`, else what the project says decides about this model.
fn policy(args: &Args, workspace: &Workspace<'_>) -> Result<Policy, Failure> {
    match &args.policy {
        Some(path) => Ok(Policy::read(path)?),
        None => Ok(lifecycle::policy_of(workspace, &args.candidate.model)?.policy),
    }
}

/// Evidence by other rules than the project's can be looked at, but nothing is promoted on it.
fn another_policy(
    args: &Args,
    policy: &Policy,
    workspace: &Workspace<'_>,
) -> Result<Option<String>, Failure> {
    let model = &args.candidate.model;
    match lifecycle::policy_of(workspace, model) {
        Ok(own) if own.policy.id()? == policy.id()? => Ok(None),
        Ok(own) => Ok(Some(format!(
            "note: the project's policy for {model} is {}; this one cannot promote it",
            own.file.display()
        ))),
        Err(PolicyError::Missing { file, .. }) => Ok(Some(format!(
            "note: the project has no policy for {model}; to promote it, put this one into {}",
            file.display()
        ))),
        Err(error) => Err(error.into()),
    }
}

/// Whether INCONCLUSIVE may exit 0: only when both the policy and the caller say so.
fn lenient(args: &Args, policy: &Policy) -> Result<bool, Failure> {
    match (args.inconclusive, policy.on_inconclusive()) {
        (None, _) => Ok(false),
        (Some(Inconclusive::Pass), OnInconclusive::Warn) => Ok(true),
        (Some(Inconclusive::Pass), OnInconclusive::Block) => Err(Failure::usage(
            "--inconclusive=pass is not allowed by the policy",
        )
        .hint("a policy allows it with `on_inconclusive: warn`")),
    }
}

fn suites_of(args: &Args, policy: &Policy, workspace: &Workspace<'_>) -> Result<Suites, Failure> {
    match (&args.suite, policy.suite()) {
        (Some(text), _) => suites(workspace, text),
        (None, Some(fixed)) => Ok(lifecycle::recorded_suites(workspace, &fixed)?),
        (None, None) => Err(Failure::usage("which suite? say --suite FILE")
            .hint("or fix it in the policy: `suite: NAME@sha256:…`")),
    }
}

fn baseline(
    against: &Against,
    args: &Args,
    workspace: &Workspace<'_>,
) -> Result<Baseline, Failure> {
    let reference = match against {
        Against::Untrained(kind) => return Ok(Baseline::Untrained(*kind)),
        Against::Model(reference) => reference.clone(),
        Against::Of(selector) => ModelRef {
            selector: selector.clone(),
            ..args.candidate.clone()
        },
    };
    let found = workspace.tenant_of(&reference);
    match found.and_then(|tenant| tenant.resolve(&reference)) {
        Ok(version) => Ok(Baseline::Version(Box::new(version))),
        Err(error) => Err(Failure::from(error)
            .hint("a first version is judged --against each baseline that the policy names under `first_version`")),
    }
}

/// A missing report is missing evidence; says how to make it.
fn missing(error: JudgeError, args: &Args, candidate: &Version) -> Failure {
    let JudgeError::NoReport { arm, subject, .. } = &error else {
        return error.into();
    };
    let suite = args.suite.as_deref().unwrap_or("SUITE");
    let command = match subject.baseline_kind() {
        Some(kind) => format!("retune eval {suite} --model {candidate} --baseline {kind}"),
        None => format!("retune eval {suite} --model {arm}"),
    };
    Failure::from_error(Exit::GateInvalid, &error)
        .context(format!("cannot judge {candidate}"))
        .hint(format!("run `{command}`"))
}
