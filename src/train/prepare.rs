//! From job, dataset and base to tokens, a fresh network and a plan. Nothing is written.

use super::encode::{Bos, Encoder};
use super::error::TrainError;
use super::from::{Asked, Beginning};
use super::job::{Compute, Evaluation, Job, Metric, Rhythm, Task, TrainOn};
use super::order::Order;
use super::plan::{self, Memory, Plan, PlannedModule};
use super::read::{Reading, Splits};
use super::rows::Rows;
use super::streams::Streams;
use super::trainer::Inputs;
use super::whole;
use crate::base::chat::ChatTemplate;
use crate::base::network::{self, Model, NetworkError, Parameter, Setup, Trained, check_device};
use crate::base::{
    self, Checkpoint, Config, Family, LoraSpec, Pooling, Precision, Tokenizer, TokenizerConfig,
};
use crate::dataset::{Kind, SplitName};
use crate::digest::Digest;
use crate::progress::{Event, Reporter};

/// Everything that the loop needs.
pub(super) struct Prepared {
    pub(super) plan: Plan,
    pub(super) model: Model,
    pub(super) train: Rows,
    pub(super) validation: Option<Rows>,
    /// `None` when there is nothing to look at.
    pub(super) evaluation: Option<Evaluation>,
    pub(super) order: Order,
    /// What stands for a whole text, in classification.
    pub(super) pooling: Pooling,
    /// The files of the base.
    pub(super) checkpoint: Checkpoint,
    /// The digest of `tokenizer.json`.
    pub(super) tokenizer: Digest,
    /// Where conversations are trained on.
    pub(super) template: Option<ChatTemplate>,
}

/// Reads, checks and counts everything; builds the network with fresh factors and head.
pub(super) fn prepare(
    job: &Job,
    inputs: &Inputs<'_>,
    reporter: &dyn Reporter,
) -> Result<Prepared, TrainError> {
    check_kind(job, inputs.dataset.kind)?;
    let evaluation = evaluation(job, inputs.dataset.split(SplitName::Validation).is_some())?;
    check_device(inputs.device)?;
    let checkpoint = base::open(inputs.store, inputs.base)?;
    let config = Config::parse(&checkpoint.config).map_err(NetworkError::Checkpoint)?;
    let pooling = pooling(job, &config)?;
    let tokenizer = tokenizer(job, &checkpoint, &config)?;
    let names =
        TokenizerConfig::of(&checkpoint).map_err(crate::base::network::NetworkError::Checkpoint)?;
    let template = template(job, inputs.dataset.kind, &names)?;
    let encoder = match job.task {
        Task::SeqCls => None,
        Task::CausalLm => Some(encoder(
            job,
            inputs.dataset.kind,
            &tokenizer,
            &names,
            template.as_ref(),
        )?),
    };
    let reading = Reading {
        job,
        inputs,
        reporter,
        tokenizer: &tokenizer,
        encoder: encoder.as_ref(),
    };
    let splits = reading.splits(evaluation.is_some())?;
    // A vocabulary in memory is as large as a layer, and the model comes next.
    drop(tokenizer);
    let streams = Streams::of(job.seed);
    let spec = job.spec();
    let setup = Setup {
        seed: streams.init,
        ..setup(job, spec.as_ref(), splits.labels.len(), pooling)
    };
    let mut model = Model::load(&checkpoint, &setup)?;
    model.set_segment(segment(job, &config));
    model.set_device(inputs.device)?;
    if let Some(beginning) = inputs.from {
        let spec = spec.as_ref().ok_or(TrainError::FromNothing)?;
        let asked = Asked {
            base: inputs.base.tree.digest(),
            labels: &splits.labels,
            pooling,
            template: template.as_ref().map(ChatTemplate::digest),
            parameters: names_and_shapes(&model),
            modules: Vec::new(),
        };
        let values = go_on_from(beginning, job, spec, asked, &model, reporter)?;
        model.set_weights(&values)?;
    }
    let order = order(job, &splits.train, streams.order);
    let plan = plan(
        job,
        inputs,
        &config,
        &splits,
        &model,
        &order,
        template.as_ref(),
    );
    if let Some(limit) = job
        .limits
        .max_memory
        .filter(|most| plan.memory.total() > *most)
    {
        return Err(TrainError::Memory {
            needed: plan.memory.total(),
            limit,
        });
    }
    let prepared = Prepared {
        plan,
        model,
        train: splits.train,
        validation: splits.validation,
        evaluation,
        order,
        pooling,
        tokenizer: Digest::of(&checkpoint.tokenizer),
        checkpoint,
        template,
    };
    if job.lora.is_none() {
        whole::check(&prepared, job, inputs)?;
    }
    Ok(prepared)
}

