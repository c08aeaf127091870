//! Everything ambient, read once: the project, the clock, the person, the terminal.

use std::env;
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use retune::base::Device;
use retune::eval::Circumstances;
use retune::git::{
    HookEnvironment, Identity, IdentityError, configured_identity, configured_signing_key,
};
use retune::lifecycle::Workspace;
use retune::pin::{PROJECT_FILE, Project};
use retune::registry::{Act, Registry};
use retune::signature::SigningKey;
use retune::store::{Bucket, Member, Place, RemoteError, Store};
use retune::time::Timestamp;
use retune::train::{Machine, MachineClass};

use crate::cli::Global;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::ui::{INTERRUPTED, Ui};

/// What a command works with.
pub(crate) struct Session<'a> {
    /// Where results and progress go.
    pub(crate) ui: &'a Ui,
    root: PathBuf,
    by: Identity,
    key: Option<SigningKey>,
    machine: Machine<'static>,
}

impl<'a> Session<'a> {
    pub(crate) fn new(global: &Global, ui: &'a Ui) -> Result<Self, Failure> {
        catch_signals()?;
        let root = project_root(global)?;
        let (by, key) = (actor(&root)?, signing_key(&root));
        Ok(Self {
            ui,
            root,
            by,
            key,
            machine: machine(),
        })
    }

    /// The project's root directory.
    pub(crate) fn root(&self) -> &Path {
        &self.root
    }

    /// The time now.
    pub(crate) fn now(&self) -> Timestamp {
        now()
    }

    /// The project's store and registry, and who acts on them now.
    pub(crate) fn workspace(&self, dry_run: bool) -> Result<Workspace<'_>, Failure> {
        self.workspace_in(&self.root, dry_run)
    }

    /// Like [`workspace`](Self::workspace), of another project.
    pub(crate) fn workspace_in(
        &self,
        root: &Path,
        dry_run: bool,
    ) -> Result<Workspace<'_>, Failure> {
        let project = project(root)?;
        let registry = root.join(&project.registry);
        if !registry.is_dir() {
            return Err(missing("registry", &registry));
        }
        let store = open_store(&root.join(&project.store))?;
        if !dry_run {
            join(&store, root, &registry)?;
        }
        Ok(Workspace {
            root: root.to_owned(),
            store,
            registry: Registry::open(&registry)?,
            tenant: project.tenant,
            runs: root.join(".retune/runs"),
            act: self.act(dry_run),
            machine: &self.machine,
            circumstances: self.circumstances(root),
            device: Device::Cpu,
            tool: env!("CARGO_PKG_VERSION"),
        })
    }

    /// Clock, chance, keys and places of a project, for asking who is outside.
    fn circumstances(&self, root: &Path) -> Circumstances<'_> {
        Circumstances {
            elapsed: &elapsed,
            now: &now,
            seed: seed(),
            variable: &|name| env::var(name).ok(),
            folder: root.join(".retune"),
            reporter: self.ui,
        }
    }

    /// The project file; `None` when there is none.
    pub(crate) fn project(&self) -> Result<Option<Project>, Failure> {
        Ok(Project::find(&self.root)?)
    }

    /// The project file, which must be there.
    pub(crate) fn required_project(&self) -> Result<Project, Failure> {
        project(&self.root)
    }

    /// A way to open the bucket that the project file names, with the credentials of the environment.
    pub(crate) fn bucket(
        &self,
    ) -> Result<impl FnOnce() -> Result<Bucket, RemoteError> + use<>, Failure> {
        let place = self.store_remote()?;
        Ok(move || match place {
            Some(place) => Bucket::open(&place, &|name| env::var(name).ok()),
            None => Err(RemoteError::NotConfigured),
        })
    }

    /// The place of the store's objects that the project file names.
    pub(crate) fn store_remote(&self) -> Result<Option<Place>, Failure> {
        Ok(self.required_project()?.store_remote)
    }

    /// Where an object that is not here may be; `None` when the project names no such place.
    fn elsewhere(&self) -> Option<String> {
        let place = self.project().ok()??.store_remote?;
        Some(format!(
            "what is not here may be in {place}: retune store pull --all, or with the names of what you need"
        ))
    }

    /// Says, beside a result, where what is missing here may be.
    pub(crate) fn say_elsewhere(&self) {
        if let Some(hint) = self.elsewhere() {
            self.ui.hint(&hint);
        }
    }

    /// A failure with the way to get what is missing here.
    pub(crate) fn advise(&self, failure: Failure) -> Failure {
        match failure.lacks_object().then(|| self.elsewhere()).flatten() {
            Some(hint) => failure.hint(hint),
            None => failure,
        }
    }

    /// What git told this process, when it runs as a hook.
    pub(crate) fn hook_environment(&self) -> HookEnvironment {
        let path = |name| {
            env::var_os(name)
                .filter(|value| !value.is_empty())
                .map(PathBuf::from)
        };
        HookEnvironment {
            git_dir: path("GIT_DIR"),
            index: path("GIT_INDEX_FILE"),
        }
    }

    /// Where this program is.
    pub(crate) fn program(&self) -> Result<PathBuf, Failure> {
        env::current_exe().map_err(|e| {
            Failure::new(
                Exit::Failed,
                format!("cannot tell where this program is: {e}"),
            )
        })
    }

    /// Who acts, when, and whether for real.
    pub(crate) fn act(&self, dry_run: bool) -> Act<'_> {
        Act {
            by: &self.by,
            key: self.key.as_ref(),
            at: self.now(),
            dry_run,
            reporter: self.ui,
        }
    }
}

