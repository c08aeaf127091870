//! Registries that somebody with bad intentions wrote.

use std::fs;
use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Stdio;

use super::wire::Wire;
use super::{head, team};
use crate::support::Env;
use crate::support::project::Project;

/// Writes a commit into a bare repository that puts `mode object path` onto its branch, or takes the path out.
pub(crate) fn plant(env: &Env, hub: &str, path: &str, entry: Option<(&str, &[u8])>) {
    let index = Path::new(hub).join("planted-index");
    let git = |args: &[&str], input: &[u8]| {
        let mut child = env
            .command("git")
            .args(["--git-dir", hub])
            .args(args)
            .env("GIT_INDEX_FILE", &index)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        child.stdin.take().unwrap().write_all(input).unwrap();
        let done = child.wait_with_output().unwrap();
        assert!(done.status.success(), "{args:?}");
        String::from_utf8(done.stdout).unwrap().trim().to_owned()
    };
    git(&["read-tree", "main"], b"");
    match entry {
        Some((mode, bytes)) => {
            let id = match mode {
                "160000" => git(&["rev-parse", "main"], b""),
                _ => git(&["hash-object", "-w", "--stdin"], bytes),
            };
            let info = format!("{mode},{id},{path}");
            git(&["update-index", "--add", "--cacheinfo", &info], b"");
        }
        None => {
            let line = format!("0 {}\t{path}\n", "0".repeat(40));
            git(&["update-index", "--index-info"], line.as_bytes());
        }
    }
    let tree = git(&["write-tree"], b"");
    let commit = git(&["commit-tree", &tree, "-p", "main", "-m", "planted"], b"");
    git(&["update-ref", "refs/heads/main", &commit], b"");
}

/// Syncs with what was planted: refused as damaged, and nothing is taken.
#[track_caller]
fn refused(project: &Project, hub: &str, why: &str) {
    let before = head(&project.env);
    let output = project.env.run(&format!("sync {hub}"));
    assert_eq!(output.code, Some(14), "{output}");
    assert!(output.stderr.contains(why), "{why}: {output}");
    assert_eq!(head(&project.env), before);
    project.env.run("model verify").ok();
}

#[test]
fn links_and_submodules_in_a_registry_are_refused() {
    for (mode, bytes) in [
        ("120000", &b"/etc/passwd"[..]),
        ("160000", b""),
        ("100755", b"#!"),
    ] {
        let (ana, _, hub) = team();
        plant(
            &ana.env,
            &hub,
            "tenants/default/datasets/x",
            Some((mode, bytes)),
        );
        refused(&ana, &hub, "is no plain file");
    }
}

#[test]
fn an_object_of_absurd_size_is_refused_before_it_is_read() {
    let (ana, _, hub) = team();
    let huge = vec![b'x'; (8 << 20) + 1];
    plant(
        &ana.env,
        &hub,
        "tenants/default/datasets/x/versions/y.json",
        Some(("100644", &huge)),
    );
    refused(&ana, &hub, "at most 8388608 are allowed");
}

#[test]
fn folders_of_absurd_depth_are_refused() {
    let (ana, _, hub) = team();
    let deep = format!("tenants/default/{}y.json", "d/".repeat(200));
    plant(&ana.env, &hub, &deep, Some(("100644", b"{}")));
    refused(&ana, &hub, "folders lie more than");
}

#[test]
fn what_never_changes_must_not_change_there_either() {
    let (ana, _, hub) = team();
    let path = super::git(&ana.env, &["ls-tree", "-r", "--name-only", "main"]);
    let version = path
        .lines()
        .find(|path| path.contains("/models/support/versions/"))
        .unwrap();
    plant(&ana.env, &hub, version, Some(("100644", b"{}")));
    refused(&ana, &hub, "was changed");
    let (ana, _, hub) = team();
    plant(&ana.env, &hub, version, None);
    refused(&ana, &hub, "was removed");
}

