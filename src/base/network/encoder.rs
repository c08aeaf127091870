//! BERT's encoder from a checkpoint, with low-rank factors on chosen modules.

use std::sync::Arc;

use burn::tensor::{Device, Tensor, TensorData};

use super::attention::Heads;
use super::dropout::{DropoutKey, Mask};
use super::linear::{Adapted, Block, Linear};
use super::operations::{self, Norm, Site};
use super::pooling::Pool;
use super::{Batch, NetworkError, pointwise};
use crate::base::{BertConfig, LoraSpec, Pooling, Weights};

/// The frozen network; trained values come in with every call.
#[derive(Debug)]
pub(super) struct Encoder {
    pub(super) config: BertConfig,
    pooling: Pooling,
    embeddings: Embeddings,
    layers: Vec<Layer>,
    pooler: Option<Projection>,
    dropout: f64,
}

#[derive(Debug)]
struct Embeddings {
    /// `[vocabulary × hidden]`.
    words: Vec<f32>,
    /// `[longest × hidden]`, the embedding of token type 0 added: every token here is of that type.
    positions: Vec<f32>,
    norm: Norm,
}

#[derive(Debug)]
struct Layer {
    qkv: Projection,
    attention_output: Projection,
    attention_norm: Arc<Norm>,
    intermediate: Projection,
    output: Projection,
    output_norm: Arc<Norm>,
}

/// One fused linear layer: its modules side by side, some of them adapted.
#[derive(Debug)]
struct Projection {
    linear: Arc<Linear>,
    adapted: Option<Adaptation>,
}

#[derive(Debug)]
struct Adaptation {
    layer: Adapted,
    /// The adapted modules' paths, one per block.
    modules: Vec<String>,
    /// Which of [`Encoder::sites`] this is.
    site: usize,
}

/// The adapted modules of one projection: where its factors come from.
#[derive(Debug, Clone)]
pub(super) struct SiteShape {
    /// Paths, one per block.
    pub(super) modules: Vec<String>,
    pub(super) inputs: usize,
    /// Outputs of each module.
    pub(super) outputs: Vec<usize>,
}

/// The factors of one site as leaves of the graph.
pub(super) struct Leaf {
    pub(super) a: Tensor<2>,
    pub(super) b: Tensor<2>,
}

impl Encoder {
    /// Reads the weights and puts factors where `lora` says.
    pub(super) fn load(
        weights: &Weights,
        config: BertConfig,
        pooling: Pooling,
        lora: Option<&LoraSpec>,
    ) -> Result<Self, NetworkError> {
        let mut loader = Loader::new(weights, &config, pooling, lora)?;
        let embeddings = loader.embeddings()?;
        let layers = (0..config.num_hidden_layers)
            .map(|index| loader.layer(index))
            .collect::<Result<_, _>>()?;
        let pooler = match pooling {
            Pooling::Cls => Some(loader.projection(
                &["pooler.dense"],
                config.hidden_size,
                config.hidden_size,
            )?),
            Pooling::Mean => None,
        };
        Ok(Self {
            config,
            pooling,
            embeddings,
            layers,
            pooler,
            dropout: lora.map_or(0.0, |lora| lora.dropout),
        })
    }

    /// The adapted projections, in the order in which leaves are given.
    pub(super) fn sites(&self) -> Vec<SiteShape> {
        self.projections()
            .filter_map(|projection| projection.adapted.as_ref())
            .map(|adapted| SiteShape {
                modules: adapted.modules.clone(),
                inputs: adapted.layer.linear.inputs,
                outputs: adapted
                    .layer
                    .blocks
                    .iter()
                    .map(|block| block.count)
                    .collect(),
            })
            .collect()
    }

    /// What the classification head sees, `[rows × hidden]`.
    pub(super) fn features(
        &self,
        batch: &Batch,
        leaves: &[Leaf],
        dropout: Option<DropoutKey>,
        device: &Device,
    ) -> Tensor<2> {
        let pooled = self.pooled(batch, leaves, dropout, device);
        match &self.pooler {
            Some(pooler) => pooler.forward(pooled, leaves, self.masks(dropout)).tanh(),
            None => pooled,
        }
    }

    /// One vector per row, `[rows × hidden]`, before any pooler.
    pub(super) fn pooled(
        &self,
        batch: &Batch,
        leaves: &[Leaf],
        dropout: Option<DropoutKey>,
        device: &Device,
    ) -> Tensor<2> {
        let masks = self.masks(dropout);
        let heads = Arc::new(Heads {
            offsets: batch.offsets.clone(),
            heads: self.config.num_attention_heads,
            hidden: self.config.hidden_size,
        });
        let mut x = self.embeddings.forward(batch, device);
        for layer in &self.layers {
            x = layer.forward(x, &heads, leaves, masks);
        }
        let pool = Arc::new(Pool {
            offsets: batch.offsets.clone(),
            hidden: self.config.hidden_size,
            pooling: self.pooling,
        });
        operations::pool(x, &pool)
    }

