//! Errors as the person at the terminal meets them: kind, message, causes, hints.
//!
//! Every library error becomes a [`Failure`] here and nowhere else, so that one kind of trouble has one
//! exit code in the whole tool.

use std::error::Error;

use retune::base::BaseError;
#[cfg(feature = "train")]
use retune::base::network::NetworkError;
use retune::dataset::{DatasetError, RowFaults};
use retune::document::Faults;
use retune::eval::EvalError;
use retune::fsio::FileError;
use retune::gate::GateError;
use retune::git::GitError;
use retune::lifecycle::{
    BaseActError, CollectError, DatasetActError, DifferenceError, DoctorError, EvaluateError,
    ExportError, InitError, JudgeError, MigrationError, PinActError, PolicyError, PromoteError,
    TrainActError, TransferError,
};
use retune::pin::PinError;
use retune::pipeline::PipelineError;
use retune::registry::RegistryError;
use retune::scan::ScanError;
use retune::scan::hook::HookError;
use retune::store::{RemoteError, StoreError};
use retune::train::TrainError;

use crate::exit::Exit;

/// Why a command could not do what it was asked.
#[derive(Debug)]
pub(crate) struct Failure {
    exit: Exit,
    message: String,
    causes: Vec<String>,
    hints: Vec<String>,
    lacks_object: bool,
}

impl Failure {
    /// A failure that this binary found itself.
    pub(crate) fn new(exit: Exit, message: impl Into<String>) -> Self {
        Self {
            exit,
            message: message.into(),
            causes: Vec::new(),
            hints: Vec::new(),
            lacks_object: false,
        }
    }

    /// Wrong usage or configuration.
    pub(crate) fn usage(message: impl Into<String>) -> Self {
        Self::new(Exit::Usage, message)
    }

    /// A library error with its chain of causes.
    pub(crate) fn from_error(exit: Exit, error: &(dyn Error + 'static)) -> Self {
        let mut failure = Self::new(exit, error.to_string());
        failure.lacks_object = is_about_a_missing_object(error);
        let mut source = error.source();
        while let Some(cause) = source {
            failure.causes.push(cause.to_string());
            failure.lacks_object |= is_about_a_missing_object(cause);
            source = cause.source();
        }
        failure
    }

    /// Puts what was being attempted in front; the message so far becomes the first cause.
    pub(crate) fn context(mut self, message: impl Into<String>) -> Self {
        let inner = std::mem::replace(&mut self.message, message.into());
        self.causes.insert(0, inner);
        self
    }

    /// Adds a way out.
    pub(crate) fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hints.push(hint.into());
        self
    }

    /// The exit code.
    pub(crate) fn exit(&self) -> Exit {
        self.exit
    }

    /// What could not be done.
    pub(crate) fn message(&self) -> &str {
        &self.message
    }

    /// Why, outermost first.
    pub(crate) fn causes(&self) -> &[String] {
        &self.causes
    }

    /// What to do about it.
    pub(crate) fn hints(&self) -> &[String] {
        &self.hints
    }

    /// Whether the reason is an object that the store does not have.
    pub(crate) fn lacks_object(&self) -> bool {
        self.lacks_object
    }
}

