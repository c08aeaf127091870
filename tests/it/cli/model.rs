use std::collections::BTreeMap;
use std::path::Path;

use insta::assert_snapshot;
use retune::dataset::{self, Options, SplitName};
use retune::digest::Digest;
use retune::document::Source;
use retune::document::canonical;
use retune::eval::{Answer, Case, Report, ReportId, Subject, Suite};
use retune::gate::{self, Arm, EvidenceId, Policy};
use retune::git::Identity;
use retune::name::TenantName;
use retune::progress::Silent;
use retune::registry::{
    Act, AdapterPart, BasePart, DatasetPart, Registry, RunPart, Tenant, Version, VersionManifest,
};
use retune::store::{Store, Tree};
use retune::time::Timestamp;

use crate::support::Env;

/// A project with a store, a registry and a tenant.
pub(crate) struct Project {
    pub(crate) env: Env,
    pub(crate) store: Store,
    registry: Registry,
    tenant: TenantName,
    by: Identity,
}

impl Project {
    pub(crate) fn new() -> Self {
        let env = Env::new();
        env.run("init").ok();
        Self {
            store: Store::open(&env.path(".retune/store")).unwrap(),
            registry: Registry::open(&env.path(".retune/registry")).unwrap(),
            tenant: "default".parse().unwrap(),
            by: "Ana <ana@example.org>".parse().unwrap(),
            env,
        }
    }

    pub(crate) fn tenant(&self) -> Tenant<'_> {
        self.registry.tenant(&self.tenant)
    }

    pub(crate) fn act(&self) -> Act<'_> {
        Act {
            by: &self.by,
            at: Timestamp::from_unix(1_795_426_200),
            dry_run: false,
            reporter: &Silent,
        }
    }

    fn tree(&self, folder: &str, text: &str) -> Tree {
        self.env.write(&format!("{folder}/weights.bin"), text);
        self.store
            .put_tree(&self.env.path(folder), &["weights.bin".into()])
            .unwrap()
    }

    fn document(&self, schema: &str, key: &str, value: &str) -> Vec<u8> {
        canonical::encode(schema, &BTreeMap::from([(key, value)])).unwrap()
    }

    /// A version of the model `support` with everything that it is made of.
    pub(crate) fn version(&self, text: &str) -> Version {
        let rows = format!("{{\"text\":\"row {text}\",\"label\":\"yes\"}}\n");
        let train = self.env.write("train.jsonl", rows);
        let (_, manifest) = dataset::import(
            &self.store,
            &[(SplitName::Train, train)],
            &Options::default(),
            &Silent,
        )
        .unwrap();
        self.version_on(text, &manifest.encode().unwrap())
    }

    /// The same, trained on the dataset of this document.
    pub(crate) fn version_on(&self, text: &str, dataset: &[u8]) -> Version {
        let (base, adapter) = (self.tree("base", "weights"), self.tree("adapter", text));
        let base_document = self.document("retune.base/1", "tree", &base.id().to_string());
        let run = Digest::of(text.as_bytes());
        let (tenant, act) = (self.tenant(), self.act());
        tenant
            .bases()
            .add(&"minilm".parse().unwrap(), &base_document, &act)
            .unwrap();
        tenant
            .datasets()
            .add(&"tickets".parse().unwrap(), dataset, &act)
            .unwrap();
        tenant.runs().add(&run, text.as_bytes(), &act).unwrap();
        let manifest = VersionManifest {
            tenant: self.tenant.clone(),
            model: "support".parse().unwrap(),
            parents: Vec::new(),
            base: BasePart {
                source: Some("sentence-transformers/all-MiniLM-L6-v2".into()),
                revision: None,
                tree: base.id(),
                files: base.entries().to_vec(),
            },
            adapter: AdapterPart {
                format: "peft".into(),
                tree: adapter.id(),
                files: adapter.entries().to_vec(),
            },
            dataset: DatasetPart {
                id: Digest::of(dataset),
                splits: BTreeMap::from([("train".to_owned(), Digest::of(b"train"))]),
            },
            run: RunPart {
                id: run,
                config: Digest::of(b"job"),
                code: None,
                tool: "0.1.0".into(),
                seed: 7,
                hardware: None,
            },
            created: act.at,
            licence: None,
        };
        tenant
            .register(&manifest, &self.store, &act)
            .unwrap()
            .record
    }
}

