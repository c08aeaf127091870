//! Which modules each family has, and what transformers calls them.

use std::ops::Range;
use std::sync::Arc;

use super::body::{
    Body, Embeddings, Layer, Module, Norm, NormId, NormKind, Projection, ProjectionId, Role,
    Source, Table, TableSource, TaskHead,
};
use super::decoder::DecoderLayer;
use super::encoder::EncoderLayer;
use super::head::Head;
use super::linear::Linear;
use super::panels::Form;
use super::{NetworkError, Task};
use crate::base::{Activation, CheckpointError, Config, Family, Pooling, Precision, Weights};

/// Reads a checkpoint. Where everything is trained (`frozen` is false), nothing is packed.
pub(super) fn load(
    weights: Weights,
    config: Config,
    task: Task,
    precision: Precision,
    frozen: bool,
) -> Result<Body, NetworkError> {
    let (stem, words) = match config.family {
        Family::Bert => ("bert.", "embeddings.word_embeddings"),
        Family::Roberta => ("roberta.", "embeddings.word_embeddings"),
        Family::DistilBert => ("distilbert.", "embeddings.word_embeddings"),
        Family::ModernBert => ("model.", "embeddings.tok_embeddings"),
        Family::Gpt2 => ("transformer.", "wte"),
        Family::Gemma3 if config.nested => ("model.language_model.", "embed_tokens"),
        _ => ("model.", "embed_tokens"),
    };
    let source = Source::new(weights, stem, &format!("{words}.weight"));
    let mut layout = Layout {
        source,
        config,
        precision,
        frozen,
        projections: Vec::new(),
        norms: Vec::new(),
    };
    let layers = (0..layout.config.layers.len())
        .map(|index| layout.layer(index))
        .collect::<Result<_, _>>()?;
    let final_norm = layout.final_norm()?;
    let task = layout.task(task, words)?;
    let embeddings = layout.embeddings(words, &task)?;
    layout.source.weights.forget();
    Ok(Body {
        config: layout.config,
        source: layout.source,
        embeddings,
        projections: layout.projections,
        norms: layout.norms,
        layers,
        final_norm,
        task,
    })
}

struct Layout {
    source: Source,
    config: Config,
    precision: Precision,
    frozen: bool,
    projections: Vec<Projection>,
    norms: Vec<Norm>,
}

type Loaded<T> = Result<T, NetworkError>;

impl Layout {
    fn layer(&mut self, index: usize) -> Loaded<Layer> {
        match self.config.family {
            Family::Bert | Family::Roberta => self.bert_layer(index),
            Family::DistilBert => self.distilbert_layer(index),
            Family::ModernBert => self.modernbert_layer(index),
            Family::Gpt2 => self.gpt2_layer(index),
            _ => self.llama_layer(index),
        }
    }

    fn llama_layer(&mut self, index: usize) -> Loaded<Layer> {
        let (family, hidden, wide) = (
            self.config.family,
            self.config.hidden_size,
            self.config.intermediate_size,
        );
        let queries = self.config.num_attention_heads * self.config.head_dim;
        let keys = self.config.num_key_value_heads * self.config.head_dim;
        let (qkv_bias, output_bias, mlp_bias) = (
            self.config.qkv_bias,
            self.config.output_bias,
            self.config.mlp_bias,
        );
        let path = |name: &str| format!("layers.{index}.{name}");
        let attention = |name: &str| path(&format!("self_attn.{name}"));
        let mlp = |name: &str| path(&format!("mlp.{name}"));
        let qkv = match family {
            Family::Phi3 => vec![(attention("qkv_proj"), queries + 2 * keys)],
            _ => vec![
                (attention("q_proj"), queries),
                (attention("k_proj"), keys),
                (attention("v_proj"), keys),
            ],
        };
        let up = match family {
            Family::Phi3 => vec![(mlp("gate_up_proj"), 2 * wide)],
            _ => vec![(mlp("gate_proj"), wide), (mlp("up_proj"), wide)],
        };
        let has_head_norms = matches!(family, Family::Qwen3 | Family::Gemma3);
        let gemma = family.is_gemma();
        let head = self.config.head_dim;
        Ok(Layer::Decoder(DecoderLayer {
            attention_norm: Some(self.norm(&path("input_layernorm"), hidden)?),
            qkv: self.projection(&qkv, hidden, qkv_bias, Role::Inner)?,
            head_norms: if has_head_norms {
                let query = self.norm(&attention("q_norm"), head)?;
                Some([query, self.norm(&attention("k_norm"), head)?])
            } else {
                None
            },
            attention_output: self.projection(
                &[(attention("o_proj"), hidden)],
                queries,
                output_bias,
                Role::Inner,
            )?,
            post_attention_norm: match gemma {
                true => Some(self.norm(&path("post_attention_layernorm"), hidden)?),
                false => None,
            },
            mlp_norm: match gemma {
                true => self.norm(&path("pre_feedforward_layernorm"), hidden)?,
                false => self.norm(&path("post_attention_layernorm"), hidden)?,
            },
            wide: self.projection(&up, hidden, mlp_bias, Role::Inner)?,
            gated: true,
            narrow: self.projection(&[(mlp("down_proj"), hidden)], wide, mlp_bias, Role::Inner)?,
            post_mlp_norm: match gemma {
                true => Some(self.norm(&path("post_feedforward_layernorm"), hidden)?),
                false => None,
            },
        }))
    }

