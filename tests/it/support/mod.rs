//! A clean place to run the binary in: own home, cleared environment, fixed time and person.

pub(crate) mod endpoint;
#[cfg(feature = "s3")]
pub(crate) mod moto;
pub(crate) mod project;

use std::fmt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use tempfile::TempDir;

/// 2026-11-23T09:30:00Z.
const NOW: &str = "1795426200";

/// Whether `strace` is there; without it nothing is tested, which is an error where `CI` is set.
#[allow(clippy::print_stderr)]
pub(crate) fn has_strace() -> bool {
    let found = Command::new("strace").arg("-V").output().is_ok();
    assert!(
        found || std::env::var_os("CI").is_none(),
        "strace is missing"
    );
    if !found {
        eprintln!("skipped: strace is missing");
    }
    found
}

/// A temporary project directory, and the way to run `retune` and other programs in it.
pub(crate) struct Env {
    dir: TempDir,
}

impl Env {
    pub(crate) fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        std::fs::create_dir_all(dir.path().join("project")).unwrap();
        std::fs::create_dir_all(dir.path().join("home")).unwrap();
        Self { dir }
    }

    /// The file of an object of the store, by its digest.
    pub(crate) fn object(&self, digest: &str) -> PathBuf {
        let (folder, rest) = digest.trim_start_matches("sha256:").split_at(2);
        self.path(&format!(".retune/store/objects/sha256/{folder}/{rest}"))
    }

    /// A JSON document of the store.
    pub(crate) fn stored(&self, digest: &str) -> serde_json::Value {
        serde_json::from_slice(&std::fs::read(self.object(digest)).unwrap()).unwrap()
    }

    /// The project's directory.
    pub(crate) fn root(&self) -> PathBuf {
        self.dir.path().join("project")
    }

    /// A path inside the project.
    pub(crate) fn path(&self, relative: &str) -> PathBuf {
        self.root().join(relative)
    }

    /// Writes a file of the project.
    pub(crate) fn write(&self, relative: &str, text: impl AsRef<[u8]>) -> PathBuf {
        let path = self.path(relative);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, text).unwrap();
        path
    }

    /// Runs `retune` with arguments separated by blanks.
    pub(crate) fn run(&self, args: &str) -> Output {
        let words: Vec<&str> = args.split_whitespace().collect();
        self.run_args(&words)
    }

    /// Runs `retune` with these arguments.
    pub(crate) fn run_args(&self, args: &[&str]) -> Output {
        let mut output = self.output(self.command(env!("CARGO_BIN_EXE_retune")).args(args));
        output.line = format!("retune {}", args.join(" "));
        output
    }

    /// Runs `retune` with these arguments and more of an environment.
    pub(crate) fn run_with(&self, args: &[&str], variables: &[(&str, String)]) -> Output {
        let mut command = self.command(env!("CARGO_BIN_EXE_retune"));
        for (name, value) in variables {
            command.env(name, value);
        }
        let mut output = self.output(command.args(args));
        output.line = format!("retune {}", args.join(" "));
        output
    }

    /// Runs another program in the project, such as git.
    pub(crate) fn program(&self, program: &str, args: &[&str]) -> Output {
        let mut output = self.output(self.command(program).args(args));
        output.line = format!("{program} {}", args.join(" "));
        output
    }

    /// A command in the project with the clean environment.
    pub(crate) fn command(&self, program: &str) -> Command {
        let mut command = Command::new(program);
        command
            .current_dir(self.root())
            .env_clear()
            .env("PATH", std::env::var_os("PATH").unwrap_or_default())
            .env("HOME", self.dir.path().join("home"))
            .env("SOURCE_DATE_EPOCH", NOW)
            .env("GIT_CONFIG_GLOBAL", "/dev/null")
            .env("GIT_CONFIG_SYSTEM", "/dev/null")
            .env("GIT_AUTHOR_NAME", "Ana")
            .env("GIT_AUTHOR_EMAIL", "ana@example.org")
            .env("GIT_COMMITTER_NAME", "Ana")
            .env("GIT_COMMITTER_EMAIL", "ana@example.org")
            .env("RETUNE_ACTOR", "Ana <ana@example.org>")
            .stdin(Stdio::null());
        command
    }

    fn output(&self, command: &mut Command) -> Output {
        let done = command.output().unwrap();
        Output {
            line: String::new(),
            stdout: self.plain(&done.stdout),
            stderr: self.plain(&done.stderr),
            code: done.status.code(),
        }
    }

    fn plain(&self, bytes: &[u8]) -> String {
        let text = String::from_utf8_lossy(bytes).into_owned();
        let root = real(self.dir.path());
        text.replace(&root, "[ENV]")
            .replace(&self.dir.path().display().to_string(), "[ENV]")
    }
}

fn real(path: &Path) -> String {
    path.canonicalize().unwrap().display().to_string()
}

/// What a program printed and how it ended; displays as a conversation.
#[derive(Debug)]
pub(crate) struct Output {
    line: String,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
    pub(crate) code: Option<i32>,
}

impl Output {
    /// Insists on exit code 0.
    #[track_caller]
    pub(crate) fn ok(self) -> Self {
        assert_eq!(self.code, Some(0), "{self}");
        self
    }

    /// Standard output as JSON.
    #[track_caller]
    pub(crate) fn json(&self) -> serde_json::Value {
        serde_json::from_str(&self.stdout).unwrap_or_else(|e| panic!("{e}\n{self}"))
    }
}

impl fmt::Display for Output {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "$ {}", self.line)?;
        f.write_str(&self.stdout)?;
        if !self.stderr.is_empty() {
            write!(f, "--- stderr\n{}", self.stderr)?;
        }
        match self.code {
            Some(0) => Ok(()),
            Some(code) => writeln!(f, "--- exit {code}"),
            None => writeln!(f, "--- killed by a signal"),
        }
    }
}
