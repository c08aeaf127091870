//! How good the network is on the validation split.

use super::error::TrainError;
use super::metrics::Scores;
use super::prepare::Encoded;
use crate::base::network::Classifier;
use crate::document::Decimal;
use crate::progress::Reporter;
use crate::stats::Metrics;

/// Rows of one forward pass.
const ROWS: usize = 64;

/// Scores of all rows; `None` when someone asked to stop in between.
pub(super) fn evaluate(
    classifier: &Classifier,
    rows: &Encoded,
    labels: &[String],
    reporter: &dyn Reporter,
) -> Result<Option<Scores>, TrainError> {
    let count = rows.labels().len();
    let mut answers = vec![0; count];
    let mut losses = vec![0.0; count];
    for batch in by_length(rows) {
        if reporter.interrupted() {
            return Ok(None);
        }
        let logits = classifier.logits(&rows.batch(&batch))?;
        for (row, logits) in batch.iter().zip(logits.chunks_exact(labels.len())) {
            answers[*row] = largest(logits);
            losses[*row] = cross_entropy(logits, rows.labels()[*row] as usize);
        }
    }
    let name = |number: u32| labels[number as usize].as_str();
    let pairs = rows.labels().iter().zip(&answers);
    let metrics = Metrics::of(pairs.map(|(label, answer)| (name(*label), Some(name(*answer)))));
    let metrics = metrics.map_err(|error| TrainError::Contradiction(error.to_string()))?;
    let decimal = |value: f64| {
        Decimal::new(value).map_err(|error| TrainError::Contradiction(error.to_string()))
    };
    Ok(Some(Scores {
        rows: count as u64,
        accuracy: decimal(metrics.accuracy)?,
        macro_f1: decimal(metrics.macro_f1)?,
        loss: decimal(losses.iter().sum::<f64>() / count as f64)?,
    }))
}

/// All rows, those of similar length together.
fn by_length(rows: &Encoded) -> Vec<Vec<usize>> {
    let lengths = rows.lengths();
    let mut order: Vec<usize> = (0..lengths.len()).collect();
    order.sort_by_key(|row| lengths[*row]);
    order.chunks(ROWS).map(<[_]>::to_vec).collect()
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
    fn losses_of_known_logits() {
        // ln(e¹ + e² + e³) − 3.
        let want = (1f64.exp() + 2f64.exp() + 3f64.exp()).ln() - 3.0;
        assert!((cross_entropy(&[1.0, 2.0, 3.0], 2) - want).abs() < 1e-14);
        assert!((cross_entropy(&[1000.0, 1000.0], 0) - 2f64.ln()).abs() < 1e-14);
        assert_eq!(largest(&[0.0, 2.0, 2.0]), 1);
    }
}