fn is_about_a_missing_object(error: &(dyn Error + 'static)) -> bool {
    let boxed = error.downcast_ref::<Box<StoreError>>().map(Box::as_ref);
    let found = error.downcast_ref::<StoreError>().or(boxed);
    matches!(found, Some(StoreError::Missing { .. }))
}

impl From<FileError> for Failure {
    fn from(error: FileError) -> Self {
        Self::from_error(Exit::Failed, &error)
    }
}

impl From<StoreError> for Failure {
    fn from(error: StoreError) -> Self {
        let exit = if error.is_integrity() {
            Exit::Integrity
        } else if error.is_race() {
            Exit::LostRace
        } else {
            Exit::Failed
        };
        Self::from_error(exit, &error)
    }
}

impl From<RemoteError> for Failure {
    fn from(error: RemoteError) -> Self {
        use RemoteError as E;
        let exit = match &error {
            error if error.is_integrity() => Exit::Integrity,
            error if error.is_usage() => Exit::Usage,
            E::Interrupted => Exit::Interrupted,
            _ => Exit::Failed,
        };
        let hint = match &error {
            E::NotConfigured => {
                "write into it: store_remote: {url: s3://BUCKET/PREFIX}; without an `endpoint`, it is on AWS"
            }
            E::NotBuilt(_) => "build it with the default features: cargo install --path .",
            E::NoCredentials(_) => {
                "set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY; on a machine of AWS that has a role, set \
                 AWS_METADATA_ENDPOINT=http://169.254.169.254"
            }
            E::Denied { .. } => {
                "look at AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, and at what they may do: s3:ListBucket, s3:GetObject \
                 and, to push, s3:PutObject and s3:AbortMultipartUpload"
            }
            E::Request { .. } => {
                "look at `store_remote` in retune.yaml: url, endpoint and region; trying again may help"
            }
            E::Overwrites(_) => {
                "use a server that honours conditional writes, such as AWS S3, or a newer version of this one"
            }
            E::NoStore(_) => {
                "look at its url in retune.yaml, or push first, where the objects are: retune store push"
            }
            E::Size { .. } | E::Damaged { .. } => {
                "somebody changed the bucket past retune: remove the object there, and push it from where it is sound"
            }
            E::Store(_) | E::Setting { .. } | E::Interrupted => "",
        };
        match (error, hint) {
            (E::Store(error), _) => error.into(),
            (error, "") => Self::from_error(exit, &error),
            (error, hint) => Self::from_error(exit, &error).hint(hint),
        }
    }
}

impl From<TransferError> for Failure {
    fn from(error: TransferError) -> Self {
        match error {
            TransferError::Registry(error) => error.into(),
            TransferError::Store(error) => error.into(),
            TransferError::Remote(error) => error.into(),
            TransferError::Pin(error) => error.into(),
            error @ TransferError::Document(_) => Self::from_error(Exit::Integrity, &error),
            error @ TransferError::NothingPinned => Self::from_error(Exit::Usage, &error)
                .hint("say what you need: retune store pull MODEL:ALIAS, or --all"),
        }
    }
}

impl From<CollectError> for Failure {
    fn from(error: CollectError) -> Self {
        match error {
            CollectError::Store(error) => error.into(),
            CollectError::File(error) => error.into(),
            CollectError::Project {
                project,
                member,
                source,
            } => Self::from(*source)
                .context(format!(
                    "cannot read what the project {} needs; nothing was collected",
                    project.display()
                ))
                .hint("mount or repair it, and try again")
                .hint(format!(
                    "if the project is gone for good, and nobody needs its models: remove {}",
                    member.display()
                )),
        }
    }
}

impl From<DifferenceError> for Failure {
    fn from(error: DifferenceError) -> Self {
        match error {
            DifferenceError::Registry(error) => error.into(),
            DifferenceError::Store(error) => error.into(),
            DifferenceError::Dataset(error) => error.into(),
            error @ DifferenceError::Weights { .. } => Self::from_error(Exit::Integrity, &error),
        }
    }
}

impl From<DoctorError> for Failure {
    fn from(error: DoctorError) -> Self {
        match error {
            DoctorError::Registry(error) => error.into(),
            DoctorError::Store(error) => error.into(),
            DoctorError::Collect(error) => error.into(),
            DoctorError::File(error) => error.into(),
        }
    }
}

impl From<MigrationError> for Failure {
    fn from(error: MigrationError) -> Self {
        use MigrationError as E;
        match error {
            E::Registry(error) => error.into(),
            E::Promote(error) => error.into(),
            E::File(faults) => Self::from(faults).context("the migration is not valid"),
            error @ E::Gone { .. } => Self::from_error(Exit::Failed, &error)
                .hint("somebody moved it meanwhile: plan anew, or move it back and apply again"),
            error @ (E::Ended { .. } | E::Unwritable(_)) => Self::from_error(Exit::Failed, &error),
            E::Train(error) => Self::from(error).context("the version cannot be trained"),
            E::Evaluate(error) => Self::from(error).context("the version cannot be evaluated"),
            E::Judge(error) => Self::from(error).context("the version cannot be judged"),
            E::Policy(error) => error.into(),
            error @ E::Changed { .. } => Self::from_error(Exit::Failed, &error)
                .hint("take the change back, or plan the migration anew and have it reviewed"),
            error @ E::Nothing(_) => Self::from_error(Exit::Usage, &error),
        }
    }
}

impl From<Faults> for Failure {
    fn from(faults: Faults) -> Self {
        let faults = faults.as_slice();
        match faults {
            [only] => Self::usage(only.to_string()),
            several => {
                let mut failure = Self::usage(format!("{} faults", several.len()));
                failure.causes = several.iter().map(ToString::to_string).collect();
                failure
            }
        }
    }
}

impl From<RegistryError> for Failure {
    fn from(error: RegistryError) -> Self {
        let exit = if error.is_integrity() {
            Exit::Integrity
        } else if error.is_race() {
            Exit::LostRace
        } else if error.is_usage() {
            Exit::Usage
        } else {
            Exit::Failed
        };
        match error {
            RegistryError::Git(error) => error.into(),
            RegistryError::ForeignTenant { ref owner, .. } => Self::from_error(exit, &error).hint(
                format!("what is {owner}'s is used from a project whose retune.yaml says `tenant: {owner}`"),
            ),
            RegistryError::Collided { ref collisions, .. } => {
                let mut failure = Self::from_error(exit, &error);
                failure.causes = collisions.iter().map(ToString::to_string).collect();
                if collisions.iter().any(|one| one.holds) {
                    return failure
                        .hint("a protection with signers gives way to nothing: find out who moved the alias there, and whether they may")
                        .hint("if they may, begin a new clone, and protect the alias there: retune init in a new project, then retune sync");
                }
                failure
                    .hint("take what is there, and keep what was decided here aside: retune sync --give-way")
                    .hint("then judge again, against what is in use now: retune gate check MODEL@VERSION --against :ALIAS")
            }
            RegistryError::Unsigned { ref model, ref alias, .. } => Self::from_error(exit, &error)
                .hint(format!("a signer takes a move back, or confirms it: retune model rollback {model}:{alias} [--to VERSION]"))
                .hint(format!("a signer settles a protection by saying what counts: retune model protect {model}:{alias}")),
            RegistryError::Unrelated { .. } => Self::from_error(exit, &error)
                .hint("a new clone begins empty: retune init in a new project, then retune sync"),
            error => Self::from_error(exit, &error),
        }
    }
}

impl From<DatasetError> for Failure {
    fn from(error: DatasetError) -> Self {
        use DatasetError as E;
        match error {
            E::Rows(faults) => rows(&faults),
            E::Store(error) => error.into(),
            error => {
                let exit = match &error {
                    error if error.is_integrity() => Exit::Integrity,
                    E::Interrupted => Exit::Interrupted,
                    E::NoSplit | E::Repeated(_) | E::Absent { .. } => Exit::Usage,
                    _ => Exit::Failed,
                };
                Self::from_error(exit, &error)
            }
        }
    }
}

fn rows(faults: &RowFaults) -> Failure {
    let noun = if faults.count() == 1 {
        "fault"
    } else {
        "faults"
    };
    let mut failure = Failure::usage(format!(
        "{} {noun} in the files; nothing was added",
        faults.count()
    ));
    failure.causes = faults.first().iter().map(ToString::to_string).collect();
    if faults.more() > 0 {
        failure.causes.push(format!("{} more", faults.more()));
    }
    failure
}

impl From<ExportError> for Failure {
    fn from(error: ExportError) -> Self {
        match error {
            ExportError::Registry(error) => error.into(),
            ExportError::Store(error) => error.into(),
            ExportError::Base(error) => error.into(),
            error => {
                let exit = if error.is_integrity() {
                    Exit::Integrity
                } else if error.is_usage() {
                    Exit::Usage
                } else {
                    Exit::Failed
                };
                Self::from_error(exit, &error)
            }
        }
    }
}

impl From<DatasetActError> for Failure {
    fn from(error: DatasetActError) -> Self {
        match error {
            DatasetActError::Dataset(error) => error.into(),
            DatasetActError::Registry(error) => error.into(),
        }
    }
}

impl From<BaseError> for Failure {
    fn from(error: BaseError) -> Self {
        use BaseError as E;
        match error {
            E::Files(faults) => {
                let mut failure = Self::usage("this is not a whole checkpoint; nothing was added");
                failure.causes = faults.iter().map(ToString::to_string).collect();
                failure
            }
            E::Store(error) => error.into(),
            error => {
                let exit = match &error {
                    error if error.is_integrity() => Exit::Integrity,
                    E::Interrupted => Exit::Interrupted,
                    E::Folder { .. } | E::Tree(_) => Exit::Usage,
                    _ => Exit::Failed,
                };
                Self::from_error(exit, &error)
            }
        }
    }
}

impl From<BaseActError> for Failure {
    fn from(error: BaseActError) -> Self {
        match error {
            BaseActError::Base(error) => error.into(),
            BaseActError::Registry(error) => error.into(),
            BaseActError::OtherSource { .. } => Self::from_error(Exit::Usage, &error).hint(
                "records never change; add the folder under another name to record another source",
            ),
        }
    }
}

impl From<InitError> for Failure {
    fn from(error: InitError) -> Self {
        match error {
            InitError::Registry(error) => error.into(),
            InitError::Store(error) => error.into(),
            InitError::File(error) => error.into(),
        }
    }
}

impl From<EvalError> for Failure {
    fn from(error: EvalError) -> Self {
        let exit = match &error {
            usage if usage.is_usage() => Exit::Usage,
            EvalError::Interrupted => Exit::Interrupted,
            other if other.is_integrity() => Exit::Integrity,
            _ => Exit::Failed,
        };
        match error {
            EvalError::Suite(faults) => Self::from(faults).context("the suite is not valid"),
            EvalError::Import(faults) => Self::from(faults).context("the import is not possible"),
            EvalError::NewCase(faults) => Self::from(faults).context("the case cannot be added"),
            EvalError::NoFloor { ref cases, .. } => {
                let hint = format!(
                    "say where its cases are to be, in place of `cases`: `splits: {{gate: {}, floor: incidents.jsonl}}`",
                    cases.file_name().unwrap_or_default().display()
                );
                Self::from_error(exit, &error).hint(hint)
            }
            EvalError::Strategy(faults) => Self::from(faults).context("the strategy is not valid"),
            EvalError::Target(faults) => Self::from(faults).context("the target is not valid"),
            EvalError::Journal { .. } => {
                Self::from_error(exit, &error).hint("remove the file to ask everything again")
            }
            EvalError::NoKey(ref name) => {
                let hint = format!("set {name} in the environment of this command");
                Self::from_error(exit, &error).hint(hint)
            }
            other => Self::from_error(exit, &other),
        }
    }
}

impl From<EvaluateError> for Failure {
    fn from(error: EvaluateError) -> Self {
        match error {
            EvaluateError::Eval(error) => error.into(),
            EvaluateError::Registry(error) => error.into(),
            EvaluateError::Store(error) => error.into(),
            missing @ EvaluateError::Unjudged { .. } => {
                Self::from_error(Exit::GateInvalid, &missing)
                    .hint("there is no report yet; the same command asks only for what is missing")
            }
            recorded @ EvaluateError::NoJudge { .. } => Self::from_error(Exit::Usage, &recorded)
                .hint("name the suite's file instead of its name"),
            other if other.is_integrity() => Self::from_error(Exit::Integrity, &other),
            other if other.is_usage() => Self::from_error(Exit::Usage, &other),
            other => Self::from_error(Exit::Failed, &other),
        }
    }
}

impl From<GateError> for Failure {
    fn from(error: GateError) -> Self {
        let exit = match &error {
            usage if usage.is_usage() => Exit::Usage,
            damaged if damaged.is_integrity() => Exit::Integrity,
            _ => Exit::Failed,
        };
        match error {
            GateError::Policy(faults) => Self::from(faults).context("the gate policy is not valid"),
            GateError::Eval(error) => error.into(),
            GateError::Unreachable { .. } => Self::from_error(exit, &error)
                .hint("see what a policy can decide: retune gate plan --cases N"),
            GateError::NoFloorRule { .. } => Self::from_error(exit, &error).hint(
                "add `floor: {}` to the policy, so that nothing is promoted without it",
            ),
            GateError::NoFloor => Self::from_error(exit, &error).hint(
                "name its file in the suite, `splits: {gate: FILE, floor: FILE}`, and add a case: retune eval add-case",
            ),
            other => Self::from_error(exit, &other),
        }
    }
}

impl From<JudgeError> for Failure {
    fn from(error: JudgeError) -> Self {
        match error {
            JudgeError::Gate(error) => error.into(),
            JudgeError::Evaluate(error) => error.into(),
            JudgeError::Registry(error) => error.into(),
            missing @ JudgeError::NoReport { .. } => Self::from_error(Exit::GateInvalid, &missing),
            usage @ (JudgeError::Anchor(_) | JudgeError::FreeLook | JudgeError::Part(_)) => {
                Self::from_error(Exit::Usage, &usage)
            }
            lost @ JudgeError::Contended(_) => Self::from_error(Exit::LostRace, &lost),
        }
    }
}

impl From<PromoteError> for Failure {
    fn from(error: PromoteError) -> Self {
        match error {
            PromoteError::Registry(error) => error.into(),
            PromoteError::Policy(error) => error.into(),
            PromoteError::Gate(error) => error.into(),
            PromoteError::Evidence { evidence, source } => Self::from(*source).context(format!(
                "the gate evidence {evidence} could not be confirmed"
            )),
        }
    }
}

impl From<PolicyError> for Failure {
    fn from(error: PolicyError) -> Self {
        match error {
            PolicyError::Project(error) => error.into(),
            PolicyError::Gate(error) => error.into(),
            PolicyError::File(error) => error.into(),
            PolicyError::Missing { ref model, .. } => {
                Self::from_error(Exit::Usage, &error).hint(format!(
                    "write it, or name another file in retune.yaml: gates: {{{model}: FILE}}"
                ))
            }
            error @ PolicyError::Other { .. } => Self::from_error(Exit::Usage, &error)
                .hint("let one of them name the other's file: `gate` in the pipeline, `gates` in retune.yaml"),
        }
    }
}

impl From<PinError> for Failure {
    fn from(error: PinError) -> Self {
        match error {
            PinError::Project(faults) => faults.into(),
            PinError::File(error) => error.into(),
            error @ PinError::Lock { .. } => Self::from_error(Exit::Usage, &error)
                .hint("take it from the last commit, or delete it, and run `retune pin update`"),
            error @ PinError::Conflict(_) => Self::from_error(Exit::Findings, &error)
                .hint("choose the versions anew: retune pin update"),
            error => Self::from_error(Exit::Usage, &error),
        }
    }
}

impl From<PinActError> for Failure {
    fn from(error: PinActError) -> Self {
        match error {
            PinActError::Registry(error) => error.into(),
            PinActError::Pin(error) => error.into(),
            error @ PinActError::Deprecated(_) => Self::from_error(Exit::Findings, &error)
                .hint("pin the version that replaces it: retune pin add MODEL@VERSION"),
        }
    }
}

impl From<GitError> for Failure {
    fn from(error: GitError) -> Self {
        let exit = match error {
            GitError::NotARepository(_) => Exit::Usage,
            GitError::Hostile { .. } => Exit::Integrity,
            _ => Exit::Failed,
        };
        let failure = Self::from_error(exit, &error);
        match error {
            GitError::ForeignOwner(path) => failure.hint(format!(
                "if you trust it: git config --global --add safe.directory {}",
                path.display()
            )),
            _ => failure,
        }
    }
}

impl From<ScanError> for Failure {
    fn from(error: ScanError) -> Self {
        match error {
            ScanError::Git(error) => error.into(),
            ScanError::File(error) => error.into(),
            ScanError::Project(faults) => faults.into(),
            error @ ScanError::Outside { .. } => Self::from_error(Exit::Usage, &error),
        }
    }
}

impl From<HookError> for Failure {
    fn from(error: HookError) -> Self {
        match error {
            HookError::Git(error) => error.into(),
            HookError::File(error) => error.into(),
            error @ (HookError::TwoForeign { .. } | HookError::Program(_)) => {
                Self::from_error(Exit::Usage, &error)
            }
        }
    }
}

impl From<TrainError> for Failure {
    fn from(error: TrainError) -> Self {
        match error {
            TrainError::File(error) => error.into(),
            TrainError::Store(error) => error.into(),
            TrainError::Base(error) => error.into(),
            TrainError::Dataset(error) => error.into(),
            error => {
                let exit = match &error {
                    error if error.is_integrity() => Exit::Integrity,
                    error if error.is_usage() => Exit::Usage,
                    TrainError::Busy(_) => Exit::LostRace,
                    _ => Exit::Failed,
                };
                let failure = Self::from_error(exit, &error);
                match remedy(&error) {
                    Some(hint) => failure.hint(hint),
                    None => failure,
                }
            }
        }
    }
}

/// What to change in the job or the data.
fn remedy(error: &TrainError) -> Option<String> {
    match error {
        TrainError::SequenceLength { limit, .. } => {
            Some(format!("set sequence_len to {limit} or less"))
        }
        TrainError::Overlong { longest, .. } => Some(format!(
            "set sequence_len to {longest}, or say on_overlong: truncate_right or drop"
        )),
        TrainError::NoValidation { .. } => {
            Some("add the dataset with --validation FILE, or take `eval` out of the job".to_owned())
        }
        TrainError::NewLabel { .. } => {
            Some("give the training split rows of it, or take the row out".to_owned())
        }
        TrainError::Changed { .. } => {
            Some("a changed job, dataset or base is another run: retune train JOB".to_owned())
        }
        TrainError::Leaked { .. } => Some(
            "take them out of one of the splits, or say max_leaked_fraction; retune dataset show NAME lists the first"
                .to_owned(),
        ),
        TrainError::Duplicates { .. } => {
            Some("take them out, or say max_duplicate_fraction".to_owned())
        }
        #[cfg(feature = "train")]
        TrainError::Network(NetworkError::NoDevice { feature, .. }) => Some(format!(
            "build it with the feature: cargo install --path . --features {feature}"
        )),
        TrainError::NotARun(_) => Some("see which there are: retune run list".to_owned()),
        _ => None,
    }
}

impl From<TrainActError> for Failure {
    fn from(error: TrainActError) -> Self {
        match error {
            TrainActError::Base(error) => error.into(),
            TrainActError::Dataset(error) => error.into(),
            TrainActError::Train(error) => error.into(),
            TrainActError::Registry(error) => error.into(),
            TrainActError::Store(error) => error.into(),
            error @ TrainActError::WholeModel(_) => Self::from_error(Exit::Usage, &error),
            error @ TrainActError::NoTraining => Self::from_error(Exit::Usage, &error)
                .hint("build it with the default features: cargo install --path ."),
        }
    }
}

impl From<PipelineError> for Failure {
    fn from(error: PipelineError) -> Self {
        use PipelineError as E;
        match error {
            E::Faults(faults) => faults.into(),
            E::Dataset(error) => error.into(),
            E::Base(error) => error.into(),
            E::Job(error) => error.into(),
            E::Train(error) => error.into(),
            E::Eval(error) => error.into(),
            E::Evaluate(error) => error.into(),
            E::Gate(error) => error.into(),
            E::Judge(error) => error.into(),
            E::Registry(error) => error.into(),
            E::Policy(error) => error.into(),
            E::Promote(error) => error.into(),
            E::Pin(error) => error.into(),
            error @ (E::Missing(_) | E::Columns(_) | E::Source(_)) => {
                Self::from_error(Exit::Usage, &error)
            }
        }
    }
}
