//! Processes that write at once. `RETUNE_RACE=full` has 32 of them promote 50 times each, and 128 writers of 16
//! tenants add 4 datasets each; otherwise there are few. Each is done a second time where the advisory lock of the
//! registry helps nobody: `strace` makes taking it succeed without taking it.

#![allow(clippy::print_stdout)]

use std::collections::BTreeSet;
use std::process::Stdio;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use crate::support::project::Project;
use crate::support::{Env, has_strace};

fn is_full() -> bool {
    std::env::var("RETUNE_RACE").is_ok_and(|size| size == "full")
}

/// Runs `retune`; where the lock is `open`, everybody gets it at once. Gives the exit code and what was printed.
fn retune(env: &Env, args: &[&str], open: bool) -> (Option<i32>, String) {
    let program = env!("CARGO_BIN_EXE_retune");
    let mut command = match open {
        false => env.command(program),
        true => {
            let mut command = env.command("strace");
            let inject = [
                "-f",
                "--seccomp-bpf",
                "-qq",
                "-o",
                "/dev/null",
                "-e",
                "trace=flock",
                "-e",
                "inject=flock:retval=0",
            ];
            command.args(inject).arg(program);
            command
        }
    };
    let done = command.args(args).stdin(Stdio::null()).output().unwrap();
    let said = [done.stdout, done.stderr].concat();
    (
        done.status.code(),
        String::from_utf8_lossy(&said).into_owned(),
    )
}

/// Everybody promotes one of two versions, each on evidence against the other one, until enough of the moves took
/// place.
fn promotions(open: bool) {
    let (processes, each) = match is_full() {
        true => (32, 50),
        false => (3, 3),
    };
    let project = Project::new();
    let one = project.first("1");
    let two = project.version("2");
    project.judge(&two, Some(&one), [0..1, 0..1]);
    project.judge(&one, Some(&two), [0..1, 0..1]);
    let began = Instant::now();
    let (env, versions) = (&project.env, [one.to_string(), two.to_string()]);
    let writer = |number: usize| {
        let (mut acknowledged, mut lost) = (Vec::new(), 0);
        for round in 0.. {
            if acknowledged.len() == each {
                break;
            }
            let version = &versions[round % 2];
            let reason = format!("w{number}-{round}");
            let args = [
                "model",
                "promote",
                version,
                "--to",
                "production",
                "--reason",
                &reason,
            ];
            match retune(env, &args, open) {
                (Some(0), said) if said.contains("is now") => acknowledged.push(reason),
                (Some(0), _) => {}
                // Somebody else was faster: its evidence is about what was in production before, or it gave up.
                (Some(13 | 15), _) => lost += 1,
                (code, said) => panic!("{code:?}: {said}"),
            }
        }
        (acknowledged, lost)
    };
    let (mut acknowledged, mut lost) = (Vec::new(), 0);
    thread::scope(|scope| {
        let writers: Vec<_> = (0..processes)
            .map(|n| scope.spawn(move || writer(n)))
            .collect();
        for writer in writers {
            let (moves, refused) = writer.join().unwrap();
            acknowledged.extend(moves);
            lost += refused;
        }
    });
    println!(
        "{} promotions by {processes} processes in {:.0} s, {lost} refused because others were faster{}",
        acknowledged.len(),
        began.elapsed().as_secs_f64(),
        if open { ", without the lock" } else { "" }
    );
    let log = project
        .env
        .run("model log support:production --format json")
        .ok()
        .json();
    let events = log["events"].as_array().unwrap();
    let mut logged: Vec<&str> = events
        .iter()
        .filter_map(|event| event["reason"].as_str())
        .collect();
    assert_eq!(
        events.len(),
        acknowledged.len() + 1,
        "every move, and the first one"
    );
    logged.sort_unstable();
    acknowledged.sort_unstable();
    assert_eq!(logged, acknowledged, "each acknowledged move once");
    let order: Vec<u64> = events
        .iter()
        .rev()
        .map(|event| event["seq"].as_u64().unwrap())
        .collect();
    assert_eq!(
        order,
        (1..=events.len() as u64).collect::<Vec<_>>(),
        "in one order"
    );
    project.env.run("model verify").ok();
}

#[test]
fn promotions_at_once_are_each_in_the_history_once() {
    promotions(false);
}

#[test]
fn promotions_at_once_are_each_in_the_history_once_without_the_lock() {
    if has_strace() {
        promotions(true);
    }
}

/// Tenants who share registry and store add datasets at once, while the store is collected again and again.
fn tenants(open: bool) {
    let (tenants, writers, each) = match is_full() {
        true => (16, 8, 4),
        false => (3, 2, 2),
    };
    let env = Env::new();
    for tenant in 0..tenants {
        env.run(&format!("init --tenant t{tenant}")).ok();
        let yaml = format!(
            "version: 1\ntenant: t{tenant}\nregistry: ../.retune/registry\nstore: ../.retune/store\n"
        );
        env.write(&format!("p{tenant}/retune.yaml"), yaml);
    }
    let done = AtomicBool::new(false);
    let mut sweeps = 0;
    thread::scope(|scope| {
        let collector = scope.spawn(|| {
            let mut count = 0;
            while !done.load(Ordering::Relaxed) {
                let args = ["store", "gc", "sweep", "--project", "p0"];
                let (code, said) = retune(&env, &args, open);
                assert!(matches!(code, Some(0 | 15)), "{said}");
                count += 1;
                thread::sleep(Duration::from_millis(5));
            }
            count
        });
        let mut all = Vec::new();
        for tenant in 0..tenants {
            for writer in 0..writers {
                let env = &env;
                all.push(scope.spawn(move || {
                    for round in 0..each {
                        let name = format!("d{writer}-{round}");
                        let rows = format!("{{\"text\": \"{tenant} {name}\", \"label\": \"x\"}}\n");
                        let file = env.write(&format!("p{tenant}/{name}.jsonl"), rows);
                        let project = format!("p{tenant}");
                        let args = [
                            "dataset",
                            "add",
                            &name,
                            "--train",
                            file.to_str().unwrap(),
                            "--project",
                            &project,
                        ];
                        let (code, said) = retune(env, &args, open);
                        assert_eq!(code, Some(0), "{said}");
                    }
                }));
            }
        }
        all.into_iter().for_each(|writer| writer.join().unwrap());
        done.store(true, Ordering::Relaxed);
        sweeps = collector.join().unwrap();
    });
    println!("{} datasets, {sweeps} sweeps", tenants * writers * each);
    for tenant in 0..tenants {
        let list = env
            .run(&format!("dataset list --project p{tenant} --format json"))
            .ok()
            .json();
        let names = list["datasets"]
            .as_array()
            .unwrap()
            .iter()
            .map(|one| one["name"].to_string());
        assert_eq!(names.collect::<BTreeSet<_>>().len(), writers * each);
        env.run(&format!("dataset verify --project p{tenant}")).ok();
        env.run(&format!("model verify --project p{tenant}")).ok();
    }
    let store = env.run("store verify --format json --project p0").ok();
    assert_eq!(store.json()["missing"], serde_json::json!([]));
}

#[test]
fn tenants_at_once_lose_nothing_while_the_store_is_collected() {
    tenants(false);
}

#[test]
fn tenants_at_once_lose_nothing_without_the_lock() {
    if has_strace() {
        tenants(true);
    }
}
