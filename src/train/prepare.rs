//! From job, dataset and base to tokens, a fresh network and a plan. Nothing is written.

use std::collections::BTreeMap;

use super::error::TrainError;
use super::job::{Evaluation, Job, Metric, OnOverlong, Rhythm};
use super::order::Order;
use super::plan::{self, Memory, Plan};
use super::streams::Streams;
use super::tokens::TokenAccount;
use super::trainer::Inputs;
use crate::base::network::{Batch, Classifier};
use crate::base::{self, BertConfig, Checkpoint, Tokenizer};
use crate::dataset::{self, Example, Kind, SplitName};
use crate::digest::Digest;
use crate::progress::{Event, Reporter, Unit};

/// Lines that an error about long rows names.
const NAMED_LINES: usize = 5;

/// Everything that the loop needs.
pub(super) struct Prepared {
    pub(super) plan: Plan,
    pub(super) classifier: Classifier,
    pub(super) train: Encoded,
    pub(super) validation: Option<Encoded>,
    /// `None` when there is no validation split.
    pub(super) evaluation: Option<Evaluation>,
    pub(super) order: Order,
    pub(super) checkpoint: Checkpoint,
    /// The digest of `tokenizer.json`.
    pub(super) tokenizer: Digest,
}

/// The rows of a split as token ids and label numbers.
pub(super) struct Encoded {
    ids: Vec<Vec<u32>>,
    labels: Vec<u32>,
    pub(super) account: TokenAccount,
}

/// Reads, checks and counts everything; builds the network with fresh factors and head.
pub(super) fn prepare(
    job: &Job,
    inputs: &Inputs<'_>,
    reporter: &dyn Reporter,
) -> Result<Prepared, TrainError> {
    let dataset = inputs.dataset;
    if dataset.kind != Kind::Classification {
        let dataset = job.dataset.to_string();
        return Err(TrainError::Kind { dataset });
    }
    let evaluation = evaluation(job, dataset.split(SplitName::Validation).is_some())?;
    let checkpoint = base::open(inputs.store, inputs.base)?;
    let tokenizer = tokenizer(job, &checkpoint)?;
    let read = Reading {
        job,
        inputs,
        reporter,
        unknown: unknown_id(&checkpoint.tokenizer),
        tokenizer: &tokenizer,
    };
    let (labels, train) = read.train()?;
    let validation = match evaluation {
        Some(_) => Some(read.split(SplitName::Validation, &labels)?),
        None => None,
    };
    let streams = Streams::of(job.seed);
    let spec = job.lora.spec();
    let classifier = Classifier::load(
        &checkpoint,
        job.pooling,
        labels.len(),
        Some(&spec),
        streams.init,
    )?;
    let order = Order::new(
        train.lengths(),
        job.micro_batch_size,
        job.group_by_length,
        streams.order,
    );
    let plan = make_plan(
        job,
        inputs,
        labels,
        &classifier,
        &order,
        &train,
        &validation,
    );
    Ok(Prepared {
        plan,
        classifier,
        train,
        validation,
        evaluation,
        order,
        tokenizer: Digest::of(&checkpoint.tokenizer),
        checkpoint,
    })
}

/// The job's own evaluation, or one after every epoch where there is a validation split.
fn evaluation(job: &Job, split: bool) -> Result<Option<Evaluation>, TrainError> {
    match (&job.eval, split) {
        (Some(evaluation), true) => Ok(Some(evaluation.clone())),
        (Some(_), false) => Err(TrainError::NoValidation {
            dataset: job.dataset.to_string(),
        }),
        (None, true) => Ok(Some(Evaluation {
            every: Rhythm::Epoch,
            metric: Metric::Accuracy,
            early_stopping_patience: None,
            load_best: true,
        })),
        (None, false) => Ok(None),
    }
}

fn tokenizer(job: &Job, checkpoint: &Checkpoint) -> Result<Tokenizer, TrainError> {
    let config = BertConfig::parse(&checkpoint.config)
        .map_err(crate::base::network::NetworkError::Checkpoint)?;
    let (asked, limit) = (job.sequence_len, config.max_position_embeddings);
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

/// The id that stands for what the tokenizer does not know, where it has one.
fn unknown_id(tokenizer: &[u8]) -> Option<u32> {
    let file: serde_json::Value = serde_json::from_slice(tokenizer).ok()?;
    let model = file.get("model")?;
    let by_name = || {
        model
            .get("vocab")?
            .get(model.get("unk_token")?.as_str()?)?
            .as_u64()
    };
    let by_number = || model.get("unk_id")?.as_u64();
    u32::try_from(by_name().or_else(by_number)?).ok()
}

struct Reading<'a> {
    job: &'a Job,
    inputs: &'a Inputs<'a>,
    reporter: &'a dyn Reporter,
    tokenizer: &'a Tokenizer,
    unknown: Option<u32>,
}

