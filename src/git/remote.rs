//! Another repository that one is kept in step with: a directory, or what git reaches by ssh or https.
//!
//! A directory is read and written through libgit2, so nothing that lies in it is ever run. For a network the
//! `git` program is run in a scratch repository of our own, with its transports; hooks and configuration of
//! neither side are used, only those of the person.

use std::fmt;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::str::FromStr;
use std::thread;
use std::time::{Duration, Instant};

use super::commit::CommitId;
use super::error::{Doing, GitError};
use super::reference::Advance;
use super::repository::Repository;
use super::take::Limits;
use crate::fsio::{self, Context};

/// Longer than this no single call of `git` takes.
const PATIENCE: Duration = Duration::from_secs(600);

/// The largest file that `git` may write while it fetches, in blocks of 512 bytes: 1 GiB.
const MAX_FILE_BLOCKS: u64 = 2 << 20;

/// Where the other side's branch is put in a scratch repository.
const TRACKING: &str = "refs/remotes/other/main";

/// Where another repository is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Remote {
    /// A directory, perhaps relative.
    Directory(PathBuf),
    /// An address of ssh or https, as git takes it.
    Network(String),
}

/// Why a text is not where a repository is.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{text:?} is no place of a repository: {why}")]
pub struct RemoteError {
    text: String,
    why: &'static str,
}

impl FromStr for Remote {
    type Err = RemoteError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let refuse = |why| {
            let text = text.escape_debug().to_string();
            Err(RemoteError { text, why })
        };
        if text.is_empty() || text.starts_with('-') {
            return refuse("it is empty or begins with '-'");
        }
        if text.chars().any(|c| c.is_control() || c.is_whitespace()) {
            return refuse("it holds a blank or a control character");
        }
        if let Some((scheme, rest)) = text.split_once("://") {
            let authority = rest.split('/').next().unwrap_or_default();
            let host = authority.rsplit('@').next().unwrap_or_default();
            let user = authority.rsplit_once('@').map(|(user, _)| user);
            return match scheme {
                "file" if authority.is_empty() => Ok(Self::Directory(PathBuf::from(rest))),
                "ssh" | "https" | "http"
                    if host.is_empty() || authority.starts_with('-') || host.starts_with('-') =>
                {
                    refuse("it names no host")
                }
                "ssh" | "https" | "http" if user.is_some_and(|user| user.contains(':')) => {
                    refuse("it holds a password; let ssh or a credential helper of git have it")
                }
                "ssh" | "https" => Ok(Self::Network(text.to_owned())),
                "http" if is_loopback(host) => Ok(Self::Network(text.to_owned())),
                "http" => refuse("http can be changed on its way; use https"),
                _ => refuse("use a directory, ssh:// or https://"),
            };
        }
        if text.contains("::") {
            return refuse("use a directory, ssh:// or https://");
        }
        match text.split_once(':') {
            // `host:path`, as ssh and git have it. A path with a colon is written `./path`.
            Some((host, path)) if !host.contains('/') => match (host, path) {
                (_, "") | ("", _) => refuse("it names no host or no path"),
                _ if path.starts_with('-') => refuse("its path begins with '-'"),
                _ => Ok(Self::Network(text.to_owned())),
            },
            _ => Ok(Self::Directory(PathBuf::from(text))),
        }
    }
}

fn is_loopback(host: &str) -> bool {
    let name = match host.strip_prefix('[') {
        Some(rest) => rest.split(']').next().unwrap_or_default(),
        None => host.split(':').next().unwrap_or_default(),
    };
    matches!(name, "localhost" | "127.0.0.1" | "::1")
}

impl fmt::Display for Remote {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Directory(path) => write!(f, "{}", path.display()),
            Self::Network(address) => f.write_str(address),
        }
    }
}

impl Remote {
    /// The same, with a relative directory taken from `base`.
    pub fn from_dir(self, base: &Path) -> Self {
        match self {
            Self::Directory(path) => Self::Directory(base.join(path)),
            network => network,
        }
    }

