//! Hook files in the folder that git runs hooks from.

use std::fmt;
use std::fs;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::str::FromStr;

use crate::fsio::{self, Context, FileError, Pending};
use crate::git::{Checkout, GitError};

/// A hook that retune serves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Hook {
    /// Checks what is staged.
    PreCommit,
    /// Checks every pushed tip.
    PrePush,
}

/// The hooks folder of a repository: shared by all its work trees, and the one of `core.hooksPath` when set.
pub struct Hooks {
    dir: PathBuf,
}

/// How a hook stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HookStatus {
    /// Which.
    pub hook: Hook,
    /// Its file.
    pub path: PathBuf,
    /// What is there.
    pub state: State,
    /// Whether another hook is kept beside it and runs first.
    pub chained: bool,
}

/// What stands in a hook's place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    /// Nothing.
    Absent,
    /// Somebody else's hook.
    Foreign,
    /// Ours, as this program writes it.
    Installed,
    /// Ours, but from another version or for a program elsewhere.
    Outdated,
}

/// What installing or uninstalling did to one hook.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Installed {
    /// Which.
    pub hook: Hook,
    /// Its file.
    pub path: PathBuf,
    /// What was done.
    pub change: Change,
}

/// What was done to a hook.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Change {
    /// Written where nothing was.
    Added,
    /// Written; the hook that was there runs first.
    Chained,
    /// Our own older one was replaced.
    Updated,
    /// Removed.
    Removed,
    /// Removed; the hook that was there before is back.
    Restored,
    /// Nothing to do.
    Unchanged,
}

/// Why hooks could not be installed or removed.
#[derive(Debug, thiserror::Error)]
pub enum HookError {
    /// git refused.
    #[error(transparent)]
    Git(#[from] GitError),
    /// The file system refused.
    #[error(transparent)]
    File(#[from] FileError),
    /// Two foreign hooks, and only one name to keep the other under.
    #[error("{} and {} are both hooks of somebody else; keep one of them", hook.display(), chained.display())]
    TwoForeign {
        /// The hook.
        hook: PathBuf,
        /// The kept one.
        chained: PathBuf,
    },
    /// The path of the program cannot stand in a script.
    #[error("the path {} of this program cannot be written into a hook", .0.display())]
    Program(PathBuf),
}

const MARK: &str = "# retune hook:";
const PROGRAM: &str = "@RETUNE@";

impl Hook {
    /// Every hook.
    pub const ALL: [Self; 2] = [Self::PreCommit, Self::PrePush];

    /// git's name for it.
    pub fn name(self) -> &'static str {
        match self {
            Self::PreCommit => "pre-commit",
            Self::PrePush => "pre-push",
        }
    }

    /// The script, for a program at this path.
    fn script(self, program: &str) -> String {
        let template = match self {
            Self::PreCommit => include_str!("../../../templates/hooks/pre-commit.sh"),
            Self::PrePush => include_str!("../../../templates/hooks/pre-push.sh"),
        };
        template.replace(PROGRAM, program)
    }
}

impl Hooks {
    /// The hooks of a checkout's repository.
    pub fn of(checkout: &Checkout) -> Result<Self, GitError> {
        Ok(Self::in_dir(&checkout.hooks_dir()?))
    }

    /// The hooks in this folder.
    pub fn in_dir(dir: &Path) -> Self {
        Self {
            dir: dir.to_owned(),
        }
    }

    /// How each hook stands, seen from the program at `program`.
    pub fn status(&self, program: &Path) -> Result<Vec<HookStatus>, HookError> {
        let program = in_script(program)?;
        let status = |hook: Hook| {
            let path = self.path(hook);
            let state = match text(&path)? {
                None => State::Absent,
                Some(found) if found == hook.script(program) => State::Installed,
                Some(found) if found.contains(MARK) => State::Outdated,
                Some(_) => State::Foreign,
            };
            Ok(HookStatus {
                hook,
                state,
                chained: exists(&self.chained(hook)),
                path,
            })
        };
        Hook::ALL.into_iter().map(status).collect()
    }

