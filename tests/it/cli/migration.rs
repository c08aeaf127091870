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
        project.clear_killed_lock();
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
