use std::path::Path;

use insta::assert_snapshot;
use retune::base::Device;
use retune::digest::Digest;
use retune::document::{Decimal, Source};
use retune::gate;
use retune::train::{End, Job, MachineClass, RunRecord, RunStart, Streams, TokenAccount, Totals};

use super::base::tiny_base;

use crate::support::project::Project;

#[test]
fn a_version_goes_to_production_and_back() {
    let project = Project::new();
    let one = project.version("1");
    let promote = format!("model promote {one} --to production");
    assert_snapshot!(project.env.run(&promote), @"
    $ retune model promote support@20261123-dd9f379a1d9f --to production
    --- stderr
    error: cannot promote support@20261123-dd9f379a1d9f to production
      caused by: no gate has judged it
      hint: judge it: retune gate check support@20261123-dd9f379a1d9f --against nearest-centroid --against majority --suite SUITE
    --- exit 13
    ");
    project.judge(&one, None, [0..0, 0..100]);
    assert_snapshot!(project.env.run(&format!("{promote} --dry-run")), @"
    $ retune model promote support@20261123-dd9f379a1d9f --to production --dry-run
    support:production would be 20261123-dd9f379a1d9f (was nothing)
    ");
    assert_snapshot!(project.env.run(&promote), @"
    $ retune model promote support@20261123-dd9f379a1d9f --to production
    support:production is now 20261123-dd9f379a1d9f (was nothing)
    ");
    assert_snapshot!(project.env.run(&promote), @"
    $ retune model promote support@20261123-dd9f379a1d9f --to production
    support:production is 20261123-dd9f379a1d9f already
    ");

    let two = project.version("2");
    project.judge(&two, Some(&one), [0..1, 0..1]);
    let promote = format!("model promote {two} --to production --reason better");
    assert_snapshot!(project.env.run(&promote), @"
    $ retune model promote support@20261123-2f14da051d69 --to production --reason better
    support:production is now 20261123-2f14da051d69 (was 20261123-dd9f379a1d9f)
    ");
    assert_snapshot!(project.env.run("model list"), @"
    $ retune model list
    MODEL    VERSIONS  NEWEST                 ALIASES
    support  2         20261123-2f14da051d69  production → 20261123-2f14da051d69
    ");
    assert_snapshot!(project.env.run("model rollback support:production --reason complaints"), @"
    $ retune model rollback support:production --reason complaints
    support:production is now 20261123-dd9f379a1d9f (was 20261123-2f14da051d69)
    ");
    assert_snapshot!(project.env.run("model rollback support:production"), @"
    $ retune model rollback support:production
    --- stderr
    error: cannot roll back support:production
      caused by: support:production has no earlier version
      hint: see where it was: retune model log support:production
    --- exit 1
    ");
    assert_snapshot!(project.env.run("model log support:production"), @"
    $ retune model log support:production
    AT                    WHAT      TO                     FROM                   BY                     WHY
    2026-11-23T09:30:00Z  rollback  20261123-dd9f379a1d9f  20261123-2f14da051d69  Ana <ana@example.org>  complaints
    2026-11-23T09:30:00Z  promote   20261123-2f14da051d69  20261123-dd9f379a1d9f  Ana <ana@example.org>  better
    2026-11-23T09:30:00Z  promote   20261123-dd9f379a1d9f  -                      Ana <ana@example.org>
    ");
    assert_snapshot!(project.env.run("model log support:production --at 2026-11-22"), @"$ retune model log support:production --at 2026-11-22");
    assert_snapshot!(project.env.run("model verify"), @"
    $ retune model verify
    registry of default sound: 2 versions, 3 moves of 1 aliases, 2 pieces of evidence, 3 records, 2 runs; 3 stored files re-read
    ");
    // The registry is plain git, readable without this tool.
    let log = [
        "--git-dir",
        ".retune/registry",
        "log",
        "-3",
        "--format=%an: %s",
    ];
    assert_snapshot!(project.env.program("git", &log).stdout, @"
    Ana: roll back support:production to 20261123-dd9f379a1d9f (default)
    Ana: promote support@20261123-2f14da051d69 to production (default)
    Ana: record evidence about support@20261123-2f14da051d69 (default)
    ");
    let log = project
        .env
        .run("model log support:production --format json")
        .json();
    let evidence = project.tenant().evidence(&two).unwrap();
    assert_eq!(log["events"][1]["evidence"], evidence[0].id.to_string());
}

#[test]
fn a_verdict_that_is_not_pass_has_its_own_code() {
    let project = Project::new();
    let one = project.first("1");
    for (text, wrong, code) in [
        ("fail", [0..30, 0..0], 11),
        ("inconclusive", [0..2, 2..4], 12),
    ] {
        let version = project.version(text);
        let id = project.judge(&version, Some(&one), wrong);
        let output = project
            .env
            .run(&format!("model promote {version} --to production"));
        assert_eq!(output.code, Some(code), "{output}");
        assert!(output.stderr.contains(&id.to_string()), "{output}");
    }
    let output = project.env.run("model show support:production");
    assert!(output.stdout.contains(&one.to_string()), "{output}");
}

#[test]
fn evidence_about_something_else_promotes_nothing() {
    let project = Project::new();
    let one = project.first("1");
    let (two, three) = (project.version("2"), project.version("3"));
    let about_two = project.judge(&two, Some(&one), [0..1, 0..1]);
    let promote = format!("model promote {three} --to production --evidence {about_two}");
    assert_snapshot!(project.env.run(&promote), @"
    $ retune model promote support@20261123-8acdf6904271 --to production --evidence sha256:12b74dbce5fd44e754ff6c8ad16a7d413b2479631c77bd6a8b86856bda176a27
    --- stderr
    error: cannot promote support@20261123-8acdf6904271 to production
      caused by: evidence sha256:12b74dbce5fd44e754ff6c8ad16a7d413b2479631c77bd6a8b86856bda176a27 is about adapter e8a8084eb75a on base ec311b938f29; version 20261123-8acdf6904271 is adapter a5d6fbaa38c1 on base ec311b938f29
      hint: judge it: retune gate check support@20261123-8acdf6904271 --against :production --suite SUITE
    --- exit 13
    ");
    // Production moves on; what was judged against the version before does not count any more.
    project.judge(&three, Some(&one), [0..1, 0..1]);
    project
        .env
        .run(&format!("model promote {two} --to production"))
        .ok();
    assert_snapshot!(project.env.run(&format!("model promote {three} --to production")), @"
    $ retune model promote support@20261123-8acdf6904271 --to production
    --- stderr
    error: cannot promote support@20261123-8acdf6904271 to production
      caused by: evidence sha256:e1da9c6f89bdb1842f16976d45c3232f842c1932320bf78f00e731686ffeba68 was judged against 20261123-dd9f379a1d9f; production is now 20261123-2f14da051d69
      hint: judge it: retune gate check support@20261123-8acdf6904271 --against :production --suite SUITE
    --- exit 13
    ");
}

#[test]
fn only_evidence_by_the_project_s_policy_promotes() {
    let project = Project::new();
    let one = project.version("1");
    let id = project.judge(&one, None, [0..0, 0..100]);
    let promote = format!("model promote {one} --to production");
    let own = std::fs::read_to_string(project.env.path("gate.yaml")).unwrap();

    let stricter = own.replace("margin: 0.02", "margin: 0.01");
    project.env.write("gate.yaml", &stricter);
    for asked in [promote.clone(), format!("{promote} --evidence {id}")] {
        let refused = project.env.run(&asked);
        assert_eq!(refused.code, Some(13), "{refused}");
        assert!(
            refused
                .stderr
                .contains(&format!("evidence {id} was judged by policy sha256:"))
        );
        assert!(
            refused
                .stderr
                .contains("[ENV]/project/gate.yaml, is sha256:"),
            "{refused}"
        );
        assert!(
            refused.stderr.contains("hint: judge it: retune gate check"),
            "{refused}"
        );
    }
    std::fs::remove_file(project.env.path("gate.yaml")).unwrap();
    let missing = project.env.run(&promote);
    assert_eq!(missing.code, Some(2), "{missing}");
    assert!(
        missing.stderr.contains("gates: {support: FILE}"),
        "{missing}"
    );
    assert_eq!(
        project.env.run("model show support:production").code,
        Some(2)
    );

    // Comments and other ways of writing the same rules change nothing.
    project
        .env
        .write("rules/support.yaml", format!("# by hand\n{own}"));
    let file = project.env.path("retune.yaml");
    let text = std::fs::read_to_string(&file).unwrap();
    std::fs::write(
        &file,
        format!("{text}gates:\n  support: rules/support.yaml\n"),
    )
    .unwrap();
    project.env.run(&promote).ok();
    // Nothing is judged where nothing moves.
    project.env.write("rules/support.yaml", &stricter);
    project.env.run(&promote).ok();
}

#[test]
fn evidence_that_answers_nothing_hides_no_answer() {
    let project = Project::new();
    let one = project.version("1");
    project.judge(&one, None, [0..0, 0..100]);
    // Judged again, against one of the two baselines that the policy asks for.
    project.judge_against_one(&one);
    project
        .env
        .run(&format!("model promote {one} --to production"))
        .ok();
}

#[test]
fn a_flipped_adapter_byte_or_a_changed_report_promotes_nothing() {
    let project = Project::new();
    let one = project.first("1");
    let two = project.version("2");
    let evidence = project.judge(&two, Some(&one), [0..1, 0..1]);
    let promote = format!("model promote {two} --to production");
    let adapter = two.manifest.adapter.files[0].sha256;
    let report = gate::Evidence::load(&project.store, &evidence)
        .unwrap()
        .candidate
        .report;
    for object in [adapter, report.digest(), evidence.digest()] {
        let path = project.store.path_of(&object);
        let sound = std::fs::read(&path).unwrap();
        let mut bytes = sound.clone();
        bytes[0] ^= 1;
        for damaged in [Some(bytes), None] {
            std::fs::remove_file(&path).unwrap();
            if let Some(bytes) = damaged {
                std::fs::write(&path, bytes).unwrap();
            }
            let output = project.env.run(&promote);
            assert_eq!(output.code, Some(14), "{output}");
            std::fs::write(&path, &sound).unwrap();
        }
    }
    project.env.run(&promote).ok();
}

#[test]
fn an_empty_registry_lists_nothing_and_says_what_is_missing() {
    let project = Project::new();
    assert_snapshot!(project.env.run("model list"), @"$ retune model list");
    assert_snapshot!(project.env.run("model list --format json"), @r#"
    $ retune model list --format json
    {
      "models": [],
      "schema": "retune.model-list/1"
    }
    "#);
    assert_snapshot!(project.env.run("model show support:production"), @"
    $ retune model show support:production
    --- stderr
    error: tenant default has no model support
    --- exit 2
    ");
    assert_snapshot!(project.env.run("model verify"), @"
    $ retune model verify
    registry of default sound: 0 versions, 0 moves of 0 aliases, 0 pieces of evidence, 0 records, 0 runs; 0 stored files re-read
    ");
}

#[test]
fn versions_are_listed_and_shown() {
    let project = Project::new();
    let one = project.version("1");
    project.version("2");
    assert_snapshot!(project.env.run("model list"), @"
    $ retune model list
    MODEL    VERSIONS  NEWEST                 ALIASES
    support  2         20261123-2f14da051d69
    ");
    assert_snapshot!(project.env.run("model list support"), @"
    $ retune model list support
    VERSION                CREATED               RUN           DATASET       ALIASES
    20261123-2f14da051d69  2026-11-23T09:30:00Z  d4735e3a265e  02e26fc0addb
    20261123-dd9f379a1d9f  2026-11-23T09:30:00Z  6b86b273ff34  ad52f7146e6b
    ");
    assert_snapshot!(project.env.run(&format!("model show {one}")), @"
    $ retune model show support@20261123-dd9f379a1d9f
    default/support@20261123-dd9f379a1d9f
      id         sha256:dd9f379a1d9fd3792349a375f97f85488bf735b5c42dfff0bae4b4750e9eda63
      created    2026-11-23T09:30:00Z
      adapter    sha256:790cc90d92605897de671fc970f29cc68af78dffd5dd6d558b72f43b6a312627 (1 B)
                 weights.bin (1 B)
      base       sha256:ec311b938f298aa11b172ffc6051c8d9db01b49a25219568d1ab443574e59dc2 (7 B)
                 sentence-transformers/all-MiniLM-L6-v2
      dataset    sha256:ad52f7146e6b49a2766a3939be7bacf552752e3a3fc3802d5c2d93252a2d8382
                 train sha256:116f54c41d0405dbb10e7b04ebc31e262a5b8c85c1233fcf36eaee344d91ae58
      run        sha256:6b86b273ff34fce19d6b804eff5a3f5747ada4eaa22f1d49c01e52ddb7875b4b
                 seed 7, retune 0.1.0
      evidence   none
    ");
    assert_snapshot!(project.env.run("model show support:production"), @"
    $ retune model show support:production
    --- stderr
    error: there is no alias support:production
    --- exit 2
    ");
    assert_snapshot!(project.env.run("model show support@20261123-0000"), @"
    $ retune model show support@20261123-0000
    --- stderr
    error: there is no version support@20261123-0000 (there is 20261123-2f14da051d69, 20261123-dd9f379a1d9f)
    --- exit 2
    ");
    assert_snapshot!(project.env.run("model show globex/support:production"), @"
    $ retune model show globex/support:production
    --- stderr
    error: the registry has no tenant globex (there is default)
    --- exit 2
    ");
}

#[test]
fn an_alias_that_never_moved_has_no_log_and_nothing_to_go_back_to() {
    let project = Project::new();
    let version = project.version("1");
    assert_snapshot!(project.env.run("model log support:production"), @"
    $ retune model log support:production
    --- stderr
    error: there is no alias support:production
    --- exit 2
    ");
    assert_snapshot!(project.env.run(&format!("model log {version}")), @"
    $ retune model log support@20261123-dd9f379a1d9f
    --- stderr
    error: support@20261123-dd9f379a1d9f names a version, not an alias
      hint: write support:ALIAS, such as support:production
    --- exit 2
    ");
    assert_snapshot!(project.env.run("model rollback support:production"), @"
    $ retune model rollback support:production
    --- stderr
    error: cannot roll back support:production
      caused by: support:production has no earlier version
      hint: see where it was: retune model log support:production
    --- exit 1
    ");
    let to = format!("model rollback support:production --to {}", version.label);
    assert_snapshot!(project.env.run(&to), @"
    $ retune model rollback support:production --to 20261123-dd9f379a1d9f
    --- stderr
    error: cannot roll back support:production
      caused by: support:production never was 20261123-dd9f379a1d9f
      hint: see where it was: retune model log support:production
      hint: a version that was never there needs evidence: retune model promote
    --- exit 2
    ");
}

#[test]
fn an_export_is_checked_byte_by_byte() {
    let project = Project::new();
    let version = project.version("1");
    assert_snapshot!(project.env.run(&format!("model export {version} --to out")), @"
    $ retune model export support@20261123-dd9f379a1d9f --to out
    support@20261123-dd9f379a1d9f: 1 B in 1 file, to out
    ");
    assert_eq!(
        std::fs::read(project.env.path("out/weights.bin")).unwrap(),
        b"1"
    );
    assert_snapshot!(project.env.run(&format!("model export {version} --to out")), @"
    $ retune model export support@20261123-dd9f379a1d9f --to out
    --- stderr
    error: cannot rename into place out
      caused by: Directory not empty (os error 39)
    --- exit 1
    ");
    let object = project
        .store
        .path_of(&version.manifest.adapter.files[0].sha256);
    std::fs::remove_file(&object).unwrap();
    std::fs::write(&object, b"2").unwrap();
    assert_snapshot!(project.env.run(&format!("model export {version} --to other")), @"
    $ retune model export support@20261123-dd9f379a1d9f --to other
    --- stderr
    error: the files of support@20261123-dd9f379a1d9f are not all in the store, unchanged
      caused by: object sha256:6b86b273ff34fce19d6b804eff5a3f5747ada4eaa22f1d49c01e52ddb7875b4b is damaged: [ENV]/project/.retune/store/objects/sha256/6b/86b273ff34fce19d6b804eff5a3f5747ada4eaa22f1d49c01e52ddb7875b4b hashes to sha256:d4735e3a265e16eee03f59718b9b5d03019c07d8b6c51f90da3a666eec13ab35
    --- exit 14
    ");
    assert!(!project.env.path("other").exists());
    assert_snapshot!(project.env.run("model verify"), @"
    $ retune model verify
    damaged support@20261123-dd9f379a1d9f: object sha256:6b86b273ff34fce19d6b804eff5a3f5747ada4eaa22f1d49c01e52ddb7875b4b is damaged: [ENV]/project/.retune/store/objects/sha256/6b/86b273ff34fce19d6b804eff5a3f5747ada4eaa22f1d49c01e52ddb7875b4b hashes to sha256:d4735e3a265e16eee03f59718b9b5d03019c07d8b6c51f90da3a666eec13ab35
    registry of default 1 damaged: 1 versions, 0 moves of 0 aliases, 0 pieces of evidence, 2 records, 1 runs; 1 stored files re-read
    --- exit 14
    ");
    assert_snapshot!(project.env.run("model verify --records-only"), @"
    $ retune model verify --records-only
    registry of default sound: 1 versions, 0 moves of 0 aliases, 0 pieces of evidence, 2 records, 1 runs; 0 stored files re-read
    ");
}

/// A training job of `tiny` on `tickets`.
pub(crate) const JOB: &str = "\
version: 1
kind: TrainJob
name: tickets
base: tiny
dataset: tickets
task: seq_cls
sequence_len: 16
micro_batch_size: 1
num_epochs: 1
seed: 11
lora: {r: 2, alpha: 4, dropout: 0}
optimizer: {learning_rate: 1.0e-3}
";

/// Records a run of a base and a dataset of the project, as training leaves it.
pub(crate) fn run(project: &Project) -> Digest {
    let env = &project.env;
    env.write("train.jsonl", "{\"text\": \"a\", \"label\": \"yes\"}\n");
    env.run("dataset add tickets --train train.jsonl").ok();
    tiny_base(env);
    env.run("base add tiny model").ok();
    let (tenant, store) = (project.tenant(), &project.store);
    let dataset = tenant
        .datasets()
        .newest(&"tickets".parse().unwrap())
        .unwrap();
    let base = tenant.bases().newest(&"tiny".parse().unwrap()).unwrap();
    let source = Source::new(Path::new("job.yaml"), JOB.to_owned());
    let job = Job::parse(&source).unwrap();
    let at = project.act().at;
    let start = RunStart {
        job_digest: job.digest().unwrap(),
        dataset: dataset.id.into(),
        tenants: Some(vec![tenant.name().clone()]),
        base: base.id.into(),
        from: None,
        device: Device::Cpu,
        tool: "0.1.0".to_owned(),
        machine: MachineClass {
            arch: "x86_64".to_owned(),
            cpu: "avx2".to_owned(),
            os: "linux".to_owned(),
        },
        arithmetic: None,
        streams: Streams::of(job.seed),
        started_at: at,
        job,
    };
    let id = store.put_bytes(&start.encode().unwrap()).unwrap().digest;
    let adapter = project.tree("adapter", "low rank");
    let number = |value| Decimal::new(value).unwrap();
    let record = RunRecord {
        run: id.into(),
        job: start.job_digest,
        end: End::Completed,
        from: None,
        adapter: adapter.id(),
        files: adapter.entries().to_vec(),
        final_loss: number(0.5),
        last: None,
        best: None,
        adapter_step: 1,
        totals: Totals {
            steps: 1,
            epochs: 1,
            examples: 1,
            tokens: 3,
            wall_seconds: number(1.0),
            tokens_per_second: number(3.0),
            examples_per_second: number(1.0),
            peak_memory_bytes: None,
        },
        train: TokenAccount {
            rows: 1,
            kept: 1,
            tokens: 3,
            longest: 3,
            ..TokenAccount::default()
        },
        validation: None,
        test_leaked: 0,
        finished_at: at,
    };
    tenant
        .runs()
        .add(&id, &record.encode().unwrap(), &project.act())
        .unwrap();
    id
}

#[test]
fn a_run_is_registered_once_with_everything_it_was_made_of() {
    let project = Project::new();
    let run = run(&project);
    let register = format!("model register support --run {}", run.short());
    assert_snapshot!(project.env.run("model register support --run 0000"), @"
    $ retune model register support --run 0000
    --- stderr
    error: there is no run 0000 (there is 798e5852c1c4)
    --- exit 2
    ");
    assert_snapshot!(project.env.run(&format!("{register} --dry-run")), @"
    $ retune model register support --run 798e5852c1c4 --dry-run
    would register support@20261123-65db1d917cd3
    ");
    assert_snapshot!(project.env.run("model list"), @"$ retune model list");
    assert_snapshot!(project.env.run(&register), @"
    $ retune model register support --run 798e5852c1c4
    registered support@20261123-65db1d917cd3
    ");
    assert_snapshot!(project.env.run(&register), @"
    $ retune model register support --run 798e5852c1c4
    support@20261123-65db1d917cd3 is registered already
    ");
    let version = project
        .tenant()
        .versions(&"support".parse().unwrap())
        .unwrap()
        .remove(0);
    assert_snapshot!(project.env.run(&format!("model show {version}")), @"
    $ retune model show support@20261123-65db1d917cd3
    default/support@20261123-65db1d917cd3
      id         sha256:65db1d917cd32796ebf00684d64d969dafa15dd849130764be324abeb0aa943e
      created    2026-11-23T09:30:00Z
      adapter    sha256:d12dd8345db018b273dc4e57fd6e38026f616e55feb334d7890ebe7b31165919 (8 B)
                 weights.bin (8 B)
      base       sha256:c822a94cc58441af1ace25a00b2cd57b6d4215701ca618408cbe7d9cbf16ae81 (215 B)
      dataset    sha256:b0dfc54e523bc285fa107320b544b1a664da034bc0cc1453eba3bcf9fd12be5e
                 of tenant default
                 train sha256:910b32b897c94fda7c5bc85f089335fe4a1b6950933566ae8f0e7764c2ce88f3
      run        sha256:798e5852c1c470216e81f8cc8b7bf43dd6aa7ab2488cd13d9837bf1df9ef0cb6
                 seed 11, retune 0.1.0
      evidence   none
    ");
}

#[test]
fn a_run_whose_bytes_changed_is_not_registered() {
    let project = Project::new();
    let run = run(&project);
    let adapter = project.tree("adapter", "low rank");
    for object in [run, adapter.entries()[0].sha256] {
        let path = project.store.path_of(&object);
        let sound = std::fs::read(&path).unwrap();
        let mut bytes = sound.clone();
        bytes[0] ^= 1;
        std::fs::remove_file(&path).unwrap();
        std::fs::write(&path, bytes).unwrap();
        let output = project
            .env
            .run(&format!("model register support --run {run}"));
        assert_eq!(output.code, Some(14), "{output}");
        std::fs::write(&path, sound).unwrap();
    }
    assert_eq!(project.env.run("model list").ok().stdout, "");
}

#[test]
fn what_is_deprecated_is_due_then_overdue_and_refused() {
    let project = Project::new();
    let one = project.first("1");
    let two = project.version("2");
    project
        .env
        .run(&format!("pin add {one} --alias production"))
        .ok();
    let deprecate = format!("model deprecate {one} --replacement {}", two.label);
    assert_snapshot!(project.env.run(&format!("{deprecate} --until 2026-12-31")), @"
    $ retune model deprecate support@20261123-dd9f379a1d9f --replacement 20261123-2f14da051d69 --until 2026-12-31
    support@20261123-dd9f379a1d9f is deprecated: until 2026-12-31, then 20261123-2f14da051d69
    ");
    assert_snapshot!(project.env.run(&format!("{deprecate} --until 2026-12-31")), @"
    $ retune model deprecate support@20261123-dd9f379a1d9f --replacement 20261123-2f14da051d69 --until 2026-12-31
    support@20261123-dd9f379a1d9f is deprecated already: until 2026-12-31, then 20261123-2f14da051d69
    ");
    project.env.run("base retire minilm --on 2027-03-31").ok();
    assert_snapshot!(project.env.run("status"), @"
    $ retune status
    ALIAS               VERSION                SINCE                 REPLACE BY
    support:production  20261123-dd9f379a1d9f  2026-11-23T09:30:00Z  2026-12-31 (38 days): replaced by 20261123-2f14da051d69; 2027-03-31 (128 days): base minilm retires
    ");
    assert_snapshot!(project.env.run("model list --due 30d"), @"
    $ retune model list --due 30d
    nothing that is in use has to be replaced by then
    ");
    assert_snapshot!(project.env.run("model list --due 60d"), @"
    $ retune model list --due 60d
    ALIAS               VERSION                SINCE                 REPLACE BY
    support:production  20261123-dd9f379a1d9f  2026-11-23T09:30:00Z  2026-12-31 (38 days): replaced by 20261123-2f14da051d69; 2027-03-31 (128 days): base minilm retires
    ");
    project.env.run("pin check").ok();
    // The day is over.
    project
        .env
        .run(&format!("{deprecate} --until 2026-11-22"))
        .ok();
    let status = project.env.run("status");
    assert_eq!(status.code, Some(10), "{status}");
    let exported = project.env.run(&format!("model export {one} --to out"));
    assert_eq!(exported.code, Some(10), "{exported}");
    assert!(exported.stderr.contains(two.label.as_str()), "{exported}");
    assert_snapshot!(project.env.run("pin check"), @"
    $ retune pin check
    support: version 20261123-dd9f379a1d9f is deprecated and its last day is over; 20261123-2f14da051d69 replaces it
    1 pin: 1 wrong
    choose the versions anew: retune pin update (look first: retune pin update --dry-run)
    --- exit 10
    ");
    assert_snapshot!(project.env.run("pin update"), @"
    $ retune pin update
    --- stderr
    error: support@20261123-dd9f379a1d9f could be used until 2026-11-22T23:59:59Z; 20261123-2f14da051d69 replaces it
      hint: pin the version that replaces it: retune pin add MODEL@VERSION
    --- exit 10
    ");
    assert_snapshot!(project.env.run(&format!("model promote {one} --to canary")), @"
    $ retune model promote support@20261123-dd9f379a1d9f --to canary
    --- stderr
    error: cannot promote support@20261123-dd9f379a1d9f to canary
      caused by: 20261123-dd9f379a1d9f could be used until 2026-11-22T23:59:59Z; 20261123-2f14da051d69 replaces it
      hint: promote its replacement: retune model promote support@20261123-2f14da051d69 --to canary
    --- exit 10
    ");
    assert_snapshot!(project.env.run(&format!("model deprecate {two} --replacement {} --until 2027-01-31", one.label)), @"
    $ retune model deprecate support@20261123-2f14da051d69 --replacement 20261123-dd9f379a1d9f --until 2027-01-31
    --- stderr
    error: cannot deprecate support@20261123-2f14da051d69: support@20261123-dd9f379a1d9f is deprecated itself
    --- exit 2
    ");
}

#[test]
fn two_versions_are_compared() {
    let project = Project::new();
    let (one, two) = (project.version("1"), project.version("2"));
    assert_snapshot!(project.env.run(&format!("model diff {one} {two}")), @"
    $ retune model diff support@20261123-dd9f379a1d9f support@20261123-2f14da051d69
    support@20261123-dd9f379a1d9f → support@20261123-2f14da051d69
    parts
    KEY      BEFORE        AFTER
    adapter  790cc90d9260  e8a8084eb75a
    dataset  ad52f7146e6b  02e26fc0addb
    run      6b86b273ff34  d4735e3a265e
    config: not in the store
    data
    SPLIT  ADDED  REMOVED  CHANGED
    train  1      1        0
    metrics: the same
    weights: no PEFT weights
    ");
    let same = project
        .env
        .run(&format!("model diff {one} {one} --format json"))
        .ok()
        .json();
    assert_eq!(same["parts"], serde_json::json!([]));
    assert_eq!(same["schema"], "retune.model-diff/1");
}

#[test]
fn the_lineage_is_told_and_drawn() {
    let project = Project::new();
    let one = project.first("1");
    assert_snapshot!(project.env.run(&format!("model show {one} --lineage")), @"
    $ retune model show support@20261123-dd9f379a1d9f --lineage
    WHAT      NAME                           FROM                                                         NOTE
    dataset   tickets@20261123-ad52f7146e6b
    base      minilm@20261123-ec311b938f29
    run       6b86b273ff34                   tickets@20261123-ad52f7146e6b, minilm@20261123-ec311b938f29
    version   support@20261123-dd9f379a1d9f  6b86b273ff34
    evidence  2f5e89427198                   support@20261123-dd9f379a1d9f                                PASS
    alias     support:production             2f5e89427198                                                 promote 2026-11-23T09:30:00Z
    ");
    let json = project
        .env
        .run(&format!(
            "model show {one} --html lineage.html --format json"
        ))
        .ok()
        .json();
    let page = std::fs::read_to_string(project.env.path("lineage.html")).unwrap();
    let nodes = json["nodes"].as_array().unwrap();
    assert_eq!(page.matches("<rect width").count(), nodes.len());
    assert_eq!(
        page.matches("<path d=").count(),
        json["edges"].as_array().unwrap().len()
    );
    for node in nodes {
        assert!(page.contains(node["id"].as_str().unwrap()), "{node}");
    }
    // Nothing is fetched, nothing runs.
    assert!(!page.contains("http://") && !page.contains("https://") && !page.contains("<script"));
}

#[test]
fn a_protected_alias_is_moved_by_those_who_may() {
    let project = Project::new();
    let one = project.first("1");
    let protect = "model protect support:production --allow ben@example.org --two-people";
    assert_snapshot!(project.env.run(&format!("{protect} --dry-run")), @"
    $ retune model protect support:production --allow ben@example.org --two-people --dry-run
    support:production could be moved by ben@example.org; promoting takes somebody else than who registered
    ");
    assert_snapshot!(project.env.run(protect), @"
    $ retune model protect support:production --allow ben@example.org --two-people
    support:production can be moved by ben@example.org; promoting takes somebody else than who registered
    ");
    let two = project.version("2");
    project.judge(&two, Some(&one), [0..1, 0..1]);
    assert_snapshot!(project.env.run(&format!("model promote {two} --to production")), @"
    $ retune model promote support@20261123-2f14da051d69 --to production
    --- stderr
    error: support:production is protected
      caused by: Ana <ana@example.org> may not move support:production; ben@example.org may
    --- exit 1
    ");
    let ben = project
        .env
        .command(env!("CARGO_BIN_EXE_retune"))
        .env("RETUNE_ACTOR", "Ben <ben@example.org>")
        .args(["model", "promote", &two.to_string(), "--to", "production"])
        .status()
        .unwrap();
    assert!(ben.success());
    assert_snapshot!(project.env.run("model verify --rollback"), @"
    $ retune model verify --rollback
    support:production: ready to go back to 20261123-dd9f379a1d9f
    ");
    std::fs::remove_file(project.store.path_of(&one.manifest.adapter.files[0].sha256)).unwrap();
    let output = project.env.run("model verify --rollback");
    assert_eq!(output.code, Some(14), "{output}");
}
