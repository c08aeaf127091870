//! Language models that answer on this machine.

use std::collections::BTreeMap;

use super::error::EvalError;
use super::generation::Generation;
use super::report::Answer;
use super::suite::{Case, Suite};
use crate::base::network::{End, Generated, Model, Sampling};
use crate::base::{Tokenizer, TokenizerError};
use crate::digest::Hasher;
use crate::document::Decimal;
use crate::progress::{Event, Reporter, Unit};
use crate::train::PromptEncoder;

/// Tokens that are remembered for all rows of a batch together: a few hundred MB for a model of a billion parameters.
const TOKENS: usize = 8192;
/// Rows that are gone on with together.
const ROWS: usize = 32;
/// Tokens of the prompt that new ones are decoded behind: a token's text can depend on those before it.
const CONTEXT: usize = 5;

/// A language model and how it is spoken to.
pub struct Speaker<'a> {
    /// Turns ids into text.
    pub tokenizer: &'a Tokenizer,
    /// Turns what is asked into ids.
    pub prompts: &'a PromptEncoder<'a>,
    /// The model.
    pub model: &'a Model,
    /// Hears how far it is, and says when to stop.
    pub reporter: &'a dyn Reporter,
}

/// One answer to come.
struct Turn {
    /// Its place among all answers.
    place: usize,
    prompt: Vec<u32>,
    /// The number of its stream of draws.
    stream: u64,
}