    fn gpt2_layer(&mut self, index: usize) -> Loaded<Layer> {
        let (hidden, wide) = (self.config.hidden_size, self.config.intermediate_size);
        let path = |name: &str| format!("h.{index}.{name}");
        let mut inner = |name: &str, inputs, outputs| {
            self.projection(&[(path(name), outputs)], inputs, true, Role::Inner)
        };
        let qkv = inner("attn.c_attn", hidden, 3 * hidden)?;
        let attention_output = inner("attn.c_proj", hidden, hidden)?;
        let up = inner("mlp.c_fc", hidden, wide)?;
        let narrow = inner("mlp.c_proj", wide, hidden)?;
        Ok(Layer::Decoder(DecoderLayer {
            attention_norm: Some(self.norm(&path("ln_1"), hidden)?),
            qkv,
            head_norms: None,
            attention_output,
            post_attention_norm: None,
            mlp_norm: self.norm(&path("ln_2"), hidden)?,
            wide: up,
            gated: false,
            narrow,
            post_mlp_norm: None,
        }))
    }

    fn modernbert_layer(&mut self, index: usize) -> Loaded<Layer> {
        let (hidden, wide) = (self.config.hidden_size, self.config.intermediate_size);
        let (attention_bias, mlp_bias) = (self.config.qkv_bias, self.config.mlp_bias);
        let path = |name: &str| format!("layers.{index}.{name}");
        let mut inner = |name: &str, inputs, outputs, bias| {
            self.projection(&[(path(name), outputs)], inputs, bias, Role::Inner)
        };
        let qkv = inner("attn.Wqkv", hidden, 3 * hidden, attention_bias)?;
        let attention_output = inner("attn.Wo", hidden, hidden, attention_bias)?;
        let up = inner("mlp.Wi", hidden, 2 * wide, mlp_bias)?;
        let narrow = inner("mlp.Wo", wide, hidden, mlp_bias)?;
        Ok(Layer::Decoder(DecoderLayer {
            // The embeddings' norm stands before the first layer already.
            attention_norm: match index {
                0 => None,
                _ => Some(self.norm(&path("attn_norm"), hidden)?),
            },
            qkv,
            head_norms: None,
            attention_output,
            post_attention_norm: None,
            mlp_norm: self.norm(&path("mlp_norm"), hidden)?,
            wide: up,
            gated: true,
            narrow,
            post_mlp_norm: None,
        }))
    }

    fn bert_layer(&mut self, index: usize) -> Loaded<Layer> {
        const NAMES: EncoderNames = EncoderNames {
            qkv: [
                "attention.self.query",
                "attention.self.key",
                "attention.self.value",
            ],
            attention_output: "attention.output.dense",
            attention_norm: "attention.output.LayerNorm",
            wide: "intermediate.dense",
            narrow: "output.dense",
            output_norm: "output.LayerNorm",
        };
        self.encoder_layer(&format!("encoder.layer.{index}"), &NAMES)
    }

    fn distilbert_layer(&mut self, index: usize) -> Loaded<Layer> {
        const NAMES: EncoderNames = EncoderNames {
            qkv: ["attention.q_lin", "attention.k_lin", "attention.v_lin"],
            attention_output: "attention.out_lin",
            attention_norm: "sa_layer_norm",
            wide: "ffn.lin1",
            narrow: "ffn.lin2",
            output_norm: "output_layer_norm",
        };
        self.encoder_layer(&format!("transformer.layer.{index}"), &NAMES)
    }

