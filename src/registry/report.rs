//! Evaluation reports: which there are for a suite and a subject. The reports themselves are in the store.

use serde::{Deserialize, Serialize};

use super::act::Act;
use super::error::RegistryError;
use super::layout;
use super::record::newest_day_first;
use super::tenant::{Added, Tenant};
use super::transaction::{Step, Transaction};
use super::view::{damaged, decode};
use crate::digest::Digest;
use crate::document::canonical;
use crate::reference::VersionLabel;

const SCHEMA: &str = "retune.report-entry/1";

/// What was measured with what. A report can be large, so git holds this and the store holds the report.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ReportEntry {
    /// The report's identity; its bytes are in the store under this digest.
    pub report: Digest,
    /// The suite's identity.
    pub suite: Digest,
    /// The identity of what was evaluated: the digest of the subject's canonical document.
    pub subject: Digest,
}

/// One tenant's evaluation reports.
pub struct Reports<'t> {
    pub(super) tenant: &'t Tenant<'t>,
}

impl Reports<'_> {
    /// Records that a report exists. The same again changes nothing.
    pub fn add(
        &self,
        entry: &ReportEntry,
        act: &Act<'_>,
    ) -> Result<Added<ReportEntry>, RegistryError> {
        let tenant = &self.tenant.name;
        let document =
            canonical::encode(SCHEMA, entry).map_err(|source| RegistryError::Refused {
                what: "report",
                source,
            })?;
        self.tenant.registry.transact(act, |view| {
            view.require_tenant(tenant)?;
            let dir = layout::reports(tenant, &entry.suite, &entry.subject);
            let ending = format!("-{}", entry.report.short());
            let record = entry.clone();
            let mut known = view.documents(&dir)?.into_iter();
            if let Some(file) = known.find(|file| file.stem.ends_with(&ending)) {
                if view.load(&file)? == document {
                    return Ok(Step::Nothing(Added { record, new: false }));
                }
                return Err(RegistryError::Immutable {
                    what: format!("report {}", entry.report),
                    path: file.path,
                });
            }
            let label = VersionLabel::new(&act.at.day(), &entry.report);
            let subject = format!("record report {} ({tenant})", entry.report.short());
            let transaction = Transaction::new(subject)
                .trailer("Retune-Id", entry.report)
                .add(view, format!("{dir}/{label}.json"), document.clone())?;
            Ok(Step::Write(transaction, Added { record, new: true }))
        })
    }

    /// The reports of a suite on a subject, the newest first.
    pub fn of(&self, suite: &Digest, subject: &Digest) -> Result<Vec<ReportEntry>, RegistryError> {
        let view = self.tenant.view()?;
        let dir = layout::reports(&self.tenant.name, suite, subject);
        let mut entries = Vec::new();
        for file in newest_day_first(&view, &dir)? {
            let entry: ReportEntry = decode(SCHEMA, &file.path, &view.load(&file)?)?;
            if !file.stem.ends_with(&entry.report.short()) {
                return Err(damaged(
                    &file.path,
                    format!("it is about report {}", entry.report),
                ));
            }
            // The folders hold only the first digits of the identities.
            if entry.suite == *suite && entry.subject == *subject {
                entries.push(entry);
            }
        }
        Ok(entries)
    }
}
