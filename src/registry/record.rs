//! Named immutable records: datasets, bases, suites.

use std::fmt::Display;
use std::marker::PhantomData;
use std::str::FromStr;

use serde::Deserialize;

use super::act::Act;
use super::error::RegistryError;
use super::layout;
use super::owner::Holding;
use super::root::parse_names;
use super::tenant::{Added, Tenant};
use super::transaction::{Step, Transaction};
use super::view::{Document, View, damaged, reason, stems};
use crate::digest::Digest;
use crate::document::canonical::{self, CanonicalError};
use crate::name::{BaseName, DatasetName, ParseNameError, SuiteName};
use crate::reference::VersionLabel;

/// Larger documents belong into the store; git holds the text that people review.
const MAX_DOCUMENT: usize = 8 << 20;

/// A kind of name under which immutable documents are kept.
pub trait Catalogued: FromStr<Err = ParseNameError> + Display + Clone {
    /// What it is called: `dataset`.
    const NOUN: &'static str;
    /// Its folder in a tenant: `datasets`.
    const FOLDER: &'static str;
    /// What its documents say they are: `retune.dataset/1`.
    const SCHEMA: &'static str;

    /// Whether what one tenant holds no other one may.
    const OWNED: bool = false;

    /// The identity that a document stands for; by default the digest of its bytes.
    fn identify(document: &[u8]) -> Result<Digest, CanonicalError> {
        canonical::decode::<serde_json::Map<String, serde_json::Value>>(Self::SCHEMA, document)?;
        Ok(Digest::of(document))
    }
}

impl Catalogued for DatasetName {
    const NOUN: &'static str = "dataset";
    const FOLDER: &'static str = "datasets";
    const SCHEMA: &'static str = "retune.dataset/1";
    const OWNED: bool = true;
}

impl Catalogued for SuiteName {
    const NOUN: &'static str = "suite";
    const FOLDER: &'static str = "suites";
    const SCHEMA: &'static str = "retune.suite/1";
}

impl Catalogued for BaseName {
    const NOUN: &'static str = "base";
    const FOLDER: &'static str = "bases";
    const SCHEMA: &'static str = "retune.base/1";

    /// A base is its files: the `tree` that the document names, wherever they were downloaded from.
    fn identify(document: &[u8]) -> Result<Digest, CanonicalError> {
        #[derive(Deserialize)]
        struct Named {
            tree: Digest,
        }
        canonical::decode::<Named>(Self::SCHEMA, document).map(|named| named.tree)
    }
}

/// A document in the registry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Record<N> {
    /// The name it is kept under.
    pub name: N,
    /// The day it was first recorded, and the beginning of its identity.
    pub label: VersionLabel,
    /// Its identity.
    pub id: Digest,
    /// The exact bytes.
    pub document: Vec<u8>,
}

/// One tenant's documents of one kind, by name.
pub struct Catalogue<'t, N> {
    tenant: &'t Tenant<'t>,
    kind: PhantomData<N>,
}

impl<'t, N: Catalogued> Catalogue<'t, N> {
    pub(super) fn new(tenant: &'t Tenant<'t>) -> Self {
        Self {
            tenant,
            kind: PhantomData,
        }
    }

    /// Records a document under a name. The same identity under the same name again changes nothing: the
    /// first document stays.
    pub fn add(
        &self,
        name: &N,
        document: &[u8],
        act: &Act<'_>,
    ) -> Result<Added<Record<N>>, RegistryError> {
        check_size(N::NOUN, document)?;
        let refuse = |source| RegistryError::Refused {
            what: N::NOUN,
            source,
        };
        let id = N::identify(document).map_err(refuse)?;
        let tenant = &self.tenant.name;
        self.tenant.registry.transact(act, |view| {
            view.require_tenant(tenant)?;
            let dir = self.dir(name);
            if let Some(known) = self.by_id_in(view, name, &id)? {
                return Ok(Step::Nothing(Added {
                    record: known,
                    new: false,
                }));
            }
            if N::OWNED {
                let what = || format!("a file of {} {name}", N::NOUN);
                self.tenant
                    .check_holding(view, &Holding::of(document), what)?;
            }
            let label = VersionLabel::new(&act.at.day(), &id);
            let transaction =
                Transaction::new(format!("add {} {name}@{label} ({tenant})", N::NOUN))
                    .trailer("Retune-Id", id)
                    .add(view, format!("{dir}/{label}.json"), document.to_vec())?;
            let record = Record {
                name: name.clone(),
                label,
                id,
                document: document.to_vec(),
            };
            Ok(Step::Write(transaction, Added { record, new: true }))
        })
    }

