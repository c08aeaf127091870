//! Model versions: what each is made of, and finding them.

use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::fmt;

use serde::{Deserialize, Serialize};

use super::error::RegistryError;
use super::layout;
use super::root::parse_names;
use super::tenant::Tenant;
use super::view::{Document, View, damaged, decode, stems};
use crate::digest::{Digest, Hasher};
use crate::document::canonical::{self, CanonicalError};
use crate::name::{ModelName, TenantName};
use crate::reference::{ModelRef, Selector, VersionLabel};
use crate::store::{Tree, TreeEntry, TreeError, TreeId};
use crate::time::Timestamp;

const SCHEMA: &str = "retune.version/1";

crate::typed_id!(
    /// Identifies a version: the SHA-256 of the line `retune.version/1` and the manifest's bytes.
    VersionId
);

/// Everything a version is made of, each part by digest. It never changes, so it holds no stage, metric or
/// description: those are events and evidence.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct VersionManifest {
    /// Whose model; its training data belongs to the same tenant.
    pub tenant: TenantName,
    /// The model.
    pub model: ModelName,
    /// Versions that this one was trained on from; mostly none.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub parents: Vec<VersionId>,
    /// The frozen model underneath.
    pub base: BasePart,
    /// What training made.
    pub adapter: AdapterPart,
    /// What it was trained on.
    pub dataset: DatasetPart,
    /// How it was trained.
    pub run: RunPart,
    /// When training ended; its day is part of the version's label.
    pub created: Timestamp,
    /// The licence of the adapter, as an SPDX expression.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub licence: Option<String>,
}

/// The base of a version.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BasePart {
    /// Where it was downloaded from, such as a Hugging Face repository.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source: Option<String>,
    /// The commit there, 40 hexadecimal digits.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub revision: Option<String>,
    /// The identity of the files.
    pub tree: TreeId,
    /// The files.
    pub files: Vec<TreeEntry>,
}

/// The adapter of a version.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AdapterPart {
    /// `peft`; or `transformers`, where every weight was trained and the files are a whole checkpoint.
    pub format: String,
    /// The identity of the files.
    pub tree: TreeId,
    /// The files.
    pub files: Vec<TreeEntry>,
}

/// The dataset of a version.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DatasetPart {
    /// The dataset's identity.
    pub id: Digest,
    /// The stored bytes of each split.
    pub splits: BTreeMap<String, Digest>,
    /// Whose data it is; none: nobody's in particular. Versions of before this was recorded lack it, and their
    /// data is their tenant's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tenants: Option<Vec<TenantName>>,
}

/// The training run of a version.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RunPart {
    /// The run's identity.
    pub id: Digest,
    /// The digest of the job configuration.
    pub config: Digest,
    /// The commit of the repository that the job file came from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub code: Option<String>,
    /// The version of this tool.
    pub tool: String,
    /// The seed.
    pub seed: u64,
    /// The class of hardware, such as `cpu x86_64 avx2`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hardware: Option<String>,
}

/// A version in the registry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Version {
    /// Its identity.
    pub id: VersionId,
    /// As people write it.
    pub label: VersionLabel,
    /// What it is made of.
    pub manifest: VersionManifest,
}

/// `model@label`.
impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}@{}", self.manifest.model, self.label)
    }
}

impl Version {
    /// The version that a manifest describes, whether it is registered or not.
    pub fn of(manifest: VersionManifest) -> Result<Self, RegistryError> {
        let refuse = |source| RegistryError::Refused {
            what: "version",
            source,
        };
        let id = VersionId::of(&manifest.encode().map_err(refuse)?);
        Ok(Self {
            id,
            label: VersionLabel::new(&manifest.created.day(), &id.digest()),
            manifest,
        })
    }
}

impl VersionManifest {
    /// The canonical bytes.
    pub fn encode(&self) -> Result<Vec<u8>, CanonicalError> {
        canonical::encode(SCHEMA, self)
    }

