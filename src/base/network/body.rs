//! The frozen part of a model: weights packed once, whatever adapters come and go.

use std::sync::Arc;

use super::NetworkError;
use super::decoder::DecoderLayer;
use super::encoder::EncoderLayer;
use super::head::Head;
use super::linear::Linear;
use crate::base::{CheckpointError, Config, Weights};

/// Projections, norms and tables, and the layers that name them.
#[derive(Debug)]
pub(super) struct Body {
    pub(super) config: Config,
    pub(super) source: Source,
    pub(super) embeddings: Embeddings,
    pub(super) projections: Vec<Projection>,
    pub(super) norms: Vec<Norm>,
    pub(super) layers: Vec<Layer>,
    /// After the last layer.
    pub(super) final_norm: Option<NormId>,
    pub(super) task: TaskHead,
}

/// What follows the last hidden state.
#[derive(Debug)]
pub(super) enum TaskHead {
    /// Scores of the vocabulary.
    Vocabulary(ProjectionId),
    /// Scores of labels.
    Labels(Head),
}

/// One layer of either shape.
#[derive(Debug)]
pub(super) enum Layer {
    Decoder(DecoderLayer),
    Encoder(EncoderLayer),
}

/// A place in [`Body::projections`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct ProjectionId(pub(super) usize);

/// A place in [`Body::norms`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct NormId(pub(super) usize);

/// Linear modules that share an input, their outputs side by side.
#[derive(Debug)]
pub(super) struct Projection {
    pub(super) modules: Vec<Module>,
    pub(super) inputs: usize,
    /// The file holds `[inputs × outputs]`, as GPT-2's does.
    pub(super) transposed: bool,
    pub(super) role: Role,
    /// Absent where the modules are trained themselves.
    pub(super) linear: Option<Arc<Linear>>,
}

/// What may be trained of a projection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Role {
    /// Low-rank factors may go on it.
    Inner,
    /// Scores of the vocabulary.
    Vocabulary,
    /// A part of the classification head that is always trained.
    Head,
}

/// One linear module, by its path in transformers' class.
#[derive(Debug)]
pub(super) struct Module {
    pub(super) path: String,
    pub(super) outputs: usize,
    pub(super) bias: bool,
}

/// A layer norm or a root-mean-square norm.
#[derive(Debug)]
pub(super) struct Norm {
    pub(super) path: String,
    pub(super) gain: Vec<f32>,
    pub(super) bias: Vec<f32>,
    pub(super) kind: NormKind,
    pub(super) eps: f32,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum NormKind {
    /// Gain and bias.
    Layer,
    /// A layer norm without a bias; [`Norm::bias`] is zero.
    Unbiased,
    /// `x/rms · w`.
    Rms,
    /// `x/rms · (1 + w)`; [`Norm::gain`] is `1 + w`.
    GemmaRms,
}

/// The tables that turn ids and positions into the first hidden state.
#[derive(Debug)]
pub(super) struct Embeddings {
    pub(super) words: Table,
    pub(super) positions: Option<Table>,
    /// Every token here is of type 0.
    pub(super) types: Option<Table>,
    pub(super) norm: Option<NormId>,
}

/// An embedding table.
#[derive(Debug)]
pub(super) struct Table {
    pub(super) path: String,
    pub(super) rows: usize,
    pub(super) rest: TableSource,
}

/// Where the rows of a table are.
#[derive(Debug, Clone, Copy)]
pub(super) enum TableSource {
    /// In the mapped file.
    File,
    /// In the vocabulary projection, which is the same matrix.
    Tied(ProjectionId),
}

/// The mapped checkpoint, and how its names differ from transformers'.
#[derive(Debug)]
pub(super) struct Source {
    pub(super) weights: Weights,
    /// What paths of the inner model begin with.
    pub(super) stem: &'static str,
    /// What they begin with in the file.
    pub(super) found: String,
}

impl Source {
    /// Files have the inner model's prefix, or none, or more than one.
    pub(super) fn new(weights: Weights, stem: &'static str, words: &str) -> Self {
        let prefixes = [
            stem.to_owned(),
            String::new(),
            format!("model.{stem}"),
            format!("language_model.{stem}"),
            "language_model.model.".to_owned(),
            "language_model.".to_owned(),
        ];
        let found = prefixes
            .into_iter()
            .find(|prefix| weights.contains(&format!("{prefix}{words}")))
            .unwrap_or_else(|| stem.to_owned());
        Self {
            weights,
            stem,
            found,
        }
    }

    /// The tensor that transformers calls `name`.
    pub(super) fn read(&self, name: &str, shape: &[usize]) -> Result<Vec<f32>, CheckpointError> {
        self.weights.read(&self.in_file(name), shape)
    }

    pub(super) fn contains(&self, name: &str) -> bool {
        self.weights.contains(&self.in_file(name))
    }

    /// The tensor, if the file has it with this shape.
    pub(super) fn read_if_fits(
        &self,
        name: &str,
        shape: &[usize],
    ) -> Result<Option<Vec<f32>>, CheckpointError> {
        match self.weights.shape(&self.in_file(name)) {
            Some(found) if found == shape => self.read(name, shape).map(Some),
            _ => Ok(None),
        }
    }

    /// The name in the file of what transformers calls `name`.
    pub(super) fn in_file(&self, name: &str) -> String {
        let name = match name.strip_prefix(self.stem) {
            Some(rest) => format!("{}{rest}", self.found),
            None => name.to_owned(),
        };
        // Files from before 2019 call gain and bias of layer norms gamma and beta.
        let legacy = name
            .strip_suffix("LayerNorm.weight")
            .map(|path| format!("{path}LayerNorm.gamma"))
            .or_else(|| {
                name.strip_suffix("LayerNorm.bias")
                    .map(|path| format!("{path}LayerNorm.beta"))
            });
        match legacy {
            Some(legacy) if !self.weights.contains(&name) && self.weights.contains(&legacy) => {
                legacy
            }
            _ => name,
        }
    }
}

impl Body {
    pub(super) fn projection(&self, id: ProjectionId) -> &Projection {
        &self.projections[id.0]
    }

    pub(super) fn norm(&self, id: NormId) -> &Norm {
        &self.norms[id.0]
    }

    /// The paths of modules that factors may go on.
    pub(super) fn adaptable(&self) -> Vec<&str> {
        let inner = self
            .projections
            .iter()
            .filter(|projection| projection.role == Role::Inner);
        inner
            .flat_map(|projection| projection.modules.iter().map(|module| module.path.as_str()))
            .collect()
    }

    /// Row `id` of a table as the file has it.
    pub(super) fn row(&self, table: &Table, id: usize) -> Result<Vec<f32>, NetworkError> {
        let tied = match table.rest {
            TableSource::Tied(head) => self.projection(head).linear.as_ref(),
            TableSource::File => None,
        };
        match tied {
            Some(linear) => Ok(linear.weight().column(id)),
            None => {
                let shape = [table.rows, self.config.hidden_size];
                let name = self.source.in_file(&format!("{}.weight", table.path));
                Ok(self.source.weights.read_row(&name, &shape, id)?)
            }
        }
    }
}

impl Layer {
    /// The projections of the layer.
    pub(super) fn projections(&self) -> [ProjectionId; 4] {
        match self {
            Self::Decoder(layer) => layer.projections(),
            Self::Encoder(layer) => layer.projections(),
        }
    }
}