#[test]
fn paths_that_mean_something_else_are_refused() {
    for path in [
        "tenants/Default/tenant.yaml",
        "hooks/post-receive",
        "tenants/default/datasets/tickets\u{202e}/versions/x.json",
        "tenants/default/datasets/TICKETS/versions/x.json",
        "tenants/com1/tenant.yaml",
    ] {
        let (ana, _, hub) = team();
        plant(&ana.env, &hub, path, Some(("100644", b"{}")));
        let before = head(&ana.env);
        let output = ana.env.run(&format!("sync {hub}"));
        assert_eq!(output.code, Some(14), "{output}");
        assert!(!output.stderr.contains('\u{202e}'), "{output}");
        assert_eq!(head(&ana.env), before);
    }
}

/// git's replacements and grafts can make a history that runs in circles; they are not looked at.
#[test]
fn a_history_in_circles_ends() {
    let (ana, _, hub) = team();
    let git = |args: &[&str]| {
        let all = [&["--git-dir", hub.as_str()], args].concat();
        ana.env.program("git", &all).ok().stdout.trim().to_owned()
    };
    let (tip, parent) = (git(&["rev-parse", "main"]), git(&["rev-parse", "main~1"]));
    let tree = git(&["rev-parse", "main^{tree}"]);
    let circular = git(&["commit-tree", &tree, "-p", &tip, "-m", "circle"]);
    git(&["update-ref", &format!("refs/replace/{parent}"), &circular]);
    fs::create_dir_all(Path::new(&hub).join("info")).unwrap();
    fs::write(
        Path::new(&hub).join("info/grafts"),
        format!("{parent} {tip}\n"),
    )
    .unwrap();
    ana.version("2");
    ana.env.run(&format!("sync {hub}")).ok();
    ana.env.run("model verify").ok();
}

/// Nothing that lies in the other clone, or in our own, is run.
#[test]
fn hooks_and_configuration_of_a_repository_are_never_run() {
    let (ana, ben, hub) = team();
    let marker = ana.env.path("was-run");
    let script = format!("#!/bin/sh\ntouch '{}'\n", marker.display());
    let program = ana.env.write("evil.sh", &script);
    fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).unwrap();
    let own = ana.env.path(".retune/registry");
    for repository in [Path::new(&hub), &own] {
        fs::create_dir_all(repository.join("hooks")).unwrap();
        for hook in [
            "pre-receive",
            "update",
            "post-receive",
            "post-update",
            "reference-transaction",
            "pre-push",
            "post-merge",
        ] {
            let path = repository.join("hooks").join(hook);
            fs::write(&path, &script).unwrap();
            fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
        }
        let config = repository.join("config");
        let evil = program.display();
        let text = fs::read_to_string(&config).unwrap()
            + &format!(
                "\n[core]\n\tfsmonitor = {evil}\n\tsshCommand = {evil}\n\talternateRefsCommand = {evil}\n\
                 [uploadpack]\n\tpackObjectsHook = {evil}\n[credential]\n\thelper = !{evil}\n\
                 [filter \"x\"]\n\tclean = {evil}\n\tsmudge = {evil}\n"
            );
        fs::write(&config, text).unwrap();
    }
    ben.version("2");
    ben.env.run(&format!("sync {hub}")).ok();
    ana.version("3");
    ana.env.run(&format!("sync {hub}")).ok();
    // A network is asked for by git, and our own configuration still says nothing to it.
    let unreachable = ana.env.run("sync ssh://localhost:1/x.git");
    assert_eq!(unreachable.code, Some(1), "{unreachable}");
    let dir = tempfile::tempdir().unwrap();
    let plain = dir.path().join("plain.git");
    let init = [
        "init",
        "-q",
        "--bare",
        "-b",
        "main",
        plain.to_str().unwrap(),
    ];
    ana.env.program("git", &init).ok();
    let ssh = Wire::ssh(dir.path());
    ssh.run(&ana.env, &["sync", &ssh.address(&plain)]).ok();
    assert!(!marker.exists(), "something was run");
}
