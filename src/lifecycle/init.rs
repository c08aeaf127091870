//! Setting up a project.

use std::path::Path;

use crate::fsio::{self, FileError};
use crate::git::Repository;
use crate::name::TenantName;
use crate::registry::{Act, Registry, RegistryError};
use crate::store::{Store, StoreError};

const PROJECT_FILE: &str = include_str!("../../templates/retune.yaml");
const IGNORED: &str = "/.retune/";

/// What setting up a project found and made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Initialised {
    /// Each part's path inside the project, and whether it is new.
    pub parts: Vec<(String, bool)>,
}

/// Why a project could not be set up.
#[derive(Debug, thiserror::Error)]
pub enum InitError {
    /// The registry.
    #[error(transparent)]
    Registry(#[from] RegistryError),
    /// The store.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The project file or `.gitignore`.
    #[error(transparent)]
    File(#[from] FileError),
}

/// Creates what is missing of a project at `root`: registry, tenant, store, `retune.yaml`, and in a git work
/// tree a line in `.gitignore` that keeps the first two out of it. What is there already is kept.
pub fn init(root: &Path, tenant: &TenantName, act: &Act<'_>) -> Result<Initialised, InitError> {
    let parts = vec![
        (".retune/registry".to_owned(), registry(root, tenant, act)?),
        (".retune/store".to_owned(), store(root, act)?),
        ("retune.yaml".to_owned(), project_file(root, tenant, act)?),
    ];
    let mut done = Initialised { parts };
    if Repository::discover(root).is_ok_and(|git| git.work_tree().is_some()) {
        let new = ignore(root, act)?;
        done.parts.push((".gitignore".to_owned(), new));
    }
    Ok(done)
}

fn registry(root: &Path, tenant: &TenantName, act: &Act<'_>) -> Result<bool, InitError> {
    let path = root.join(".retune/registry");
    let new = !path.exists();
    if act.dry_run && new {
        return Ok(true);
    }
    let registry = if new {
        Registry::create(&path, act)?
    } else {
        Registry::open(&path)?
    };
    Ok(registry.add_tenant(tenant, act)? || new)
}

fn store(root: &Path, act: &Act<'_>) -> Result<bool, InitError> {
    let path = root.join(".retune/store");
    let new = !path.join("format").exists();
    if !act.dry_run {
        Store::create(&path)?;
    }
    Ok(new)
}

fn project_file(root: &Path, tenant: &TenantName, act: &Act<'_>) -> Result<bool, InitError> {
    let path = root.join("retune.yaml");
    let new = !path.exists();
    if new && !act.dry_run {
        let text = PROJECT_FILE.replace("{{ tenant }}", tenant.as_str());
        fsio::write_atomic(&path, text.as_bytes())?;
    }
    Ok(new)
}

/// Adds the line to `.gitignore` unless one is there that means the same.
fn ignore(root: &Path, act: &Act<'_>) -> Result<bool, InitError> {
    let path = root.join(".gitignore");
    let mut text = match path.exists() {
        true => fsio::read(&path)?,
        false => Vec::new(),
    };
    let means = |line: &str| line.trim().trim_matches('/') == IGNORED.trim_matches('/');
    if String::from_utf8_lossy(&text).lines().any(means) {
        return Ok(false);
    }
    if !text.is_empty() && !text.ends_with(b"\n") {
        text.push(b'\n');
    }
    text.extend_from_slice(format!("{IGNORED}\n").as_bytes());
    if !act.dry_run {
        fsio::write_atomic(&path, &text)?;
    }
    Ok(true)
}
