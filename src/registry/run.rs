//! Training runs.

use super::act::Act;
use super::error::RegistryError;
use super::layout;
use super::record::check_size;
use super::tenant::{Added, Tenant};
use super::transaction::{Step, Transaction};
use super::view::{Document, View, stems};
use crate::digest::Digest;

/// How many hexadecimal digits of its identity a run's file is named by.
const NAMED: usize = 12;

/// A run in the registry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RecordedRun {
    /// The run's identity, or its first 12 hexadecimal digits where only the list was read.
    pub short: String,
    /// The exact bytes of the run record.
    pub document: Vec<u8>,
}

/// One tenant's training runs.
pub struct Runs<'t> {
    pub(super) tenant: &'t Tenant<'t>,
}

impl Runs<'_> {
    /// Records what came of a run. The same bytes again change nothing; other bytes for a run that is
    /// recorded already are refused.
    pub fn add(
        &self,
        run: &Digest,
        document: &[u8],
        act: &Act<'_>,
    ) -> Result<Added<RecordedRun>, RegistryError> {
        check_size("run", document)?;
        let tenant = &self.tenant.name;
        let record = RecordedRun {
            short: run.short(),
            document: document.to_vec(),
        };
        self.tenant.registry.transact(act, |view| {
            view.require_tenant(tenant)?;
            if let Some(path) = self.path_of(view, run)? {
                if view.expect(&path)? == document {
                    return Ok(Step::Nothing(Added {
                        record: record.clone(),
                        new: false,
                    }));
                }
                return Err(RegistryError::Immutable {
                    what: format!("run {}", run.short()),
                    path,
                });
            }
            let transaction = Transaction::new(format!("record run {} ({tenant})", run.short()))
                .trailer("Retune-Id", run)
                .add(view, layout::run(tenant, &act.at, run), document.to_vec())?;
            let record = record.clone();
            Ok(Step::Write(transaction, Added { record, new: true }))
        })
    }

    /// The run with this identity.
    pub fn get(&self, run: &Digest) -> Result<Option<RecordedRun>, RegistryError> {
        let view = self.tenant.view()?;
        let Some(path) = self.path_of(&view, run)? else {
            return Ok(None);
        };
        Ok(Some(RecordedRun {
            short: run.short(),
            document: view.expect(&path)?,
        }))
    }

    /// The run whose identity begins like `text` (4 hexadecimal digits at least, or the full id).
    pub fn find(&self, text: &str) -> Result<RecordedRun, RegistryError> {
        let digits = text.strip_prefix("sha256:").unwrap_or(text);
        let view = self.tenant.view()?;
        let means = |stem: &str| match digits.len() {
            64 => digits.starts_with(stem),
            length => length >= 4 && stem.starts_with(digits),
        };
        let mut hits = Vec::new();
        for dir in self.months(&view)? {
            match digits.get(..NAMED).filter(|stem| means(stem)) {
                Some(stem) => hits.extend(view.document(&dir, stem)?),
                None => hits.extend(view.documents_where(&dir, means)?),
            }
        }
        match hits.as_slice() {
            [] => Err(match self.tenant.run_elsewhere(&view, means)? {
                Some(owner) => self.tenant.foreign(format!("run {text}"), &owner),
                None => RegistryError::NotFound {
                    what: format!("run {text}"),
                    known: stems(self.all(&view)?.iter().rev()),
                },
            }),
            [file] => Ok(RecordedRun {
                short: file.stem.clone(),
                document: view.load(file)?,
            }),
            _ => Err(RegistryError::Ambiguous {
                what: format!("run {text}"),
                candidates: stems(&hits),
            }),
        }
    }

    /// The runs whose records name a digest, in the order of the months.
    pub fn naming(&self, digest: &Digest) -> Result<Vec<RecordedRun>, RegistryError> {
        let view = self.tenant.view()?;
        let named = digest.to_string();
        let mut records = Vec::new();
        for file in self.all(&view)? {
            let document = view.load(&file)?;
            if String::from_utf8_lossy(&document).contains(&named) {
                let short = file.stem;
                records.push(RecordedRun { short, document });
            }
        }
        Ok(records)
    }

    /// Every run, the newest month first, within a month as they came in.
    pub fn list(&self) -> Result<Vec<RecordedRun>, RegistryError> {
        let view = self.tenant.view()?;
        let mut records = Vec::new();
        for dir in self.months(&view)?.into_iter().rev() {
            for file in view.newest_first(&dir, view.documents(&dir)?)? {
                let document = view.load(&file)?;
                records.push(RecordedRun {
                    short: file.stem,
                    document,
                });
            }
        }
        Ok(records)
    }

    /// Whether a run is recorded.
    pub(super) fn has(&self, view: &View<'_>, run: &Digest) -> Result<bool, RegistryError> {
        Ok(self.path_of(view, run)?.is_some())
    }

    /// Where a run lies, in whatever month.
    fn path_of(&self, view: &View<'_>, run: &Digest) -> Result<Option<String>, RegistryError> {
        let short = run.short();
        for dir in self.months(view)? {
            let path = format!("{dir}/{short}.json");
            if view.git.exists(view.commit, &path)? {
                return Ok(Some(path));
            }
        }
        Ok(None)
    }

    /// Every run, in the order of the months.
    pub(super) fn all(&self, view: &View<'_>) -> Result<Vec<Document>, RegistryError> {
        let mut all = Vec::new();
        for dir in self.months(view)? {
            all.extend(view.documents(&dir)?);
        }
        Ok(all)
    }

    fn months(&self, view: &View<'_>) -> Result<Vec<String>, RegistryError> {
        let root = layout::runs(&self.tenant.name);
        let mut months = Vec::new();
        for year in view.folders(&root)? {
            for month in view.folders(&format!("{root}/{year}"))? {
                months.push(format!("{root}/{year}/{month}"));
            }
        }
        Ok(months)
    }
}
