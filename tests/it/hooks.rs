//! The hooks in real repositories, run by git itself.

use std::fs;
use std::path::PathBuf;

use crate::support::{Env, Output};

const UNPINNED: &str = "from transformers import AutoModel\nmodel = AutoModel.from_pretrained(\"bert-base-uncased\")\n";
const PINNED: &str = "from transformers import AutoModel\nmodel = AutoModel.from_pretrained(\n    \"bert-base-uncased\", revision=\"86b5e0934494bd15c9632b12f734a8a67f723594\"\n)\n";

/// A repository with the hooks installed, and a remote beside it.
struct Repo {
    env: Env,
}

impl Repo {
    fn new(options: &[&str]) -> Self {
        let repo = Self::without_hooks(options);
        repo.env.run("hook install").ok();
        repo
    }

    fn without_hooks(options: &[&str]) -> Self {
        let repo = Self { env: Env::new() };
        repo.git(&[&["init", "-q", "-b", "main"], options].concat())
            .ok();
        repo.git(&[&["init", "-q", "--bare", "../remote"], options].concat())
            .ok();
        repo.git(&["remote", "add", "origin", "../remote"]).ok();
        repo
    }

    fn git(&self, args: &[&str]) -> Output {
        self.env.program("git", args)
    }

    /// Stages everything and commits.
    fn commit(&self) -> Output {
        self.git(&["add", "-A"]).ok();
        self.git(&["commit", "-q", "-m", "x"])
    }

    /// Commits past the hook.
    fn force_commit(&self) {
        self.git(&["add", "-A"]).ok();
        self.git(&["commit", "-q", "--no-verify", "--allow-empty", "-m", "x"])
            .ok();
    }

    fn branches_on_remote(&self) -> String {
        self.git(&["ls-remote", "--heads", "origin"]).ok().stdout
    }

    fn hook(&self, name: &str) -> PathBuf {
        self.env.path(&format!(".git/hooks/{name}"))
    }

    fn script(&self, path: &str, text: &str) {
        let path = self.env.write(path, text);
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt;
            fs::set_permissions(path, fs::Permissions::from_mode(0o755)).unwrap();
        }
    }
}

#[track_caller]
fn is_stopped(output: &Output, place: &str) {
    assert_ne!(output.code, Some(0), "{output}");
    let said = format!("{}{}", output.stdout, output.stderr);
    assert!(said.contains(place), "{output}");
}

#[test]
fn the_staged_bytes_are_checked_not_the_repaired_work_tree() {
    for options in [
        &[][..],
        &["--object-format=sha256"],
        &["--ref-format=reftable"],
    ] {
        let repo = Repo::new(options);
        repo.env.write("train.py", UNPINNED);
        repo.git(&["add", "train.py"]).ok();
        repo.env.write("train.py", PINNED);
        let stopped = repo.git(&["commit", "-q", "-m", "x"]);
        is_stopped(&stopped, "train.py:2:35: bert-base-uncased [hf-unpinned]");
        repo.commit().ok();
    }
}

#[test]
fn commit_a_and_commit_path_are_checked() {
    let repo = Repo::new(&[]);
    repo.env.write("train.py", PINNED);
    repo.commit().ok();
    repo.env.write("train.py", UNPINNED);
    is_stopped(
        &repo.git(&["commit", "-q", "-a", "-m", "x"]),
        "train.py:2:35",
    );
    is_stopped(
        &repo.git(&["commit", "-q", "-m", "x", "train.py"]),
        "train.py:2:35",
    );
    repo.env
        .write("other.txt", "not affected by what is not staged");
    repo.git(&["add", "other.txt"]).ok();
    repo.git(&["commit", "-q", "-m", "x", "other.txt"]).ok();
}

#[test]
fn one_bad_branch_among_the_pushed_stops_the_push() {
    let repo = Repo::new(&[]);
    repo.env.write("train.py", PINNED);
    repo.commit().ok();
    repo.git(&["branch", "good"]).ok();
    repo.git(&["checkout", "-q", "-b", "bad"]).ok();
    repo.env.write("train.py", UNPINNED);
    repo.force_commit();
    repo.git(&["checkout", "-q", "good"]).ok();
    let stopped = repo.git(&["push", "-q", "origin", "good", "bad"]);
    is_stopped(
        &stopped,
        "train.py:2:35 (refs/heads/bad): bert-base-uncased [hf-unpinned]",
    );
    assert_eq!(repo.branches_on_remote(), "");
    repo.git(&["push", "-q", "origin", "good"]).ok();
    repo.git(&["push", "-q", "origin", ":good"]).ok();
    assert_eq!(repo.branches_on_remote(), "", "a deletion passes");
}

