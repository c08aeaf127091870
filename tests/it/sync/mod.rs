//! Clones of a registry that are kept in step over git: by a directory, by ssh and by http, with racing writers.

pub(crate) mod hostile;
mod wire;

use std::collections::BTreeSet;
use std::fs;
use std::path::PathBuf;
use std::thread;

use retune::registry::Version;
use serde_json::Value;

use crate::support::project::Project;
use crate::support::{Env, Output};
use wire::Wire;

/// An empty bare repository beside a project.
pub(crate) fn hub(project: &Project) -> PathBuf {
    let hub = project.env.root().with_file_name("hub.git");
    let path = hub.to_str().unwrap();
    project
        .env
        .program("git", &["init", "-q", "--bare", "-b", "main", path])
        .ok();
    hub
}

fn head(env: &Env) -> String {
    git(env, &["rev-parse", "main"])
}

fn git(env: &Env, args: &[&str]) -> String {
    let dir = env.path(".retune/registry");
    let mut all = vec!["--git-dir", dir.to_str().unwrap()];
    all.extend(args);
    env.program("git", &all).ok().stdout.trim().to_owned()
}

pub(crate) fn production(env: &Env) -> String {
    let log = env.run("model log support:production --format json").ok();
    log.json()["events"][0]["to"].as_str().unwrap().to_owned()
}

/// Two projects of one team with version 1 in production, in step through `hub`.
fn team() -> (Project, Project, String) {
    let ana = Project::new();
    let hub = hub(&ana).display().to_string();
    ana.first("1");
    ana.env.run(&format!("sync {hub}")).ok();
    let ben = ana.colleague("Ben");
    ben.env.run(&format!("sync {hub}")).ok();
    assert_eq!(head(&ana.env), head(&ben.env));
    (ana, ben, hub)
}

#[test]
fn a_new_clone_gets_everything_and_a_second_sync_does_nothing() {
    let (ana, ben, hub) = team();
    assert_eq!(production(&ana.env), production(&ben.env));
    ben.env.run("model verify").ok();
    let again = ben
        .env
        .run(&format!("sync {hub} --format json"))
        .ok()
        .json();
    assert_eq!(
        (&again["received"], &again["sent"]),
        (&Value::from(0), &Value::from(0))
    );
    ben.env
        .program("git", &["--git-dir", &hub, "fsck", "--strict"])
        .ok();
}

#[test]
fn what_was_registered_in_two_clones_is_in_both() {
    let (ana, ben, hub) = team();
    let (one, two) = (ana.version("by ana"), ben.version("by ben"));
    let sync = format!("sync {hub}");
    let dry = ben.env.run(&format!("{sync} --dry-run")).ok();
    let before = head(&ben.env);
    assert!(dry.stdout.contains("would receive 0 and send"), "{dry}");
    ana.env.run(&sync).ok();
    ben.env.run(&sync).ok();
    ana.env.run(&sync).ok();
    assert_ne!(head(&ben.env), before);
    assert_eq!(head(&ana.env), head(&ben.env));
    for project in [&ana, &ben] {
        for version in [&one, &two] {
            project.env.run(&format!("model show {version}")).ok();
        }
        project.env.run("model verify").ok();
    }
    // Who registered what is as it was.
    let authors = git(&ana.env, &["log", "--format=%an %s", "main"]);
    assert!(
        authors.contains(&format!("Ben register {two}")),
        "{authors}"
    );
    assert!(
        authors.contains(&format!("Ana register {one}")),
        "{authors}"
    );
}

/// Where production was, and where each moves it on their own.
fn two_promotions(ana: &Project, ben: &Project) -> [Version; 3] {
    let first = ana
        .tenant()
        .resolve(&"support:production".parse().unwrap())
        .unwrap();
    let versions = [ana.version("2"), ben.version("3")];
    for (project, version) in [ana, ben].into_iter().zip(&versions) {
        project.judge(version, Some(&first), [0..1, 0..1]);
        project
            .env
            .run(&format!("model promote {version} --to production"))
            .ok();
    }
    let [two, three] = versions;
    [first, two, three]
}