    fn encoder_layer(&mut self, prefix: &str, names: &EncoderNames) -> Loaded<Layer> {
        let (hidden, wide) = (self.config.hidden_size, self.config.intermediate_size);
        let path = |name: &str| format!("{prefix}.{name}");
        let qkv = names.qkv.map(|name| (path(name), hidden));
        let qkv = self.projection(&qkv, hidden, true, Role::Inner)?;
        let mut inner = |name: &str, inputs, outputs| {
            self.projection(&[(path(name), outputs)], inputs, true, Role::Inner)
        };
        let attention_output = inner(names.attention_output, hidden, hidden)?;
        let up = inner(names.wide, hidden, wide)?;
        let narrow = inner(names.narrow, wide, hidden)?;
        Ok(Layer::Encoder(EncoderLayer {
            qkv,
            attention_output,
            attention_norm: self.norm(&path(names.attention_norm), hidden)?,
            wide: up,
            narrow,
            output_norm: self.norm(&path(names.output_norm), hidden)?,
        }))
    }

    fn final_norm(&mut self) -> Loaded<Option<NormId>> {
        let name = match self.config.family {
            Family::Bert | Family::Roberta | Family::DistilBert => return Ok(None),
            Family::ModernBert => "final_norm",
            Family::Gpt2 => "ln_f",
            _ => "norm",
        };
        self.norm(name, self.config.hidden_size).map(Some)
    }

    fn task(&mut self, task: Task, words: &str) -> Loaded<TaskHead> {
        let decoder = self.config.is_decoder();
        match task {
            Task::CausalLm if decoder => self.vocabulary(words).map(TaskHead::Vocabulary),
            Task::CausalLm => Err(NetworkError::Task {
                task: "causal_lm",
                why: "it is an encoder, whose tokens see what follows them",
            }),
            Task::SeqCls { pooling, .. } if decoder == (pooling != Pooling::Last) => {
                Err(NetworkError::Task {
                    task: "seq_cls",
                    why: match decoder {
                        true => "a decoder's classifier needs last pooling",
                        false => "an encoder's classifier needs cls or mean pooling",
                    },
                })
            }
            Task::SeqCls { labels, .. } if labels < 2 => Err(NetworkError::Labels(labels)),
            Task::SeqCls { labels, pooling } => {
                self.label_head(labels, pooling).map(TaskHead::Labels)
            }
        }
    }

    /// The language-model head: a matrix of its own, or the word embedding.
    fn vocabulary(&mut self, words: &str) -> Loaded<ProjectionId> {
        let (hidden, vocab) = (self.config.hidden_size, self.config.vocab_size);
        let tied = self.config.tie_word_embeddings;
        let path = match tied {
            true => format!("{}{words}", self.source.stem),
            false => "lm_head".to_owned(),
        };
        self.outer(&[(path, vocab)], hidden, false, Role::Vocabulary)
    }

    fn label_head(&mut self, labels: usize, pooling: Pooling) -> Loaded<Head> {
        let hidden = self.config.hidden_size;
        let bare = |path: &str| [(path.to_owned(), hidden)];
        let (dense, scores) = match self.config.family {
            // Our mean pooling of BERT leaves the pooler out, as sentence-transformers does.
            Family::Bert if pooling == Pooling::Mean => (None, "classifier"),
            Family::Bert => {
                let path = format!("{}pooler.dense", self.source.stem);
                if !self.source.contains(&format!("{path}.weight")) {
                    return Err(NetworkError::NoPooler);
                }
                let pooler = self.projection(&bare("pooler.dense"), hidden, true, Role::Inner)?;
                (Some((pooler, Activation::Tanh)), "classifier")
            }
            Family::Roberta => {
                let dense = self.outer(&bare("classifier.dense"), hidden, true, Role::Head)?;
                (Some((dense, Activation::Tanh)), "classifier.out_proj")
            }
            Family::DistilBert => {
                let dense = self.outer(&bare("pre_classifier"), hidden, true, Role::Head)?;
                (Some((dense, Activation::Relu)), "classifier")
            }
            Family::ModernBert => {
                let bias = self.config.classifier_bias;
                let dense = self.outer(&bare("head.dense"), hidden, bias, Role::Inner)?;
                let activation = self.config.classifier_activation;
                (Some((dense, activation)), "classifier")
            }
            _ => (None, "score"),
        };
        let norm = match self.config.family {
            Family::ModernBert => Some(self.norm_at("head.norm".to_owned(), hidden)?),
            _ => None,
        };
        let bias = !self.config.is_decoder();
        let scores = self.outer(&[(scores.to_owned(), labels)], hidden, bias, Role::Head)?;
        Ok(Head {
            pooling,
            dense,
            norm,
            scores,
        })
    }

