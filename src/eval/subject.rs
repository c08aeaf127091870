//! What is evaluated.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use super::error::EvalError;
use super::strategy::Strategy;
use super::target::Target;
use crate::base::BaseId;
use crate::dataset::DatasetId;
use crate::digest::{Digest, Digest as RunId};
use crate::document::canonical;
use crate::store::TreeId;

const SCHEMA: &str = "retune.subject/1";

/// What gave the answers, named by digests.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case", deny_unknown_fields)]
pub enum Subject {
    /// A trained adapter on its base.
    Adapter {
        /// The base's files.
        base: BaseId,
        /// The adapter's files.
        adapter: TreeId,
        /// What it was trained on; absent for an adapter from elsewhere.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        dataset: Option<DatasetId>,
        /// The run that trained it.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        run: Option<RunId>,
    },
    /// The base as it is, asked without examples.
    Base {
        /// The base's files.
        base: BaseId,
    },
    /// The nearest class centroid of the frozen base's embeddings.
    Centroid {
        /// The base that embeds.
        base: BaseId,
        /// The dataset whose training split gives the centroids.
        dataset: DatasetId,
    },
    /// The most frequent answer of the training split, whatever is asked.
    Majority {
        /// The dataset.
        dataset: DatasetId,
    },
    /// An endpoint, a program or recorded outputs that are no registered version.
    Target {
        /// Which.
        target: Box<Target>,
    },
    /// A model that the log of another tool names. It is no registered version, so nothing is promoted on it.
    Named {
        /// What it is called there.
        model: String,
        /// Its revision, where the log says it.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        revision: Option<String>,
    },
    /// One of the others, asked with more before the question.
    Prompted {
        /// What is asked.
        by: Box<Subject>,
        /// How.
        strategy: Strategy,
    },
}

/// A baseline that needs no training: what a first version is judged against.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum BaselineKind {
    /// [`Subject::Centroid`].
    NearestCentroid,
    /// [`Subject::Majority`].
    Majority,
    /// [`Subject::Base`].
    ZeroShot,
}

impl Subject {
    /// The digest of the subject's canonical document.
    pub fn digest(&self) -> Result<Digest, EvalError> {
        let bytes = canonical::encode(SCHEMA, self).map_err(|source| EvalError::Encode {
            what: "subject",
            source,
        })?;
        Ok(Digest::of(&bytes))
    }

    /// Which untrained baseline this is; `None` for an adapter and for what is outside.
    pub fn baseline_kind(&self) -> Option<BaselineKind> {
        match self {
            Self::Adapter { .. }
            | Self::Target { .. }
            | Self::Named { .. }
            | Self::Prompted { .. } => None,
            Self::Base { .. } => Some(BaselineKind::ZeroShot),
            Self::Centroid { .. } => Some(BaselineKind::NearestCentroid),
            Self::Majority { .. } => Some(BaselineKind::Majority),
        }
    }

    /// The dataset whose training split it learned from, where that is known.
    pub fn dataset(&self) -> Option<DatasetId> {
        match self {
            Self::Adapter { dataset, .. } => *dataset,
            Self::Base { .. } | Self::Target { .. } | Self::Named { .. } => None,
            Self::Prompted { by, strategy } => {
                let shown = strategy.examples.map(|shots| shots.dataset);
                by.dataset().or(shown)
            }
            Self::Centroid { dataset, .. } | Self::Majority { dataset } => Some(*dataset),
        }
    }

    /// The base it stands on, where that is known; the majority label needs none.
    pub fn base(&self) -> Option<BaseId> {
        match self {
            Self::Adapter { base, .. } | Self::Base { base } | Self::Centroid { base, .. } => {
                Some(*base)
            }
            Self::Prompted { by, .. } => by.base(),
            Self::Majority { .. } | Self::Target { .. } | Self::Named { .. } => None,
        }
    }
}

impl fmt::Display for Subject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Adapter { base, adapter, .. } => write!(
                f,
                "adapter {} on base {}",
                adapter.digest().short(),
                base.short()
            ),
            Self::Target { target } => target.fmt(f),
            Self::Named { model, revision } => {
                write!(f, "model {model}")?;
                revision
                    .iter()
                    .try_for_each(|revision| write!(f, " at {revision}"))
            }
            Self::Prompted { by, strategy } => write!(f, "{by}, {strategy}"),
            Self::Base { base } => write!(f, "base {} as it is", base.short()),
            Self::Centroid { base, dataset } => write!(
                f,
                "nearest centroid of base {} and dataset {}",
                base.short(),
                dataset.short()
            ),
            Self::Majority { dataset } => {
                write!(f, "majority label of dataset {}", dataset.short())
            }
        }
    }
}

/// Why a text is not the name of a baseline.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not a baseline: expected nearest-centroid, majority or zero-shot")]
pub struct ParseBaselineError(String);

impl FromStr for BaselineKind {
    type Err = ParseBaselineError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "nearest-centroid" => Ok(Self::NearestCentroid),
            "majority" => Ok(Self::Majority),
            "zero-shot" => Ok(Self::ZeroShot),
            _ => Err(ParseBaselineError(text.to_owned())),
        }
    }
}

impl fmt::Display for BaselineKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NearestCentroid => "nearest-centroid",
            Self::Majority => "majority",
            Self::ZeroShot => "zero-shot",
        })
    }
}