impl Speaker<'_> {
    /// An answer to each case, for each of the suite's repeats, in the suite's order.
    ///
    /// A case that cannot be asked is an [`Answer::Error`]; the others are not affected. What is answered to a case depends neither
    /// on the other cases nor on the number of threads.
    pub fn answer(&self, suite: &Suite, asked: &Generation) -> Result<Vec<Answer>, EvalError> {
        let repeats = asked.repeats as usize;
        let pending = || Answer::Error("it was not asked".to_owned());
        let mut answers: Vec<Answer> = (0..suite.cases().len() * repeats)
            .map(|_| pending())
            .collect();
        let mut turns = Vec::new();
        for (index, case) in suite.cases().iter().enumerate() {
            let prompt = self.prompt(case);
            for repeat in 0..repeats {
                let place = index * repeats + repeat;
                match &prompt {
                    Err(why) => answers[place] = Answer::Error(why.clone()),
                    Ok(prompt) => turns.push(Turn {
                        place,
                        prompt: prompt.clone(),
                        stream: stream(&case.id, repeat),
                    }),
                }
            }
        }
        self.reporter.report(&Event::Started {
            what: "answering",
            total: Some(answers.len() as u64),
            unit: Unit::Items,
        });
        let mut done = (answers.len() - turns.len()) as u64;
        for batch in batches(turns, asked.settings.max_tokens as usize) {
            for (turn, answer) in batch.iter().zip(self.go_on(&batch, asked)?) {
                answers[turn.place] = answer;
            }
            done += batch.len() as u64;
            self.reporter.report(&Event::Advanced { done, note: "" });
        }
        self.reporter.report(&Event::Finished);
        Ok(answers)
    }

    fn prompt(&self, case: &Case) -> Result<Vec<u32>, String> {
        let ids = match case.messages.is_empty() {
            true => self.prompts.prompt(&case.text).map(Some),
            false => self.prompts.conversation(&case.messages),
        };
        let ids = ids.map_err(|fault| fault.to_string())?;
        let ids = ids.ok_or("there is no chat template for its conversation")?;
        let longest = self.model.config().longest();
        match ids.len() {
            0 => Err("nothing to go on from: no token".to_owned()),
            length if length >= longest => Err(format!(
                "a prompt of {length} tokens leaves no room for an answer: the model takes {longest}"
            )),
            _ => Ok(ids),
        }
    }

    fn go_on(&self, batch: &[Turn], asked: &Generation) -> Result<Vec<Answer>, EvalError> {
        let settings = &asked.settings;
        let prompts: Vec<Vec<u32>> = batch.iter().map(|turn| turn.prompt.clone()).collect();
        let sampling = Sampling {
            max_new_tokens: settings.max_tokens as usize,
            temperature: settings.temperature.get(),
            top_k: settings.top_k.map(|k| k as usize),
            top_p: settings.top_p.map(Decimal::get),
            seed: settings.seed,
            streams: batch.iter().map(|turn| turn.stream).collect(),
            stop: self.prompts.ends().to_vec(),
        };
        let goes_on = |row: usize, ids: &[u32]| {
            let stopped = || {
                let text = self.text(&prompts[row], ids);
                text.is_ok_and(|text| settings.before_stop(&text).is_some())
            };
            !self.reporter.interrupted() && (settings.stop.is_empty() || !stopped())
        };
        let generated = self.model.generate_while(&prompts, &sampling, goes_on)?;
        if self.reporter.interrupted() {
            return Err(EvalError::Interrupted);
        }
        let pairs = prompts.iter().zip(generated);
        Ok(pairs
            .map(|(prompt, generated)| self.said(prompt, &generated, asked))
            .collect())
    }

    fn said(&self, prompt: &[u32], generated: &Generated, asked: &Generation) -> Answer {
        let ids = match generated.end {
            End::Stopped => &generated.ids[..generated.ids.len().saturating_sub(1)],
            End::Asked | End::Length => &generated.ids,
        };
        let text = match self.text(prompt, ids) {
            Ok(text) => text,
            Err(error) => return Answer::Error(error.to_string()),
        };
        let stopped = asked.settings.before_stop(&text);
        let complete = stopped.is_some() || generated.end != End::Length;
        let measure = |name: &str, value: f64| {
            let value = Decimal::new(value).unwrap_or_default();
            (name.to_owned(), value)
        };
        Answer::Text {
            text: stopped.unwrap_or(&text).to_owned(),
            measures: BTreeMap::from([
                measure("complete", f64::from(complete)),
                measure("output_tokens", generated.ids.len() as f64),
                measure("prompt_tokens", prompt.len() as f64),
            ]),
        }
    }

    /// The text of new tokens behind a prompt.
    fn text(&self, prompt: &[u32], ids: &[u32]) -> Result<String, TokenizerError> {
        let context = &prompt[prompt.len().saturating_sub(CONTEXT)..];
        let before = self.tokenizer.decode(context)?;
        let whole = self.tokenizer.decode(&[context, ids].concat())?;
        match whole.strip_prefix(&before) {
            Some(text) => Ok(text.to_owned()),
            None => self.tokenizer.decode(ids),
        }
    }
}

/// Turns of similar length together; the same turns always give the same batches.
fn batches(mut turns: Vec<Turn>, new: usize) -> Vec<Vec<Turn>> {
    turns.sort_by_key(|turn| (turn.prompt.len(), turn.place));
    let mut batches: Vec<Vec<Turn>> = Vec::new();
    let mut tokens = 0;
    for turn in turns {
        let needed = turn.prompt.len() + new;
        match batches.last_mut() {
            Some(batch) if batch.len() < ROWS && tokens + needed <= TOKENS => {
                tokens += needed;
                batch.push(turn);
            }
            _ => {
                tokens = needed;
                batches.push(vec![turn]);
            }
        }
    }
    batches
}

/// A number that depends on case and repeat alone: other cases do not move its draws.
fn stream(id: &str, repeat: usize) -> u64 {
    let mut hasher = Hasher::new();
    hasher.update(b"retune.eval-stream/1\n");
    hasher.update(&(repeat as u64).to_le_bytes());
    hasher.update(id.as_bytes());
    let digest = hasher.finish();
    let first = digest.as_bytes().first_chunk::<8>();
    first.map_or(0, |bytes| u64::from_le_bytes(*bytes))
}
