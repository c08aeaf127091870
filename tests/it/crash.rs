//! Acts that are killed at every system call that changes a disk: what is left is the state before or the
//! state after, sound, and the same act can be done again. `RETUNE_KILLS=all` kills at every call, otherwise at
//! every 23rd. Needs `strace`. And acts that are killed at random moments: a number in `RETUNE_KILLS` says at how many.

#![allow(clippy::print_stdout)]

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant, SystemTime};

use crate::support::project::Project;
use crate::support::{Env, has_strace};

const CALLS: &str = "write,pwrite64,fsync,fdatasync,rename,renameat,renameat2,link,linkat,unlink,\
                     unlinkat,mkdir,mkdirat,utimensat,fchmod,fchmodat,chmod,ftruncate";

/// The acts, each from the same start.
const ACTS: [&str; 6] = [
    "dataset add new --train new.jsonl",
    "model register router --run RUN",
    "model promote support@VERSION --to production",
    "model rollback support:canary",
    "store gc sweep",
    "migration apply m.yaml",
];

#[test]
fn an_act_killed_at_any_call_leaves_the_state_before_or_after() {
    if !has_strace() {
        return;
    }
    let all = std::env::var("RETUNE_KILLS").is_ok_and(|kills| kills == "all");
    let project = start();
    let seed = project.env.root().with_file_name("seed");
    copy(&project.env.root(), &seed);
    for act in ACTS {
        let act = spelled_out(&project.env, act);
        let (mut points, mut killed) = (0, 0);
        let before = state(&project.env);
        let calls = counted(&project.env, &act);
        let after = state(&project.env);
        for (index, (call, when)) in calls.iter().enumerate() {
            if !all && index % 23 != 0 {
                continue;
            }
            points += 1;
            copy(&seed, &project.env.root());
            let inject = format!("inject={call}:signal=KILL:when={when}");
            let done = traced(&project.env, &["-o", "/dev/null", "-e", &inject], &act);
            killed += u32::from(!done);
            let found = state(&project.env);
            let seen = format!("{act}: killed at {call} {when}: {found}");
            // A migration has states in between: that it was begun, and one alias moved.
            let between = act.starts_with("migration");
            assert!(between || found == before || found == after, "{seen}");
            assert!(!done || found == after, "acknowledged, and lost: {seen}");
            // An act that was done before the kill is not done again: a second rollback would go back further.
            if found != after {
                project.env.run(&act).ok();
                assert_eq!(state(&project.env), after, "not gone on with: {seen}");
            }
        }
        println!("{act}: {points} of {} points, {killed} killed", calls.len());
        assert!(
            points > 0 && killed == points,
            "{act}: {killed} of {points} killed"
        );
        copy(&seed, &project.env.root());
    }
}

/// Without a tracer's help: at any moment, between system calls too.
#[test]
fn an_act_killed_at_any_time_leaves_the_state_before_or_after() {
    let kills = std::env::var("RETUNE_KILLS").ok();
    let kills = kills.and_then(|kills| kills.parse().ok()).unwrap_or(12);
    let project = start();
    let env = &project.env;
    let seed = env.root().with_file_name("seed");
    copy(&env.root(), &seed);
    let acts = ACTS.map(|act| {
        let act = spelled_out(env, act);
        let before = state(env);
        let began = Instant::now();
        env.run(&act).ok();
        let whole = began.elapsed();
        let after = state(env);
        copy(&seed, &env.root());
        (act, before, after, whole)
    });
    let mut random: u32 = 2_463_534_242;
    let (mut killed, mut halfway, mut locks) = (0, 0, 0);
    let mut slowest = Duration::ZERO;
    for round in 0..kills {
        let (act, before, after, whole) = &acts[round % acts.len()];
        copy(&seed, &env.root());
        random ^= random << 13;
        random ^= random >> 17;
        random ^= random << 5;
        let mut child = env
            .command(env!("CARGO_BIN_EXE_retune"))
            .args(act.split(' '))
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        thread::sleep(whole.mul_f64(f64::from(random) / f64::from(u32::MAX)));
        child.kill().unwrap();
        let done = child.wait().unwrap().success();
        killed += u32::from(!done);
        locks += u32::from(env.path(".retune/registry/refs/heads/main.lock").exists());
        let found = state(env);
        let seen = format!("{act}: killed in round {round}: {found}");
        let between = act.starts_with("migration");
        assert!(between || found == *before || found == *after, "{seen}");
        assert!(!done || found == *after, "acknowledged, and lost: {seen}");
        if found != *after {
            halfway += u32::from(found != *before);
            let began = Instant::now();
            env.run(act).ok();
            slowest = slowest.max(began.elapsed());
            assert_eq!(state(env), *after, "not gone on with: {seen}");
        }
    }
    println!(
        "{kills} rounds, {killed} killed before they were done, {halfway} between two steps of a migration, {locks} left \
         a lock; done again in at most {slowest:?}"
    );
    assert!(killed > 0);
}

