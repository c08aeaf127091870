use std::collections::BTreeMap;

use insta::assert_snapshot;
use retune::digest::Digest;
use retune::document::canonical;
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
        let dataset = self.document("retune.dataset/1", "rows", text);
        self.version_on(text, &dataset)
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
    error: tenant default has no model support; it has none
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
    support  2         20261123-7caccb59f9bd
    ");
    assert_snapshot!(project.env.run("model list support"), @"
    $ retune model list support
    VERSION                CREATED               RUN           DATASET       ALIASES
    20261123-7caccb59f9bd  2026-11-23T09:30:00Z  d4735e3a265e  fea9a1b0ab57
    20261123-c8ea50c8956d  2026-11-23T09:30:00Z  6b86b273ff34  10e2217d7d7d
    ");
    assert_snapshot!(project.env.run(&format!("model show {one}")), @"
    $ retune model show support@20261123-c8ea50c8956d
    default/support@20261123-c8ea50c8956d
      id         sha256:c8ea50c8956d27cee439d4c78ba459e34b30cca5f1c980deacf3a60e95cef827
      created    2026-11-23T09:30:00Z
      adapter    sha256:790cc90d92605897de671fc970f29cc68af78dffd5dd6d558b72f43b6a312627 (1 B)
                 weights.bin (1 B)
      base       sha256:ec311b938f298aa11b172ffc6051c8d9db01b49a25219568d1ab443574e59dc2 (7 B)
                 sentence-transformers/all-MiniLM-L6-v2 at no revision
      dataset    sha256:10e2217d7d7d72641acb1012ac2ab27ae844c0e20e6358aa6fc3edb104a71c05
                 train sha256:116f54c41d0405dbb10e7b04ebc31e262a5b8c85c1233fcf36eaee344d91ae58
      run        sha256:6b86b273ff34fce19d6b804eff5a3f5747ada4eaa22f1d49c01e52ddb7875b4b
                 seed 7, retune 0.1.0
      evidence   none
    ");
    assert_snapshot!(project.env.run("model show support:production"), @"
    $ retune model show support:production
    --- stderr
    error: there is no alias support:production; there is none
    --- exit 2
    ");
    assert_snapshot!(project.env.run("model show support@20261123-0000"), @"
    $ retune model show support@20261123-0000
    --- stderr
    error: there is no version support@20261123-0000; there is 20261123-7caccb59f9bd, 20261123-c8ea50c8956d
    --- exit 2
    ");
    assert_snapshot!(project.env.run("model show globex/support:production"), @"
    $ retune model show globex/support:production
    --- stderr
    error: the registry has no tenant globex; it has default
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
    error: there is no alias support:production; there is none
    --- exit 2
    ");
    assert_snapshot!(project.env.run(&format!("model log {version}")), @"
    $ retune model log support@20261123-c8ea50c8956d
    --- stderr
    error: support@20261123-c8ea50c8956d names a version, not an alias
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
    $ retune model rollback support:production --to 20261123-c8ea50c8956d
    --- stderr
    error: cannot roll back support:production
      caused by: support:production never was 20261123-c8ea50c8956d
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
    $ retune model export support@20261123-c8ea50c8956d --to out
    support@20261123-c8ea50c8956d: 1 files, 1 B, to out
    ");
    assert_eq!(
        std::fs::read(project.env.path("out/weights.bin")).unwrap(),
        b"1"
    );
    assert_snapshot!(project.env.run(&format!("model export {version} --to out")), @"
    $ retune model export support@20261123-c8ea50c8956d --to out
    --- stderr
    error: the files of support@20261123-c8ea50c8956d are not all in the store, unchanged
      caused by: cannot rename into place out
      caused by: Directory not empty (os error 39)
    --- exit 1
    ");
    let object = project
        .store
        .path_of(&version.manifest.adapter.files[0].sha256);
    std::fs::remove_file(&object).unwrap();
    std::fs::write(&object, b"2").unwrap();
    assert_snapshot!(project.env.run(&format!("model export {version} --to other")), @"
    $ retune model export support@20261123-c8ea50c8956d --to other
    --- stderr
    error: the files of support@20261123-c8ea50c8956d are not all in the store, unchanged
      caused by: object sha256:6b86b273ff34fce19d6b804eff5a3f5747ada4eaa22f1d49c01e52ddb7875b4b is damaged: [ENV]/project/.retune/store/objects/sha256/6b/86b273ff34fce19d6b804eff5a3f5747ada4eaa22f1d49c01e52ddb7875b4b hashes to sha256:d4735e3a265e16eee03f59718b9b5d03019c07d8b6c51f90da3a666eec13ab35
    --- exit 14
    ");
    assert!(!project.env.path("other").exists());
    assert_snapshot!(project.env.run("model verify"), @"
    $ retune model verify
    damaged support@20261123-c8ea50c8956d: object sha256:6b86b273ff34fce19d6b804eff5a3f5747ada4eaa22f1d49c01e52ddb7875b4b is damaged: [ENV]/project/.retune/store/objects/sha256/6b/86b273ff34fce19d6b804eff5a3f5747ada4eaa22f1d49c01e52ddb7875b4b hashes to sha256:d4735e3a265e16eee03f59718b9b5d03019c07d8b6c51f90da3a666eec13ab35
    registry of default 1 damaged: 1 versions, 0 moves of 0 aliases, 0 pieces of evidence, 2 records, 1 runs; 1 stored files re-read
    --- exit 14
    ");
    assert_snapshot!(project.env.run("model verify --records-only"), @"
    $ retune model verify --records-only
    registry of default sound: 1 versions, 0 moves of 0 aliases, 0 pieces of evidence, 2 records, 1 runs; 0 stored files re-read
    ");
}