fn names_and_shapes(model: &Model) -> Vec<(&str, &[usize])> {
    let parameters = model.parameters().iter();
    parameters
        .map(|parameter| (parameter.name.as_str(), parameter.shape.as_slice()))
        .collect()
}

/// The values of an adapter, in the order of the parameters, if it is one as the job trains.
fn go_on_from(
    beginning: &Beginning,
    job: &Job,
    spec: &LoraSpec,
    asked: Asked<'_>,
    model: &Model,
    reporter: &dyn Reporter,
) -> Result<Vec<Vec<f32>>, TrainError> {
    let modules = model.adapted_modules();
    let asked = Asked {
        modules: modules.iter().map(String::as_str).collect(),
        ..asked
    };
    let faults = beginning.faults(job, spec, &asked);
    if !faults.is_empty() {
        return Err(TrainError::OtherAdapter(faults));
    }
    if job.task == Task::SeqCls && beginning.record.is_none() {
        reporter.report(&Event::Warning(
            "the adapter does not say which class is which; its head is taken in the order of the labels",
        ));
    }
    let tensors = &beginning.imported.tensors;
    let values = asked
        .parameters
        .iter()
        .filter_map(|(name, _)| tensors.get(*name));
    Ok(values.map(|(_, values)| values.clone()).collect())
}

/// How the job's network is made of the checkpoint, with fresh values of seed 0.
pub(super) fn setup<'a>(
    job: &Job,
    spec: Option<&'a LoraSpec>,
    labels: usize,
    pooling: Pooling,
) -> Setup<'a> {
    Setup {
        task: match job.task {
            Task::SeqCls => network::Task::SeqCls { labels, pooling },
            Task::CausalLm => network::Task::CausalLm,
        },
        trained: spec.map_or(Trained::Everything, Trained::Lora),
        precision: match job.compute {
            Compute::F32 => Precision::F32,
            Compute::Bf16 => Precision::Bf16,
        },
        seed: 0,
    }
}

/// What stands for a whole text: a decoder's last token has seen all others, an encoder's mean does best. A whole model
/// must be one that transformers computes, and there most encoders classify by their first token.
fn pooling(job: &Job, config: &Config) -> Result<Pooling, TrainError> {
    let (decoder, asked) = (config.is_decoder(), job.pooling);
    if job.task == Task::CausalLm && !decoder {
        return Err(TrainError::NotALanguageModel);
    }
    let first = matches!(
        config.family,
        Family::Bert | Family::Roberta | Family::DistilBert
    );
    let whole = job.lora.is_none();
    if whole && first && asked == Some(Pooling::Mean) {
        return Err(TrainError::WholePooling);
    }
    Ok(asked.unwrap_or(match decoder {
        true => Pooling::Last,
        false if whole && first => Pooling::Cls,
        false => Pooling::Mean,
    }))
}

/// Layers that are computed again together: so many that what is kept at all borders and what is kept inside one segment are
/// about as much.
fn segment(job: &Job, config: &Config) -> Option<usize> {
    let layers = config.num_hidden_layers();
    let share = config.hidden_size as f64 / kept_per_token(config) as f64;
    let size = (layers as f64 * share).sqrt().ceil() as usize;
    job.gradient_checkpointing
        .then_some(size.clamp(1, layers.max(1)))
}

/// Numbers that a layer keeps of a token: inputs and results of attention and feed-forward, twice where a norm or an
/// activation follows.
fn kept_per_token(config: &Config) -> usize {
    10 * config.hidden_size + 3 * config.intermediate_size
}

