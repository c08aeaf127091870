//! `retune train`.

use std::path::PathBuf;

use retune::base::Device;
use retune::lifecycle::{self, FromWhere, TrainActError, Trained};
use retune::reference::ModelRef;
use retune::train::{Job, Stop};

use crate::exit::Exit;
use crate::failure::Failure;
use crate::session::Session;
use crate::view::run::{Planned, Shown};

const EXAMPLES: &str = "\
Examples:
  retune train job.yaml --dry-run
  retune train job.yaml
  retune train --resume 3f9a1c2b7d10
  retune train job.yaml --from-adapter support:production

Ctrl-C leaves a checkpoint: the same command goes on from it. The same job on the same data and
base gives the same bytes, interrupted or not; when such a run is recorded already, it is shown
and nothing is trained.

--from-adapter begins with the values of an adapter in PEFT's format instead of fresh ones. The
job must say of the adapter what it is: rank, alpha, modules, variant; what differs is named. A
version becomes the parent of the one that the run is registered as.

A graphics card (--device cuda, --device wgpu) needs a build with that feature. There everything
is computed in f32, and the same job need not give the same bytes. A run goes on where it began.

Exit codes: 0 trained or found, 2 the job file or the data have faults, 130 interrupted.";

/// Train a LoRA adapter, or every weight, as a job file says.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Args {
    /// The job file
    #[arg(required_unless_present = "resume", value_name = "JOB")]
    job: Option<PathBuf>,
    /// Go on with an interrupted run: its id, or at least 4 digits of its beginning
    #[arg(long, value_name = "RUN", conflicts_with_all = ["job", "dry_run"])]
    resume: Option<String>,
    /// Go on from an adapter: a folder that PEFT or retune wrote, or a version such as support:production
    #[arg(long, value_name = "DIR|REF", conflicts_with = "resume")]
    from_adapter: Option<String>,
    /// What to train on: cpu, cuda[:N] or wgpu[:N], if this build has it
    #[arg(
        long,
        value_name = "DEVICE",
        default_value = "cpu",
        conflicts_with = "resume"
    )]
    device: Device,
    /// Show rows, tokens, trained parameters, steps and memory, and train nothing
    #[arg(long)]
    dry_run: bool,
}

/// A folder that is there, or a reference.
fn from_where(text: &str) -> Result<FromWhere, Failure> {
    let folder = PathBuf::from(text);
    if folder.is_dir() {
        return Ok(FromWhere::Folder(folder));
    }
    let reference = text.parse::<ModelRef>().map_err(|error| {
        Failure::usage(format!(
            "--from-adapter {text:?} is neither a folder nor a version: {error}"
        ))
    })?;
    Ok(FromWhere::Version(reference))
}

pub(crate) fn run(args: &Args, session: &Session<'_>) -> Result<Exit, Failure> {
    let mut workspace = session.workspace(args.dry_run)?;
    workspace.device = args.device;
    let trained = match (&args.resume, &args.job) {
        (Some(run), _) => lifecycle::resume(&workspace, run).map_err(|error| {
            Failure::from(error).context(format!("cannot go on with run {run}"))
        })?,
        (None, Some(job)) => {
            let file = job.display();
            let about =
                |error: TrainActError| Failure::from(error).context(format!("cannot train {file}"));
            let job = Job::read(job)?;
            let from = args.from_adapter.as_deref().map(from_where).transpose()?;
            let from = from.as_ref();
            match lifecycle::train(&workspace, &job, from).map_err(about)? {
                Trained::Planned => {
                    let plan = lifecycle::plan_training(&workspace, &job, from).map_err(about)?;
                    session.ui.emit(&Planned::from((&job, plan)));
                    return Ok(Exit::Done);
                }
                trained => trained,
            }
        }
        (None, None) => return Err(Failure::usage("name a job file, or a run to resume")),
    };
    match trained {
        Trained::Finished(run) => {
            session.ui.emit(&Shown::from(&*run));
            Ok(Exit::Done)
        }
        Trained::Interrupted(run, why) => {
            let short = run.short();
            let why = match why {
                Stop::Asked => "was interrupted",
                Stop::OutOfTime => "has trained for limits.max_seconds",
            };
            session.ui.say(&format!(
                "run {short} {why}; go on with: retune train --resume {short}"
            ));
            Ok(Exit::Interrupted)
        }
        Trained::Planned => Ok(Exit::Done),
    }
}
