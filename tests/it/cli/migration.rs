use std::process::Stdio;
use std::thread;
use std::time::Instant;

use insta::assert_snapshot;
use retune::registry::Version;

use crate::support::project::Project;

/// One version in production and as canary, and a second one that passed its gate against it.
fn ready() -> (Project, Version, Version) {
    let project = Project::new();
    let one = project.first("1");
    project
        .env
        .run(&format!("model promote {one} --to canary"))
        .ok();
    let two = project.version("2");
    project.judge(&two, Some(&one), [0..1, 0..1]);
    (project, one, two)
}

fn later(project: &Project, args: &str, days: i64) -> String {
    let time = 1_795_426_200 + days * 24 * 3600;
    let output = project
        .env
        .command(env!("CARGO_BIN_EXE_retune"))
        .env("SOURCE_DATE_EPOCH", time.to_string())
        .args(args.split(' '))
        .output()
        .unwrap();
    format!(
        "{}{}",
        String::from_utf8(output.stdout).unwrap(),
        String::from_utf8(output.stderr).unwrap()
    )
}

#[test]
fn a_migration_moves_alias_after_alias() {
    let (project, _, two) = ready();
    let plan = format!("migration plan {two} --step canary:3 --step production --reason better");
    assert_snapshot!(project.env.run(&plan), @"
    $ retune migration plan support@20261123-2f14da051d69 --step canary:3 --step production --reason better
    version: 1
    tenant: default
    model: support
    to: 20261123-2f14da051d69
    reason: better
    steps:
    - alias: canary
      from: 20261123-dd9f379a1d9f
      soak_days: 3
    - alias: production
      from: 20261123-dd9f379a1d9f
      soak_days: 0
    ");
    project.env.run(&format!("{plan} --out m.yaml")).ok();
    assert_eq!(
        project.env.run(&format!("{plan} --out m.yaml")).code,
        Some(2)
    );
    assert_snapshot!(project.env.run("migration show m.yaml"), @"
    $ retune migration show m.yaml
    migration 54c52c7510cf of support to 20261123-2f14da051d69: not begun
    ALIAS       FROM                   STATE
    canary      20261123-dd9f379a1d9f  ready
    production  20261123-dd9f379a1d9f  waiting
    ");
    assert_snapshot!(project.env.run("migration apply m.yaml --dry-run"), @"
    $ retune migration apply m.yaml --dry-run
    migration 54c52c7510cf of support to 20261123-2f14da051d69: not begun
    ALIAS       FROM                   STATE
    canary      20261123-dd9f379a1d9f  ready
    production  20261123-dd9f379a1d9f  waiting
    dry run: nothing was moved
    ");
    assert_snapshot!(project.env.run("migration apply m.yaml"), @"
    $ retune migration apply m.yaml
    migration 54c52c7510cf of support to 20261123-2f14da051d69: begun
    ALIAS       FROM                   STATE
    canary      20261123-dd9f379a1d9f  done     2026-11-23T09:30:00Z
    production  20261123-dd9f379a1d9f  soaking  2026-11-26T09:30:00Z
    ");
    assert_snapshot!(later(&project, "migration apply m.yaml", 2), @"
    migration 54c52c7510cf of support to 20261123-2f14da051d69: begun
    ALIAS       FROM                   STATE
    canary      20261123-dd9f379a1d9f  done     2026-11-23T09:30:00Z
    production  20261123-dd9f379a1d9f  soaking  2026-11-26T09:30:00Z
    ");
    assert_snapshot!(later(&project, "migration apply m.yaml", 3), @"
    migration 54c52c7510cf of support to 20261123-2f14da051d69: completed
    ALIAS       FROM                   STATE
    canary      20261123-dd9f379a1d9f  done   2026-11-23T09:30:00Z
    production  20261123-dd9f379a1d9f  done   2026-11-26T09:30:00Z
    ");
    assert_snapshot!(project.env.run("migration abort m.yaml"), @"
    $ retune migration abort m.yaml
    --- stderr
    error: the migration 54c52c7510cf was completed already
    --- exit 1
    ");
    assert_snapshot!(project.env.run("model log support:production"), @"
    $ retune model log support:production
    AT                    WHAT     TO                     FROM                   BY                     WHY
    2026-11-26T09:30:00Z  promote  20261123-2f14da051d69  20261123-dd9f379a1d9f  Ana <ana@example.org>  migration 54c52c7510cf: better
    2026-11-23T09:30:00Z  promote  20261123-dd9f379a1d9f  -                      Ana <ana@example.org>
    ");
    project.env.run("model verify").ok();
    project.env.run("store verify").ok();
}

#[test]
fn an_aborted_migration_takes_back_what_it_moved_and_ends() {
    let (project, one, two) = ready();
    project
        .env
        .run(&format!(
            "migration plan {two} --step canary:3 --step production --reason better --out m.yaml"
        ))
        .ok();
    project.env.run("migration apply m.yaml").ok();
    assert_snapshot!(project.env.run("migration abort m.yaml"), @"
    $ retune migration abort m.yaml
    migration 54c52c7510cf of support to 20261123-2f14da051d69: aborted
    ALIAS       FROM                   STATE
    canary      20261123-dd9f379a1d9f  ready
    production  20261123-dd9f379a1d9f  waiting
    ");
    for alias in ["canary", "production"] {
        let shown = project.env.run(&format!("model show support:{alias}")).ok();
        assert!(shown.stdout.contains(&one.to_string()), "{shown}");
    }
    project.env.run("migration abort m.yaml").ok();
    assert_snapshot!(project.env.run("migration apply m.yaml"), @"
    $ retune migration apply m.yaml
    --- stderr
    error: the migration 54c52c7510cf was aborted already
    --- exit 1
    ");
}

#[test]
fn a_step_whose_precondition_is_gone_is_refused() {
    let (project, one, two) = ready();
    let three = project.version("3");
    project.judge(&three, Some(&one), [0..1, 0..1]);
    project
        .env
        .run(&format!(
            "migration plan {two} --step canary --step production --reason better --out m.yaml"
        ))
        .ok();
    project
        .env
        .run(&format!("model promote {three} --to production"))
        .ok();
    assert_snapshot!(project.env.run("migration apply m.yaml"), @"
    $ retune migration apply m.yaml
    --- stderr
    error: support:production is 20261123-8acdf6904271; the migration takes it from 20261123-dd9f379a1d9f to 20261123-2f14da051d69
      hint: somebody moved it meanwhile: plan anew, or move it back and apply again
    --- exit 1
    ");
    let canary = project.env.run("model show support:canary").ok();
    assert!(
        canary.stdout.contains(&one.to_string()),
        "nothing moved: {canary}"
    );
}

#[test]
fn without_evidence_it_stops_and_says_why() {
    let (project, _, _) = ready();
    let three = project.version("3");
    project
        .env
        .run(&format!(
            "migration plan {three} --step canary --reason better --out m.yaml"
        ))
        .ok();
    assert_snapshot!(project.env.run("migration apply m.yaml"), @"
    $ retune migration apply m.yaml
    --- stderr
    error: the migration stops before support:canary
      caused by: no gate has judged support@20261123-8acdf6904271 against where the alias points
      hint: mend the cause and apply it again, or give it up: retune migration abort
    --- exit 13
    ");
    assert_snapshot!(project.env.run(&format!("migration plan {three} --step nowhere --reason x")), @"
    $ retune migration plan support@20261123-8acdf6904271 --step nowhere --reason x
    --- stderr
    error: there is no alias support:nowhere (there is canary, production)
    --- exit 2
    ");
    project.env.write("m.yaml", "version: 2\ntenant: default\nmodel: support\nto: 20261123-2f14da051d69\nreson: x\nreason: x\nsteps: []\n");
    assert_snapshot!(project.env.run("migration show m.yaml"), @"
    $ retune migration show m.yaml
    --- stderr
    error: m.yaml:5: reson: unknown key; did you mean `reason`?
    --- exit 2
    ");
}

/// Killed anywhere, a migration is gone on with: each alias moves exactly once.
#[test]
fn a_killed_migration_goes_on() {
    const ROUNDS: u32 = 12;
    let (project, one, two) = ready();
    let mut whole = None;
    let mut killed = 0;
    for round in 0..=ROUNDS {
        let plan = format!(
            "migration plan {two} --step canary --step production --reason round-{round} --out m{round}.yaml"
        );
        project.env.run(&plan).ok();
        let apply = format!("migration apply m{round}.yaml");
        let start = Instant::now();
        let mut child = project
            .env
            .command(env!("CARGO_BIN_EXE_retune"))
            .args(apply.split(' '))
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        match whole {
            // The first one shows how long it takes undisturbed.
            None => assert!(child.wait().unwrap().success()),
            Some(whole) => {
                thread::sleep(whole * round / ROUNDS);
                child.kill().unwrap();
                killed += u32::from(child.wait().unwrap().code().is_none());
            }
        }
        whole = whole.or(Some(start.elapsed()));
        project.env.run("model verify").ok();
        let end = project.env.run(&apply).ok();
        assert!(end.stdout.contains("completed"), "{end}");
        for alias in ["canary", "production"] {
            let log = project
                .env
                .run(&format!("model log support:{alias} --format json"))
                .ok()
                .json();
            let events = log["events"].as_array().unwrap();
            let ours = events.iter().filter(|event| {
                event["reason"]
                    .as_str()
                    .is_some_and(|why| why.ends_with(&format!(": round-{round}")))
            });
            assert_eq!(ours.count(), 1, "{alias} in round {round}");
            project
                .env
                .run(&format!(
                    "model rollback support:{alias} --to {}",
                    one.label
                ))
                .ok();
        }
    }
    assert!(killed >= ROUNDS / 4, "{killed} killed");
}

#[cfg(feature = "train")]
mod retraining {
    use std::fs;
    use std::process::Stdio;
    use std::thread;
    use std::time::Duration;

    use super::super::super::support::Env;

    const JOB: &str = "\
version: 1
kind: TrainJob
name: router
task: seq_cls
base: starter
dataset: tickets
pooling: mean
sequence_len: 64
lora: {r: 4, alpha: 8, target_modules: all-linear}
optimizer: {name: adamw, learning_rate: 1.0e-2}
micro_batch_size: 8
max_steps: 24
checkpoint: {every_steps: 4}
seed: SEED
";
    const SUITE: &str = "{version: 1, name: tickets, task: classification, cases: test.jsonl}\n";
    const GATE: &str = "\
version: 1
criteria:
  - {id: acc, metric: accuracy, kind: binary, rule: noninferior, margin: 0.4}
first_version: {against: majority, rule: superior, margin: 0}
";

    /// Rows of three labels that are easy to tell apart.
    fn rows(file: &str, count: usize) -> String {
        let file = format!("{}/pipelines/quickstart/{file}", env!("CARGO_MANIFEST_DIR"));
        let text = fs::read_to_string(file).unwrap();
        let easy = ["login_problem", "outage", "refund"];
        let rows = text
            .lines()
            .filter(|row| easy.iter().any(|label| row.contains(label)));
        let rows: Vec<&str> = rows.take(count).collect();
        assert!(rows.len() > count / 2, "{} rows", rows.len());
        rows.join("\n")
    }

    /// A first version that was trained and gated is in production and canary; a job with another seed is planned.
    fn ready() -> (Env, String) {
        let env = Env::new();
        env.run("init").ok();
        let starter = format!("{}/pipelines/starter-base", env!("CARGO_MANIFEST_DIR"));
        env.run(&format!("base add starter {starter}")).ok();
        env.write("train.jsonl", rows("train.jsonl", 200));
        env.write("test.jsonl", rows("test.jsonl", 60));
        env.write("job.yaml", JOB.replace("SEED", "7"));
        env.write("suite.yaml", SUITE);
        env.write("gate.yaml", GATE);
        env.run("dataset add tickets --train train.jsonl").ok();
        let run = env.run("train job.yaml --format json").ok().json();
        let run = run["record"]["run"].as_str().unwrap().to_owned();
        let added = env.run(&format!("model register router --run {run} --format json"));
        let version = format!("router@{}", added.ok().json()["version"].as_str().unwrap());
        env.run(&format!("eval suite.yaml --run {run}")).ok();
        env.run("eval suite.yaml --dataset tickets --baseline majority")
            .ok();
        env.run(&format!(
            "gate check {version} --against majority --suite suite.yaml"
        ))
        .ok();
        for alias in ["production", "canary"] {
            env.run(&format!("model promote {version} --to {alias}"))
                .ok();
        }
        env.write("job.yaml", JOB.replace("SEED", "8"));
        env.run(
            "migration plan router --retrain job.yaml --suite suite.yaml --step canary \
             --step production --reason monthly --out m.yaml",
        )
        .ok();
        (env, version)
    }

    fn at(env: &Env, alias: &str) -> String {
        let shown = env.run(&format!("model show router:{alias} --format json"));
        shown.ok().json()["version"].as_str().unwrap().to_owned()
    }

    fn moves(env: &Env, alias: &str) -> usize {
        let log = env.run(&format!("model log router:{alias} --format json"));
        log.ok().json()["events"].as_array().unwrap().len()
    }

    fn count(env: &Env, list: &str, key: &str) -> usize {
        let listed = env.run(&format!("{list} --format json")).ok().json();
        let listed = listed[key].as_array().unwrap();
        let over = |one: &&serde_json::Value| one["state"] != "interrupted";
        listed.iter().filter(over).count()
    }

    /// Killed again and again, it trains one run, registers one version and moves each alias once.
    #[test]
    fn a_killed_retraining_goes_on() {
        let (env, old) = ready();
        let mut killed = 0;
        for round in 1..=40 {
            let mut child = env
                .command(env!("CARGO_BIN_EXE_retune"))
                .args(["migration", "apply", "m.yaml"])
                .stdout(Stdio::null())
                .stderr(Stdio::null())
                .spawn()
                .unwrap();
            thread::sleep(Duration::from_millis(60 * round));
            child.kill().unwrap();
            let over = child.wait().unwrap().success();
            killed += u32::from(!over);
            let lock = env.path(".retune/registry/refs/heads/main.lock");
            if lock.exists() {
                fs::remove_file(lock).unwrap();
            }
            env.run("model verify").ok();
            if over {
                break;
            }
        }
        let end = env.run("migration apply m.yaml").ok();
        assert!(end.stdout.contains("completed"), "{end}");
        assert!(killed >= 3, "{killed} killed");
        let new = at(&env, "production");
        assert_eq!(at(&env, "canary"), new);
        assert_ne!(format!("router@{new}"), old);
        assert_eq!(count(&env, "run list", "runs"), 2);
        assert_eq!(count(&env, "model list router", "versions"), 2);
        for alias in ["canary", "production"] {
            assert_eq!(moves(&env, alias), 2, "{alias}");
        }
        env.run("store verify").ok();
    }

    /// Nothing moves before everything was judged, nothing is trained twice, and an abort takes all of it back.
    #[test]
    fn the_gate_comes_before_the_first_alias() {
        let (env, old) = ready();
        let dry = env.run("migration apply m.yaml --dry-run").ok();
        assert!(dry.stdout.contains("what job.yaml makes"), "{dry}");
        assert_eq!(count(&env, "run list", "runs"), 1);

        let high =
            "  - {id: high, metric: accuracy, kind: binary, rule: absolute, min: 0.94}\nfirst";
        env.write("gate.yaml", GATE.replace("first", high));
        let stopped = env.run("migration apply m.yaml");
        assert!(matches!(stopped.code, Some(11..=13)), "{stopped}");
        assert!(
            stopped.stderr.contains("stops before router:canary"),
            "{stopped}"
        );
        for alias in ["canary", "production"] {
            assert_eq!(format!("router@{}", at(&env, alias)), old);
        }
        assert_eq!(count(&env, "run list", "runs"), 2);

        // What was reviewed is what counts, newer data or not.
        env.write("gate.yaml", GATE);
        env.write("job.yaml", JOB.replace("SEED", "9"));
        env.write("suite.yaml", SUITE.replace("name: tickets", "name: others"));
        let changed = env.run("migration apply m.yaml");
        assert_eq!(changed.code, Some(1), "{changed}");
        assert!(
            changed.stderr.contains("suite.yaml is sha256:"),
            "{changed}"
        );
        env.write("suite.yaml", SUITE);
        env.write("train.jsonl", rows("train.jsonl", 100));
        env.run("dataset add tickets --train train.jsonl").ok();
        let done = env.run("migration apply m.yaml").ok();
        assert!(done.stdout.contains("completed"), "{done}");
        assert_eq!(count(&env, "run list", "runs"), 2);
        assert_ne!(format!("router@{}", at(&env, "production")), old);
    }

    #[test]
    fn a_plan_says_how_its_version_is_made() {
        let (env, old) = ready();
        let plan = fs::read_to_string(env.path("m.yaml")).unwrap();
        for said in [
            "retrain:",
            "  job: job.yaml",
            "  suite: suite.yaml",
            "  config: sha256:",
        ] {
            assert!(plan.contains(said), "{said}: {plan}");
        }
        let asks = "--step canary --reason x";
        let both = format!("migration plan {old} --retrain job.yaml --suite suite.yaml {asks}");
        let neither = format!("migration plan router {asks}");
        for wrong in [both, neither] {
            assert_eq!(env.run(&wrong).code, Some(2), "{wrong}");
        }
        env.write("job.yaml", JOB.replace("SEED", "9"));
        let changed = env.run("migration apply m.yaml");
        assert_eq!(changed.code, Some(1), "{changed}");
        assert!(changed.stderr.contains("job.yaml is sha256:"), "{changed}");

        // An abort before anything moved ends it.
        env.run("migration abort m.yaml").ok();
        env.write("job.yaml", JOB.replace("SEED", "8"));
        assert_eq!(env.run("migration apply m.yaml").code, Some(1));
        assert_eq!(count(&env, "run list", "runs"), 1);
    }
}