fn project(root: &Path) -> Result<Project, Failure> {
    let not_initialised =
        || Failure::usage(format!("{} has no {PROJECT_FILE}", root.display())).hint(INIT_FIRST);
    Project::find(root)?.ok_or_else(not_initialised)
}

fn open_store(path: &Path) -> Result<Store, Failure> {
    if !path.is_dir() {
        return Err(missing("store", path));
    }
    Ok(Store::open(path)?)
}

/// Notes that the project uses the store. A store that cannot be written to takes no note and no objects.
fn join(store: &Store, root: &Path, registry: &Path) -> Result<(), Failure> {
    let absolute = |path: &Path| {
        path.canonicalize()
            .map_err(|e| Failure::new(Exit::Failed, format!("cannot find {}: {e}", path.display())))
    };
    let member = Member {
        root: absolute(root)?,
        registry: absolute(registry)?,
    };
    match store.join(&member) {
        Err(error) if error.is_read_only() => Ok(()),
        other => Ok(other?),
    }
}

const INIT_FIRST: &str = "run `retune init` first";

fn missing(what: &str, path: &Path) -> Failure {
    Failure::usage(format!(
        "the project's {what} {} is not there",
        path.display()
    ))
    .hint(format!(
        "it is not in the repository: copy it from where it is kept, or name that place in {PROJECT_FILE}: `{what}: PATH`"
    ))
    .hint("for an empty new one: retune init")
}

/// `RETUNE_ACTOR`, else whom git would name as author here, else the user of this machine.
fn actor(root: &Path) -> Result<Identity, Failure> {
    let variable = |name| env::var(name).ok();
    if let Some(text) = variable("RETUNE_ACTOR") {
        return text
            .parse()
            .map_err(|e: IdentityError| Failure::usage(format!("RETUNE_ACTOR: {e}")));
    }
    let author = variable("GIT_AUTHOR_NAME").zip(variable("GIT_AUTHOR_EMAIL"));
    let author = author.and_then(|(name, email)| Identity::new(&name, &email).ok());
    if let Some(identity) = author.or_else(|| configured_identity(root)) {
        return Ok(identity);
    }
    let user = variable("USER").unwrap_or_else(|| "retune".to_owned());
    Identity::new(&user, &format!("{user}@localhost")).map_err(|e| Failure::usage(e.to_string()))
}

/// `RETUNE_SIGNING_KEY`, else what git signs with here, where it signs with ssh.
fn signing_key(root: &Path) -> Option<SigningKey> {
    let named = env::var("RETUNE_SIGNING_KEY").ok().map(|key| (key, None));
    let (key, program) = named.or_else(|| configured_signing_key(root))?;
    Some(SigningKey::new(&key, program, &root.join(".retune")))
}

/// The clock; `SOURCE_DATE_EPOCH` stops it, for reproducible records and tests.
fn now() -> Timestamp {
    let fixed = env::var("SOURCE_DATE_EPOCH")
        .ok()
        .and_then(|text| text.parse().ok());
    let clock = || {
        SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .map_or(0, |d| d.as_secs() as i64)
    };
    Timestamp::from_unix(fixed.unwrap_or_else(clock))
}

/// Another number in every process, so that many of them do not try again at the same moments.
fn seed() -> u64 {
    use std::hash::{BuildHasher, RandomState};
    RandomState::new().hash_one(std::process::id())
}

/// What training asks of the machine.
fn machine() -> Machine<'static> {
    Machine {
        class: MachineClass::this(),
        now: &now,
        elapsed: &elapsed,
        peak_memory: &peak_memory,
    }
}

fn elapsed() -> Duration {
    static BEGAN: OnceLock<Instant> = OnceLock::new();
    BEGAN.get_or_init(Instant::now).elapsed()
}

/// The high-water mark of resident memory, as Linux tells it.
fn peak_memory() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("VmHWM:"))?;
    let kibibytes: u64 = line.trim().trim_end_matches("kB").trim().parse().ok()?;
    Some(kibibytes * 1024)
}

/// `--project`, else the nearest directory upwards with a `retune.yaml`, else the git root, else here.
fn project_root(global: &Global) -> Result<PathBuf, Failure> {
    if let Some(dir) = &global.project {
        return Ok(dir.clone());
    }
    let here = env::current_dir()
        .map_err(|e| Failure::usage(format!("cannot tell the current directory: {e}")))?;
    let nearest = |marker: &str| here.ancestors().find(|dir| dir.join(marker).exists());
    let root = nearest("retune.yaml")
        .or_else(|| nearest(".git"))
        .unwrap_or(&here);
    Ok(root.to_owned())
}

/// The first SIGINT or SIGTERM asks long work to stop; the second one ends the process.
fn catch_signals() -> Result<(), Failure> {
    use signal_hook::consts::{SIGINT, SIGTERM};
    let asked = Arc::new(std::sync::atomic::AtomicBool::new(false));
    for signal in [SIGINT, SIGTERM] {
        signal_hook::flag::register_conditional_shutdown(signal, 130, Arc::clone(&asked))
            .and_then(|_| signal_hook::flag::register(signal, Arc::clone(&asked)))
            .map_err(|e| Failure::usage(format!("cannot listen for signals: {e}")))?;
    }
    let _ = INTERRUPTED.set(asked);
    Ok(())
}
