//! What is wrong with a project, its registry and its store, and the way out of each.

use std::path::Path;

use super::collect::{CollectError, missing_objects};
use super::workspace::Workspace;
use crate::fsio;
use crate::git::{GitError, Repository};
use crate::registry::{Registry, RegistryError};
use crate::store::{Store, StoreError};

/// Something wrong.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ailment {
    /// What is wrong.
    pub kind: AilmentKind,
    /// The file or thing it is about.
    pub what: String,
    /// Why it is wrong; may be empty.
    pub why: String,
    /// Whether it was mended now.
    pub mended: bool,
}

/// Kinds of trouble.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AilmentKind {
    /// A killed writer left the registry's lock.
    StaleLock,
    /// A killed writer left a half-written file.
    HalfWritten,
    /// A killed process left its lease.
    DeadLease,
    /// An object can be overwritten by mistake.
    WritableObject,
    /// A record names an object that is not there.
    MissingObject,
    /// Something of the registry does not fit together.
    Damaged,
    /// A project of the store cannot be read, so nothing can be collected.
    LostMember,
    /// The project's own git repository is of a kind that only the `git` program reads.
    ForeignFormat,
}

/// Why a project could not be looked at.
#[derive(Debug, thiserror::Error)]
pub enum DoctorError {
    /// The registry.
    #[error(transparent)]
    Registry(#[from] RegistryError),
    /// The store.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// What the projects of the store need.
    #[error(transparent)]
    Collect(#[from] CollectError),
    /// A file.
    #[error(transparent)]
    File(#[from] fsio::FileError),
}

impl AilmentKind {
    /// The word for programs, such as `stale-lock`.
    pub fn word(self) -> &'static str {
        match self {
            Self::StaleLock => "stale-lock",
            Self::HalfWritten => "half-written",
            Self::DeadLease => "dead-lease",
            Self::WritableObject => "writable-object",
            Self::MissingObject => "missing-object",
            Self::Damaged => "damaged",
            Self::LostMember => "lost-member",
            Self::ForeignFormat => "foreign-format",
        }
    }

    /// Whether `--fix` mends it: nothing that anybody needs can be lost by it.
    pub fn is_mendable(self) -> bool {
        matches!(
            self,
            Self::StaleLock | Self::HalfWritten | Self::DeadLease | Self::WritableObject
        )
    }

    /// The exact way out.
    pub fn mend(self) -> &'static str {
        match self {
            _ if self.is_mendable() => "retune doctor --fix",
            Self::MissingObject => {
                "fetch it from the bucket that retune.yaml names (retune store pull --all), or add the same file again (dataset add, base add, train)"
            }
            Self::Damaged => {
                "compare with another clone: git -C REGISTRY log -p -- PATH; a fork, or a move without its signature, is settled by retune model rollback"
            }
            Self::LostMember => {
                "mount or repair that project; if it is gone for good, remove its file in the store's projects/"
            }
            _ => {
                "nothing has to be done: hooks and scan use the git program here, which must be installed"
            }
        }
    }

    /// Whether something has to be done about it.
    pub fn needs_cure(self) -> bool {
        self != Self::ForeignFormat
    }

    /// Whether something stored is lost or changed.
    pub fn is_integrity(self) -> bool {
        matches!(self, Self::MissingObject | Self::Damaged)
    }
}

/// Looks for everything that is known to go wrong; with `fix`, mends what can be mended without risk.
pub fn examine(workspace: &Workspace<'_>, fix: bool) -> Result<Vec<Ailment>, DoctorError> {
    let mut found = own_repository(&workspace.root);
    found.extend(lock(&workspace.registry, fix)?);
    found.extend(left_behind(&workspace.store, fix)?);
    found.extend(members(&workspace.store)?);
    let readable = !found.iter().any(|one| one.kind == AilmentKind::LostMember);
    if readable {
        let missing = missing_objects(&workspace.store)?.into_iter();
        found.extend(missing.map(|object| Ailment {
            kind: AilmentKind::MissingObject,
            what: object.digest.to_string(),
            why: format!("named by {}", object.named_by),
            mended: false,
        }));
    }
    for name in workspace.registry.tenants()? {
        let faults = workspace.registry.tenant(&name).verify(None)?.faults;
        found.extend(faults.into_iter().map(|fault| Ailment {
            kind: AilmentKind::Damaged,
            what: format!("{name}: {}", fault.what),
            why: fault.why,
            mended: false,
        }));
    }
    Ok(found)
}

/// The repository that the project lies in, where it is of a kind that libgit2 cannot read.
fn own_repository(root: &Path) -> Vec<Ailment> {
    match Repository::discover(root) {
        Err(error @ GitError::Unsupported { .. }) => vec![Ailment {
            kind: AilmentKind::ForeignFormat,
            what: root.display().to_string(),
            why: error.to_string(),
            mended: false,
        }],
        _ => Vec::new(),
    }
}

fn lock(registry: &Registry, fix: bool) -> Result<Option<Ailment>, DoctorError> {
    let Some(path) = registry.stale_lock()? else {
        return Ok(None);
    };
    let mended = fix && registry.clear_stale_lock()?.is_some();
    Ok(Some(Ailment {
        mended,
        ..file(AilmentKind::StaleLock, &path)
    }))
}

fn left_behind(store: &Store, fix: bool) -> Result<Vec<Ailment>, DoctorError> {
    let kinds = [
        (AilmentKind::HalfWritten, store.abandoned()?),
        (AilmentKind::DeadLease, store.dead_leases()?),
        (AilmentKind::WritableObject, store.writable_objects()?),
    ];
    let mut found = Vec::new();
    for (kind, paths) in kinds {
        for path in paths {
            let mut ailment = file(kind, &path);
            if fix {
                match kind {
                    AilmentKind::WritableObject => fsio::make_read_only(&path)?,
                    _ => drop(fsio::remove_file(&path)?),
                }
                ailment.mended = true;
            }
            found.push(ailment);
        }
    }
    Ok(found)
}

fn members(store: &Store) -> Result<Vec<Ailment>, DoctorError> {
    let mut lost = Vec::new();
    for member in store.members()? {
        if let Err(error) = Registry::open(&member.member.registry) {
            lost.push(Ailment {
                why: error.to_string(),
                ..file(AilmentKind::LostMember, &member.path)
            });
        }
    }
    Ok(lost)
}

fn file(kind: AilmentKind, path: &Path) -> Ailment {
    Ailment {
        kind,
        what: path.display().to_string(),
        why: String::new(),
        mended: false,
    }
}