impl Reading<'_> {
    /// The training split, and its labels in order.
    fn train(&self) -> Result<(Vec<String>, Encoded), TrainError> {
        let mut seen: BTreeMap<String, u32> = BTreeMap::new();
        let mut encoded = self.encode(SplitName::Train, |_, label| {
            let next = seen.len() as u32;
            Ok(*seen.entry(label.to_owned()).or_insert(next))
        })?;
        if seen.len() < 2 {
            return Err(TrainError::Labels(seen.len()));
        }
        let mut sorted = vec![0; seen.len()];
        for (position, number) in seen.values().enumerate() {
            sorted[*number as usize] = position as u32;
        }
        for label in &mut encoded.labels {
            *label = sorted[*label as usize];
        }
        Ok((seen.into_keys().collect(), encoded))
    }

    /// Another split; a label that is not one of `labels` is an error.
    fn split(&self, split: SplitName, labels: &[String]) -> Result<Encoded, TrainError> {
        self.encode(split, |line, label| {
            let found = labels.binary_search_by(|known| known.as_str().cmp(label));
            found
                .map(|number| number as u32)
                .map_err(|_| TrainError::NewLabel {
                    split,
                    line,
                    label: label.to_owned(),
                })
        })
    }

    fn encode(
        &self,
        split: SplitName,
        mut number: impl FnMut(u64, &str) -> Result<u32, TrainError>,
    ) -> Result<Encoded, TrainError> {
        let total = self.inputs.dataset.split(split).map(|split| split.rows);
        self.reporter.report(&Event::Started {
            what: "tokenising",
            total,
            unit: Unit::Items,
        });
        let mut encoded = Encoded {
            ids: Vec::new(),
            labels: Vec::new(),
            account: TokenAccount::default(),
        };
        let mut too_long = Vec::new();
        for row in dataset::rows(self.inputs.store, self.inputs.dataset, split)? {
            let row = row?;
            let Example::Classification { text, label, .. } = &row.example else {
                let dataset = self.job.dataset.to_string();
                return Err(TrainError::Kind { dataset });
            };
            let encoding = self.tokenizer.encode(text)?;
            let account = &mut encoded.account;
            account.rows += 1;
            account.longest = account.longest.max(encoding.length as u64);
            if account.rows.is_multiple_of(256) {
                self.reporter.report(&Event::Advanced {
                    done: account.rows,
                    note: "",
                });
                if self.reporter.interrupted() {
                    return Err(TrainError::Interrupted);
                }
            }
            if encoding.truncated() {
                too_long.push(row.line);
                match self.job.on_overlong {
                    OnOverlong::TruncateRight => account.truncated += 1,
                    OnOverlong::Drop | OnOverlong::Error => {
                        account.dropped += 1;
                        continue;
                    }
                }
            }
            account.kept += 1;
            account.tokens += encoding.ids.len() as u64;
            let unknown = encoding.ids.iter().filter(|id| Some(**id) == self.unknown);
            account.unknown += unknown.count() as u64;
            encoded.labels.push(number(row.line, label)?);
            encoded.ids.push(encoding.ids);
        }
        self.reporter.report(&Event::Finished);
        self.check_lengths(split, &encoded.account, too_long)?;
        Ok(encoded)
    }

    fn check_lengths(
        &self,
        split: SplitName,
        account: &TokenAccount,
        mut lines: Vec<u64>,
    ) -> Result<(), TrainError> {
        let limit = self.job.sequence_len;
        if self.job.on_overlong == OnOverlong::Error && account.dropped > 0 {
            lines.truncate(NAMED_LINES);
            return Err(TrainError::Overlong {
                split,
                rows: account.dropped,
                lines,
                limit,
                longest: account.longest,
            });
        }
        if account.dropped_share() > self.job.max_dropped_fraction || account.kept == 0 {
            return Err(TrainError::Dropped {
                split,
                dropped: account.dropped,
                rows: account.rows,
                limit,
            });
        }
        Ok(())
    }
}

impl Encoded {
    /// Tokens of each row.
    pub(super) fn lengths(&self) -> Vec<usize> {
        self.ids.iter().map(Vec::len).collect()
    }

    /// These rows as a packed batch.
    pub(super) fn batch(&self, rows: &[usize]) -> Batch {
        let labels = rows.iter().map(|row| self.labels[*row]).collect();
        Batch::new(rows.iter().map(|row| self.ids[*row].as_slice()), labels)
    }

    /// The label numbers of these rows.
    pub(super) fn labels(&self) -> &[u32] {
        &self.labels
    }
}

fn make_plan(
    job: &Job,
    inputs: &Inputs<'_>,
    labels: Vec<String>,
    classifier: &Classifier,
    order: &Order,
    train: &Encoded,
    validation: &Option<Encoded>,
) -> Plan {
    let (steps_per_epoch, steps) = plan::steps(job, order.batches());
    let parameters = classifier.parameters();
    let elements = |shape: &Vec<usize>| shape.iter().product::<usize>() as u64;
    let trainable = parameters.iter().map(|p| elements(&p.shape)).sum();
    let factors = parameters
        .iter()
        .filter(|p| p.name.ends_with(".lora_A.weight"));
    Plan {
        labels,
        train: train.account,
        validation: validation.as_ref().map(|rows| rows.account),
        trainable_parameters: trainable,
        base_parameters: inputs.base.model.parameters,
        adapted_modules: factors.count() as u64,
        steps_per_epoch,
        steps,
        memory: memory(job, inputs, classifier.config(), trainable, train),
    }
}

fn memory(
    job: &Job,
    inputs: &Inputs<'_>,
    config: &BertConfig,
    trainable: u64,
    train: &Encoded,
) -> Memory {
    let mut lengths = train.lengths();
    lengths.sort_unstable_by(|a, b| b.cmp(a));
    let batch = &lengths[..lengths.len().min(job.micro_batch_size)];
    let tokens: usize = batch.iter().sum();
    let squares: usize = batch.iter().map(|length| length * length).sum();
    // Kept per token and layer: inputs and results of attention and feed-forward, twice where a norm or an activation
    // follows; and the attention weights of every head.
    let per_token = 10 * config.hidden_size + 3 * config.intermediate_size;
    let heads = config.num_attention_heads * squares;
    let per_layer = tokens * per_token + heads;
    Memory {
        base: 4 * inputs.base.model.parameters,
        training: 4 * 5 * trainable,
        activations: (4 * config.num_hidden_layers * per_layer) as u64,
    }
}
