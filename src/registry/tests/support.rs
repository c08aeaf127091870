//! A registry and a store in a temporary directory, with a fixed person and time.

use std::path::PathBuf;

use crate::git::Identity;
use crate::name::TenantName;
use crate::progress::Silent;
use crate::registry::{Act, Registry};
use crate::time::Timestamp;

pub(super) const NOON: i64 = 1_795_435_200; // 2026-11-23T12:00:00Z

pub(super) struct World {
    pub(super) dir: tempfile::TempDir,
    pub(super) registry: Registry,
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
        Self {
            dir,
            registry,
            by,
            tenant,
        }
    }

    pub(super) fn path(&self) -> PathBuf {
        self.dir.path().join("registry")
    }

    /// An act at noon, or some seconds later.
    pub(super) fn at(&self, later: i64) -> Act<'_> {
        act(&self.by, NOON + later)
    }

    pub(super) fn commits(&self) -> Vec<String> {
        let view = self.registry.view().unwrap();
        let messages = view.git.history(view.commit).map(|c| c.unwrap().message);
        messages.collect()
    }
}

pub(super) fn act(by: &Identity, at: i64) -> Act<'_> {
    Act {
        by,
        at: Timestamp::from_unix(at),
        dry_run: false,
        reporter: &Silent,
    }
}
