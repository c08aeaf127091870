//! Models that answer on this machine.

use super::batches::pack;
use super::embeddings::Embedding;
use super::error::EvalError;
use super::report::Answer;
use crate::base::network::{Batch, Model, NetworkError};
use crate::base::{Pooling, Tokenizer};
use crate::progress::{Event, Reporter, Unit};

/// Tokens in one forward pass: enough to keep the kernels busy, and under 100 MB of activations for small encoders.
const TOKENS: usize = 4096;

/// A model and its tokenizer.
#[derive(Clone, Copy)]
pub struct Local<'a> {
    /// Turns texts into ids, cut to the model's longest length.
    pub tokenizer: &'a Tokenizer,
    /// The model.
    pub classifier: &'a Model,
    /// Hears how far it is, and says when to stop.
    pub reporter: &'a dyn Reporter,
}

/// What the model gives for one text, or why there is nothing for this text alone.
type Row = Result<Vec<f32>, String>;

impl Local<'_> {
    /// The most probable of `labels` for each text; of equally probable ones, the first.
    ///
    /// A text that cannot be encoded or has no finite logits is an [`Answer::Error`]; the others are not affected.
    /// The same texts give the same answers, whatever the number of threads.
    pub fn predict(&self, labels: &[String], texts: &[&str]) -> Result<Vec<Answer>, EvalError> {
        let rows = self.rows("evaluating", texts, |batch| self.classifier.logits(batch))?;
        Ok(rows
            .into_iter()
            .map(|row| most_probable(labels, row))
            .collect())
    }

    /// One pooled vector for each text, of the mean of its tokens.
    ///
    /// `what` says to people which texts these are, such as `embedding the training split for its centroids`.
    pub fn embed(&self, what: &str, texts: &[&str]) -> Result<Vec<Embedding>, EvalError> {
        self.rows(what, texts, |batch| {
            self.classifier.embeddings(batch, Pooling::Mean)
        })
    }

    fn rows(
        &self,
        what: &str,
        texts: &[&str],
        run: impl Fn(&Batch) -> Result<Vec<f32>, NetworkError>,
    ) -> Result<Vec<Row>, EvalError> {
        let mut rows: Vec<Row> = vec![Err("it was not run".to_owned()); texts.len()];
        let mut inputs = Vec::new();
        let mut places = Vec::new();
        for (place, text) in texts.iter().enumerate() {
            match self.tokenizer.encode(text) {
                Ok(encoding) => {
                    inputs.push(encoding.ids);
                    places.push(place);
                }
                Err(error) => rows[place] = Err(error.to_string()),
            }
        }
        self.start(what, texts.len());
        let mut done = 0;
        for packed in pack(&inputs, TOKENS) {
            if self.reporter.interrupted() {
                return Err(EvalError::Interrupted);
            }
            let count = packed.rows.len();
            let batch = Batch {
                ids: packed.ids,
                offsets: packed.offsets,
                labels: Vec::new(),
            };
            let values = run(&batch)?;
            let width = values.len() / count;
            for (input, value) in packed.rows.iter().zip(values.chunks_exact(width.max(1))) {
                rows[places[*input]] = Ok(value.to_vec());
            }
            done += count as u64;
            self.reporter.report(&Event::Advanced { done, note: "" });
        }
        self.reporter.report(&Event::Finished);
        Ok(rows)
    }

    fn start(&self, what: &str, texts: usize) {
        self.reporter.report(&Event::Started {
            what,
            total: Some(texts as u64),
            unit: Unit::Items,
        });
    }
}

fn most_probable(labels: &[String], row: Row) -> Answer {
    let logits = match row {
        Ok(logits) => logits,
        Err(why) => return Answer::Error(why),
    };
    if logits.len() != labels.len() || logits.iter().any(|logit| !logit.is_finite()) {
        return Answer::Error("the logits are not one finite number for each label".to_owned());
    }
    let mut best = 0;
    for (index, logit) in logits.iter().enumerate() {
        if *logit > logits[best] {
            best = index;
        }
    }
    match labels.get(best) {
        Some(label) => Answer::Label(label.clone()),
        None => Answer::Error("there is no label".to_owned()),
    }
}