    /// The names there are, sorted.
    pub fn names(&self) -> Result<Vec<N>, RegistryError> {
        parse_names(&self.tenant.view()?, &self.all())
    }

    /// The versions of a name, the newest first.
    pub fn versions(&self, name: &N) -> Result<Vec<VersionLabel>, RegistryError> {
        let view = self.tenant.view()?;
        self.require(&view, name)?;
        let dir = self.dir(name);
        let mut labels = Vec::new();
        for document in newest_day_first(&view, &dir)? {
            labels.push(label(&document)?);
        }
        Ok(labels)
    }

    /// The newest version of a name.
    pub fn newest(&self, name: &N) -> Result<Record<N>, RegistryError> {
        let view = self.tenant.view()?;
        self.require(&view, name)?;
        let newest = newest_of_newest_day(&view, &self.dir(name))?;
        match newest {
            Some(document) => self.load(&view, name, &document),
            None => Err(self.missing(name.to_string(), Vec::new())),
        }
    }

    /// The version of a name that `text` means: a label or its beginning, the id or the beginning of its
    /// hexadecimal digits (4 at least).
    pub fn find(&self, name: &N, text: &str) -> Result<Record<N>, RegistryError> {
        let view = self.tenant.view()?;
        self.require(&view, name)?;
        let documents = view.documents(&self.dir(name))?;
        let means = |document: &&Document| means(text, &document.stem);
        let hits: Vec<&Document> = documents.iter().filter(means).collect();
        match hits.as_slice() {
            [] => Err(self.missing(format!("{name}@{text}"), stems(&documents))),
            [document] => {
                let record = self.load(&view, name, document)?;
                if text.starts_with("sha256:") && record.id.to_string() != text {
                    return Err(self.missing(format!("{name}@{text}"), stems(&documents)));
                }
                Ok(record)
            }
            _ => Err(RegistryError::Ambiguous {
                what: format!("{} {name}@{text}", N::NOUN),
                candidates: stems(hits),
            }),
        }
    }

    /// The record with this identity, under whatever name; the first name in alphabetical order.
    pub fn by_id(&self, id: &Digest) -> Result<Option<Record<N>>, RegistryError> {
        self.by_id_at(&self.tenant.view()?, id)
    }

    pub(super) fn by_id_at(
        &self,
        view: &View<'_>,
        id: &Digest,
    ) -> Result<Option<Record<N>>, RegistryError> {
        for name in parse_names::<N>(view, &self.all())? {
            if let Some(record) = self.by_id_in(view, &name, id)? {
                return Ok(Some(record));
            }
        }
        Ok(None)
    }

    /// Every version of a name, each checked against its path.
    pub(super) fn load_all(
        &self,
        view: &View<'_>,
        name: &N,
    ) -> Result<Vec<Record<N>>, RegistryError> {
        let documents = view.documents(&self.dir(name))?;
        let load = |document: &Document| self.load(view, name, document);
        documents.iter().map(load).collect()
    }

    fn by_id_in(
        &self,
        view: &View<'_>,
        name: &N,
        id: &Digest,
    ) -> Result<Option<Record<N>>, RegistryError> {
        let ending = format!("-{}", id.short());
        for document in view.documents(&self.dir(name))? {
            if document.stem.ends_with(&ending) {
                let record = self.load(view, name, &document)?;
                if record.id == *id {
                    return Ok(Some(record));
                }
            }
        }
        Ok(None)
    }

