//! A project with versions and evidence in it, made through the library.

use std::collections::BTreeMap;
use std::path::Path;

use retune::dataset::{self, Options, SplitName};
use retune::digest::Digest;
use retune::document::{Source, canonical};
use retune::eval::{Answer, Case, Report, ReportId, Subject, Suite};
use retune::gate::{self, Arm, Arms, Evidence, EvidenceId, Policy, Verdict};
use retune::git::Identity;
use retune::name::TenantName;
use retune::progress::Silent;
use retune::registry::{
    Act, AdapterPart, BasePart, DatasetPart, Registry, RunPart, Tenant, Version, VersionManifest,
};
use retune::store::{Store, Tree};
use retune::time::Timestamp;

use super::Env;

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
        env.write("gate.yaml", POLICY);
        Self {
            store: Store::open(&env.path(".retune/store")).unwrap(),
            registry: Registry::open(&env.path(".retune/registry")).unwrap(),
            tenant: "default".parse().unwrap(),
            by: "Ana <ana@example.org>".parse().unwrap(),
            env,
        }
    }

    /// Another project of the same tenant that uses the store of this one, with a clone of the registry that is
    /// still empty.
    pub(crate) fn colleague(&self, name: &str) -> Self {
        let env = Env::new();
        env.run("init").ok();
        env.write("gate.yaml", POLICY);
        let store = self.env.path(".retune/store");
        let yaml = format!("version: 1\ntenant: default\nstore: {}\n", store.display());
        env.write("retune.yaml", yaml);
        Self {
            store: Store::open(&store).unwrap(),
            registry: Registry::open(&env.path(".retune/registry")).unwrap(),
            tenant: self.tenant.clone(),
            by: format!("{name} <{}@example.org>", name.to_lowercase())
                .parse()
                .unwrap(),
            env,
        }
    }

    pub(crate) fn tenant(&self) -> Tenant<'_> {
        self.registry.tenant(&self.tenant)
    }

    pub(crate) fn act(&self) -> Act<'_> {
        Act {
            by: &self.by,
            key: None,
            at: Timestamp::from_unix(1_795_426_200),
            dry_run: false,
            reporter: &Silent,
        }
    }

    pub(crate) fn tree(&self, folder: &str, text: &str) -> Tree {
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
        let rows = self.env.write(
            "train.jsonl",
            format!("{{\"text\": \"learn {text}\", \"label\": \"yes\"}}\n"),
        );
        let files = [(SplitName::Train, rows)];
        let (_, dataset) =
            dataset::import(&self.store, &files, &Options::default(), &Silent).unwrap();
        self.version_on(text, &dataset.encode().unwrap())
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
                tenants: None,
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
    pub(crate) fn judge(
        &self,
        version: &Version,
        against: Option<&Version>,
        wrong: [Wrong; 2],
    ) -> EvidenceId {
        let [candidate, baseline] = wrong;
        let arm = |subject: Subject, wrong: &Wrong| self.arm(subject, wrong);
        let dataset = version.manifest.dataset.id.into();
        let base = version.manifest.base.tree.digest().into();
        let baselines = match against {
            Some(version) => vec![arm(subject(version), &baseline)],
            None => vec![
                arm(Subject::Centroid { base, dataset }, &baseline),
                arm(Subject::Majority { dataset }, &baseline),
            ],
        };
        let candidate = arm(subject(version), &candidate);
        let evidence = self.check(version, &candidate, &baselines);
        evidence.store(&self.store).unwrap()
    }

    /// Judges a version against the majority alone, which is INVALID, and records the evidence.
    pub(crate) fn judge_against_one(&self, version: &Version) {
        let dataset = version.manifest.dataset.id.into();
        let baseline = self.arm(Subject::Majority { dataset }, &(0..100));
        let candidate = self.arm(subject(version), &(0..0));
        let evidence = self.check(version, &candidate, &[baseline]);
        assert_eq!(evidence.verdict, Verdict::Invalid);
    }

    fn check(&self, version: &Version, candidate: &Arm, baselines: &[Arm]) -> Evidence {
        let policy = Source::new(Path::new("gate.yaml"), POLICY.to_owned());
        let policy = Policy::parse(&policy).unwrap();
        let arms = Arms::new(candidate.clone(), baselines.to_vec());
        let (_, evidence) = gate::check(&self.store, &policy, &arms).unwrap();
        let document = evidence.document().unwrap();
        self.tenant()
            .add_evidence(version, &document, &self.act())
            .unwrap();
        evidence
    }

    fn arm(&self, subject: Subject, wrong: &Wrong) -> Arm {
        Arm {
            report: self.report(subject, wrong),
            label: None,
        }
    }

    fn report(&self, subject: Subject, wrong: &Wrong) -> ReportId {
        let case = |index| Case {
            id: format!("t{index:04}"),
            label: "yes".to_owned(),
            text: format!("text {index}"),
            ..Default::default()
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
    pub(crate) fn first(&self, text: &str) -> Version {
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
