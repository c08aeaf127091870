//! Accuracy and F1, as scikit-learn 1.x computes them.

use std::collections::BTreeMap;

use super::error::StatsError;

/// How well predicted labels agree with expected ones.
#[derive(Debug, Clone, PartialEq)]
pub struct Metrics {
    /// The share of cases whose predicted label is the expected one.
    pub accuracy: f64,
    /// The plain mean of the F1 of every label that is expected or predicted somewhere.
    pub macro_f1: f64,
    /// By label.
    pub per_label: BTreeMap<String, LabelMetrics>,
}

/// How well one label is predicted. A share of nothing is 0.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct LabelMetrics {
    /// Of the cases predicted to have this label, the share that has it.
    pub precision: f64,
    /// Of the cases that have this label, the share predicted to have it.
    pub recall: f64,
    /// The harmonic mean of precision and recall.
    pub f1: f64,
    /// The number of cases that have this label.
    pub support: u64,
}

#[derive(Default)]
struct Counts {
    expected: u64,
    predicted: u64,
    hits: u64,
}

impl Metrics {
    /// From pairs (expected label, predicted label). A case without a prediction counts as wrong, never as absent.
    pub fn of<'a>(
        cases: impl IntoIterator<Item = (&'a str, Option<&'a str>)>,
    ) -> Result<Self, StatsError> {
        let mut labels: BTreeMap<&str, Counts> = BTreeMap::new();
        let (mut n, mut hits) = (0u64, 0u64);
        for (expected, predicted) in cases {
            n += 1;
            let hit = u64::from(predicted == Some(expected));
            hits += hit;
            let counts = labels.entry(expected).or_default();
            counts.expected += 1;
            counts.hits += hit;
            if let Some(predicted) = predicted {
                labels.entry(predicted).or_default().predicted += 1;
            }
        }
        if n == 0 {
            return Err(StatsError::Empty);
        }
        let per_label: BTreeMap<String, LabelMetrics> = labels
            .iter()
            .map(|(label, counts)| ((*label).to_owned(), LabelMetrics::of(counts)))
            .collect();
        let sum: f64 = per_label.values().map(|label| label.f1).sum();
        Ok(Self {
            accuracy: share(hits, n),
            macro_f1: sum / per_label.len() as f64,
            per_label,
        })
    }
}

impl LabelMetrics {
    fn of(counts: &Counts) -> Self {
        Self {
            precision: share(counts.hits, counts.predicted),
            recall: share(counts.hits, counts.expected),
            f1: share(2 * counts.hits, counts.expected + counts.predicted),
            support: counts.expected,
        }
    }
}

fn share(part: u64, whole: u64) -> f64 {
    if whole == 0 {
        0.0
    } else {
        part as f64 / whole as f64
    }
}
