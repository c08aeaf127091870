//! How good the network is on the validation split.

use super::error::TrainError;
use super::job::Metric;
use super::metrics::Scores;
use super::rows::{Goals, Rows};
use crate::base::network::{Model, Sampling};
use crate::document::Decimal;
use crate::progress::Reporter;
use crate::stats::Metrics;

/// Tokens of one forward pass, at most, where a row is not longer: bounds the memory of logits.
const TOKENS: usize = 2048;

/// Scores of all rows; `None` when someone asked to stop in between.
pub(super) fn evaluate(
    model: &Model,
    rows: &Rows,
    labels: &[String],
    metric: Metric,
    reporter: &dyn Reporter,
) -> Result<Option<Scores>, TrainError> {
    match &rows.goals {
        Goals::Classes(classes) => classes_right(model, rows, classes, labels, reporter),
        Goals::Tokens(learned) => {
            let Some(scores) = tokens_told(model, rows, reporter)? else {
                return Ok(None);
            };
            if metric != Metric::ExactMatch {
                return Ok(Some(scores));
            }
            let exact = answers_written(model, rows, learned, reporter)?;
            let share = exact.map(|exact| decimal(exact as f64 / rows.count() as f64));
            Ok(share.transpose()?.map(|exact_match| Scores {
                exact_match: Some(exact_match),
                ..scores
            }))
        }
    }
}

/// The mean loss of all learned tokens, each as much as any other.
fn tokens_told(
    model: &Model,
    rows: &Rows,
    reporter: &dyn Reporter,
) -> Result<Option<Scores>, TrainError> {
    let (mut sum, mut tokens) = (0.0, 0);
    for batch in by_length(rows) {
        if reporter.interrupted() {
            return Ok(None);
        }
        let losses = model.token_losses(&rows.batch(&batch))?;
        tokens += losses.len() as u64;
        sum += losses.iter().map(|loss| f64::from(*loss)).sum::<f64>();
    }
    Ok(Some(Scores {
        rows: rows.count() as u64,
        tokens: Some(tokens),
        exact_match: None,
        accuracy: None,
        macro_f1: None,
        loss: decimal(sum / tokens as f64)?,
    }))
}

/// How many rows' last learned part is written by the model, token for token, its end included.
fn answers_written(
    model: &Model,
    rows: &Rows,
    learned: &[Vec<bool>],
    reporter: &dyn Reporter,
) -> Result<Option<usize>, TrainError> {
    let mut exact = 0;
    for batch in by_length(rows) {
        if reporter.interrupted() {
            return Ok(None);
        }
        let (prompts, answers): (Vec<Vec<u32>>, Vec<&[u32]>) = batch
            .iter()
            .map(|row| split(&rows.ids[*row], &learned[*row]))
            .unzip();
        let longest = answers.iter().map(|answer| answer.len()).max().unwrap_or(0);
        // A row goes on while it is right so far.
        let written = model.generate_while(&prompts, &Sampling::greedy(longest), |row, ids| {
            ids.len() < answers[row].len() && answers[row].starts_with(ids)
        })?;
        let right = written.iter().zip(&answers);
        exact += right
            .filter(|(written, answer)| written.ids == **answer)
            .count();
    }
    Ok(Some(exact))
}

/// What comes before the last learned part of a row, and that part.
fn split<'r>(ids: &'r [u32], learned: &[bool]) -> (Vec<u32>, &'r [u32]) {
    let end = learned.iter().rposition(|l| *l).map_or(0, |last| last + 1);
    let run = learned[..end].iter().rev().take_while(|l| **l).count();
    (ids[..end - run].to_vec(), &ids[end - run..end])
}

fn classes_right(
    model: &Model,
    rows: &Rows,
    classes: &[u32],
    labels: &[String],
    reporter: &dyn Reporter,
) -> Result<Option<Scores>, TrainError> {
    let count = rows.count();
    let mut answers = vec![0; count];
    let mut losses = vec![0.0; count];
    for batch in by_length(rows) {
        if reporter.interrupted() {
            return Ok(None);
        }
        let logits = model.logits(&rows.batch(&batch))?;
        for (row, logits) in batch.iter().zip(logits.chunks_exact(labels.len())) {
            answers[*row] = largest(logits);
            losses[*row] = cross_entropy(logits, classes[*row] as usize);
        }
    }
    let name = |number: u32| labels[number as usize].as_str();
    let pairs = classes.iter().zip(&answers);
    let metrics = Metrics::of(pairs.map(|(label, answer)| (name(*label), Some(name(*answer)))));
    let metrics = metrics.map_err(|error| TrainError::Contradiction(error.to_string()))?;
    Ok(Some(Scores {
        rows: count as u64,
        tokens: None,
        exact_match: None,
        accuracy: Some(decimal(metrics.accuracy)?),
        macro_f1: Some(decimal(metrics.macro_f1)?),
        loss: decimal(losses.iter().sum::<f64>() / count as f64)?,
    }))
}

fn decimal(value: f64) -> Result<Decimal, TrainError> {
    Decimal::new(value).map_err(|error| TrainError::Contradiction(error.to_string()))
}

/// All rows, those of similar length together.
fn by_length(rows: &Rows) -> Vec<Vec<usize>> {
    let lengths = rows.lengths();
    let mut order: Vec<usize> = (0..lengths.len()).collect();
    order.sort_by_key(|row| lengths[*row]);
    let mut batches: Vec<Vec<usize>> = Vec::new();
    let mut room = 0;
    for row in order {
        match batches.last_mut() {
            Some(last) if lengths[row] <= room => last.push(row),
            _ => {
                batches.push(vec![row]);
                room = TOKENS;
            }
        }
        room = room.saturating_sub(lengths[row]);
    }
    batches
}

/// The position of the largest logit, the first of equal ones.
fn largest(logits: &[f32]) -> u32 {
    let mut best = 0;
    for (index, logit) in logits.iter().enumerate() {
        if *logit > logits[best] {
            best = index;
        }
    }
    best as u32
}

/// −ln softmax(logits)[label], in `f64`.
fn cross_entropy(logits: &[f32], label: usize) -> f64 {
    let logits = || logits.iter().map(|logit| f64::from(*logit));
    let top = logits().fold(f64::NEG_INFINITY, f64::max);
    let sum: f64 = logits().map(|logit| (logit - top).exp()).sum();
    sum.ln() - (logits().nth(label).unwrap_or(top) - top)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_answer_is_the_last_learned_part() {
        let mask = [false, true, true, false, false, true, true, false];
        let ids = [0, 1, 2, 3, 4, 5, 6, 7];
        assert_eq!(split(&ids, &mask), (vec![0, 1, 2, 3, 4], &[5, 6][..]));
    }

    #[test]
    fn losses_of_known_logits() {
        // ln(e¹ + e² + e³) − 3.
        let want = (1f64.exp() + 2f64.exp() + 3f64.exp()).ln() - 3.0;
        assert!((cross_entropy(&[1.0, 2.0, 3.0], 2) - want).abs() < 1e-14);
        assert!((cross_entropy(&[1000.0, 1000.0], 0) - 2f64.ln()).abs() < 1e-14);
        assert_eq!(largest(&[0.0, 2.0, 2.0]), 1);
    }
}