/// Two promotions of one alias always collide; the second one is told, and nothing of it is lost.
#[test]
fn of_two_promotions_of_one_alias_the_second_is_told() {
    let (ana, ben, hub) = team();
    let sync = format!("sync {hub}");
    let [_, two, three] = two_promotions(&ana, &ben);
    ana.env.run(&sync).ok();
    let before = (head(&ben.env), head(&ana.env));
    let told = ben.env.run(&sync);
    assert_eq!(told.code, Some(15), "{told}");
    for word in [
        "default/support:production: here promote",
        &format!("there promote to {} by Ana", two.label),
        "nothing was changed on either side",
        "retune sync --give-way",
        "--against :ALIAS",
    ] {
        assert!(told.stderr.contains(word), "{word}: {told}");
    }
    assert_eq!(
        (head(&ben.env), git(&ana.env, &["rev-parse", "main"])),
        before
    );
    assert_eq!(
        production(&ben.env),
        three.label.to_string(),
        "nothing was taken back yet"
    );

    let gave_way = ben
        .env
        .run(&format!("{sync} --give-way --format json"))
        .ok()
        .json();
    assert_eq!(gave_way["yielded"].as_array().unwrap().len(), 1);
    let kept = gave_way["kept"].as_str().unwrap();
    assert_eq!(git(&ben.env, &["rev-parse", kept]), before.0);
    assert_eq!(production(&ben.env), two.label.to_string());
    ben.env.run(&format!("model show {three}")).ok();
    ben.env.run("model verify").ok();

    // Judged against what is in production now, it can go.
    let stale = ben
        .env
        .run(&format!("model promote {three} --to production"));
    assert_eq!(stale.code, Some(13), "{stale}");
    ben.judge(&three, Some(&two), [0..1, 0..1]);
    ben.env
        .run(&format!("model promote {three} --to production"))
        .ok();
    ben.env.run(&sync).ok();
    ana.env.run(&sync).ok();
    assert_eq!(production(&ana.env), three.label.to_string());
    ana.env.run("model verify").ok();
}

/// Clones that people merged by hand can hold both moves: the last agreed version is served, and it is told
/// until a rollback settles it.
#[test]
fn a_fork_is_told_until_it_is_settled() {
    let (ana, ben, hub) = team();
    let sync = format!("sync {hub}");
    let [first, _, three] = two_promotions(&ana, &ben);
    ana.env.run(&sync).ok();
    merge_by_hand(&ben, &hub);
    let told = ana.env.run(&sync);
    assert_eq!(told.code, Some(14), "{told}");
    assert!(
        told.stdout
            .contains("moved in two places default/support:production"),
        "{told}"
    );
    let shown = ana.env.run("model show support:production");
    assert_eq!(shown.code, Some(14), "{shown}");
    assert!(shown.stderr.contains(first.label.as_str()), "{shown}");
    ana.env
        .run(&format!(
            "model rollback support:production --to {}",
            three.label
        ))
        .ok();
    ana.env.run(&sync).ok();
    ben.env.run(&sync).ok();
    assert_eq!(production(&ben.env), three.label.to_string());
    ben.env.run("model verify").ok();
}

/// Merges a clone into the hub with git itself, keeping both events.
fn merge_by_hand(project: &Project, hub: &str) {
    let env = &project.env;
    let work = env.root().with_file_name("work").display().to_string();
    let registry = env.path(".retune/registry").display().to_string();
    env.program("git", &["clone", "-q", hub, &work]).ok();
    let git = |args: &[&str]| {
        env.program("git", &[&["-C", work.as_str()], args].concat())
            .ok()
    };
    git(&["fetch", "-q", &registry, "main"]);
    git(&[
        "-c",
        "merge.conflictStyle=merge",
        "merge",
        "-q",
        "-X",
        "ours",
        "--no-edit",
        "-s",
        "ort",
        "FETCH_HEAD",
    ]);
    git(&["push", "-q", "origin", "HEAD:main"]);
}

