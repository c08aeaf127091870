//! Where files to check come from: the work tree, the index, pushed tips, a plain folder.

use std::fs;
use std::path::{Path, PathBuf};

use rayon::prelude::*;

use super::file::{File, Kind, MAX_BYTES};
use super::finding::Report;
use super::scanner;
use crate::document::Faults;
use crate::fsio::{Context, FileError};
use crate::git::{Checkout, GitError, PushedRef, TreeFile};
use crate::pin::{Exclude, PROJECT_FILE, Project};

/// Why nothing could be checked.
#[derive(Debug, thiserror::Error)]
pub enum ScanError {
    /// git refused.
    #[error(transparent)]
    Git(#[from] GitError),
    /// The file system refused.
    #[error(transparent)]
    File(#[from] FileError),
    /// The project file, as staged or pushed, is not valid.
    #[error(transparent)]
    Project(#[from] Faults),
    /// A path to check that lies elsewhere.
    #[error("{} is not inside {}", path.display(), root.display())]
    Outside {
        /// The path.
        path: PathBuf,
        /// What is scanned.
        root: PathBuf,
    },
}

/// Checks the staged bytes of every file that a commit would change. What is left out is what the staged
/// project file says.
pub fn scan_staged(checkout: &Checkout) -> Result<Report, ScanError> {
    let exclude = exclude(checkout.staged_file(PROJECT_FILE)?)?;
    let files = read(checkout, checkout.staged()?, None, &exclude)?;
    // A lookup that fails says "not there", so that the name is judged.
    Ok(scanner::scan(&files, &|_, path| {
        checkout.is_staged(path).unwrap_or(false)
    }))
}

/// Checks, for every pushed reference, the files at its tip that the remote does not have. What is left out is
/// what the project file at the tip says.
pub fn scan_pushed(
    checkout: &Checkout,
    pushes: &[PushedRef],
    remote: &str,
) -> Result<Report, ScanError> {
    let mut files = Vec::new();
    for push in pushes {
        let exclude = exclude(checkout.tip_file(&push.tip, PROJECT_FILE)?)?;
        let new = checkout.pushed(push, remote)?;
        files.extend(read(checkout, new, Some(push), &exclude)?);
    }
    let tip_of = |file: &File| {
        pushes
            .iter()
            .find(|push| Some(&push.local_ref) == file.tip.as_ref())
    };
    Ok(scanner::scan(&files, &|file, path| {
        tip_of(file).is_some_and(|push| checkout.tip_has(&push.tip, path).unwrap_or(false))
    }))
}

/// Checks files below `root`: those that git tracks or would add when `checkout` holds the folder, else all but
/// hidden folders. `paths`, when there are any, say which files and folders.
pub fn scan_folder(
    root: &Path,
    checkout: Option<&Checkout>,
    paths: &[PathBuf],
    exclude: &Exclude,
) -> Result<Report, ScanError> {
    let root = root.canonicalize().doing("find", root)?;
    let wanted = wanted(&root, paths)?;
    let names = match checkout {
        Some(checkout) => tracked(&root, checkout)?,
        None => all(&root)?,
    };
    let names: Vec<String> = names
        .into_iter()
        .filter(|name| Kind::of(name).is_some() && !exclude.matches(name))
        .filter(|name| wanted.is_empty() || wanted.iter().any(|folder| is_below(name, folder)))
        .collect();
    let files = names
        .into_par_iter()
        .filter_map(|name| from_disk(&root, name).transpose());
    let files = files.collect::<Result<Vec<_>, _>>()?;
    Ok(scanner::scan(&files, &|_, path| root.join(path).exists()))
}

fn exclude(project: Option<Vec<u8>>) -> Result<Exclude, Faults> {
    match project {
        Some(bytes) => Ok(Project::from_bytes(&bytes)?.scan.exclude),
        None => Ok(Exclude::default()),
    }
}

fn read(
    checkout: &Checkout,
    mut files: Vec<TreeFile>,
    push: Option<&PushedRef>,
    exclude: &Exclude,
) -> Result<Vec<File>, GitError> {
    files.retain(|file| Kind::of(&file.path).is_some() && !exclude.matches(&file.path));
    let bytes = checkout.read(&files, MAX_BYTES)?;
    let files = files.into_iter().zip(bytes).map(|(file, bytes)| File {
        path: file.path,
        tip: push.map(|push| push.local_ref.clone()),
        bytes,
    });
    Ok(files.collect())
}

/// The paths relative to the root; the root itself is an empty one.
fn wanted(root: &Path, paths: &[PathBuf]) -> Result<Vec<String>, ScanError> {
    let relative = |path: &PathBuf| {
        let found = path.canonicalize().doing("find", path)?;
        match found.strip_prefix(root) {
            Ok(inside) => Ok(slashed(inside)),
            Err(_) => Err(ScanError::Outside {
                path: path.clone(),
                root: root.to_owned(),
            }),
        }
    };
    paths.iter().map(relative).collect()
}

fn is_below(name: &str, folder: &str) -> bool {
    folder.is_empty()
        || name
            .strip_prefix(folder)
            .is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

fn tracked(root: &Path, checkout: &Checkout) -> Result<Vec<String>, ScanError> {
    let top = checkout
        .root()
        .canonicalize()
        .doing("find", checkout.root())?;
    let inside = root
        .strip_prefix(&top)
        .map(slashed)
        .map_err(|_| ScanError::Outside {
            path: root.to_owned(),
            root: top.clone(),
        })?;
    let files = checkout.work_files()?.into_iter();
    if inside.is_empty() {
        return Ok(files.collect());
    }
    let prefix = format!("{inside}/");
    Ok(files
        .filter_map(|file| file.strip_prefix(&prefix).map(str::to_owned))
        .collect())
}

fn all(root: &Path) -> Result<Vec<String>, ScanError> {
    let mut names = Vec::new();
    let mut folders = vec![root.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).doing("list", &folder)? {
            let entry = entry.doing("list", &folder)?;
            let path = entry.path();
            let kind = entry.file_type().doing("look at", &path)?;
            let hidden = entry.file_name().to_string_lossy().starts_with('.');
            if kind.is_dir() && !hidden {
                folders.push(path);
            } else if kind.is_file() {
                names.extend(path.strip_prefix(root).ok().map(slashed));
            }
        }
    }
    names.sort();
    Ok(names)
}

/// The file's bytes unless there are too many; `None` when it is gone, or a link or folder by now.
fn from_disk(root: &Path, name: String) -> Result<Option<File>, FileError> {
    let path = root.join(&name);
    let Ok(meta) = path.symlink_metadata() else {
        return Ok(None);
    };
    if !meta.is_file() {
        return Ok(None);
    }
    let bytes = match meta.len() > MAX_BYTES as u64 {
        true => None,
        false => Some(fs::read(&path).doing("read", &path)?),
    };
    Ok(Some(File {
        path: name,
        tip: None,
        bytes,
    }))
}

fn slashed(path: &Path) -> String {
    let parts: Vec<_> = path
        .components()
        .map(|part| part.as_os_str().to_string_lossy())
        .collect();
    parts.join("/")
}