    /// The files of the adapter as a tree; fails when they are not the ones that `adapter.tree` names.
    pub fn adapter_tree(&self) -> Result<Tree, ManifestError> {
        tree("adapter", &self.adapter.files, self.adapter.tree)
    }

    /// The files of the base as a tree; fails when they are not the ones that `base.tree` names.
    pub fn base_tree(&self) -> Result<Tree, ManifestError> {
        tree("base", &self.base.files, self.base.tree)
    }
}

/// A manifest that contradicts itself.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ManifestError {
    /// Files that no tree may hold.
    #[error("the {part} files are refused: {source}")]
    Files {
        /// `base` or `adapter`.
        part: &'static str,
        /// Why.
        source: TreeError,
    },
    /// No files at all.
    #[error("the {0} has no files")]
    Empty(&'static str),
    /// The files are not the tree's.
    #[error("the {part} files have the tree {found}, not {named}")]
    Tree {
        /// `base` or `adapter`.
        part: &'static str,
        /// What the manifest says.
        named: TreeId,
        /// What the files are.
        found: TreeId,
    },
}

fn tree(part: &'static str, files: &[TreeEntry], named: TreeId) -> Result<Tree, ManifestError> {
    if files.is_empty() {
        return Err(ManifestError::Empty(part));
    }
    let tree = Tree::new(files.to_vec()).map_err(|source| ManifestError::Files { part, source })?;
    match tree.id() {
        found if found == named => Ok(tree),
        found => Err(ManifestError::Tree { part, named, found }),
    }
}

impl VersionId {
    /// The identity of a manifest's bytes.
    pub fn of(manifest: &[u8]) -> Self {
        let mut hasher = Hasher::new();
        hasher.update(SCHEMA.as_bytes());
        hasher.update(b"\n");
        hasher.update(manifest);
        hasher.finish().into()
    }
}