    fn embeddings(&mut self, words: &str, task: &TaskHead) -> Loaded<Embeddings> {
        let hidden = self.config.hidden_size;
        let (positions, types, norm) = match self.config.family {
            Family::Bert | Family::Roberta => (
                Some("embeddings.position_embeddings"),
                Some("embeddings.token_type_embeddings"),
                Some("embeddings.LayerNorm"),
            ),
            Family::DistilBert => (
                Some("embeddings.position_embeddings"),
                None,
                Some("embeddings.LayerNorm"),
            ),
            Family::ModernBert => (None, None, Some("embeddings.norm")),
            Family::Gpt2 => (Some("wpe"), None, None),
            _ => (None, None, None),
        };
        let words = self.words(words, task)?;
        let positions = match positions {
            Some(name) => Some(self.table(name, self.config.max_position_embeddings)?),
            None => None,
        };
        let types = match types {
            Some(name) => Some(self.table(name, self.config.type_vocab_size)?),
            None => None,
        };
        let norm = match norm {
            Some(name) => Some(self.norm(name, hidden)?),
            None => None,
        };
        Ok(Embeddings {
            words,
            positions,
            types,
            norm,
        })
    }

    fn words(&self, name: &str, task: &TaskHead) -> Loaded<Table> {
        let rows = self.config.vocab_size;
        match task {
            TaskHead::Vocabulary(head) if self.config.tie_word_embeddings => {
                // A frozen head has been read and checked.
                if !self.frozen {
                    self.table(name, rows)?;
                }
                Ok(Table {
                    path: format!("{}{name}", self.source.stem),
                    rows,
                    rest: TableSource::Tied(*head),
                })
            }
            _ => self.table(name, rows),
        }
    }

    fn table(&self, name: &str, rows: usize) -> Loaded<Table> {
        let path = format!("{}{name}", self.source.stem);
        let in_file = self.source.in_file(&format!("{path}.weight"));
        self.source
            .weights
            .check(&in_file, &[rows, self.config.hidden_size])?;
        Ok(Table {
            path,
            rows,
            rest: TableSource::File,
        })
    }

    /// Modules of the inner model that share an input: paths below the stem, and outputs.
    fn projection(
        &mut self,
        modules: &[(String, usize)],
        inputs: usize,
        bias: bool,
        role: Role,
    ) -> Loaded<ProjectionId> {
        let stem = self.source.stem;
        let whole = modules
            .iter()
            .map(|(path, outputs)| (format!("{stem}{path}"), *outputs));
        self.outer(&whole.collect::<Vec<_>>(), inputs, bias, role)
    }

    /// Modules by their whole paths.
    fn outer(
        &mut self,
        modules: &[(String, usize)],
        inputs: usize,
        bias: bool,
        role: Role,
    ) -> Loaded<ProjectionId> {
        let modules = modules.iter().map(|(path, outputs)| Module {
            path: path.clone(),
            outputs: *outputs,
            bias,
        });
        let mut projection = Projection {
            modules: modules.collect(),
            inputs,
            transposed: self.config.family == Family::Gpt2 && role == Role::Inner,
            role,
            linear: None,
        };
        if self.frozen && role != Role::Head {
            projection.linear = Some(Arc::new(self.packed(&projection)?));
        }
        self.projections.push(projection);
        Ok(ProjectionId(self.projections.len() - 1))
    }

    fn packed(&self, projection: &Projection) -> Loaded<Linear> {
        let outputs = projection.modules.iter().map(|module| module.outputs).sum();
        let bias = self.bias(projection)?;
        let form = Form::of(self.precision, self.is_narrow(projection));
        let linear = match projection.transposed {
            true => {
                let (weight, inputs) = (self.turned(projection)?, projection.inputs);
                let read = |rows: Range<usize>, out: &mut [f32]| {
                    out.copy_from_slice(&weight[rows.start * inputs..rows.end * inputs]);
                    Ok::<(), CheckpointError>(())
                };
                Linear::gather([outputs, inputs], bias, form, read)?
            }
            false => self.gathered(projection, outputs, bias, form)?,
        };
        // What was read is held in panels now.
        self.source.weights.forget();
        Ok(linear)
    }

