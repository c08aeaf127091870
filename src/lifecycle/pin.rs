//! Pinning: choosing a version for each pin, and comparing what was chosen with the registry.

use std::collections::BTreeMap;

use super::workspace::Workspace;
use crate::name::AliasName;
use crate::pin::{
    Answer, Ask, Asked, Lock, LockFile, LockedBase, LockedFile, Pin, PinError, PinName, Project,
    Resolved,
};
use crate::reference::{ModelRef, Selector, VersionLabel};
use crate::registry::{Deprecation, Registry, RegistryError, Tenant, Version};
use crate::time::Timestamp;

/// What became of a pin.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PinChange {
    /// The pin.
    pub name: PinName,
    /// The version that was locked before.
    pub before: Option<VersionLabel>,
    /// The pin as it is now; `None` when nobody asks for it any more.
    pub now: Option<Pin>,
}

/// Why pins could not be chosen.
#[derive(Debug, thiserror::Error)]
pub enum PinActError {
    /// The registry.
    #[error(transparent)]
    Registry(#[from] RegistryError),
    /// The project file or the lock.
    #[error(transparent)]
    Pin(#[from] PinError),
    /// The version cannot be used any more.
    #[error("{}@{} could be used until {}; {} replaces it", .0.model, .0.version.version, .0.until, .0.replacement.version)]
    Deprecated(Box<Deprecation>),
}

impl PinChange {
    /// Whether the lock was changed for it.
    pub fn is_change(&self) -> bool {
        self.before.as_ref() != self.now.as_ref().map(|pin| &pin.got.version)
    }
}

/// Pins one version: writes it into the project file and the lock. Doing it again changes nothing.
///
/// `follow` is the alias that a later `pin update` looks at; without one, the pin stays at this version.
pub fn pin(
    workspace: &Workspace<'_>,
    name: &PinName,
    reference: &ModelRef,
    follow: Option<&AliasName>,
) -> Result<PinChange, PinActError> {
    if reference.is_movable() {
        return Err(PinError::Movable(reference.to_string()).into());
    }
    let root = &workspace.root;
    let project = Project::read(root)?;
    let tenant = reference
        .tenant
        .clone()
        .unwrap_or_else(|| project.tenant.clone());
    let version = usable(workspace, reference)?;
    let asked = match follow {
        Some(alias) => Asked::Alias(alias.clone()),
        None => Asked::Version(version.label.clone()),
    };
    let ask = Ask {
        tenant,
        model: reference.model.clone(),
        asked,
    };
    if let Asked::Alias(_) = ask.asked {
        // An alias that does not exist is a typing mistake, and better found now.
        workspace
            .tenant_of(&ask.reference())?
            .resolve(&ask.reference())?;
    }
    let file = LockFile::read(root)?;
    if matches!(file, LockFile::Conflict(_)) {
        return Err(PinError::Conflict(LockFile::path(root)).into());
    }
    let mut lock = file.into_lock();
    let before = lock.pins.get(name).map(|pin| pin.got.version.clone());
    let pin = Pin {
        ask,
        got: resolved(&version, &project),
    };
    lock.pins.insert(name.clone(), pin.clone());
    if !workspace.act.dry_run {
        Project::write_pin(root, name, &pin.ask)?;
        lock.write(root)?;
    }
    Ok(PinChange {
        name: name.clone(),
        before,
        now: Some(pin),
    })
}

/// Chooses the versions of pins anew and writes the lock. Without `names`, all of them; pins that
/// nobody asks for any more leave the lock. Pins that a merge conflict left open are always chosen anew.
pub fn update_pins(
    workspace: &Workspace<'_>,
    names: &[PinName],
) -> Result<Vec<PinChange>, PinActError> {
    let root = &workspace.root;
    let project = Project::read(root)?;
    for name in names {
        require(&project, name)?;
    }
    let mut lock = LockFile::read(root)?.into_lock();
    let mut changes = Vec::new();
    for (name, ask) in &project.pins {
        if !names.is_empty() && !names.contains(name) && lock.pins.contains_key(name) {
            continue;
        }
        let reference = ask.reference();
        let version = usable(workspace, &reference)?;
        let pin = Pin {
            ask: ask.clone(),
            got: resolved(&version, &project),
        };
        let old = lock.pins.insert(name.clone(), pin.clone());
        changes.push(PinChange {
            name: name.clone(),
            before: old.map(|pin| pin.got.version),
            now: Some(pin),
        });
    }
    if names.is_empty() {
        changes.extend(drop_unasked(&project, &mut lock));
    }
    if !workspace.act.dry_run {
        lock.write(root)?;
    }
    Ok(changes)
}

/// What the registry says about each locked pin of the project.
pub fn pin_answers(
    registry: &Registry,
    project: &Project,
    lock: &LockFile,
    now: Timestamp,
) -> Result<BTreeMap<PinName, Answer>, RegistryError> {
    let LockFile::Lock(lock) = lock else {
        return Ok(BTreeMap::new());
    };
    let answer = |(name, pin): (&PinName, &Pin)| {
        let what = || format!("model {}", pin.ask.model);
        let tenant = registry.tenant_for(&project.tenant, Some(&pin.ask.tenant), what)?;
        let fixed = ModelRef {
            selector: Selector::Version(pin.got.version.clone()),
            ..pin.ask.reference()
        };
        let version = found(&tenant, &fixed)?;
        let over = match &version {
            Some(version) => over(&tenant, version, now)?,
            None => None,
        };
        let newest = found(&tenant, &pin.ask.reference())?.map(|version| version.label);
        let answer = Answer {
            locked: version.map(|version| resolved(&version, project)),
            newest,
            replaced_by: over.map(|deprecation| deprecation.replacement.version),
        };
        Ok((name.clone(), answer))
    };
    lock.pins.iter().map(answer).collect()
}

/// The version behind a reference; `None` when there is no such model, alias or version.
fn found(tenant: &Tenant<'_>, reference: &ModelRef) -> Result<Option<Version>, RegistryError> {
    match tenant.resolve(reference) {
        Ok(version) => Ok(Some(version)),
        Err(error) if error.is_usage() => Ok(None),
        Err(error) => Err(error),
    }
}

/// The deprecation of a version whose last day is over.
fn over(
    tenant: &Tenant<'_>,
    version: &Version,
    now: Timestamp,
) -> Result<Option<Deprecation>, RegistryError> {
    let deprecation = tenant.deprecation(version)?;
    Ok(deprecation.filter(|deprecation| deprecation.is_over(now)))
}

/// The version behind a reference, which must be one that can still be used.
fn usable(workspace: &Workspace<'_>, reference: &ModelRef) -> Result<Version, PinActError> {
    let tenant = workspace.tenant_of(reference)?;
    let version = tenant.resolve(reference)?;
    match over(&tenant, &version, workspace.act.at)? {
        None => Ok(version),
        Some(deprecation) => Err(PinActError::Deprecated(Box::new(deprecation))),
    }
}

fn resolved(version: &Version, project: &Project) -> Resolved {
    let manifest = &version.manifest;
    let mut files: Vec<LockedFile> = manifest
        .adapter
        .files
        .iter()
        .map(|file| LockedFile {
            path: file.path.clone(),
            size: file.size,
            sha256: file.sha256,
        })
        .collect();
    files.sort();
    Resolved {
        version: version.label.clone(),
        manifest: version.id.digest(),
        registry: project.registry.display().to_string(),
        base: LockedBase {
            source: manifest.base.source.clone(),
            revision: manifest.base.revision.clone(),
            tree: manifest.base.tree.digest(),
        },
        files,
    }
}

fn drop_unasked(project: &Project, lock: &mut Lock) -> Vec<PinChange> {
    let (kept, dropped) = std::mem::take(&mut lock.pins)
        .into_iter()
        .partition::<BTreeMap<_, _>, _>(|(name, _)| project.pins.contains_key(name));
    lock.pins = kept;
    let gone = |(name, pin): (PinName, Pin)| PinChange {
        name,
        before: Some(pin.got.version),
        now: None,
    };
    dropped.into_iter().map(gone).collect()
}

fn require(project: &Project, name: &PinName) -> Result<(), PinError> {
    if project.pins.contains_key(name) {
        return Ok(());
    }
    Err(PinError::NoPin {
        name: name.clone(),
        known: project.pins.keys().map(ToString::to_string).collect(),
    })
}
