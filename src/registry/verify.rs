//! Re-reading one tenant's whole registry.

use std::collections::BTreeSet;

use super::bytes::check_every_byte;
use super::error::RegistryError;
use super::event::Target;
use super::layout;
use super::record::{Catalogue, Catalogued};
use super::root::parse_names;
use super::tenant::Tenant;
use super::version::Version;
use super::view::{Document, View};
use crate::digest::Digest;
use crate::name::{AliasName, ModelName};
use crate::store::Store;

/// What a full re-read found.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Verification {
    /// Datasets, bases and suites, counting each version.
    pub records: u64,
    /// Training runs.
    pub runs: u64,
    /// Model versions.
    pub versions: u64,
    /// Pieces of evidence.
    pub evidence: u64,
    /// Moves of aliases.
    pub events: u64,
    /// Aliases.
    pub aliases: u64,
    /// Different objects of the store that were re-read; none without a store.
    pub objects: u64,
    /// The aliases among the faults that two people moved at once: to be settled, not damaged.
    pub forks: Vec<String>,
    /// Everything that is not as it should be.
    pub faults: Vec<RegistryFault>,
}

/// Something that is not as it should be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RegistryFault {
    /// What it concerns, such as `support@20261123-3f9a1c2b7d10`.
    pub what: String,
    /// What is wrong.
    pub why: String,
}

impl Tenant<'_> {
    /// Re-reads every record, manifest, piece of evidence, event chain and alias of the tenant; with a
    /// store also every byte of every version. Goes on after a fault; fails only when it cannot look.
    pub fn verify(&self, store: Option<&Store>) -> Result<Verification, RegistryError> {
        let mut check = Check {
            tenant: self,
            view: self.view()?,
            store,
            runs: None,
            sound: BTreeSet::new(),
            found: Verification::default(),
        };
        check.catalogue(&self.datasets())?;
        check.catalogue(&self.bases())?;
        check.catalogue(&self.suites())?;
        for base in self.bases().names()? {
            let retirements = self.retirements(&check.view, &base);
            check.note(&format!("retirements of base {base}"), retirements)?;
        }
        let runs = self.runs().all(&check.view);
        if let Some(runs) = check.note("runs", runs)? {
            check.runs(&runs)?;
        }
        for model in self.models()? {
            check.model(&model)?;
        }
        check.found.objects = check.sound.len() as u64;
        Ok(check.found)
    }
}

struct Check<'a> {
    tenant: &'a Tenant<'a>,
    view: View<'a>,
    store: Option<&'a Store>,
    /// The first digits of the identities of those that are there, once they could be listed.
    runs: Option<BTreeSet<String>>,
    sound: BTreeSet<Digest>,
    found: Verification,
}

impl Check<'_> {
    fn catalogue<N: Catalogued>(
        &mut self,
        catalogue: &Catalogue<'_, N>,
    ) -> Result<(), RegistryError> {
        for name in catalogue.names()? {
            let what = format!("{} {name}", N::NOUN);
            let loaded = catalogue.load_all(&self.view, &name);
            if let Some(records) = self.note(&what, loaded)? {
                self.found.records += records.len() as u64;
            }
        }
        Ok(())
    }

    fn runs(&mut self, runs: &[Document]) -> Result<(), RegistryError> {
        for run in runs {
            let loaded = self.view.load(run);
            self.note(&format!("run {}", run.stem), loaded)?;
        }
        self.found.runs = runs.len() as u64;
        self.runs = Some(runs.iter().map(|run| run.stem.clone()).collect());
        Ok(())
    }

    fn model(&mut self, model: &ModelName) -> Result<(), RegistryError> {
        let tenant = self.tenant;
        let dir = layout::model_versions(&tenant.name, model);
        let mut targets = Vec::new();
        for document in self.view.documents(&dir)? {
            self.found.versions += 1;
            let what = format!("{model}@{}", document.stem);
            let loaded = tenant.load_version(&self.view, model, &document);
            if let Some(version) = self.note(&what, loaded)? {
                self.version(&what, &version)?;
                targets.push(Target::from(&version));
            }
        }
        let migrations = format!("{}/{model}/migrations", layout::models(&tenant.name));
        for folder in self.view.folders(&migrations)? {
            let records = tenant.migration_records(&self.view, &format!("{migrations}/{folder}"));
            self.note(&format!("migration {folder} of {model}"), records)?;
        }
        let events = tenant.events(&self.view, model);
        let Some(events) = self.note(&format!("events of {model}"), events)? else {
            return Ok(());
        };
        self.found.events += events.len() as u64;
        for (id, event) in events
            .iter()
            .filter(|(_, event)| !targets.contains(&event.to))
        {
            let why = format!("{} is no sound version", event.to.version);
            self.fault(&format!("event {id} of {model}"), why);
        }
        let named = tenant.alias_names(&self.view, model);
        self.protections(model)?;
        let mut aliases = BTreeSet::new();
        aliases.extend(
            self.note(&format!("aliases of {model}"), named)?
                .unwrap_or_default(),
        );
        aliases.extend(events.into_iter().map(|(_, event)| event.alias));
        for alias in aliases {
            self.found.aliases += 1;
            let target = tenant.alias_target(&self.view, model, &alias);
            self.note(&format!("{model}:{alias}"), target)?;
        }
        Ok(())
    }

    /// Also of aliases that never pointed anywhere.
    fn protections(&mut self, model: &ModelName) -> Result<(), RegistryError> {
        let tenant = self.tenant;
        let dir = format!("{}/{model}/protections", layout::models(&tenant.name));
        for alias in parse_names::<AliasName>(&self.view, &dir)? {
            let what = format!("protection of {model}:{alias}");
            let guard = tenant.guard(&self.view, model, &alias);
            if let Some(stray) = self.note(&what, guard)?.and_then(|guard| guard.stray) {
                self.fault(&what, stray);
            }
        }
        Ok(())
    }

    fn version(&mut self, what: &str, version: &Version) -> Result<(), RegistryError> {
        let has_run = |run: &Digest| match &self.runs {
            Some(runs) => Ok(runs.contains(&run.short())),
            None => self.tenant.runs().has(&self.view, run),
        };
        let lineage = self
            .tenant
            .check_lineage(&self.view, &version.manifest, has_run);
        self.note(what, lineage)?;
        let deprecation = self.tenant.deprecation_at(&self.view, version);
        self.note(what, deprecation)?;
        let evidence = self.tenant.evidence_at(&self.view, version);
        if let Some(evidence) = self.note(what, evidence)? {
            self.found.evidence += evidence.len() as u64;
        }
        if let Some(store) = self.store {
            for error in check_every_byte(version, store, &mut self.sound) {
                self.note::<()>(what, Err(error.into()))?;
            }
        }
        Ok(())
    }

    /// The value, or a fault; what is not about the registry's content stops the check.
    fn note<T>(
        &mut self,
        what: &str,
        result: Result<T, RegistryError>,
    ) -> Result<Option<T>, RegistryError> {
        match result {
            Ok(value) => Ok(Some(value)),
            Err(error) if error.is_integrity() => {
                if let RegistryError::Forked { .. } = error {
                    self.found
                        .forks
                        .push(format!("{}/{what}", self.tenant.name));
                }
                self.fault(what, error.to_string());
                Ok(None)
            }
            Err(error) => Err(error),
        }
    }

    fn fault(&mut self, what: &str, why: String) {
        self.found.faults.push(RegistryFault {
            what: what.to_owned(),
            why,
        });
    }
}