#[test]
fn only_what_is_new_to_the_remote_stops_a_push() {
    let repo = Repo::new(&[]);
    repo.env.write("old.py", UNPINNED);
    repo.force_commit();
    repo.git(&["push", "-q", "--no-verify", "origin", "main"])
        .ok();
    repo.env.write("new.py", PINNED);
    repo.commit().ok();
    repo.git(&["push", "-q", "origin", "main"]).ok();
    repo.git(&["checkout", "-q", "-b", "topic"]).ok();
    repo.env.write("new.py", UNPINNED);
    repo.force_commit();
    let stopped = repo.git(&["push", "-q", "origin", "topic"]);
    is_stopped(&stopped, "new.py:2:35");
    assert!(
        !stopped.stdout.contains("old.py") && !stopped.stderr.contains("old.py"),
        "{stopped}"
    );
}

#[test]
fn what_the_staged_project_file_leaves_out_passes() {
    let repo = Repo::new(&[]);
    repo.env.write("fixtures/train.py", UNPINNED);
    repo.git(&["add", "-A"]).ok();
    repo.env.write(
        "retune.yaml",
        "version: 1\ntenant: acme\nscan:\n  exclude: [fixtures/]\n",
    );
    let stopped = repo.git(&["commit", "-q", "-m", "x"]);
    is_stopped(&stopped, "fixtures/train.py:2:35");
    repo.commit().ok();
    repo.git(&["push", "-q", "origin", "main"]).ok();
    repo.env.write("retune.yaml", "version: 1\nscann: {}\n");
    is_stopped(&repo.commit(), "did you mean `scan`?");
}

/// Locks a pin without a registry: the hook looks at the two files alone.
const LOCKED: &str = include_str!("../fixtures/hooks/retune.lock");
const ASKED: &str =
    "version: 1\ntenant: acme\npins:\n  support:\n    model: support\n    alias: production\n";

#[test]
fn a_lock_that_is_stale_missing_or_edited_stops_commit_and_push() {
    let repo = Repo::new(&[]);
    repo.env.write("retune.yaml", ASKED);
    is_stopped(&repo.commit(), "there is no retune.lock");
    repo.env.write("retune.lock", LOCKED);
    repo.commit().ok();
    repo.git(&["push", "-q", "origin", "main"]).ok();

    // Staged alone, without the lock that belongs to it; what lies in the work tree does not matter.
    repo.env
        .write("retune.yaml", ASKED.replace("production", "canary"));
    repo.git(&["add", "retune.yaml"]).ok();
    repo.env.write("retune.yaml", ASKED);
    let stopped = repo.git(&["commit", "-q", "-m", "x"]);
    is_stopped(
        &stopped,
        "support: retune.yaml asks for acme/support:canary",
    );
    is_stopped(
        &stopped,
        "retune pin update && git add retune.yaml retune.lock",
    );

    repo.env
        .write("retune.lock", LOCKED.replace("size: 636", "size:  636"));
    is_stopped(&repo.commit(), "it was edited by hand");
    repo.env
        .write("retune.lock", format!("<<<<<<< HEAD\n{LOCKED}"));
    is_stopped(&repo.commit(), "conflict markers");

    repo.git(&["rm", "-q", "--cached", "retune.lock"]).ok();
    repo.git(&["commit", "-q", "--no-verify", "-m", "x"]).ok();
    let stopped = repo.git(&["push", "-q", "origin", "main"]);
    is_stopped(&stopped, "pins (refs/heads/main): there is no retune.lock");
}

#[test]
fn a_linked_work_tree_has_the_hooks_too() {
    let repo = Repo::new(&[]);
    repo.force_commit();
    repo.git(&["worktree", "add", "-q", "-b", "side", "../side"])
        .ok();
    let side = repo.env.root().join("../side");
    fs::write(side.join("train.py"), UNPINNED).unwrap();
    let path = side.to_str().unwrap();
    repo.git(&["-C", path, "add", "train.py"]).ok();
    is_stopped(
        &repo.git(&["-C", path, "commit", "-q", "-m", "x"]),
        "train.py:2:35",
    );
    let status = repo.env.run("hook status --format json").ok().json();
    assert_eq!(status["hooks"][0]["state"], "installed");
}

