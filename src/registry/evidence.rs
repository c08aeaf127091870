//! Gate evidence about a version.

use super::act::Act;
use super::error::RegistryError;
use super::layout;
use super::record::checked;
use super::tenant::{Added, Tenant};
use super::transaction::{Step, Transaction};
use super::version::Version;
use super::view::{View, damaged};
use crate::digest::Digest;

pub(super) const SCHEMA: &str = "retune.evidence/1";

/// Evidence in the registry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EvidenceRecord {
    /// The digest of the document.
    pub id: Digest,
    /// The exact bytes.
    pub document: Vec<u8>,
}

impl Tenant<'_> {
    /// Records evidence about a version, whatever its verdict. The same bytes again change nothing.
    pub fn add_evidence(
        &self,
        version: &Version,
        document: &[u8],
        act: &Act<'_>,
    ) -> Result<Added<EvidenceRecord>, RegistryError> {
        let id = checked("evidence", SCHEMA, document)?;
        let model = &version.manifest.model;
        self.registry.transact(act, |view| {
            view.require_tenant(&self.name)?;
            self.version_at(view, model, &version.id)?;
            let record = EvidenceRecord {
                id,
                document: document.to_vec(),
            };
            let path = self.evidence_path(version, &id);
            if view.read(&path)?.is_some_and(|known| known == document) {
                return Ok(Step::Nothing(Added { record, new: false }));
            }
            let (label, tenant) = (&version.label, &self.name);
            let subject = format!("record evidence about {model}@{label} ({tenant})");
            let transaction = Transaction::new(subject)
                .trailer("Retune-Evidence", id)
                .add(view, path, document.to_vec())?;
            Ok(Step::Write(transaction, Added { record, new: true }))
        })
    }

    /// The evidence about a version, the newest first.
    pub fn evidence(&self, version: &Version) -> Result<Vec<EvidenceRecord>, RegistryError> {
        self.evidence_at(&self.view()?, version)
    }

    pub(super) fn evidence_at(
        &self,
        view: &View<'_>,
        version: &Version,
    ) -> Result<Vec<EvidenceRecord>, RegistryError> {
        let dir = layout::evidence(&self.name, &version.manifest.model, &version.label);
        let mut records = Vec::new();
        for file in view.newest_first(&dir, view.documents(&dir)?)? {
            let document = view.load(&file)?;
            let id = Digest::of(&document);
            if id.hex()[..16] != file.stem {
                return Err(damaged(
                    &file.path,
                    format!("its content has the digest {id}"),
                ));
            }
            records.push(EvidenceRecord { id, document });
        }
        Ok(records)
    }

    pub(super) fn evidence_path(&self, version: &Version, id: &Digest) -> String {
        let dir = layout::evidence(&self.name, &version.manifest.model, &version.label);
        format!("{dir}/{}.json", &id.hex()[..16])
    }
}