/// Whether the job's task can be learned from such rows, and the job does not ask for parts that they have not.
fn check_kind(job: &Job, kind: Kind) -> Result<(), TrainError> {
    let classified = kind == Kind::Classification;
    if classified != (job.task == Task::SeqCls) {
        return Err(match classified {
            true => TrainError::Classified {
                dataset: job.dataset.to_string(),
            },
            false => TrainError::Kind {
                dataset: job.dataset.to_string(),
            },
        });
    }
    let fits = match (job.text.train_on, kind) {
        (None | Some(TrainOn::All), _) => true,
        (Some(TrainOn::Completion), kind) => kind == Kind::Completion,
        (Some(TrainOn::Assistant | TrainOn::LastAssistant), kind) => is_conversation(kind),
    };
    let whole = job.text.train_on == Some(TrainOn::All) || kind == Kind::Text;
    if whole
        && job
            .eval
            .as_ref()
            .is_some_and(|e| e.metric == Metric::ExactMatch)
    {
        return Err(TrainError::NoAnswers);
    }
    match (fits, job.text.train_on) {
        (false, Some(train_on)) => Err(TrainError::TrainOn { train_on, kind }),
        _ => Ok(()),
    }
}

fn is_conversation(kind: Kind) -> bool {
    matches!(kind, Kind::Messages | Kind::Alpaca | Kind::Sharegpt)
}

/// The job's own evaluation, or one after every epoch where there is something to look at.
fn evaluation(job: &Job, split: bool) -> Result<Option<Evaluation>, TrainError> {
    if split && job.val_set_size.is_some() {
        return Err(TrainError::TwoValidations {
            dataset: job.dataset.to_string(),
        });
    }
    match (&job.eval, split || job.val_set_size.is_some()) {
        (Some(evaluation), true) => Ok(Some(evaluation.clone())),
        (Some(_), false) => Err(TrainError::NoValidation {
            dataset: job.dataset.to_string(),
        }),
        (None, true) => Ok(Some(Evaluation {
            every: Rhythm::Epoch,
            metric: match job.task {
                Task::SeqCls => Metric::Accuracy,
                Task::CausalLm => Metric::Loss,
            },
            early_stopping_patience: None,
            load_best: true,
        })),
        (None, false) => Ok(None),
    }
}

fn tokenizer(job: &Job, checkpoint: &Checkpoint, config: &Config) -> Result<Tokenizer, TrainError> {
    let (asked, limit) = (job.sequence_len, config.longest());
    if asked > limit {
        return Err(TrainError::SequenceLength { asked, limit });
    }
    let tokenizer = Tokenizer::from_bytes(&checkpoint.tokenizer, asked)?;
    let (tokens, embeddings) = (tokenizer.vocab_size(), config.vocab_size);
    if tokens > embeddings {
        return Err(TrainError::Vocabulary { tokens, embeddings });
    }
    Ok(tokenizer)
}

/// The template of a dataset of conversations: the job's, or the base's own.
fn template(
    job: &Job,
    kind: Kind,
    names: &TokenizerConfig,
) -> Result<Option<ChatTemplate>, TrainError> {
    let asked = job.text.template.clone().unwrap_or_default();
    if !is_conversation(kind) {
        return match job.text.template {
            Some(_) => Err(TrainError::NoConversations { kind }),
            None => Ok(None),
        };
    }
    let name = asked.name.as_deref().unwrap_or("default");
    let source = match &asked.text {
        Some(text) => text,
        None => names
            .templates
            .get(name)
            .ok_or_else(|| TrainError::NoTemplate {
                name: name.to_owned(),
                known: names.templates.keys().cloned().collect(),
            })?,
    };
    let template = ChatTemplate::new(source, names.tokens.clone(), asked.date)?;
    match asked.sha256.filter(|want| *want != template.digest()) {
        Some(want) => Err(TrainError::OtherTemplate {
            want,
            found: template.digest(),
        }),
        None => Ok(Some(template)),
    }
}

fn encoder<'a>(
    job: &Job,
    kind: Kind,
    tokenizer: &'a Tokenizer,
    names: &TokenizerConfig,
    template: Option<&'a ChatTemplate>,
) -> Result<Encoder<'a>, TrainError> {
    let eos = names
        .token("eos_token")
        .and_then(|token| tokenizer.id(token))
        .ok_or(TrainError::NoEos)?;
    let bos = Bos::of(tokenizer, names, eos, job.text.add_bos)?.ok_or(TrainError::NoBos)?;
    Ok(Encoder {
        tokenizer,
        template,
        train_on: job.text.train_on.unwrap_or(match kind {
            Kind::Completion => TrainOn::Completion,
            kind if is_conversation(kind) => TrainOn::Assistant,
            _ => TrainOn::All,
        }),
        train_on_eos: job.text.train_on_eos,
        bos,
        eos,
    })
}