#[test]
fn the_hook_that_was_there_runs_first_with_the_same_words() {
    let repo = Repo::without_hooks(&[]);
    repo.script(
        ".git/hooks/pre-commit",
        "#!/bin/sh\necho ran >> commits\ntest ! -e refuse\n",
    );
    repo.script(
        ".git/hooks/pre-push",
        "#!/bin/sh\n{ echo \"$@\"; cat; } > pushes\n",
    );
    repo.env.run("hook install").ok();
    repo.env.run("hook install").ok();
    repo.force_commit();

    repo.env.write("train.py", UNPINNED);
    is_stopped(&repo.commit(), "train.py:2:35");
    assert_eq!(
        fs::read_to_string(repo.env.path("commits")).unwrap(),
        "ran\n"
    );
    repo.env.write("train.py", PINNED);
    repo.env.write("refuse", "");
    assert_ne!(repo.commit().code, Some(0), "the other hook refuses");
    fs::remove_file(repo.env.path("refuse")).unwrap();
    repo.commit().ok();

    repo.git(&["push", "-q", "origin", "main"]).ok();
    let pushes = fs::read_to_string(repo.env.path("pushes")).unwrap();
    assert!(
        pushes.starts_with("origin ../remote\nrefs/heads/main "),
        "{pushes}"
    );

    repo.env.run("hook uninstall").ok();
    assert!(
        fs::read_to_string(repo.hook("pre-commit"))
            .unwrap()
            .contains("echo ran")
    );
    assert!(!repo.hook("pre-commit.retune-chained").exists());
    repo.env.write("train.py", UNPINNED);
    repo.commit().ok();
}

#[test]
fn a_configured_hooks_folder_is_used() {
    let repo = Repo::without_hooks(&[]);
    repo.git(&["config", "core.hooksPath", "team/hooks"]).ok();
    repo.env.run("hook install").ok();
    assert!(repo.env.path("team/hooks/pre-push").exists() && !repo.hook("pre-push").exists());
    repo.env.write("train.py", UNPINNED);
    repo.git(&["add", "train.py"]).ok();
    is_stopped(&repo.git(&["commit", "-q", "-m", "x"]), "train.py:2:35");
}

#[test]
fn a_missing_program_stops_the_commit_and_one_on_the_path_is_found() {
    let repo = Repo::new(&[]);
    let hook = repo.hook("pre-commit");
    let text = fs::read_to_string(&hook).unwrap();
    fs::write(
        &hook,
        text.replace(env!("CARGO_BIN_EXE_retune"), "/nowhere/retune"),
    )
    .unwrap();
    repo.env.write("train.py", PINNED);
    is_stopped(&repo.commit(), "nothing was checked");

    let bin = repo.env.root().join("../bin");
    fs::create_dir(&bin).unwrap();
    std::os::unix::fs::symlink(env!("CARGO_BIN_EXE_retune"), bin.join("retune")).unwrap();
    let path = format!("{}:{}", bin.display(), std::env::var("PATH").unwrap());
    let mut commit = repo.env.command("git");
    let done = commit
        .args(["commit", "-q", "-m", "x"])
        .env("PATH", path)
        .status()
        .unwrap();
    assert!(done.success());
}

#[test]
#[allow(clippy::print_stderr)]
fn the_scripts_are_sound_posix_shell() {
    for name in ["pre-commit", "pre-push"] {
        let script = format!("{}/templates/hooks/{name}.sh", env!("CARGO_MANIFEST_DIR"));
        let env = Env::new();
        env.program("sh", &["-n", &script]).ok();
        if std::process::Command::new("shellcheck")
            .arg("--version")
            .output()
            .is_err()
        {
            assert!(
                std::env::var_os("CI").is_none(),
                "shellcheck is not installed"
            );
            eprintln!("skipped: shellcheck is not installed");
            continue;
        }
        env.program("shellcheck", &["--shell=sh", &script]).ok();
    }
}
