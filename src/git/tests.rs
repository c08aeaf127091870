#![allow(clippy::unwrap_used, clippy::panic)]

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, SystemTime};

use super::*;
use crate::fsio::Lock;
use crate::time::Timestamp;

const MAIN: &str = "refs/heads/main";

fn bare(dir: &Path) -> Repository {
    Repository::create_bare(&dir.join("bare"), "main").unwrap()
}

fn commit(repo: &Repository, parent: Option<CommitId>, files: &[(&str, &str)]) -> CommitId {
    let files: BTreeMap<String, Vec<u8>> = files
        .iter()
        .map(|(path, text)| ((*path).to_owned(), text.as_bytes().to_vec()))
        .collect();
    let draft = Draft {
        parent,
        files: &files,
        message: "a change",
        by: &Identity::new("ana", "ana@acme.example").unwrap(),
        at: Timestamp::from_unix(1_795_426_200),
    };
    repo.commit(&draft).unwrap()
}

fn git(dir: &Path, args: &[&str]) -> String {
    let out = Command::new("git")
        .args(args)
        .current_dir(dir)
        .env_clear()
        .env("PATH", std::env::var_os("PATH").unwrap_or_default())
        .env("GIT_CONFIG_GLOBAL", "/dev/null")
        .env("GIT_CONFIG_SYSTEM", "/dev/null")
        .output()
        .unwrap();
    assert!(out.status.success(), "git {args:?}: {out:?}");
    String::from_utf8(out.stdout).unwrap()
}

#[test]
fn edits_add_to_the_parents_tree_and_read_back() {
    let dir = tempfile::tempdir().unwrap();
    let repo = bare(dir.path());
    let one = commit(&repo, None, &[("a/b/c.txt", "1"), ("top", "2")]);
    let two = commit(&repo, Some(one), &[("a/b/d.txt", "3"), ("a/b/c.txt", "4")]);
    let read = |id, path| {
        repo.read(id, path)
            .unwrap()
            .map(|b| String::from_utf8(b).unwrap())
    };
    assert_eq!(read(one, "a/b/c.txt").as_deref(), Some("1"));
    assert_eq!(read(two, "a/b/c.txt").as_deref(), Some("4"));
    assert_eq!(read(two, "top").as_deref(), Some("2"));
    assert_eq!(read(two, "a/b"), None);
    let names: Vec<String> = repo
        .list(two, "a/b")
        .unwrap()
        .into_iter()
        .map(|e| e.name)
        .collect();
    assert_eq!(names, ["c.txt", "d.txt"]);
    assert_eq!(repo.list(two, "nowhere").unwrap(), []);
    assert!(repo.unchanged(one, two, "top").unwrap() && !repo.unchanged(one, two, "a").unwrap());
    let ids: Vec<CommitId> = repo.history(two).map(|c| c.unwrap().id).collect();
    assert_eq!(ids, [two, one]);
}

#[test]
fn git_itself_finds_the_repository_sound_and_flushed() {
    let dir = tempfile::tempdir().unwrap();
    let repo = bare(dir.path());
    let id = commit(&repo, None, &[("a", "1")]);
    assert_eq!(
        repo.advance(MAIN, None, id, "first").unwrap(),
        Advance::Done
    );
    git(repo.path(), &["fsck", "--strict"]);
    assert_eq!(
        git(repo.path(), &["config", "core.fsyncObjectFiles"]).trim(),
        "true"
    );
    let line = git(repo.path(), &["log", "--format=%an %ae %cI %s", "main"]);
    assert_eq!(
        line.trim(),
        "ana ana@acme.example 2026-11-23T09:30:00Z a change"
    );
}

#[test]
fn of_two_who_move_a_reference_from_the_same_commit_one_loses() {
    let dir = tempfile::tempdir().unwrap();
    let repo = bare(dir.path());
    let one = commit(&repo, None, &[("a", "1")]);
    let two = commit(&repo, Some(one), &[("a", "2")]);
    let other = commit(&repo, Some(one), &[("a", "3")]);
    assert_eq!(
        repo.advance(MAIN, Some(one), two, "x").unwrap(),
        Advance::Lost
    );
    assert_eq!(repo.advance(MAIN, None, one, "x").unwrap(), Advance::Done);
    assert_eq!(repo.advance(MAIN, None, other, "x").unwrap(), Advance::Lost);
    assert_eq!(
        repo.advance(MAIN, Some(one), two, "x").unwrap(),
        Advance::Done
    );
    assert_eq!(
        repo.advance(MAIN, Some(one), other, "x").unwrap(),
        Advance::Lost
    );
    assert_eq!(repo.tip(MAIN).unwrap(), Some(two));
    git(repo.path(), &["pack-refs", "--all"]);
    assert_eq!(
        repo.advance(MAIN, Some(one), other, "x").unwrap(),
        Advance::Lost
    );
}