    /// Brings the other side's branch into a scratch repository, with everything that it leads to; `None` when the
    /// other side has no such branch yet. What `own` has is not looked at again; nothing beyond the limits is taken.
    pub fn fetch(
        &self,
        scratch: &Repository,
        own: &Repository,
        reference: &str,
        limits: &Limits,
    ) -> Result<Option<CommitId>, GitError> {
        match self {
            Self::Directory(path) => {
                let other = Repository::open_bare(path)?;
                let tip = other.tip(reference)?;
                if let Some(tip) = tip {
                    scratch.take(&other, tip, limits)?;
                }
                Ok(tip)
            }
            Self::Network(address) => {
                let listed = self.git(scratch, &["ls-remote", "--refs", address, reference])?;
                if !listed.done {
                    return Err(self.refused("look at", &listed.said));
                }
                if listed.answer.trim().is_empty() {
                    return Ok(None);
                }
                let refspec = format!("+{reference}:{TRACKING}");
                let fetched = self.git(
                    scratch,
                    &[
                        "fetch",
                        "--quiet",
                        "--no-tags",
                        "--no-write-fetch-head",
                        "--no-recurse-submodules",
                        "--no-auto-maintenance",
                        "--end-of-options",
                        address,
                        &refspec,
                    ],
                )?;
                if !fetched.done {
                    return Err(self.refused("fetch from", &fetched.said));
                }
                let fresh = Repository::open_bare(scratch.path())?;
                let tip = fresh.tip(TRACKING)?;
                if let Some(tip) = tip {
                    fresh.check(own, tip, limits)?;
                }
                Ok(tip)
            }
        }
    }

    /// Moves the other side's branch from `old` (`None`: it must not exist) to `new`, which the scratch repository
    /// has, or says that somebody else was faster.
    pub fn push(
        &self,
        scratch: &Repository,
        reference: &str,
        old: Option<CommitId>,
        new: CommitId,
        limits: &Limits,
    ) -> Result<Advance, GitError> {
        match self {
            Self::Directory(path) => {
                let other = Repository::open_bare(path)?;
                other.take(scratch, new, limits)?;
                other.advance(reference, old, new, "sync")
            }
            Self::Network(address) => {
                let expected = old.map(|old| old.to_string()).unwrap_or_default();
                let lease = format!("--force-with-lease={reference}:{expected}");
                let refspec = format!("{new}:{reference}");
                let pushed = self.git(
                    scratch,
                    &[
                        "push",
                        "--porcelain",
                        "--no-verify",
                        "--no-recurse-submodules",
                        &lease,
                        "--end-of-options",
                        address,
                        &refspec,
                    ],
                )?;
                match pushed.done {
                    true => Ok(Advance::Done),
                    false if was_late(&pushed.answer, &pushed.said) => Ok(Advance::Lost),
                    false => {
                        Err(self.refused("push to", &format!("{}{}", pushed.answer, pushed.said)))
                    }
                }
            }
        }
    }

    /// Runs `git` in the scratch repository.
    fn git(&self, scratch: &Repository, args: &[&str]) -> Result<Answer, GitError> {
        const SETTINGS: [&str; 8] = [
            "core.hooksPath=/dev/null",
            "fetch.fsckObjects=true",
            "fetch.unpackLimit=1",
            "core.bigFileThreshold=8m",
            "http.followRedirects=initial",
            "core.fsmonitor=false",
            "gc.auto=0",
            "push.followTags=false",
        ];
        // The shell sets the limit on the size of files; git is called with our arguments as they are.
        let limited = format!("ulimit -f {MAX_FILE_BLOCKS} 2>/dev/null; exec git \"$@\"");
        let mut command = Command::new("sh");
        command.args(["-c", &limited, "git"]);
        for setting in SETTINGS {
            command.args(["-c", setting]);
        }
        for variable in [
            "GIT_WORK_TREE",
            "GIT_INDEX_FILE",
            "GIT_OBJECT_DIRECTORY",
            "GIT_ALTERNATE_OBJECT_DIRECTORIES",
            "GIT_NAMESPACE",
        ] {
            command.env_remove(variable);
        }
        command
            .args(args)
            .current_dir(scratch.path())
            .env("GIT_DIR", scratch.path())
            .env("GIT_ALLOW_PROTOCOL", "ssh:https:http")
            .env("GIT_TERMINAL_PROMPT", "0")
            .env("LC_ALL", "C")
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        answer(command).map_err(|why| self.refused("run git for", &why))
    }

    fn refused(&self, action: &str, said: &str) -> GitError {
        let said = said.trim();
        GitError::Remote {
            action: action.to_owned(),
            remote: self.to_string(),
            message: match said.char_indices().nth(2000) {
                Some((end, _)) => said[..end].to_owned(),
                None => said.to_owned(),
            },
        }
    }
}

/// What a program printed, and whether it succeeded.
struct Answer {
    done: bool,
    answer: String,
    said: String,
}

