//! `retune eval`, and what is done to suites.

mod add_case;
mod import;

use std::path::{Path, PathBuf};

use retune::base::BaseId;
use retune::dataset::DatasetId;
use retune::eval::{BaselineKind, StrategyFile, Subject, Suite, Suites};
use retune::eval::{Target, TargetFile};
use retune::lifecycle::{self, FloorAnswers, Through, Workspace};
use retune::name::{BaseName, DatasetName, SuiteName};
use retune::reference::ModelRef;

use crate::exit::Exit;
use crate::failure::Failure;
use crate::session::Session;
use crate::view::eval::Evaluated;

const EXAMPLES: &str = "\
Examples:
  retune eval suite.yaml --model support:candidate
  retune eval suite.yaml --model support:candidate --baseline nearest-centroid
  retune eval suite.yaml --baseline majority --dataset tickets
  retune eval suite.yaml --run 3f9a1c2b7d10
  retune eval suite.yaml --baseline nearest-centroid --dataset tickets --base minilm
  retune eval answers.yaml --base smollm
  retune eval answers.yaml --target endpoint.yaml
  retune eval answers.yaml --model support:candidate --target vllm.yaml
  retune eval answers.yaml --target outputs.jsonl
  retune eval answers.yaml --base smollm --strategy four-shot.yaml
  retune eval suite.yaml --run 3f9a1c2b7d10 --split dev

A report is made once: the same subject on the same suite is not run again. A case that could
not be answered stays in every number as wrong, and the gate counts it.

The floor of a suite (`splits: {gate: …, floor: …}`) is asked too and has a report of its own;
what a target or a model that draws misses there is asked again. `--split dev` asks the cases
that the suite has for looking at (`splits: {gate: …, dev: …}`) and tells each that went wrong.

A target is an OpenAI-compatible endpoint, a program, or recorded outputs; with --model or --run
it is what serves that version. Calls that fail for now are made again by the same command.

Exit codes: 0 a report is there, 13 it is no evidence: answers are missing, more than one case in
200 has an error, or another model answered than was asked for.";

/// Have a version, or a baseline that needs no training, answer a suite.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES, args_conflicts_with_subcommands = true, subcommand_negates_reqs = true)]
pub(crate) struct Args {
    #[command(subcommand)]
    verb: Option<Verb>,
    #[command(flatten)]
    asked: Option<Asked>,
}

/// What is done to suites.
#[derive(Debug, clap::Subcommand)]
enum Verb {
    /// Take over cases, or the results of a run, from another tool
    Import(import::Args),
    /// Make an incident a case that every later version has to pass
    AddCase(add_case::Args),
}

/// Who is to answer what.
#[derive(Debug, clap::Args)]
struct Asked {
    /// A suite file, or the name of a suite that was evaluated before
    #[arg(value_name = "SUITE")]
    suite: String,
    /// The version to evaluate; with --baseline, the version whose base and dataset the baseline has
    #[arg(long, value_name = "REF", required_unless_present_any = ["run", "dataset", "base", "target"])]
    model: Option<ModelRef>,
    /// The run whose adapter or model to evaluate, registered or not: its id, or at least 4 digits of its beginning
    #[arg(long, value_name = "ID", conflicts_with_all = ["model", "baseline", "dataset", "base"])]
    run: Option<String>,
    /// Evaluate what needs no training: nearest-centroid, majority, or zero-shot, the base as it is
    #[arg(long, value_name = "KIND", required_unless_present_any = ["model", "run", "base", "target"])]
    baseline: Option<BaselineKind>,
    /// The dataset of the baseline: NAME or NAME@VERSION
    #[arg(
        long,
        value_name = "NAME",
        conflicts_with = "model",
        requires = "baseline"
    )]
    dataset: Option<String>,
    /// The base of the baseline: NAME or NAME@VERSION; alone, the base as it is answers
    #[arg(long, value_name = "NAME", conflicts_with = "model")]
    base: Option<String>,
    /// What answers from outside: a target file (YAML) or recorded outputs (JSONL)
    #[arg(long, value_name = "FILE", conflicts_with_all = ["baseline", "dataset", "base"])]
    target: Option<PathBuf>,
    /// What is put before each question: instruction, examples of a training split, passages of documents
    #[arg(long, value_name = "FILE", conflicts_with = "baseline")]
    strategy: Option<PathBuf>,
    /// Which cases to ask: what versions are compared on, with the floor, or what to look at
    #[arg(long, value_name = "SPLIT", value_enum, default_value_t = Split::Gate)]
    split: Split,
    /// How often a case of the suite's floor that is missed is asked again, where answers are drawn;
    /// as the policy's `floor.confirm.repeats` says
    #[arg(long, value_name = "N", default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..=100))]
    confirm: u32,
    /// Say whether a report is there already, run nothing
    #[arg(long)]
    dry_run: bool,
}