/// Broken and full disks: a call that fails is an error, never a half-done act, and the same act works afterwards.
#[test]
fn an_act_whose_call_fails_leaves_the_state_before_or_after() {
    if !has_strace() {
        return;
    }
    let all = std::env::var("RETUNE_KILLS").is_ok_and(|kills| kills == "all");
    let project = start();
    let seed = project.env.root().with_file_name("seed");
    copy(&project.env.root(), &seed);
    let mut failed = 0;
    for act in ACTS.iter().filter(|act| !act.starts_with("migration")) {
        let act = spelled_out(&project.env, act);
        let before = state(&project.env);
        let calls = counted(&project.env, &act);
        let after = state(&project.env);
        for (index, (call, when)) in calls.iter().enumerate() {
            if !all && index % 41 != 7 {
                continue;
            }
            copy(&seed, &project.env.root());
            let error = ["EIO", "ENOSPC"][index % 2];
            let inject = format!("inject={call}:error={error}:when={when}");
            let mut command = project.env.command("strace");
            command.args(["-f", "-qq", "-o", "/dev/null", "-e", &inject]);
            command
                .arg(env!("CARGO_BIN_EXE_retune"))
                .args(act.split(' '));
            let output = command.output().unwrap();
            let said = String::from_utf8_lossy(&output.stderr).into_owned();
            let found = state(&project.env);
            let seen = format!("{act}: {call} {when} said {error}: {said}{found}");
            assert!(
                output.status.code().is_some_and(|code| code != 101),
                "{seen}"
            );
            assert!(found == before || found == after, "{seen}");
            if output.status.success() {
                assert_eq!(found, after, "acknowledged, and lost: {seen}");
                continue;
            }
            failed += 1;
            assert!(said.contains("error:"), "{seen}");
            if found != after {
                project.env.run(&act).ok();
                assert_eq!(state(&project.env), after, "not gone on with: {seen}");
            }
        }
        copy(&seed, &project.env.root());
    }
    println!("{failed} errors");
    assert!(failed > 0, "no call failed");
}

/// Version 1 in production, version 2 as canary and judged, a migration planned, and old garbage in the store.
fn start() -> Project {
    let project = Project::new();
    let run = crate::cli::model::run(&project);
    let one = project.first("1");
    let env = &project.env;
    for alias in ["canary", "next"] {
        env.run(&format!("model promote {one} --to {alias}")).ok();
    }
    let two = project.version("2");
    project.judge(&two, Some(&one), [0..1, 0..1]);
    env.run(&format!("model promote {two} --to canary")).ok();
    env.run(&format!(
        "migration plan {two} --step next --step production --reason x --out m.yaml"
    ))
    .ok();
    env.write("version", two.label.as_str());
    env.write("run", run.hex());
    env.write(
        "new.jsonl",
        "{\"text\": \"a\", \"label\": \"x\"}\n{\"text\": \"b\", \"label\": \"y\"}\n",
    );
    for text in ["garbage 1", "garbage 2", "garbage 3"] {
        project.store.put_bytes(text.as_bytes()).unwrap();
    }
    let then = SystemTime::now() - Duration::from_secs(9 * 24 * 3600);
    for shard in fs::read_dir(project.store.root().join("objects/sha256")).unwrap() {
        for object in fs::read_dir(shard.unwrap().path()).unwrap() {
            let file = File::open(object.unwrap().path()).unwrap();
            file.set_modified(then).unwrap();
        }
    }
    project
}

/// An act with the version and the run of [`start`].
fn spelled_out(env: &Env, act: &str) -> String {
    let word = |file: &str| fs::read_to_string(env.path(file)).unwrap();
    act.replace("VERSION", &word("version"))
        .replace("RUN", &word("run"))
}

/// Replaces a directory by a copy of another one, times included.
fn copy(from: &Path, to: &PathBuf) {
    if to.exists() {
        fs::remove_dir_all(to).unwrap();
    }
    let copied = Command::new("cp").arg("-a").arg(from).arg(to).status();
    assert!(copied.unwrap().success());
}

/// What people can see; everything must be sound.
fn state(env: &Env) -> String {
    env.run("model verify").ok();
    let store = env.run("store verify --format json").ok();
    assert_eq!(store.json()["missing"], serde_json::json!([]));
    let seen = [
        "dataset list",
        "model list",
        "status",
        "migration show m.yaml",
    ];
    seen.map(|command| env.run(command).ok().stdout).concat()
}

/// Runs an act once, and gives every call that changed a disk: its name, and the how manieth of that name it was.
fn counted(env: &Env, act: &str) -> Vec<(String, u64)> {
    let trace = format!("trace={CALLS}");
    assert!(traced(env, &["-c", "-o", "../count", "-e", &trace], act));
    let table = fs::read_to_string(env.path("../count")).unwrap();
    let mut calls = Vec::new();
    for line in table.lines() {
        let words: Vec<&str> = line.split_whitespace().collect();
        let (Some(name), Some(Ok(count))) = (words.last(), words.get(3).map(|w| w.parse::<u64>()))
        else {
            continue;
        };
        if CALLS.split(',').any(|call| call == *name) {
            calls.extend((1..=count).map(|when| ((*name).to_owned(), when)));
        }
    }
    assert!(!calls.is_empty(), "{table}");
    calls
}

/// Whether the act was acknowledged.
fn traced(env: &Env, options: &[&str], act: &str) -> bool {
    let mut command = env.command("strace");
    command
        .arg("-f")
        .args(options)
        .arg(env!("CARGO_BIN_EXE_retune"))
        .args(act.split(' '));
    command.output().unwrap().status.success()
}