fn order(job: &Job, train: &Rows, seed: u64) -> Order {
    let order = Order::new(
        train.lengths(),
        job.micro_batch_size,
        job.group_by_length,
        seed,
    );
    match job.sample_packing {
        true => order.packed(job.sequence_len),
        false => order,
    }
}

fn plan(
    job: &Job,
    inputs: &Inputs<'_>,
    config: &Config,
    splits: &Splits,
    model: &Model,
    order: &Order,
    template: Option<&ChatTemplate>,
) -> Plan {
    let (steps_per_epoch, steps) = plan::steps(job, order);
    let elements = |parameter: &Parameter| parameter.shape.iter().product::<usize>() as u64;
    let trainable = model.parameters().iter().map(elements).sum();
    let modules = modules(model.parameters());
    Plan {
        labels: splits.labels.clone(),
        chat_template: template.map(ChatTemplate::digest),
        train: splits.train.account,
        validation: splits.validation.as_ref().map(|rows| rows.account),
        test_leaked: splits.test_leaked,
        from: inputs.from.map(|beginning| beginning.from.adapter),
        samples: splits.samples.clone(),
        trainable_parameters: trainable,
        base_parameters: inputs.base.model.parameters,
        every_weight: job.lora.is_none(),
        adapted_modules: modules.len() as u64,
        modules,
        steps_per_epoch,
        steps,
        memory: memory(job, inputs, config, trainable, &splits.train),
        max_memory: job.limits.max_memory,
    }
}

/// The modules with factors, from the names and shapes of these.
fn modules(parameters: &[Parameter]) -> Vec<PlannedModule> {
    let shape = |name: &str| {
        let found = parameters.iter().find(|parameter| parameter.name == name)?;
        Some((*found.shape.first()?, *found.shape.get(1)?))
    };
    let module = |parameter: &Parameter| {
        let name = parameter.name.strip_suffix(".lora_A.weight")?;
        let (r, inputs) = shape(&parameter.name)?;
        let (outputs, _) = shape(&format!("{name}.lora_B.weight"))?;
        Some(PlannedModule {
            path: name.strip_prefix("base_model.model.")?.to_owned(),
            inputs,
            outputs,
            r,
        })
    };
    parameters.iter().filter_map(module).collect()
}

fn memory(job: &Job, inputs: &Inputs<'_>, config: &Config, trainable: u64, train: &Rows) -> Memory {
    let mut lengths = train.lengths();
    lengths.sort_unstable_by(|a, b| b.cmp(a));
    let rows = match job.sample_packing {
        false => job.micro_batch_size,
        // As many of the longest as the packs can hold.
        true => {
            let room = job.micro_batch_size * job.sequence_len;
            let mut sum = 0;
            lengths
                .iter()
                .take_while(|length| {
                    sum += **length;
                    sum <= room
                })
                .count()
        }
    };
    let batch = &lengths[..lengths.len().min(rows.max(1))];
    let tokens: usize = batch.iter().sum();
    let squares: usize = batch.iter().map(|length| length * length).sum();
    // Besides, the attention weights of every head.
    let per_token = kept_per_token(config);
    let heads = config.num_attention_heads * squares;
    let layers = config.num_hidden_layers();
    let kept = match segment(job, config) {
        None => layers * (tokens * per_token + heads),
        Some(segment) => {
            segment * (tokens * per_token + heads)
                + layers.div_ceil(segment) * tokens * config.hidden_size
        }
    };
    // Logits and their gradient, at the tokens that are learned.
    let logits = match job.task {
        Task::SeqCls => 0,
        Task::CausalLm => 2 * tokens * config.vocab_size,
    };
    let facts = &inputs.base.model;
    let bytes = match job.compute {
        Compute::F32 if facts.dtype != "BF16" => 4,
        Compute::F32 | Compute::Bf16 => 2,
    };
    Memory {
        // Where every weight is trained, none is frozen.
        base: match job.lora {
            Some(_) => bytes * facts.parameters,
            None => 0,
        },
        training: 4 * 5 * trainable,
        activations: 4 * (kept + logits) as u64,
    }
}
