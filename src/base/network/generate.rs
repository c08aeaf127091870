//! New tokens, one after the other.

use std::cell::RefCell;

use super::memory::Memory;
use super::pass::numbers;
use super::{Batch, Model, NetworkError, Task, random};

/// How new tokens are chosen and when to stop.
#[derive(Debug, Clone, PartialEq)]
pub struct Sampling {
    /// At most so many new tokens a row.
    pub max_new_tokens: usize,
    /// Divides the logits; 0 takes the most probable token every time.
    pub temperature: f64,
    /// Only so many of the most probable tokens are drawn from.
    pub top_k: Option<usize>,
    /// Only the most probable tokens that together have this probability are drawn from.
    pub top_p: Option<f64>,
    /// Each row draws from its own stream of it.
    pub seed: u64,
    /// The number of each row's stream, so that a row draws the same in whatever company; when empty, its place.
    pub streams: Vec<u64>,
    /// A row ends after any of these sequences of ids; ends of texts are such sequences.
    pub stop: Vec<Vec<u32>>,
}

impl Sampling {
    /// The most probable token every time.
    pub fn greedy(max_new_tokens: usize) -> Self {
        Self {
            max_new_tokens,
            temperature: 0.0,
            top_k: None,
            top_p: None,
            seed: 0,
            streams: Vec::new(),
            stop: Vec::new(),
        }
    }

    fn check(&self) -> Result<(), NetworkError> {
        let refuse = |why: &str| Err(NetworkError::Sampling(why.to_owned()));
        if !(self.temperature.is_finite() && self.temperature >= 0.0) {
            return refuse("the temperature must be at least 0");
        }
        if self.top_k == Some(0) {
            return refuse("top_k must be at least 1");
        }
        if self.top_p.is_some_and(|p| !(p > 0.0 && p <= 1.0)) {
            return refuse("top_p must be above 0 and at most 1");
        }
        if self.stop.iter().any(Vec::is_empty) {
            return refuse("a stop sequence is empty");
        }
        Ok(())
    }
}

/// What was added to one prompt.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Generated {
    /// The new tokens, a stop sequence included.
    pub ids: Vec<u32>,
    /// Why it ended.
    pub end: End,
}

/// Why a row ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    /// A stop sequence came.
    Stopped,
    /// The caller said so.
    Asked,
    /// There were as many new tokens as allowed, or the row is as long as the model takes.
    Length,
}

impl Model {
    /// Continues each prompt. The result for one prompt does not depend on the others.
    pub fn generate(
        &self,
        prompts: &[Vec<u32>],
        sampling: &Sampling,
    ) -> Result<Vec<Generated>, NetworkError> {
        self.generate_while(prompts, sampling, |_, _| true)
    }

    /// The same, asking before each further token whether row `row` with these new tokens should go on: for stop texts.
    pub fn generate_while(
        &self,
        prompts: &[Vec<u32>],
        sampling: &Sampling,
        mut go_on: impl FnMut(usize, &[u32]) -> bool,
    ) -> Result<Vec<Generated>, NetworkError> {
        sampling.check()?;
        if self.task() != Task::CausalLm {
            return Err(NetworkError::Task {
                task: "generation",
                why: "it was loaded as a classifier",
            });
        }
        let mut rows: Vec<Row> = (0..prompts.len())
            .map(|place| Row::new(place, sampling))
            .collect();
        let mut done: Vec<Option<Generated>> = vec![None; prompts.len()];
        let memory = RefCell::new(Memory::new(self.body().layers.len(), prompts.len()));
        let mut batch = Batch::new(prompts.iter().map(Vec::as_slice), Vec::new());
        if sampling.max_new_tokens == 0 || prompts.is_empty() {
            let empty = Generated {
                ids: Vec::new(),
                end: End::Length,
            };
            return Ok(vec![empty; prompts.len()]);
        }
        while !rows.is_empty() {
            let logits = self.next_logits(&batch, &memory)?;
            let vocabulary = self.config().vocab_size;
            let mut kept = Vec::with_capacity(rows.len());
            for (at, row) in rows.iter_mut().enumerate() {
                let id = row.draw(&logits[at * vocabulary..][..vocabulary], sampling)?;
                row.ids.push(id);
                let length = memory.borrow().lengths()[at] + 1;
                let end = if sampling.stop.iter().any(|stop| row.ids.ends_with(stop)) {
                    Some(End::Stopped)
                } else if !go_on(row.place, &row.ids) {
                    Some(End::Asked)
                } else if row.ids.len() >= sampling.max_new_tokens
                    || length > self.config().longest()
                {
                    Some(End::Length)
                } else {
                    None
                };
                kept.push(end.is_none());
                if let Some(end) = end {
                    let ids = row.ids.clone();
                    done[row.place] = Some(Generated { ids, end });
                }
            }
            memory.borrow_mut().keep(&kept);
            let mut flags = kept.iter();
            rows.retain(|_| *flags.next().unwrap_or(&false));
            let last = rows.iter().map(|row| &row.ids[row.ids.len() - 1..]);
            batch = Batch::new(last, Vec::new());
        }
        Ok(done.into_iter().flatten().collect())
    }

