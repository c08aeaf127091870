//! Pipelines as people run them: the shipped ones, twice over, and killed at any moment.

#![allow(clippy::print_stderr)]

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use crate::support::Env;

/// How often the crash test kills, unless `RETUNE_KILLS` says.
const KILLS: u32 = 8;

#[test]
fn every_shipped_pipeline_is_sound_and_can_be_planned() {
    let env = Env::new();
    let mut seen = 0;
    for entry in std::fs::read_dir("pipelines").unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_none_or(|extension| extension != "yaml") {
            continue;
        }
        seen += 1;
        let path = path.canonicalize().unwrap();
        let shared = Path::new("../shared");
        if path.ends_with("banking77.yaml") && !shared.is_dir() {
            eprintln!(
                "{} needs ../shared, which is not there: only read",
                path.display()
            );
            assert!(retune::pipeline::Spec::read(&path).is_ok());
            continue;
        }
        env.run_args(&["pipeline", "check", path.to_str().unwrap()])
            .ok();
    }
    assert!(seen >= 2, "the pipelines were not found");
}

#[test]
fn the_quickstart_ends_in_production_and_then_has_nothing_to_do() {
    let env = Env::new();
    let file = shipped(&env);
    let args = [
        "pipeline",
        "run",
        file.to_str().unwrap(),
        "--format",
        "json",
    ];
    let first = env.run_args(&args).ok().json();
    assert_eq!(first["outcome"], "complete");
    assert_eq!(first["nothing_to_do"], false);
    let scores = first["summary"]["scores"].as_array().unwrap().clone();
    let accuracy = |at: usize| {
        scores[at]["accuracy"]
            .as_str()
            .unwrap()
            .parse::<f64>()
            .unwrap()
    };
    assert_eq!(scores[1]["name"], "nearest-centroid");
    assert!(accuracy(0) > accuracy(1) + 0.1, "{scores:?}");
    for comparison in first["summary"]["comparisons"].as_array().unwrap() {
        assert_eq!(comparison["verdict"], "PASS");
    }

    let second = env.run_args(&args).ok().json();
    assert_eq!(second["nothing_to_do"], true, "{second}");
    let project = env.path("quickstart");
    let project = project.to_str().unwrap();
    env.run_args(&["--project", project, "store", "verify"])
        .ok();
    env.run_args(&["--project", project, "model", "verify"])
        .ok();
    env.run_args(&["--project", project, "pin", "check", "--locked"])
        .ok();
}

#[test]
fn a_gate_that_does_not_pass_stops_the_pipeline_before_promotion() {
    let env = Env::new();
    let file = quick(&env, "quick");
    let gate = "version: 1\ncriteria:\n  - {id: acc, metric: accuracy, kind: binary, rule: noninferior, margin: 0.02}\nfirst_version: {against: nearest-centroid, rule: superior, margin: 0.4}\n";
    env.write("quick/gate.yaml", gate);
    let output = env.run_args(&["pipeline", "run", file.to_str().unwrap()]);
    assert!(matches!(output.code, Some(11 | 12)), "{output}");
    assert!(output.stdout.contains("is not promoted"), "{output}");
    let project = env.path("quick-project");
    let resolved = env.run_args(&[
        "--project",
        project.to_str().unwrap(),
        "model",
        "show",
        "support-router:production",
    ]);
    assert_eq!(resolved.code, Some(2), "{resolved}");
}

#[test]
fn a_pipeline_judges_by_the_project_s_policy_or_not_at_all() {
    let env = Env::new();
    let file = quick(&env, "quick");
    let project = env.path("quick-project");
    let project = project.to_str().unwrap();
    let own = std::fs::read_to_string(env.path("quick/gate.yaml")).unwrap();
    env.write(
        "quick-project/gate.yaml",
        own.replace("margin: 0.05", "margin: 0.4"),
    );
    env.run_args(&["--project", project, "init"]).ok();
    let stopped = env.run_args(&["pipeline", "run", file.to_str().unwrap()]);
    assert_eq!(stopped.code, Some(2), "{stopped}");
    assert!(
        stopped
            .stderr
            .contains("is not the gate policy of support-router"),
        "{stopped}"
    );

    std::fs::remove_file(env.path("quick-project/gate.yaml")).unwrap();
    env.run_args(&["pipeline", "run", file.to_str().unwrap()])
        .ok();
    let text = std::fs::read_to_string(env.path("quick-project/retune.yaml")).unwrap();
    assert!(
        text.contains("gates:\n  support-router: \"../quick/gate.yaml\"\n"),
        "{text}"
    );
}

