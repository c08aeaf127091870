//! A registry and a store in a temporary directory, with a fixed person and time.

use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;

use crate::digest::Digest;
use crate::document::canonical;
use crate::fsio;
use crate::git::{CommitId, Draft, Identity};
use crate::name::{AliasName, ModelName, TenantName};
use crate::progress::Silent;
use crate::registry::promote::{Judged, Proof};
use crate::registry::{
    Act, AdapterPart, BasePart, DatasetPart, Decision, Refusal, Registry, RunPart, Tenant, Version,
    VersionManifest, layout,
};
use crate::store::{Store, Tree};
use crate::time::Timestamp;

pub(super) const NOON: i64 = 1_795_435_200; // 2026-11-23T12:00:00Z

pub(super) struct World {
    pub(super) dir: tempfile::TempDir,
    pub(super) registry: Registry,
    pub(super) store: Store,
    pub(super) by: Identity,
    pub(super) tenant: TenantName,
}

impl World {
    pub(super) fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let by = Identity::new("ana", "ana@acme.example").unwrap();
        let tenant: TenantName = "acme".parse().unwrap();
        let path = dir.path().join("registry");
        let registry = Registry::create(&path, &act(&by, NOON)).unwrap();
        registry.add_tenant(&tenant, &act(&by, NOON)).unwrap();
        let store = Store::create(&dir.path().join("store")).unwrap();
        Self {
            dir,
            registry,
            store,
            by,
            tenant,
        }
    }

    pub(super) fn path(&self) -> PathBuf {
        self.dir.path().join("registry")
    }

    pub(super) fn acme(&self) -> Tenant<'_> {
        self.registry.tenant(&self.tenant)
    }

    /// An act at noon, or some seconds later.
    pub(super) fn at(&self, later: i64) -> Act<'_> {
        act(&self.by, NOON + later)
    }

    pub(super) fn tip(&self) -> CommitId {
        self.registry.git.tip(layout::REFERENCE).unwrap().unwrap()
    }

    /// The messages of all commits, the newest first.
    pub(super) fn commits(&self) -> Vec<String> {
        let history = self.registry.git.history(self.tip());
        history.map(|commit| commit.unwrap().message).collect()
    }

    /// Stores and records everything that a version called `text` is made of.
    pub(super) fn manifest(&self, text: &str) -> VersionManifest {
        let base = self.tree("base", "weights");
        let adapter = self.tree("adapter", text);
        let base_document = document("retune.base/1", "tree", &base.id().to_string());
        let dataset = document("retune.dataset/1", "rows", text);
        let run = Digest::of(text.as_bytes());
        let acme = self.acme();
        acme.bases()
            .add(&"minilm".parse().unwrap(), &base_document, &self.at(0))
            .unwrap();
        acme.datasets()
            .add(&"tickets".parse().unwrap(), &dataset, &self.at(0))
            .unwrap();
        acme.runs().add(&run, text.as_bytes(), &self.at(0)).unwrap();
        VersionManifest {
            tenant: self.tenant.clone(),
            model: support(),
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
                id: Digest::of(&dataset),
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
            created: Timestamp::from_unix(NOON),
            licence: None,
        }
    }

    pub(super) fn version(&self, text: &str) -> Version {
        let manifest = self.manifest(text);
        self.acme()
            .register(&manifest, &self.store, &self.at(0))
            .unwrap()
            .record
    }

    fn tree(&self, folder: &str, text: &str) -> Tree {
        let dir = self.dir.path().join(folder);
        fsio::write_atomic(&dir.join("weights.bin"), text.as_bytes()).unwrap();
        self.store.put_tree(&dir, &["weights.bin".into()]).unwrap()
    }

    /// Promotes to production on evidence that `version` was compared with `baseline`.
    pub(super) fn promote(
        &self,
        version: &Version,
        baseline: Option<&Version>,
        later: i64,
    ) -> Decision {
        let proof = proof(version, baseline);
        self.acme()
            .promote_on(
                version,
                &production(),
                &proof,
                None,
                &self.store,
                &self.at(later),
            )
            .unwrap()
    }

    pub(super) fn rollback(&self, to: Option<&Version>, later: i64) -> Decision {
        let reason = Some("complaints");
        self.acme()
            .rollback(
                &support(),
                &production(),
                to,
                reason,
                &self.store,
                &self.at(later),
            )
            .unwrap()
    }

    /// Where production points.
    pub(super) fn production(&self) -> Version {
        self.acme()
            .resolve(&"support:production".parse().unwrap())
            .unwrap()
    }

    /// Writes files into the registry behind its back.
    pub(super) fn tamper(&self, files: &[(String, Vec<u8>)]) {
        let tip = self.tip();
        let commit = self.registry.git.commit(&Draft {
            parent: Some(tip),
            files: &files.iter().cloned().collect(),
            message: "tampered",
            by: &self.by,
            at: Timestamp::from_unix(NOON),
        });
        let moved = self
            .registry
            .git
            .advance(layout::REFERENCE, Some(tip), commit.unwrap(), "x");
        assert_eq!(moved.unwrap(), crate::git::Advance::Done);
    }

    /// Overwrites a stored object.
    pub(super) fn flip(&self, digest: &Digest) {
        let path = self.store.path_of(digest);
        let mut bytes = fs::read(&path).unwrap();
        bytes[0] ^= 1;
        fs::remove_file(&path).unwrap();
        fs::write(&path, bytes).unwrap();
    }
}

pub(super) fn act(by: &Identity, at: i64) -> Act<'_> {
    Act {
        by,
        key: None,
        at: Timestamp::from_unix(at),
        dry_run: false,
        reporter: &Silent,
    }
}

pub(super) fn support() -> ModelName {
    "support".parse().unwrap()
}

pub(super) fn production() -> AliasName {
    "production".parse().unwrap()
}

/// What passed evidence says, as the gate hands it over.
pub(super) fn proof(version: &Version, baseline: Option<&Version>) -> Proof {
    let against = baseline.map_or_else(String::new, ToString::to_string);
    let text = format!("{version} against {against}");
    let document = document("retune.evidence/1", "text", &text);
    Proof {
        evidence: Digest::of(&document),
        document,
        about: Judged::from(version).to_string(),
        candidate: Some(Judged::from(version)),
        datasets: vec![version.manifest.dataset.id],
        baseline: baseline.map(Judged::from),
        waiver: None,
    }
}

pub(super) fn document(schema: &str, key: &str, value: &str) -> Vec<u8> {
    canonical::encode(schema, &BTreeMap::from([(key, value)])).unwrap()
}

pub(super) fn refused(decision: Decision) -> Refusal {
    match decision {
        Decision::Refused(refusal) => refusal,
        other => panic!("not refused: {other:?}"),
    }
}