    /// The logits after the last token of each row, `[rows × vocabulary]`.
    fn next_logits(
        &self,
        batch: &Batch,
        memory: &RefCell<Memory>,
    ) -> Result<Vec<f32>, NetworkError> {
        self.check(batch)?;
        let pass = self.pass(batch, false).with_memory(memory, batch);
        let hidden = self.hidden(&pass, batch)?;
        let counts: Vec<usize> = batch.offsets.windows(2).map(|p| p[1] - p[0]).collect();
        let last = batch.offsets[1..].iter().map(|end| end - 1).collect();
        let hidden = super::operations::rows(hidden, last, batch.tokens());
        let logits = numbers(self.scores(&pass, batch, hidden))?;
        memory.borrow_mut().advance(&counts);
        Ok(logits)
    }
}

/// A row that grows.
struct Row {
    place: usize,
    ids: Vec<u32>,
    stream: random::Stream,
}

impl Row {
    fn new(place: usize, sampling: &Sampling) -> Self {
        let number = sampling.streams.get(place).copied();
        let number = number.unwrap_or(place as u64);
        Self {
            place,
            ids: Vec::new(),
            stream: random::Stream::new(sampling.seed, &format!("row {number}")),
        }
    }

    fn draw(&mut self, logits: &[f32], sampling: &Sampling) -> Result<u32, NetworkError> {
        if logits.iter().any(|logit| logit.is_nan()) {
            return Err(NetworkError::NotFinite("a logit".to_owned()));
        }
        if sampling.temperature == 0.0 {
            return Ok(largest(logits));
        }
        let chances = chances(logits, sampling);
        let total: f64 = chances.iter().map(|(_, chance)| chance).sum();
        let mut rest = self.stream.unit() * total;
        for (id, chance) in &chances {
            rest -= chance;
            if rest < 0.0 {
                return Ok(*id);
            }
        }
        Ok(chances.last().map_or(0, |(id, _)| *id))
    }
}

/// The first of the largest.
fn largest(logits: &[f32]) -> u32 {
    let mut best = 0;
    for (id, logit) in logits.iter().enumerate() {
        if *logit > logits[best] {
            best = id;
        }
    }
    best as u32
}

/// What may be drawn and how probable it is, the most probable first. As transformers: temperature, then top k, then top p.
fn chances(logits: &[f32], sampling: &Sampling) -> Vec<(u32, f64)> {
    let mut ranked: Vec<(u32, f64)> = (0u32..)
        .zip(logits)
        .map(|(id, logit)| (id, f64::from(*logit) / sampling.temperature))
        .collect();
    // Equal ones in the order of ids.
    ranked.sort_by(|a, b| b.1.total_cmp(&a.1).then(a.0.cmp(&b.0)));
    if let Some(k) = sampling.top_k {
        ranked.truncate(k);
    }
    let top = ranked.first().map_or(0.0, |(_, score)| *score);
    let total: f64 = ranked.iter().map(|(_, score)| (score - top).exp()).sum();
    let share = |score: f64| (score - top).exp() / total;
    let mut chances: Vec<(u32, f64)> = ranked
        .into_iter()
        .map(|(id, score)| (id, share(score)))
        .collect();
    if let Some(p) = sampling.top_p {
        let mut before = 0.0;
        let count = chances.iter().take_while(|(_, chance)| {
            let inside = before < p;
            before += chance;
            inside
        });
        let count = count.count().max(1);
        chances.truncate(count);
    }
    chances
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sampling(top_k: Option<usize>, top_p: Option<f64>) -> Sampling {
        Sampling {
            temperature: 1.0,
            top_k,
            top_p,
            ..Sampling::greedy(1)
        }
    }

    // Probabilities 1/2, 1/4, 1/8, 1/8: their logarithms are the logits.
    const LOGITS: [f32; 4] = [
        -2.079_441_5,
        -std::f32::consts::LN_2,
        -1.386_294_4,
        -2.079_441_5,
    ];

    #[test]
    fn narrows_to_the_most_probable() {
        let ids = |top_k, top_p| -> Vec<u32> {
            let found = chances(&LOGITS, &sampling(top_k, top_p));
            found.into_iter().map(|(id, _)| id).collect()
        };
        assert_eq!(ids(None, None), [1, 2, 0, 3]);
        assert_eq!(ids(Some(2), None), [1, 2]);
        assert_eq!(ids(None, Some(0.6)), [1, 2]);
        assert_eq!(ids(None, Some(0.4)), [1]);
        assert_eq!(ids(Some(3), Some(0.99)), [1, 2, 0]);
    }

    // Counts of n draws at p are binomial: five standard deviations hold but for one seed in two million, and it is fixed.
    #[test]
    fn draws_as_often_as_probable() {
        let n = 20_000;
        let seeded = Sampling {
            seed: 7,
            ..Sampling::greedy(1)
        };
        let mut row = Row::new(0, &seeded);
        let mut counts = [0.0; 4];
        for _ in 0..n {
            let id = row.draw(&LOGITS, &sampling(None, None)).unwrap_or(0);
            counts[id as usize] += 1.0;
        }
        for (count, p) in counts.iter().zip([0.125, 0.5, 0.25, 0.125]) {
            let mean = f64::from(n) * p;
            assert!(
                (count - mean).abs() < 5.0 * (mean * (1.0 - p)).sqrt(),
                "{counts:?}"
            );
        }
    }
}