const POLICY: &str = "\
version: 1
criteria:
  - {id: acc, metric: accuracy, kind: binary, rule: noninferior, margin: 0.02}
first_version: {against: [nearest-centroid, majority], rule: superior, margin: 0}
";

/// The cases of the suite that an arm gets wrong.
type Wrong = std::ops::Range<usize>;

impl Project {
    /// Judges a version against another one, or against the untrained baselines, and records the evidence.
    fn judge(&self, version: &Version, against: Option<&Version>, wrong: [Wrong; 2]) -> EvidenceId {
        let policy = Source::new(Path::new("gate.yaml"), POLICY.to_owned());
        let [candidate, baseline] = wrong;
        let arm = |subject: Subject, wrong: &Wrong| Arm {
            report: self.report(subject, wrong),
            label: None,
        };
        let dataset = version.manifest.dataset.id.into();
        let base = version.manifest.base.tree.digest().into();
        let baselines = match against {
            Some(version) => vec![arm(subject(version), &baseline)],
            None => vec![
                arm(Subject::Centroid { base, dataset }, &baseline),
                arm(Subject::Majority { dataset }, &baseline),
            ],
        };
        let policy = Policy::parse(&policy).unwrap();
        let candidate = arm(subject(version), &candidate);
        let (id, evidence) = gate::check(&self.store, &policy, &candidate, &baselines).unwrap();
        let document = evidence.document().unwrap();
        self.tenant()
            .add_evidence(version, &document, &self.act())
            .unwrap();
        id
    }

    fn report(&self, subject: Subject, wrong: &Wrong) -> ReportId {
        let case = |index| Case {
            id: format!("t{index:04}"),
            label: "yes".to_owned(),
            text: format!("text {index}"),
        };
        let suite = Suite::new("intents".parse().unwrap(), (0..200).map(case).collect()).unwrap();
        suite.store(&self.store).unwrap();
        let answer = |index| if wrong.contains(&index) { "no" } else { "yes" };
        let answers = (0..200)
            .map(|index| Answer::Label(answer(index).to_owned()))
            .collect();
        let labels = vec!["no".to_owned(), "yes".to_owned()];
        let report = Report::new(&suite, subject, labels, answers).unwrap();
        report.store(&self.store).unwrap()
    }

    /// Puts a first version into production.
    fn first(&self, text: &str) -> Version {
        let version = self.version(text);
        self.judge(&version, None, [0..0, 0..100]);
        self.env
            .run(&format!("model promote {version} --to production"))
            .ok();
        version
    }
}

fn subject(version: &Version) -> Subject {
    Subject::Adapter {
        base: version.manifest.base.tree.digest().into(),
        adapter: version.manifest.adapter.tree,
        dataset: Some(version.manifest.dataset.id.into()),
        run: Some(version.manifest.run.id),
    }
}