/// The parts of a suite that are asked by themselves.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Split {
    /// What versions are compared on, and the floor
    Gate,
    /// What people look at while they work
    Dev,
}

pub(crate) fn run(args: &Args, session: &Session<'_>) -> Result<Exit, Failure> {
    match (&args.verb, &args.asked) {
        (Some(Verb::Import(args)), _) => import::run(args, session),
        (Some(Verb::AddCase(args)), _) => add_case::run(args, session),
        (None, Some(asked)) => evaluate(asked, session),
        (None, None) => Err(Failure::usage("which suite? see `retune eval --help`")),
    }
}

fn evaluate(args: &Asked, session: &Session<'_>) -> Result<Exit, Failure> {
    let workspace = session.workspace(args.dry_run)?;
    let suites = suites(&workspace, &args.suite)?;
    let file = args.target.as_deref().map(TargetFile::read).transpose()?;
    let file = file.map(|file| file.for_suites(&suites));
    let subject = match &file {
        Some(file) if args.model.is_none() && args.run.is_none() => Subject::Target {
            target: Box::new(file.target.clone()),
        },
        _ => subject(args, &workspace)?,
    };
    let asking = Asking {
        workspace: &workspace,
        subject,
        strategy: args
            .strategy
            .as_deref()
            .map(|path| strategy(&workspace, file.as_ref(), path))
            .transpose()?,
        file,
    };
    if args.split == Split::Dev {
        let dev = suites.dev.as_ref().ok_or_else(no_dev)?;
        return Ok(told(session, &Evaluated::in_full(dev, &asking.ask(dev)?)));
    }
    let evaluated = Evaluated::new(&suites.suite, &asking.ask(&suites.suite)?);
    let Some(floor) = &suites.floor else {
        return Ok(told(session, &evaluated));
    };
    let answers = match asking.answers_differ(floor) {
        true => lifecycle::ask_floor(floor, args.confirm, |suite| asking.ask(suite))?,
        false => FloorAnswers {
            first: asking.ask(floor)?,
            again: None,
        },
    };
    Ok(told(session, &evaluated.with_floor(floor, &answers)))
}

fn no_dev() -> Failure {
    Failure::usage("the suite has no cases to look at")
        .hint("name their file in the suite: `splits: {gate: FILE, dev: FILE}`")
}

/// Who is asked, and how.
struct Asking<'a> {
    workspace: &'a Workspace<'a>,
    subject: Subject,
    file: Option<TargetFile>,
    strategy: Option<Strategy>,
}

/// What is put before the questions.
struct Strategy {
    file: StrategyFile,
    /// Where its examples come from.
    dataset: Option<DatasetId>,
    /// What finds its passages.
    finder: Option<BaseId>,
}

impl Asking<'_> {
    fn ask(&self, suite: &Suite) -> Result<Through, Failure> {
        let (subject, asked) = match &self.strategy {
            None => (self.subject.clone(), suite.clone()),
            Some(strategy) => {
                let (dataset, finder) = (strategy.dataset, strategy.finder);
                let (strategy, asked) =
                    lifecycle::prompted(self.workspace, suite, &strategy.file, dataset, finder)?;
                let by = Box::new(self.subject.clone());
                (Subject::Prompted { by, strategy }, asked)
            }
        };
        let Some(file) = &self.file else {
            return Ok(lifecycle::evaluate_asking(self.workspace, suite, &asked, &subject)?.into());
        };
        Ok(lifecycle::evaluate_through(
            self.workspace,
            suite,
            &asked,
            &subject,
            file,
        )?)
    }

    /// Whether asking again can give another answer: recorded outputs and greedy models on this machine say the same.
    fn answers_differ(&self, floor: &Suite) -> bool {
        match &self.file {
            Some(file) => !is_recorded(file),
            None => lifecycle::draws(floor),
        }
    }
}

fn is_recorded(file: &TargetFile) -> bool {
    matches!(file.target, Target::Outputs { .. })
}