    /// Writes the hooks; a hook of somebody else is kept beside and runs first. Repeating changes nothing.
    pub fn install(&self, program: &Path, dry_run: bool) -> Result<Vec<Installed>, HookError> {
        let script = in_script(program)?;
        let install = |status: HookStatus| {
            let change = match (status.state, status.chained) {
                (State::Installed, _) => Change::Unchanged,
                (State::Outdated, _) => Change::Updated,
                (State::Absent, _) => Change::Added,
                (State::Foreign, _) => Change::Chained,
            };
            if change == Change::Chained {
                self.keep(status.hook, dry_run)?;
            }
            if change != Change::Unchanged && !dry_run {
                write(&status.path, &status.hook.script(script))?;
            }
            Ok(Installed {
                hook: status.hook,
                path: status.path,
                change,
            })
        };
        self.status(program)?.into_iter().map(install).collect()
    }

    /// Removes our hooks and puts back what was there before.
    pub fn uninstall(&self, program: &Path, dry_run: bool) -> Result<Vec<Installed>, HookError> {
        let uninstall = |status: HookStatus| {
            let change = match (status.state, status.chained) {
                (State::Absent | State::Foreign, _) => Change::Unchanged,
                (State::Installed | State::Outdated, true) => Change::Restored,
                (State::Installed | State::Outdated, false) => Change::Removed,
            };
            match change {
                Change::Restored if !dry_run => {
                    fs::rename(self.chained(status.hook), &status.path)
                        .doing("put back", &status.path)?;
                }
                Change::Removed if !dry_run => {
                    fs::remove_file(&status.path).doing("remove", &status.path)?
                }
                _ => {}
            }
            Ok(Installed {
                hook: status.hook,
                path: status.path,
                change,
            })
        };
        self.status(program)?.into_iter().map(uninstall).collect()
    }

    /// Keeps somebody else's hook under its second name. The hook itself stays until ours replaces it, so that
    /// at no moment there is none.
    fn keep(&self, hook: Hook, dry_run: bool) -> Result<(), HookError> {
        let (path, chained) = (self.path(hook), self.chained(hook));
        if exists(&chained) {
            return match text(&path)? == text(&chained)? {
                true => Ok(()),
                false => Err(HookError::TwoForeign {
                    hook: path,
                    chained,
                }),
            };
        }
        if !dry_run {
            copy(&path, &chained).doing("keep", &path)?;
        }
        Ok(())
    }

    fn path(&self, hook: Hook) -> PathBuf {
        self.dir.join(hook.name())
    }

    fn chained(&self, hook: Hook) -> PathBuf {
        self.dir.join(format!("{}.retune-chained", hook.name()))
    }
}

/// The program's path as it stands between single quotes and in a message of the script.
fn in_script(program: &Path) -> Result<&str, HookError> {
    let plain = |text: &&str| {
        !text.contains(['\'', '"', '`', '$', '\\']) && !text.contains(char::is_control)
    };
    program
        .to_str()
        .filter(plain)
        .ok_or_else(|| HookError::Program(program.to_owned()))
}

fn write(path: &Path, script: &str) -> Result<(), FileError> {
    let mut pending = Pending::beside(path)?;
    pending.write_all(script.as_bytes()).doing("write", path)?;
    pending.commit_with_mode(path, 0o755)
}

/// A link is kept as a link, so that it goes on following its file.
fn copy(from: &Path, to: &Path) -> io::Result<()> {
    #[cfg(unix)]
    if from.is_symlink() {
        return std::os::unix::fs::symlink(fs::read_link(from)?, to);
    }
    fs::copy(from, to).map(drop)
}

/// The file's text, whatever its bytes; `None` when there is no file.
fn text(path: &Path) -> Result<Option<String>, FileError> {
    if !exists(path) {
        return Ok(None);
    }
    let bytes = fsio::read(path)?;
    Ok(Some(String::from_utf8_lossy(&bytes).into_owned()))
}

/// Whether something has this name, be it a link to nowhere.
fn exists(path: &Path) -> bool {
    path.symlink_metadata().is_ok()
}

impl fmt::Display for Hook {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Hook {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        Self::ALL
            .into_iter()
            .find(|hook| hook.name() == text)
            .ok_or_else(|| {
                format!("{text:?} is not a hook that retune serves: pre-commit or pre-push")
            })
    }
}