/// Two clones that add and sync at once, again and again: every acknowledged document is in both.
fn race(wire: &Wire, rounds: usize) {
    let ana = Project::new();
    let hub = hub(&ana);
    let address = wire.address(&hub);
    let sync = |env: &Env| -> Output { wire.run(env, &["sync", &address]) };
    sync(&ana.env).ok();
    let ben = ana.colleague("Ben");
    sync(&ben.env).ok();
    let write = |env: &Env, name: &str| {
        for round in 0..rounds {
            let rows = format!("{{\"text\": \"{name} {round}\", \"label\": \"x\"}}\n");
            env.write("rows.jsonl", rows);
            env.run(&format!("dataset add {name}{round} --train rows.jsonl"))
                .ok();
            sync(env).ok();
        }
    };
    thread::scope(|scope| {
        let (ana, ben) = (&ana.env, &ben.env);
        scope.spawn(|| write(ana, "ana"));
        scope.spawn(|| write(ben, "ben"));
    });
    sync(&ana.env).ok();
    sync(&ben.env).ok();
    assert_eq!(head(&ana.env), head(&ben.env));
    let names = git(
        &ana.env,
        &["ls-tree", "--name-only", "main:tenants/default/datasets"],
    );
    let found: BTreeSet<String> = names.lines().map(str::to_owned).collect();
    let expected = (0..rounds).flat_map(|round| [format!("ana{round}"), format!("ben{round}")]);
    assert_eq!(found, expected.collect());
    ana.env.run("model verify").ok();
}

#[test]
fn clones_racing_through_a_directory_lose_nothing() {
    race(&Wire::Directory, 4);
}

#[test]
fn clones_racing_over_ssh_lose_nothing() {
    let dir = tempfile::tempdir().unwrap();
    race(&Wire::ssh(dir.path()), 3);
}

#[test]
fn clones_racing_over_http_lose_nothing() {
    race(&Wire::http(), 3);
}

#[test]
fn without_a_remote_it_is_told_where_to_write_one() {
    let project = Project::new();
    let output = project.env.run("sync");
    assert_eq!(output.code, Some(2), "{output}");
    assert!(output.stderr.contains("remote: REMOTE"), "{output}");
    let hub = hub(&project).display().to_string();
    let yaml = fs::read_to_string(project.env.path("retune.yaml")).unwrap();
    project
        .env
        .write("retune.yaml", format!("{yaml}remote: {hub}\n"));
    project.env.run("sync").ok();
    let gone = project.env.run("sync ../nowhere.git");
    assert_eq!(gone.code, Some(2), "{gone}");
    let refused = project.env.run("sync ssh://localhost:1/x.git");
    assert_eq!(refused.code, Some(1), "{refused}");
}

#[test]
fn another_registry_is_not_mixed_in() {
    let (ana, _, hub) = team();
    let stranger = Project::new();
    stranger
        .env
        .write("rows.jsonl", "{\"text\": \"a\", \"label\": \"x\"}\n");
    stranger.env.run("dataset add mine --train rows.jsonl").ok();
    let env = &stranger.env;
    // Another beginning than that of every registry that these tests make at the same moment.
    fs::remove_dir_all(env.path(".retune")).unwrap();
    let mut init = env.command(env!("CARGO_BIN_EXE_retune"));
    let status = init
        .arg("init")
        .env("SOURCE_DATE_EPOCH", "1795000000")
        .status();
    assert!(status.unwrap().success());
    env.run("dataset add mine --train rows.jsonl").ok();
    let refused = env.run(&format!("sync {hub}"));
    assert_eq!(refused.code, Some(2), "{refused}");
    assert!(refused.stderr.contains("histories never met"), "{refused}");
    assert_eq!(
        head(&ana.env),
        ana.env
            .program("git", &["--git-dir", &hub, "rev-parse", "main"])
            .ok()
            .stdout
            .trim()
    );
}