fn strategy(
    workspace: &Workspace<'_>,
    target: Option<&TargetFile>,
    path: &Path,
) -> Result<Strategy, Failure> {
    if target.is_some_and(is_recorded) {
        return Err(Failure::usage(
            "recorded outputs were asked for already: leave --strategy out",
        ));
    }
    let file = StrategyFile::read(path)?;
    let examples = file.examples.as_ref();
    let dataset = examples.map(|examples| named_dataset(workspace, &examples.dataset));
    let finder = file
        .documents
        .as_ref()
        .and_then(|wanted| wanted.base.as_deref());
    Ok(Strategy {
        dataset: dataset.transpose()?,
        finder: finder.map(|name| named_base(workspace, name)).transpose()?,
        file,
    })
}

/// A report that is no evidence is shown, and is no success.
fn told(session: &Session<'_>, evaluated: &Evaluated) -> Exit {
    session.ui.emit(evaluated);
    match evaluated.is_evidence() {
        true => Exit::Done,
        false => Exit::GateInvalid,
    }
}

/// The suite in a file, or the recorded one of this name; with its floor.
pub(crate) fn suites(workspace: &Workspace<'_>, text: &str) -> Result<Suites, Failure> {
    let path = Path::new(text);
    if path.is_file() || text.ends_with(".yaml") || text.ends_with(".yml") {
        return Ok(Suites::read(path)?);
    }
    let tenant = workspace.tenant();
    let (name, version) = named::<SuiteName>(text)?;
    let record = match version {
        Some(version) => tenant.suites().find(&name, version)?,
        None => tenant.suites().newest(&name)?,
    };
    Ok(lifecycle::recorded_suites(workspace, &record.id.into())?)
}

fn subject(args: &Asked, workspace: &Workspace<'_>) -> Result<Subject, Failure> {
    if let Some(reference) = &args.model {
        let version = workspace.tenant_of(reference)?.resolve(reference)?;
        return Ok(match args.baseline {
            None => lifecycle::subject_of(&version),
            Some(kind) => lifecycle::Baseline::Untrained(kind).subject(&version),
        });
    }
    if let Some(run) = &args.run {
        return Ok(lifecycle::find_trained(workspace, run)?.subject());
    }
    match args.baseline {
        Some(BaselineKind::Majority) if args.base.is_some() => Err(Failure::usage(
            "the majority needs no base: leave --base out",
        )),
        Some(BaselineKind::Majority) => Ok(Subject::Majority {
            dataset: dataset(args, workspace)?,
        }),
        Some(BaselineKind::NearestCentroid) => {
            let dataset = dataset(args, workspace)?;
            let base = base(args, workspace)?;
            Ok(Subject::Centroid { base, dataset })
        }
        Some(BaselineKind::ZeroShot) | None if args.dataset.is_some() => Err(Failure::usage(
            "the base as it is has learned from no dataset: leave --dataset out",
        )),
        Some(BaselineKind::ZeroShot) | None => Ok(Subject::Base {
            base: base(args, workspace)?,
        }),
    }
}

fn dataset(args: &Asked, workspace: &Workspace<'_>) -> Result<DatasetId, Failure> {
    let Some(text) = &args.dataset else {
        return Err(Failure::usage(
            "which dataset? say --dataset NAME or --model REF",
        ));
    };
    named_dataset(workspace, text)
}

fn named_dataset(workspace: &Workspace<'_>, text: &str) -> Result<DatasetId, Failure> {
    let tenant = workspace.tenant();
    let (name, version) = named::<DatasetName>(text)?;
    let record = match version {
        Some(version) => tenant.datasets().find(&name, version)?,
        None => tenant.datasets().newest(&name)?,
    };
    Ok(record.id.into())
}

fn base(args: &Asked, workspace: &Workspace<'_>) -> Result<BaseId, Failure> {
    let Some(text) = &args.base else {
        return Err(Failure::usage("which base? say --base NAME or --model REF"));
    };
    named_base(workspace, text)
}

fn named_base(workspace: &Workspace<'_>, text: &str) -> Result<BaseId, Failure> {
    let tenant = workspace.tenant();
    let (name, version) = named::<BaseName>(text)?;
    let record = match version {
        Some(version) => tenant.bases().find(&name, version)?,
        None => tenant.bases().newest(&name)?,
    };
    Ok(record.id.into())
}

/// `NAME` or `NAME@VERSION`.
fn named<N: std::str::FromStr<Err = retune::name::ParseNameError>>(
    text: &str,
) -> Result<(N, Option<&str>), Failure> {
    let (name, version) = match text.split_once('@') {
        Some((name, version)) => (name, Some(version)),
        None => (text, None),
    };
    let name = name
        .parse()
        .map_err(|e: retune::name::ParseNameError| Failure::usage(e.to_string()))?;
    Ok((name, version))
}