#[test]
fn a_version_goes_to_production_and_back() {
    let project = Project::new();
    let one = project.version("1");
    let promote = format!("model promote {one} --to production");
    assert_snapshot!(project.env.run(&promote), @"
    $ retune model promote support@20261123-2cfa042958f3 --to production
    --- stderr
    error: cannot promote support@20261123-2cfa042958f3 to production
      caused by: no gate has judged it
      hint: judge it: retune gate check support@20261123-2cfa042958f3 --against :production
    --- exit 13
    ");
    project.judge(&one, None, [0..0, 0..100]);
    assert_snapshot!(project.env.run(&format!("{promote} --dry-run")), @"
    $ retune model promote support@20261123-2cfa042958f3 --to production --dry-run
    support:production would be 20261123-2cfa042958f3 (was nothing)
    ");
    assert_snapshot!(project.env.run(&promote), @"
    $ retune model promote support@20261123-2cfa042958f3 --to production
    support:production is now 20261123-2cfa042958f3 (was nothing)
    ");
    assert_snapshot!(project.env.run(&promote), @"
    $ retune model promote support@20261123-2cfa042958f3 --to production
    support:production is 20261123-2cfa042958f3 already
    ");

    let two = project.version("2");
    project.judge(&two, Some(&one), [0..0, 0..0]);
    let promote = format!("model promote {two} --to production --reason better");
    assert_snapshot!(project.env.run(&promote), @"
    $ retune model promote support@20261123-02e820996803 --to production --reason better
    support:production is now 20261123-02e820996803 (was 20261123-2cfa042958f3)
    ");
    assert_snapshot!(project.env.run("model list"), @"
    $ retune model list
    MODEL    VERSIONS  NEWEST                 ALIASES
    support  2         20261123-02e820996803  production → 20261123-02e820996803
    ");
    assert_snapshot!(project.env.run("model rollback support:production --reason complaints"), @"
    $ retune model rollback support:production --reason complaints
    support:production is now 20261123-2cfa042958f3 (was 20261123-02e820996803)
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
    2026-11-23T09:30:00Z  rollback  20261123-2cfa042958f3  20261123-02e820996803  Ana <ana@example.org>  complaints
    2026-11-23T09:30:00Z  promote   20261123-02e820996803  20261123-2cfa042958f3  Ana <ana@example.org>  better
    2026-11-23T09:30:00Z  promote   20261123-2cfa042958f3  -                      Ana <ana@example.org>
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
    Ana: roll back support:production to 20261123-2cfa042958f3 (default)
    Ana: promote support@20261123-02e820996803 to production (default)
    Ana: record evidence about support@20261123-02e820996803 (default)
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
    let about_two = project.judge(&two, Some(&one), [0..0, 0..0]);
    let promote = format!("model promote {three} --to production --evidence {about_two}");
    assert_snapshot!(project.env.run(&promote), @"
    $ retune model promote support@20261123-bb38573f5a27 --to production --evidence sha256:df6320803728e1139d8c1da009cd13e20315b7890f697bba2326adfe8ad76704
    --- stderr
    error: cannot promote support@20261123-bb38573f5a27 to production
      caused by: evidence sha256:df6320803728e1139d8c1da009cd13e20315b7890f697bba2326adfe8ad76704 is about adapter e8a8084eb75a on base ec311b938f29; version 20261123-bb38573f5a27 is adapter a5d6fbaa38c1 on base ec311b938f29
      hint: judge it again: retune gate check support@20261123-bb38573f5a27 --against :production
    --- exit 13
    ");
    // Production moves on; what was judged against the version before does not count any more.
    project.judge(&three, Some(&one), [0..0, 0..0]);
    project
        .env
        .run(&format!("model promote {two} --to production"))
        .ok();
    assert_snapshot!(project.env.run(&format!("model promote {three} --to production")), @"
    $ retune model promote support@20261123-bb38573f5a27 --to production
    --- stderr
    error: cannot promote support@20261123-bb38573f5a27 to production
      caused by: evidence sha256:2f05e97211176fbb7142729b1dba964b960c8486eface2d412c9ddaff36f9953 was judged against 20261123-2cfa042958f3; production is now 20261123-02e820996803
      hint: judge it again: retune gate check support@20261123-bb38573f5a27 --against :production
    --- exit 13
    ");
}

#[test]
fn a_flipped_adapter_byte_or_a_changed_report_promotes_nothing() {
    let project = Project::new();
    let one = project.first("1");
    let two = project.version("2");
    let evidence = project.judge(&two, Some(&one), [0..0, 0..0]);
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
    support  2         20261123-02e820996803
    ");
    assert_snapshot!(project.env.run("model list support"), @"
    $ retune model list support
    VERSION                CREATED               RUN           DATASET       ALIASES
    20261123-02e820996803  2026-11-23T09:30:00Z  d4735e3a265e  5c3d5b32d318
    20261123-2cfa042958f3  2026-11-23T09:30:00Z  6b86b273ff34  0c4268331641
    ");
    assert_snapshot!(project.env.run(&format!("model show {one}")), @"
    $ retune model show support@20261123-2cfa042958f3
    default/support@20261123-2cfa042958f3
      id         sha256:2cfa042958f30e00a1f4a965a0e4702b310e8d44ef2ff876fa4c1ad105d8ebed
      created    2026-11-23T09:30:00Z
      adapter    sha256:790cc90d92605897de671fc970f29cc68af78dffd5dd6d558b72f43b6a312627 (1 B)
                 weights.bin (1 B)
      base       sha256:ec311b938f298aa11b172ffc6051c8d9db01b49a25219568d1ab443574e59dc2 (7 B)
                 sentence-transformers/all-MiniLM-L6-v2
      dataset    sha256:0c4268331641a2d075c20ac1f18656278d438dd05c73c7182c6f112a509fdc3f
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
    error: there is no version support@20261123-0000 (there is 20261123-02e820996803, 20261123-2cfa042958f3)
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
    $ retune model log support@20261123-2cfa042958f3
    --- stderr
    error: support@20261123-2cfa042958f3 names a version, not an alias
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
    $ retune model rollback support:production --to 20261123-2cfa042958f3
    --- stderr
    error: cannot roll back support:production
      caused by: support:production never was 20261123-2cfa042958f3
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
    $ retune model export support@20261123-2cfa042958f3 --to out
    support@20261123-2cfa042958f3: 1 B in 1 file, to out
    ");
    assert_eq!(
        std::fs::read(project.env.path("out/weights.bin")).unwrap(),
        b"1"
    );
    assert_snapshot!(project.env.run(&format!("model export {version} --to out")), @"
    $ retune model export support@20261123-2cfa042958f3 --to out
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
    $ retune model export support@20261123-2cfa042958f3 --to other
    --- stderr
    error: the files of support@20261123-2cfa042958f3 are not all in the store, unchanged
      caused by: object sha256:6b86b273ff34fce19d6b804eff5a3f5747ada4eaa22f1d49c01e52ddb7875b4b is damaged: [ENV]/project/.retune/store/objects/sha256/6b/86b273ff34fce19d6b804eff5a3f5747ada4eaa22f1d49c01e52ddb7875b4b hashes to sha256:d4735e3a265e16eee03f59718b9b5d03019c07d8b6c51f90da3a666eec13ab35
    --- exit 14
    ");
    assert!(!project.env.path("other").exists());
    assert_snapshot!(project.env.run("model verify"), @"
    $ retune model verify
    damaged support@20261123-2cfa042958f3: object sha256:6b86b273ff34fce19d6b804eff5a3f5747ada4eaa22f1d49c01e52ddb7875b4b is damaged: [ENV]/project/.retune/store/objects/sha256/6b/86b273ff34fce19d6b804eff5a3f5747ada4eaa22f1d49c01e52ddb7875b4b hashes to sha256:d4735e3a265e16eee03f59718b9b5d03019c07d8b6c51f90da3a666eec13ab35
    registry of default 1 damaged: 1 versions, 0 moves of 0 aliases, 0 pieces of evidence, 2 records, 1 runs; 1 stored files re-read
    --- exit 14
    ");
    assert_snapshot!(project.env.run("model verify --records-only"), @"
    $ retune model verify --records-only
    registry of default sound: 1 versions, 0 moves of 0 aliases, 0 pieces of evidence, 2 records, 1 runs; 0 stored files re-read
    ");
}