    fn masks(&self, dropout: Option<DropoutKey>) -> Option<(DropoutKey, f64)> {
        dropout
            .filter(|_| self.dropout > 0.0)
            .map(|key| (key, self.dropout))
    }

    fn projections(&self) -> impl Iterator<Item = &Projection> {
        let layers = self.layers.iter().flat_map(|layer| {
            [
                &layer.qkv,
                &layer.attention_output,
                &layer.intermediate,
                &layer.output,
            ]
        });
        layers.chain(&self.pooler)
    }
}

impl Embeddings {
    /// Nothing below is ever adapted, so this needs no graph.
    fn forward(&self, batch: &Batch, device: &Device) -> Tensor<2> {
        let hidden = self.norm.gain.len();
        let mut words = Vec::with_capacity(batch.tokens() * hidden);
        let mut positions = Vec::with_capacity(batch.tokens() * hidden);
        for pair in batch.offsets.windows(2) {
            for (position, id) in batch.ids[pair[0]..pair[1]].iter().enumerate() {
                words.extend_from_slice(&self.words[*id as usize * hidden..][..hidden]);
                positions.extend_from_slice(&self.positions[position * hidden..][..hidden]);
            }
        }
        let norm = &self.norm;
        let (x, _) = pointwise::add_norm(&words, &positions, &norm.gain, &norm.bias, norm.eps);
        Tensor::from_data(TensorData::new(x, [batch.tokens(), hidden]), device)
    }
}

impl Layer {
    fn forward(
        &self,
        x: Tensor<2>,
        heads: &Arc<Heads>,
        leaves: &[Leaf],
        masks: Option<(DropoutKey, f64)>,
    ) -> Tensor<2> {
        let qkv = self.qkv.forward(x.clone(), leaves, masks);
        let context = operations::attention(qkv, heads);
        let attended = self.attention_output.forward(context, leaves, masks);
        let x = operations::add_norm(attended, x, &self.attention_norm);
        let wide = operations::gelu(self.intermediate.forward(x.clone(), leaves, masks));
        let narrow = self.output.forward(wide, leaves, masks);
        operations::add_norm(narrow, x, &self.output_norm)
    }
}

impl Projection {
    fn forward(
        &self,
        x: Tensor<2>,
        leaves: &[Leaf],
        masks: Option<(DropoutKey, f64)>,
    ) -> Tensor<2> {
        let Some(adapted) = &self.adapted else {
            return operations::linear(x, &self.linear);
        };
        let leaf = &leaves[adapted.site];
        let masks = masks.map(|(key, probability)| {
            let mask = |module: &String| Mask::new(key, module, probability);
            adapted.modules.iter().map(mask).collect()
        });
        let site = Site {
            layer: adapted.layer.clone(),
            masks,
        };
        operations::lora_linear(x, leaf.a.clone(), leaf.b.clone(), Arc::new(site))
    }
}

/// Reads a checkpoint module by module.
struct Loader<'a> {
    weights: &'a Weights,
    config: &'a BertConfig,
    lora: Option<&'a LoraSpec>,
    /// `bert.` or nothing: checkpoints of a bare encoder have no prefix.
    prefix: &'static str,
    /// Paths of adapted modules.
    adapted: Vec<String>,
    sites: usize,
}

impl<'a> Loader<'a> {
    fn new(
        weights: &'a Weights,
        config: &'a BertConfig,
        pooling: Pooling,
        lora: Option<&'a LoraSpec>,
    ) -> Result<Self, NetworkError> {
        let prefixed = weights.contains("bert.embeddings.word_embeddings.weight");
        let prefix = if prefixed { "bert." } else { "" };
        if pooling == Pooling::Cls && !weights.contains(&format!("{prefix}pooler.dense.weight")) {
            return Err(NetworkError::NoPooler);
        }
        let modules = modules(config, pooling);
        let paths: Vec<&str> = modules.iter().map(String::as_str).collect();
        let adapted = match lora {
            Some(lora) => lora.resolve(&paths)?,
            None => Vec::new(),
        };
        Ok(Self {
            weights,
            config,
            lora,
            prefix,
            adapted: adapted.into_iter().map(str::to_owned).collect(),
            sites: 0,
        })
    }