#[test]
fn a_killed_writers_lock_is_cleared_only_when_old() {
    let dir = tempfile::tempdir().unwrap();
    let repo = bare(dir.path());
    let one = commit(&repo, None, &[("a", "1")]);
    repo.advance(MAIN, None, one, "x").unwrap();
    let two = commit(&repo, Some(one), &[("a", "2")]);
    let own = Lock::exclusive(&repo.git_dir().join("own.lock")).unwrap();
    let clear = || {
        repo.clear_stale_lock(MAIN, Duration::from_secs(60), &own)
            .unwrap()
    };
    assert_eq!(clear(), None);
    let held = File::create(repo.git_dir().join("refs/heads/main.lock")).unwrap();
    assert_eq!(
        repo.advance(MAIN, Some(one), two, "x").unwrap(),
        Advance::Held
    );
    assert_eq!(clear(), None, "a young lock stays");
    held.set_modified(SystemTime::now() - Duration::from_secs(61))
        .unwrap();
    assert_eq!(clear(), Some(repo.git_dir().join("refs/heads/main.lock")));
    assert_eq!(
        repo.advance(MAIN, Some(one), two, "x").unwrap(),
        Advance::Done
    );
}

/// The lock file of a writer that wrote this note, with this content, and what is thought of it at once.
fn lock_left(note: &str, content: &str) -> Option<PathBuf> {
    let dir = tempfile::tempdir().unwrap();
    let repo = bare(dir.path());
    let one = commit(&repo, None, &[("a", "1")]);
    repo.advance(MAIN, None, one, "x").unwrap();
    let own = Lock::exclusive(&repo.git_dir().join("own.lock")).unwrap();
    fs::write(repo.git_dir().join("retune.writer"), note).unwrap();
    let lock = repo.git_dir().join("refs/heads/main.lock");
    fs::write(&lock, content).unwrap();
    let cleared = repo.clear_stale_lock(MAIN, Duration::from_secs(60), &own);
    assert_eq!(lock.exists(), cleared.as_ref().unwrap().is_none());
    cleared.unwrap()
}

#[test]
#[cfg(target_os = "linux")]
fn the_lock_of_a_writer_that_is_known_to_be_dead_is_cleared_at_once() {
    let own = crate::process::Identity::own().unwrap().to_string();
    let dead = format!("{}/1", own.rsplit_once('/').unwrap().0);
    let new = "5b1d".repeat(10);
    let note = |process: &str| format!("{process} {MAIN} {new}\n");
    assert!(lock_left(&note(&dead), &new).is_some());
    assert!(lock_left(&note(&dead), &new[..7]).is_some(), "half written");
    for (why, note, content) in [
        ("it is at work", note(&own), &*new),
        ("another program made it", note(&dead), &*"0".repeat(40)),
        ("it was made just now", note(&dead), ""),
        (
            "another reference's",
            format!("{dead} refs/heads/x {new}"),
            &*new,
        ),
        ("half a note", dead.clone(), &*new),
    ] {
        assert_eq!(lock_left(&note, content), None, "{why}");
    }
}

#[test]
fn formats_that_libgit2_cannot_read_are_named() {
    for (option, feature) in [
        ("--ref-format=reftable", "reftable references"),
        ("--object-format=sha256", "sha256 object names"),
    ] {
        for (bare, open) in [
            (
                true,
                Repository::open_bare as fn(&Path) -> Result<Repository, GitError>,
            ),
            (false, Repository::discover),
        ] {
            let dir = tempfile::tempdir().unwrap();
            let mut args = vec!["init", "-q", option];
            args.extend(bare.then_some("--bare"));
            git(dir.path(), &args);
            match open(dir.path()) {
                Err(GitError::Unsupported { feature: named, .. }) => assert_eq!(named, feature),
                Err(other) => panic!("{option}: {other}"),
                Ok(_) => panic!("{option} was opened"),
            }
        }
    }
}

#[test]
fn what_is_no_repository_is_said_to_be_none() {
    let dir = tempfile::tempdir().unwrap();
    fs::create_dir(dir.path().join("x")).unwrap();
    for path in ["x", "absent"] {
        let opened = Repository::open_bare(&dir.path().join(path));
        assert!(matches!(opened, Err(GitError::NotARepository(_))));
    }
    bare(dir.path());
    let again = Repository::create_bare(&dir.path().join("bare"), "main");
    assert!(again.is_err(), "an existing repository is not touched");
}
