//! A disk that is full: a clean error, nothing half-visible, and the same act works once there is room.

#![allow(clippy::print_stderr)]

use std::path::Path;
use std::process::Command;

use crate::support::Env;
use crate::support::project::Project;

/// A small file system of its own, which is taken away again.
struct Small<'p>(&'p Path);

impl Small<'_> {
    fn mount(options: &str, path: &Path) -> bool {
        let mount = Command::new("mount")
            .args(["-t", "tmpfs", "-o", options, "tmpfs"])
            .arg(path)
            .output();
        mount.is_ok_and(|done| done.status.success())
    }
}

impl Drop for Small<'_> {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg(self.0).status();
    }
}

/// What people can see; everything must be sound.
fn state(env: &Env) -> String {
    env.run("model verify").ok();
    let store = env.run("store verify --format json").ok().json();
    assert_eq!(store["missing"], serde_json::json!([]));
    ["dataset list", "model list", "status"]
        .map(|command| env.run(command).ok().stdout)
        .concat()
}

#[test]
fn a_full_disk_is_a_clean_error() {
    let project = Project::new();
    let env = &project.env;
    project.first("1");
    let retune = env.path(".retune");
    let kept = env.path("kept");
    std::fs::rename(&retune, &kept).unwrap();
    std::fs::create_dir(&retune).unwrap();
    if !Small::mount("size=2m", &retune) {
        eprintln!("skipped: no file system can be mounted here");
        return;
    }
    let small = Small(&retune);
    let copied = env.program("cp", &["-a", "kept/.", ".retune/"]);
    copied.ok();
    let row = |n: usize| {
        format!(
            "{{\"text\": \"text {n} {}\", \"label\": \"x\"}}\n",
            "y".repeat(200)
        )
    };
    env.write("big.jsonl", (0..20_000).map(row).collect::<String>());
    let before = state(env);
    let full = env.run("dataset add big --train big.jsonl");
    assert_eq!(full.code, Some(1), "{full}");
    assert!(full.stderr.contains("No space left on device"), "{full}");
    assert!(full.stderr.contains("caused by"), "{full}");
    assert_eq!(state(env), before);
    // Not a byte is left for the registry either.
    let filler = env.program(
        "sh",
        &["-c", "cat /dev/zero > .retune/filler 2>/dev/null; true"],
    );
    filler.ok();
    env.write("small.jsonl", row(1) + &row(2));
    let full = env.run("dataset add small --train small.jsonl");
    assert_eq!(full.code, Some(1), "{full}");
    let said = full.stderr.to_lowercase();
    assert!(
        said.contains("no space left") || said.contains("failed to write"),
        "{full}"
    );
    std::fs::remove_file(retune.join("filler")).unwrap();
    assert_eq!(state(env), before);
    env.run("dataset add small --train small.jsonl").ok();
    let grown = Command::new("mount")
        .args(["-o", "remount,size=32m"])
        .arg(&retune)
        .status();
    assert!(grown.unwrap().success());
    env.run("dataset add big --train big.jsonl").ok();
    state(env);
    drop(small);
}