    /// Reads a document and checks that it is what its path says.
    fn load(&self, view: &View<'_>, name: &N, file: &Document) -> Result<Record<N>, RegistryError> {
        let document = view.load(file)?;
        let fault = |error: CanonicalError| damaged(&file.path, reason(&error));
        let id = N::identify(&document).map_err(fault)?;
        if !file.stem.ends_with(&format!("-{}", id.short())) {
            let why = format!("its content has the identity {id}");
            return Err(damaged(&file.path, why));
        }
        Ok(Record {
            name: name.clone(),
            label: label(file)?,
            id,
            document,
        })
    }

    fn all(&self) -> String {
        layout::names(&self.tenant.name, N::FOLDER)
    }

    fn dir(&self, name: &N) -> String {
        layout::versions(&self.tenant.name, N::FOLDER, &name.to_string())
    }

    fn require(&self, view: &View<'_>, name: &N) -> Result<(), RegistryError> {
        let known = view.folders(&self.all())?;
        let wanted = name.to_string();
        if known.contains(&wanted) {
            return Ok(());
        }
        Err(RegistryError::NoName {
            tenant: self.tenant.name.clone(),
            noun: N::NOUN,
            name: wanted,
            known,
        })
    }

    fn missing(&self, text: String, known: Vec<String>) -> RegistryError {
        RegistryError::NotFound {
            what: format!("{} {text}", N::NOUN),
            known,
        }
    }
}

/// Refuses documents that are too large for git.
pub(super) fn check_size(what: &'static str, document: &[u8]) -> Result<(), RegistryError> {
    if document.len() <= MAX_DOCUMENT {
        return Ok(());
    }
    Err(RegistryError::TooLarge {
        what,
        size: document.len(),
        limit: MAX_DOCUMENT,
    })
}

/// The digest of a document that is of the schema and not too large.
pub(super) fn checked(
    what: &'static str,
    schema: &str,
    document: &[u8],
) -> Result<Digest, RegistryError> {
    check_size(what, document)?;
    canonical::decode::<serde_json::Map<String, serde_json::Value>>(schema, document)
        .map_err(|source| RegistryError::Refused { what, source })?;
    Ok(Digest::of(document))
}

/// The `<YYYYMMDD>-<12 hex>` documents of a folder: later days first, within a day as they came in.
pub(super) fn newest_day_first(view: &View<'_>, dir: &str) -> Result<Vec<Document>, RegistryError> {
    let mut ordered = view.newest_first(dir, view.documents(dir)?)?;
    ordered.sort_by(|a, b| day(&b.stem).cmp(day(&a.stem)));
    Ok(ordered)
}

/// The first of [`newest_day_first`], without sorting the older days.
pub(super) fn newest_of_newest_day(
    view: &View<'_>,
    dir: &str,
) -> Result<Option<Document>, RegistryError> {
    let mut documents = view.documents(dir)?;
    let days = documents
        .iter()
        .map(|document| day(&document.stem).to_owned());
    let newest = days.max();
    documents.retain(|document| Some(day(&document.stem)) == newest.as_deref());
    Ok(view.newest_first(dir, documents)?.into_iter().next())
}

fn label(document: &Document) -> Result<VersionLabel, RegistryError> {
    let parsed = document.stem.parse();
    parsed.map_err(|_| damaged(&document.path, "its name is not a version label"))
}

/// Whether `text`, as a person writes it, can mean the document `<YYYYMMDD>-<12 hex>`.
pub(super) fn means(text: &str, stem: &str) -> bool {
    const FEWEST: usize = 4;
    let Some((_, hex)) = stem.split_once('-') else {
        return false;
    };
    match text.strip_prefix("sha256:") {
        Some(full) => full.len() == 64 && full.starts_with(hex),
        None => match text.split_once('-') {
            Some((_, part)) => part.len() >= FEWEST && stem.starts_with(text),
            None => text.len() >= FEWEST && hex.starts_with(text),
        },
    }
}

fn day(stem: &str) -> &str {
    stem.split('-').next().unwrap_or_default()
}