    /// Whether all weights of a projection are stored in bf16, in a base whose facts say so of it: a run's identity, which
    /// the sums of such weights depend on, goes by those.
    fn is_narrow(&self, projection: &Projection) -> bool {
        let weights = &self.source.weights;
        let mut modules = projection.modules.iter();
        weights.are_mostly_bf16()
            && modules.all(|module| {
                let name = self.source.in_file(&format!("{}.weight", module.path));
                weights.is_bf16(&name)
            })
    }

    fn bias(&self, projection: &Projection) -> Loaded<Option<Vec<f32>>> {
        let mut bias = Vec::new();
        for module in projection.modules.iter().filter(|module| module.bias) {
            let name = format!("{}.bias", module.path);
            bias.extend(self.source.read(&name, &[module.outputs])?);
        }
        Ok((!bias.is_empty()).then_some(bias))
    }

    /// The weight `[outputs × inputs]` of modules whose weights are stored as `[inputs × outputs]`.
    fn turned(&self, projection: &Projection) -> Loaded<Vec<f32>> {
        let mut weight = Vec::new();
        for module in &projection.modules {
            let shape = [projection.inputs, module.outputs];
            let across = self
                .source
                .read(&format!("{}.weight", module.path), &shape)?;
            for output in 0..module.outputs {
                weight.extend(across[output..].iter().step_by(module.outputs));
            }
        }
        Ok(weight)
    }

    /// A layer whose weights go from the file straight into panels.
    fn gathered(
        &self,
        projection: &Projection,
        outputs: usize,
        bias: Option<Vec<f32>>,
        form: Form,
    ) -> Loaded<Linear> {
        let inputs = projection.inputs;
        let names = projection.modules.iter().map(|module| {
            let name = self.source.in_file(&format!("{}.weight", module.path));
            (name, module.outputs)
        });
        let names: Vec<(String, usize)> = names.collect();
        let (mut parts, mut end) = (Vec::new(), 0);
        for (name, outputs) in &names {
            let rows = self.source.weights.rows(name, [*outputs, inputs])?;
            parts.push((end..end + outputs, rows));
            end += outputs;
        }
        let read = |wanted: Range<usize>, out: &mut [f32]| {
            for (place, rows) in &parts {
                let both = wanted.start.max(place.start)..wanted.end.min(place.end);
                if both.is_empty() {
                    continue;
                }
                let at = (both.start - wanted.start) * inputs;
                let out = &mut out[at..][..both.len() * inputs];
                rows.read(both.start - place.start..both.end - place.start, out)?;
            }
            Ok::<(), CheckpointError>(())
        };
        Ok(Linear::gather([outputs, inputs], bias, form, read)?)
    }

    /// A norm of the inner model.
    fn norm(&mut self, path: &str, width: usize) -> Loaded<NormId> {
        self.norm_at(format!("{}{path}", self.source.stem), width)
    }

    fn norm_at(&mut self, path: String, width: usize) -> Loaded<NormId> {
        let kind = match self.config.family {
            Family::ModernBert if !self.config.norm_bias => NormKind::Unbiased,
            Family::Bert
            | Family::Roberta
            | Family::DistilBert
            | Family::ModernBert
            | Family::Gpt2 => NormKind::Layer,
            family if family.is_gemma() => NormKind::GemmaRms,
            _ => NormKind::Rms,
        };
        let mut gain = self.source.read(&format!("{path}.weight"), &[width])?;
        if kind == NormKind::GemmaRms {
            gain.iter_mut().for_each(|gain| *gain += 1.0);
        }
        let bias = match kind {
            NormKind::Layer => self.source.read(&format!("{path}.bias"), &[width])?,
            NormKind::Unbiased => vec![0.0; width],
            NormKind::Rms | NormKind::GemmaRms => Vec::new(),
        };
        self.norms.push(Norm {
            path,
            gain,
            bias,
            kind,
            eps: self.config.norm_eps as f32,
        });
        Ok(NormId(self.norms.len() - 1))
    }
}

/// What a post-norm family calls the modules of a layer.
struct EncoderNames {
    qkv: [&'static str; 3],
    attention_output: &'static str,
    attention_norm: &'static str,
    wide: &'static str,
    narrow: &'static str,
    output_norm: &'static str,
}