    fn embeddings(&self) -> Result<Embeddings, NetworkError> {
        let hidden = self.config.hidden_size;
        let table = |name: &str, rows| {
            self.read(
                &format!("embeddings.{name}_embeddings.weight"),
                &[rows, hidden],
            )
        };
        let words = table("word", self.config.vocab_size)?;
        let mut positions = table("position", self.config.max_position_embeddings)?;
        let types = table("token_type", self.config.type_vocab_size)?;
        for row in positions.chunks_exact_mut(hidden) {
            row.iter_mut().zip(&types).for_each(|(p, t)| *p += t);
        }
        Ok(Embeddings {
            words,
            positions,
            norm: self.norm("embeddings.LayerNorm")?,
        })
    }

    fn layer(&mut self, index: usize) -> Result<Layer, NetworkError> {
        let (hidden, wide) = (self.config.hidden_size, self.config.intermediate_size);
        let path = |module: &str| format!("encoder.layer.{index}.{module}");
        let [query, key, value] =
            ["query", "key", "value"].map(|part| path(&format!("attention.self.{part}")));
        Ok(Layer {
            qkv: self.projection(&[&query, &key, &value], hidden, hidden)?,
            attention_output: self.projection(
                &[&path("attention.output.dense")],
                hidden,
                hidden,
            )?,
            attention_norm: Arc::new(self.norm(&path("attention.output.LayerNorm"))?),
            intermediate: self.projection(&[&path("intermediate.dense")], hidden, wide)?,
            output: self.projection(&[&path("output.dense")], wide, hidden)?,
            output_norm: Arc::new(self.norm(&path("output.LayerNorm"))?),
        })
    }

    /// Modules that share an input, side by side.
    fn projection(
        &mut self,
        modules: &[&str],
        inputs: usize,
        outputs: usize,
    ) -> Result<Projection, NetworkError> {
        let (mut weight, mut bias) = (Vec::new(), Vec::new());
        for module in modules {
            weight.extend(self.read(&format!("{module}.weight"), &[outputs, inputs])?);
            bias.extend(self.read(&format!("{module}.bias"), &[outputs])?);
        }
        let linear = Arc::new(Linear::new(&weight, bias));
        let adapted = self.adaptation(&linear, modules, outputs);
        Ok(Projection { linear, adapted })
    }

    fn adaptation(
        &mut self,
        linear: &Arc<Linear>,
        modules: &[&str],
        outputs: usize,
    ) -> Option<Adaptation> {
        let lora = self.lora?;
        let (mut blocks, mut paths) = (Vec::new(), Vec::new());
        for (index, module) in modules.iter().enumerate() {
            let path = format!("bert.{module}");
            if self.adapted.contains(&path) {
                let first = index * outputs;
                blocks.push(Block {
                    first,
                    count: outputs,
                });
                paths.push(path);
            }
        }
        if blocks.is_empty() {
            return None;
        }
        let site = self.sites;
        self.sites += 1;
        let layer = Adapted {
            linear: linear.clone(),
            blocks: blocks.into(),
            r: lora.r,
            scale: lora.scale() as f32,
        };
        Some(Adaptation {
            layer,
            modules: paths,
            site,
        })
    }

    fn norm(&self, path: &str) -> Result<Norm, NetworkError> {
        let width = [self.config.hidden_size];
        // Files from before 2019 call them gamma and beta.
        let either = |new: &str, old: &str| {
            let old = format!("{path}.{old}");
            if self.weights.contains(&format!("{}{old}", self.prefix)) {
                self.read(&old, &width)
            } else {
                self.read(&format!("{path}.{new}"), &width)
            }
        };
        Ok(Norm {
            gain: either("weight", "gamma")?,
            bias: either("bias", "beta")?,
            eps: self.config.layer_norm_eps as f32,
        })
    }

    fn read(&self, name: &str, shape: &[usize]) -> Result<Vec<f32>, NetworkError> {
        Ok(self
            .weights
            .read(&format!("{}{name}", self.prefix), shape)?)
    }
}

/// The paths of all linear modules, as transformers' `BertForSequenceClassification` names them.
fn modules(config: &BertConfig, pooling: Pooling) -> Vec<String> {
    const OF_A_LAYER: [&str; 6] = [
        "attention.self.query",
        "attention.self.key",
        "attention.self.value",
        "attention.output.dense",
        "intermediate.dense",
        "output.dense",
    ];
    let mut paths: Vec<String> = (0..config.num_hidden_layers)
        .flat_map(|layer| OF_A_LAYER.map(|module| format!("bert.encoder.layer.{layer}.{module}")))
        .collect();
    if pooling == Pooling::Cls {
        paths.push("bert.pooler.dense".to_owned());
    }
    paths
}