/// Runs a program to its end, or ends it when it takes too long.
fn answer(mut command: Command) -> Result<Answer, String> {
    let mut child = command.spawn().map_err(|error| error.to_string())?;
    let (stdout, stderr) = (child.stdout.take(), child.stderr.take());
    thread::scope(|scope| {
        let stdout = scope.spawn(move || everything(stdout));
        let stderr = scope.spawn(move || everything(stderr));
        let began = Instant::now();
        let status = loop {
            match child.try_wait().map_err(|error| error.to_string())? {
                Some(status) => break status,
                None if began.elapsed() > PATIENCE => {
                    let _ = child.kill();
                    let _ = child.wait();
                    return Err(format!("it took more than {} s", PATIENCE.as_secs()));
                }
                None => thread::sleep(Duration::from_millis(5)),
            }
        };
        Ok(Answer {
            done: status.success(),
            answer: stdout.join().unwrap_or_default(),
            said: stderr.join().unwrap_or_default(),
        })
    })
}

/// The beginning of what comes out of a pipe; the rest is read and dropped.
fn everything(pipe: Option<impl Read>) -> String {
    let mut kept = Vec::new();
    if let Some(mut pipe) = pipe {
        let _ = pipe.by_ref().take(64 << 10).read_to_end(&mut kept);
        let _ = std::io::copy(&mut pipe, &mut std::io::sink());
    }
    String::from_utf8_lossy(&kept).into_owned()
}

/// Whether a push was refused because the branch is not where it was expected.
fn was_late(answer: &str, said: &str) -> bool {
    let late = [
        "(stale info)",
        "(fetch first)",
        "(non-fast-forward)",
        "cannot lock ref",
        "failed to lock",
        "failed to update ref",
        "incorrect old value provided",
        "reference already exists",
    ];
    late.iter()
        .any(|word| answer.contains(word) || said.contains(word))
}

impl Repository {
    /// Creates an empty bare repository at `path` that sees every object of this one and can be thrown away.
    pub fn scratch(&self, path: &Path) -> Result<Self, GitError> {
        let objects = self.git_dir().join("objects");
        let objects = objects.canonicalize().doing("find", &objects)?;
        let text = objects.to_string_lossy().into_owned();
        if text.contains('\n') || text.starts_with('"') || text.starts_with('#') {
            return Err(GitError::Refused {
                action: "borrow its objects".to_owned(),
                repository: self.path().to_owned(),
                message: "its path cannot be written into a list of paths".to_owned(),
            });
        }
        let scratch = Self::create_bare(path, "main")?;
        // It does not outlive this look.
        git2::Config::open(&scratch.git_dir().join("config"))
            .and_then(|mut config| config.set_bool("core.fsyncObjectFiles", false))
            .doing("set core.fsyncObjectFiles", path)?;
        let file = scratch.git_dir().join("objects/info/alternates");
        fsio::write_atomic(&file, format!("{text}\n").as_bytes())?;
        Self::open_bare(path)
    }

    /// The last commit that two commits have in common; `None` when their histories never met.
    pub fn common(&self, one: CommitId, other: CommitId) -> Result<Option<CommitId>, GitError> {
        match self.inner.merge_base(one.0, other.0) {
            Ok(base) => Ok(Some(CommitId(base))),
            Err(error) if error.code() == git2::ErrorCode::NotFound => Ok(None),
            Err(error) => Err(error).doing("find the last common commit", self.path()),
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn directories_ssh_and_https_are_places() {
        for (text, network) in [
            ("/srv/registry.git", false),
            ("../registry.git", false),
            ("./a:b", false),
            ("file:///srv/registry.git", false),
            ("ssh://git@example.org:2222/registry.git", true),
            ("git@example.org:team/registry.git", true),
            ("https://example.org/registry.git", true),
            ("http://127.0.0.1:8080/registry.git", true),
            ("http://[::1]:8080/registry.git", true),
        ] {
            let remote: Remote = text.parse().unwrap();
            assert_eq!(matches!(remote, Remote::Network(_)), network, "{text}");
        }
    }

    #[test]
    fn what_could_run_something_or_tell_a_secret_is_no_place() {
        for bad in [
            "",
            "-oProxyCommand=x",
            "--upload-pack=touch x",
            "ssh://-oProxyCommand=x/y",
            "ssh://git@-oProxyCommand=x/y",
            "host:-path",
            "ext::sh -c touch%20x",
            "ext::x",
            "git://example.org/x",
            "http://example.org/x",
            "http://127.0.0.1.example.org/x",
            "ftp://example.org/x",
            "file://host/x",
            "https://ana:secret@example.org/x",
            "https:///x",
            "a b",
            "a\nb",
            ":x",
            "host:",
        ] {
            assert!(bad.parse::<Remote>().is_err(), "{bad:?}");
        }
    }
}
