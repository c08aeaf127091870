//! Creating and opening repositories.

use std::path::{Path, PathBuf};

use git2::{Config, ErrorCode, RepositoryInitOptions, RepositoryOpenFlags};

use super::error::{Doing, GitError};

/// An open git repository. Not shared between threads: each opens its own.
pub struct Repository {
    pub(super) inner: git2::Repository,
    path: PathBuf,
}

impl Repository {
    /// Creates a bare repository at `path`, which must not hold one, with `branch` as its HEAD.
    ///
    /// No template is copied, no user configuration is consulted, and every object and reference written to
    /// it is flushed to the disk (`core.fsyncObjectFiles`; libgit2 has it off by default).
    pub fn create_bare(path: &Path, branch: &str) -> Result<Self, GitError> {
        let mut options = RepositoryInitOptions::new();
        options
            .bare(true)
            .no_reinit(true)
            .mkpath(true)
            .external_template(false)
            .initial_head(branch);
        let created = git2::Repository::init_opts(path, &options).doing("create", path)?;
        let set = || -> Result<(), git2::Error> {
            let mut config = Config::open(&created.path().join("config"))?;
            config.set_bool("core.fsyncObjectFiles", true)
        };
        set().doing("set core.fsyncObjectFiles", path)?;
        Self::open_bare(path)
    }

    /// Opens the bare repository at exactly `path`, isolated from the user's and the system's configuration.
    pub fn open_bare(path: &Path) -> Result<Self, GitError> {
        let flags = RepositoryOpenFlags::NO_SEARCH | RepositoryOpenFlags::BARE;
        let none: [&Path; 0] = [];
        let inner =
            git2::Repository::open_ext(path, flags, none).map_err(|error| explain(&error, path))?;
        let own =
            Config::open(&inner.path().join("config")).doing("read the configuration", path)?;
        inner
            .set_config(&own)
            .doing("use its own configuration", path)?;
        Ok(Self {
            inner,
            path: path.to_owned(),
        })
    }

    /// Opens the repository that `path` lies in, looking upwards as git does.
    pub fn discover(path: &Path) -> Result<Self, GitError> {
        let none: [&Path; 0] = [];
        let inner = git2::Repository::open_ext(path, RepositoryOpenFlags::empty(), none)
            .map_err(|error| explain(&error, path))?;
        let path = inner.workdir().unwrap_or(inner.path()).to_owned();
        Ok(Self { inner, path })
    }

    /// Where it was opened: the work tree, or the directory of a bare repository.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The directory that holds objects and references.
    pub fn git_dir(&self) -> &Path {
        self.inner.path()
    }

    /// The root of the work tree, unless bare.
    pub fn work_tree(&self) -> Option<&Path> {
        self.inner.workdir()
    }
}

/// Turns libgit2's answer to opening `path` into what a person can act on.
fn explain(error: &git2::Error, path: &Path) -> GitError {
    match (error.code(), unsupported(path)) {
        (_, Some(feature)) => GitError::Unsupported {
            repository: path.to_owned(),
            feature,
        },
        (ErrorCode::NotFound, None) => GitError::NotARepository(path.to_owned()),
        (ErrorCode::Owner, None) => GitError::ForeignOwner(path.to_owned()),
        _ => GitError::Refused {
            action: "open it".into(),
            repository: path.to_owned(),
            message: error.message().to_owned(),
        },
    }
}

/// The extension that libgit2 cannot read, if the repository at or above `path` has one.
fn unsupported(path: &Path) -> Option<String> {
    let config = path
        .ancestors()
        .flat_map(|dir| [dir.join(".git/config"), dir.join("config")])
        .find_map(|file| file.is_file().then(|| Config::open(&file).ok()).flatten())?;
    let set = |key: &str| config.get_string(key).map(|value| value.to_lowercase());
    match (set("extensions.refstorage"), set("extensions.objectformat")) {
        (Ok(storage), _) if storage != "files" => Some(format!("{storage} references")),
        (_, Ok(format)) if format != "sha1" => Some(format!("{format} object names")),
        _ => None,
    }
}