#[test]
fn a_pipeline_that_names_what_is_not_there_says_so() {
    let env = Env::new();
    let file = quick(&env, "quick");
    std::fs::remove_file(env.path("quick/gate.yaml")).unwrap();
    let output = env.run_args(&["pipeline", "check", file.to_str().unwrap()]);
    assert_eq!(output.code, Some(2), "{output}");
    assert!(output.stderr.contains("gate.yaml"), "{output}");
}

/// Killed again and again at moments spread over its whole length, a pipeline still ends where an undisturbed one ends, byte for byte.
#[test]
fn kills_lose_nothing_and_change_nothing() {
    let kills = std::env::var("RETUNE_KILLS")
        .ok()
        .and_then(|text| text.parse().ok())
        .unwrap_or(KILLS);
    let env = Env::new();
    let calm = quick(&env, "calm");
    let began = std::time::Instant::now();
    let expected = adapter(&env, &calm);
    let length = began.elapsed();

    let stormy = quick(&env, "stormy");
    let project = env.path("stormy-project");
    for kill in 0..kills {
        let mut child = env
            .command(env!("CARGO_BIN_EXE_retune"))
            .args(["--quiet", "pipeline", "run", stormy.to_str().unwrap()])
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        // A golden-ratio sequence visits early and late moments evenly.
        let share = (f64::from(kill) * 0.618_034 + 0.05).fract();
        std::thread::sleep(Duration::from_secs_f64(length.as_secs_f64() * share * 0.5));
        child.kill().unwrap();
        child.wait().unwrap();
        for (part, noun) in [("store", "store"), ("registry", "model")] {
            if project.join(".retune").join(part).exists() && project.join("retune.yaml").exists() {
                env.run_args(&["--project", project.to_str().unwrap(), noun, "verify"])
                    .ok();
            }
        }
    }
    assert_eq!(adapter(&env, &stormy), expected);
}

/// Runs a pipeline to its end and tells the identity of the adapter's files.
fn adapter(env: &Env, file: &Path) -> String {
    let done = env
        .run_args(&[
            "pipeline",
            "run",
            file.to_str().unwrap(),
            "--format",
            "json",
        ])
        .ok();
    done.json()["summary"]["run"]["record"]["adapter"]
        .as_str()
        .unwrap()
        .to_owned()
}

/// The shipped quickstart, copied so that its project is the test's own.
fn shipped(env: &Env) -> PathBuf {
    copy(Path::new("pipelines"), &env.path("pipelines"));
    env.path("pipelines/quickstart.yaml")
}

/// The quickstart with little training: seconds, and still every stage.
fn quick(env: &Env, name: &str) -> PathBuf {
    copy(
        Path::new("pipelines/starter-base"),
        &env.path("starter-base"),
    );
    copy(Path::new("pipelines/quickstart"), &env.path(name));
    let edit = |file: &str, from: &str, to: &str| {
        let path = env.path(&format!("{name}/{file}"));
        let text = std::fs::read_to_string(&path).unwrap();
        assert!(text.contains(from), "{file} has no {from}");
        std::fs::write(&path, text.replace(from, to)).unwrap();
    };
    edit(
        "job.yaml",
        "num_epochs: 8",
        "max_steps: 24\ncheckpoint: {every_steps: 4, keep: 2}",
    );
    edit("gate.yaml", "[nearest-centroid, majority]", "majority");
    let text = std::fs::read_to_string("pipelines/quickstart.yaml").unwrap();
    let text = text
        .replace("../quickstart ", &format!("{name}-project "))
        .replace("quickstart/", &format!("{name}/"));
    env.write(&format!("{name}.yaml"), text)
}

fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let path = entry.unwrap().path();
        let target = to.join(path.file_name().unwrap());
        match path.is_dir() {
            true => copy(&path, &target),
            false => std::fs::copy(&path, &target).map(drop).unwrap(),
        }
    }
}