impl Tenant<'_> {
    /// The models that have versions, sorted.
    pub fn models(&self) -> Result<Vec<ModelName>, RegistryError> {
        parse_names(&self.view()?, &layout::models(&self.name))
    }

    /// The versions of a model: first those whose training ended last, and of these those that came in last.
    pub fn versions(&self, model: &ModelName) -> Result<Vec<Version>, RegistryError> {
        let view = self.view()?;
        self.require_model(&view, model)?;
        let dir = layout::model_versions(&self.name, model);
        let documents = view.documents(&dir)?;
        let load = |document: &Document| self.load_version(&view, model, document);
        let versions = documents.iter().map(load);
        let mut versions = versions.collect::<Result<Vec<_>, _>>()?;
        let later = came_later(&view, &dir, documents, &versions)?;
        versions.sort_by_key(|version| {
            let turn = later.get(version.label.as_str()).copied();
            (Reverse(version.manifest.created), turn)
        });
        Ok(versions)
    }

    /// The version that a reference means now.
    ///
    /// A reference to another tenant is refused. An alias whose history forked is an error that names the
    /// last version both sides agreed on.
    pub fn resolve(&self, reference: &ModelRef) -> Result<Version, RegistryError> {
        if let Some(tenant) = reference.tenant.as_ref().filter(|t| **t != self.name) {
            return Err(RegistryError::ForeignTenant {
                tenant: self.name.clone(),
                what: reference.to_string(),
                owner: tenant.clone(),
            });
        }
        let view = self.view()?;
        self.require_model(&view, &reference.model)?;
        self.resolve_at(&view, &reference.model, &reference.selector)
    }

    pub(super) fn resolve_at(
        &self,
        view: &View<'_>,
        model: &ModelName,
        selector: &Selector,
    ) -> Result<Version, RegistryError> {
        match selector {
            Selector::Alias(alias) => {
                let target = self.alias_target(view, model, alias)?;
                self.version_at(view, model, &target.manifest)
            }
            Selector::Digest(digest) => self.version_at(view, model, &(*digest).into()),
            Selector::Version(label) => self.version_of_label(view, model, label),
        }
    }

    /// The version with this identity.
    pub fn version(&self, model: &ModelName, id: &VersionId) -> Result<Version, RegistryError> {
        self.version_at(&self.view()?, model, id)
    }

    pub(super) fn version_at(
        &self,
        view: &View<'_>,
        model: &ModelName,
        id: &VersionId,
    ) -> Result<Version, RegistryError> {
        let ending = format!("-{}", id.short());
        let documents = view.documents(&layout::model_versions(&self.name, model))?;
        let named = |document: &&Document| document.stem.ends_with(&ending);
        for document in documents.iter().filter(named) {
            let version = self.load_version(view, model, document)?;
            if version.id == *id {
                return Ok(version);
            }
        }
        Err(RegistryError::NotFound {
            what: format!("version {model}@{id}"),
            known: stems(&documents),
        })
    }

    fn version_of_label(
        &self,
        view: &View<'_>,
        model: &ModelName,
        label: &VersionLabel,
    ) -> Result<Version, RegistryError> {
        let documents = view.documents(&layout::model_versions(&self.name, model))?;
        let means = |document: &&Document| document.stem.starts_with(label.as_str());
        let hits: Vec<&Document> = documents.iter().filter(means).collect();
        match hits.as_slice() {
            [document] => self.load_version(view, model, document),
            [] => Err(RegistryError::NotFound {
                what: format!("version {model}@{label}"),
                known: stems(&documents),
            }),
            _ => Err(RegistryError::Ambiguous {
                what: format!("version {model}@{label}"),
                candidates: stems(hits),
            }),
        }
    }

    /// Reads a manifest and checks that it is what its path says, and in itself consistent.
    pub(super) fn load_version(
        &self,
        view: &View<'_>,
        model: &ModelName,
        document: &Document,
    ) -> Result<Version, RegistryError> {
        let path = &document.path;
        let bytes = view.load(document)?;
        let id = VersionId::of(&bytes);
        let manifest: VersionManifest = decode(SCHEMA, path, &bytes)?;
        let label = VersionLabel::new(&manifest.created.day(), &id.digest());
        if label.as_str() != document.stem {
            return Err(damaged(path, format!("its content is version {label}")));
        }
        if manifest.tenant != self.name || manifest.model != *model {
            let owner = format!("{}/{}", manifest.tenant, manifest.model);
            return Err(damaged(path, format!("it is a version of {owner}")));
        }
        let trees = manifest.base_tree().and(manifest.adapter_tree());
        trees.map_err(|error| damaged(path, error.to_string()))?;
        Ok(Version {
            id,
            label,
            manifest,
        })
    }

    pub(super) fn require_model(
        &self,
        view: &View<'_>,
        model: &ModelName,
    ) -> Result<(), RegistryError> {
        let known = view.folders(&layout::models(&self.name))?;
        if known.iter().any(|name| name == model.as_str()) {
            return Ok(());
        }
        Err(RegistryError::NoName {
            tenant: self.name.clone(),
            noun: "model",
            name: model.to_string(),
            known,
        })
    }
}

/// Of versions whose training ended in one second: their turn by when they came in, the newest first.
fn came_later(
    view: &View<'_>,
    dir: &str,
    documents: Vec<Document>,
    versions: &[Version],
) -> Result<BTreeMap<String, usize>, RegistryError> {
    let mut ended: BTreeMap<Timestamp, usize> = BTreeMap::new();
    for version in versions {
        *ended.entry(version.manifest.created).or_default() += 1;
    }
    let pairs = documents.into_iter().zip(versions);
    let tied = pairs.filter(|(_, version)| ended[&version.manifest.created] > 1);
    let tied = tied.map(|(document, _)| document).collect();
    let order = view.newest_first(dir, tied)?.into_iter().enumerate();
    Ok(order
        .map(|(turn, document)| (document.stem, turn))
        .collect())
}
