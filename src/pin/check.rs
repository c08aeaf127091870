//! Whether pins and lock agree with each other and with the registry.

use std::collections::BTreeMap;
use std::fmt;
use std::path::Path;

use super::ask::{Ask, Asked, PinName};
use super::error::PinError;
use super::lock::{LOCK_FILE, Lock, LockFile, Pin, Resolved};
use super::project::Project;
use crate::reference::VersionLabel;

/// How far a check looks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Depth {
    /// Project file and lock only; the registry is not opened.
    Frozen,
    /// Also that the registry has the locked versions, unchanged.
    Registry,
    /// Also that `pin update` would change nothing.
    Locked,
}

/// What the registry says about a pin.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    /// The locked version as the registry has it; `None` when it has no such version.
    pub locked: Option<Resolved>,
    /// The version that the pin would get now; `None` when the alias points nowhere.
    pub newest: Option<VersionLabel>,
    /// What replaces the locked version, when it cannot be used any more.
    pub replaced_by: Option<VersionLabel>,
}

/// Something wrong with the pins.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Problem {
    /// Pins are asked for, and there is no lock.
    NoLock,
    /// The lock holds conflict markers.
    Conflict,
    /// A pin that the lock does not have.
    NotLocked(PinName),
    /// A pin in the lock that nobody asks for.
    NotAsked(PinName),
    /// The project file asks for something else than what was locked.
    AskedOtherwise {
        /// The pin.
        name: PinName,
        /// What the project file asks for.
        asked: Ask,
        /// What was asked for when it was locked.
        locked: Ask,
    },
    /// The registry does not have the locked version.
    UnknownVersion(PinName, VersionLabel),
    /// The registry has another content under the locked version.
    Differs(PinName, VersionLabel),
    /// The locked version is deprecated, and its last day is over.
    Deprecated {
        /// The pin.
        name: PinName,
        /// What is locked.
        locked: VersionLabel,
        /// What replaces it.
        replacement: VersionLabel,
    },
    /// The alias points to another version now.
    Moved {
        /// The pin.
        name: PinName,
        /// What is locked.
        locked: VersionLabel,
        /// What the pin would get now.
        newest: Option<VersionLabel>,
    },
}

impl Problem {
    /// Whether content is not what its digest says, rather than a pin being out of date.
    pub fn is_integrity(&self) -> bool {
        matches!(self, Self::UnknownVersion(..) | Self::Differs(..))
    }
}

/// Everything wrong with the pins of a project, in the order of their names.
///
/// `answers` is what the registry says about each locked pin; with [`Depth::Frozen`] it is not looked at.
pub fn check(
    project: &Project,
    lock: &LockFile,
    answers: &BTreeMap<PinName, Answer>,
    depth: Depth,
) -> Vec<Problem> {
    match lock {
        LockFile::Missing if project.pins.is_empty() => Vec::new(),
        LockFile::Missing => vec![Problem::NoLock],
        LockFile::Conflict(_) => vec![Problem::Conflict],
        LockFile::Lock(lock) => {
            let mut problems = agreement(project, lock);
            if depth != Depth::Frozen {
                let pins = lock
                    .pins
                    .iter()
                    .filter(|(name, _)| project.pins.contains_key(name));
                problems.extend(
                    pins.flat_map(|(name, pin)| against(name, pin, answers.get(name), depth)),
                );
            }
            problems
        }
    }
}

/// The same for the bytes of project file and lock, as they are staged or pushed; the registry is not looked at.
/// Without a project file nothing is asked for, and nothing is wrong.
pub fn check_frozen(
    project: Option<Vec<u8>>,
    lock: Option<Vec<u8>>,
) -> Result<Vec<Problem>, PinError> {
    let Some(project) = project else {
        return Ok(Vec::new());
    };
    let lock = match lock {
        Some(bytes) => LockFile::parse(bytes, Path::new(LOCK_FILE))?,
        None => LockFile::Missing,
    };
    let project = Project::from_bytes(&project)?;
    Ok(check(&project, &lock, &BTreeMap::new(), Depth::Frozen))
}

/// Where the project file and the lock differ.
fn agreement(project: &Project, lock: &Lock) -> Vec<Problem> {
    let mut problems = Vec::new();
    for (name, asked) in &project.pins {
        match lock.pins.get(name) {
            None => problems.push(Problem::NotLocked(name.clone())),
            Some(pin) if pin.ask != *asked => problems.push(Problem::AskedOtherwise {
                name: name.clone(),
                asked: asked.clone(),
                locked: pin.ask.clone(),
            }),
            Some(pin) => problems.extend(wrong_version(name, pin)),
        }
    }
    let unasked = lock
        .pins
        .keys()
        .filter(|name| !project.pins.contains_key(name));
    problems.extend(unasked.map(|name| Problem::NotAsked(name.clone())));
    problems
}

/// A pin that asks for one version must have got it.
fn wrong_version(name: &PinName, pin: &Pin) -> Option<Problem> {
    match &pin.ask.asked {
        Asked::Version(asked) if !asked.matches(&pin.got.version) => {
            Some(Problem::Differs(name.clone(), pin.got.version.clone()))
        }
        _ => None,
    }
}

/// What the registry says against a pin.
fn against(name: &PinName, pin: &Pin, answer: Option<&Answer>, depth: Depth) -> Option<Problem> {
    let locked = &pin.got.version;
    let Some(Answer {
        locked: Some(found),
        newest,
        replaced_by,
    }) = answer
    else {
        return Some(Problem::UnknownVersion(name.clone(), locked.clone()));
    };
    if *found != pin.got {
        return Some(Problem::Differs(name.clone(), locked.clone()));
    }
    if let Some(replacement) = replaced_by {
        return Some(Problem::Deprecated {
            name: name.clone(),
            locked: locked.clone(),
            replacement: replacement.clone(),
        });
    }
    (depth == Depth::Locked && newest.as_ref() != Some(locked)).then(|| Problem::Moved {
        name: name.clone(),
        locked: locked.clone(),
        newest: newest.clone(),
    })
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoLock => f.write_str("there is no retune.lock: nothing is pinned"),
            Self::Conflict => f.write_str("retune.lock holds the conflict markers of a merge"),
            Self::NotLocked(name) => write!(f, "{name}: not in retune.lock"),
            Self::NotAsked(name) => write!(f, "{name}: in retune.lock, but not in retune.yaml"),
            Self::AskedOtherwise {
                name,
                asked,
                locked,
            } => write!(
                f,
                "{name}: retune.yaml asks for {asked}, the lock was made for {locked}"
            ),
            Self::UnknownVersion(name, version) => {
                write!(f, "{name}: the registry has no version {version}")
            }
            Self::Differs(name, version) => {
                write!(
                    f,
                    "{name}: version {version} in the registry is not the one that was locked"
                )
            }
            Self::Deprecated {
                name,
                locked,
                replacement,
            } => write!(
                f,
                "{name}: version {locked} is deprecated and its last day is over; {replacement} replaces it"
            ),
            Self::Moved {
                name,
                locked,
                newest: Some(newest),
            } => write!(
                f,
                "{name}: locked to {locked}, the alias points to {newest} now"
            ),
            Self::Moved { name, locked, .. } => {
                write!(
                    f,
                    "{name}: locked to {locked}, the alias points to no version now"
                )
            }
        }
    }
}
