//! Waivers of verdicts about a version.

use super::act::Act;
use super::error::RegistryError;
use super::layout;
use super::record::checked;
use super::tenant::{Added, Tenant};
use super::transaction::{Step, Transaction};
use super::version::Version;
use super::view::damaged;
use crate::digest::Digest;

const SCHEMA: &str = "retune.waiver/1";

impl Tenant<'_> {
    /// Records a waiver about a version. The same bytes again change nothing.
    pub fn add_waiver(
        &self,
        version: &Version,
        document: &[u8],
        act: &Act<'_>,
    ) -> Result<Added<Digest>, RegistryError> {
        let id = checked("waiver", SCHEMA, document)?;
        let model = &version.manifest.model;
        self.registry.transact(act, |view| {
            view.require_tenant(&self.name)?;
            self.version_at(view, model, &version.id)?;
            let dir = layout::waivers(&self.name, model, &version.label);
            let path = format!("{dir}/{}.json", &id.hex()[..16]);
            if view.read(&path)?.is_some_and(|known| known == document) {
                return Ok(Step::Nothing(Added {
                    record: id,
                    new: false,
                }));
            }
            let subject = format!(
                "waive a verdict about {model}@{} ({})",
                version.label, self.name
            );
            let transaction = Transaction::new(subject).trailer("Retune-Waiver", id).add(
                view,
                path,
                document.to_vec(),
            )?;
            Ok(Step::Write(
                transaction,
                Added {
                    record: id,
                    new: true,
                },
            ))
        })
    }

    /// The waivers about a version, the newest first.
    pub fn waivers(&self, version: &Version) -> Result<Vec<Vec<u8>>, RegistryError> {
        let view = self.view()?;
        let dir = layout::waivers(&self.name, &version.manifest.model, &version.label);
        let mut documents = Vec::new();
        for file in view.newest_first(&dir, view.documents(&dir)?)? {
            let document = view.load(&file)?;
            let id = Digest::of(&document);
            if id.hex()[..16] != file.stem {
                let why = format!("its content has the digest {id}");
                return Err(damaged(&file.path, why));
            }
            documents.push(document);
        }
        Ok(documents)
    }
}
