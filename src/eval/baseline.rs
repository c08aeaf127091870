//! Baselines that need no training: what any trained model has to beat.

use std::collections::BTreeMap;

use super::embeddings::unit;
use super::error::EvalError;
use super::report::Answer;

/// The most frequent label; of several, the first in alphabetical order. `None` when there is no label.
pub fn majority<'a>(labels: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let mut counts: BTreeMap<&str, u64> = BTreeMap::new();
    for label in labels {
        *counts.entry(label).or_default() += 1;
    }
    // `max_by_key` keeps the last of equals, so the labels go by in reverse.
    counts
        .into_iter()
        .rev()
        .max_by_key(|(_, count)| *count)
        .map(|(label, _)| label)
}

/// One unit vector per label: the direction of the mean of its examples' unit embeddings.
///
/// A text gets the label whose centroid has the largest cosine to its embedding; of several, the first in
/// alphabetical order.
#[derive(Debug, Clone)]
pub struct Centroids {
    width: usize,
    centroids: Vec<(String, Vec<f64>)>,
}

impl Centroids {
    /// From one label per row and `labels.len() × width` embedding values, row by row.
    pub fn fit(labels: &[&str], embeddings: &[f32], width: usize) -> Result<Self, EvalError> {
        let fault = |why: String| EvalError::Centroids(why);
        if labels.is_empty() || width == 0 || embeddings.len() != labels.len() * width {
            return Err(fault(format!(
                "{} values for {} rows of width {width}",
                embeddings.len(),
                labels.len()
            )));
        }
        let mut sums: BTreeMap<&str, Vec<f64>> = BTreeMap::new();
        for (row, (label, embedding)) in labels
            .iter()
            .zip(embeddings.chunks_exact(width))
            .enumerate()
        {
            let unit = unit(embedding.iter().map(|value| f64::from(*value))).ok_or_else(|| {
                fault(format!("the embedding of row {} has no direction", row + 1))
            })?;
            let sum = sums.entry(label).or_insert_with(|| vec![0.0; width]);
            sum.iter_mut()
                .zip(unit)
                .for_each(|(sum, value)| *sum += value);
        }
        let centroids = sums
            .into_iter()
            .map(|(label, sum)| match unit(sum.into_iter()) {
                Some(centroid) => Ok((label.to_owned(), centroid)),
                None => Err(fault(format!(
                    "the embeddings of label {label:?} cancel out"
                ))),
            })
            .collect::<Result<_, _>>()?;
        Ok(Self { width, centroids })
    }

    /// The labels, sorted.
    pub fn labels(&self) -> Vec<String> {
        self.centroids
            .iter()
            .map(|(label, _)| label.clone())
            .collect()
    }

    /// The label of the nearest centroid; an error for an embedding without a direction or of another width.
    pub fn answer(&self, embedding: &[f32]) -> Answer {
        if embedding.len() != self.width {
            return Answer::Error(format!(
                "an embedding of {} values instead of {}",
                embedding.len(),
                self.width
            ));
        }
        let Some(unit) = unit(embedding.iter().map(|value| f64::from(*value))) else {
            return Answer::Error("the embedding has no direction".to_owned());
        };
        let mut best: Option<(f64, &str)> = None;
        for (label, centroid) in &self.centroids {
            let cosine: f64 = centroid.iter().zip(&unit).map(|(a, b)| a * b).sum();
            if best.is_none_or(|(so_far, _)| cosine > so_far) {
                best = Some((cosine, label));
            }
        }
        match best {
            Some((_, label)) => Answer::Label(label.to_owned()),
            None => Answer::Error("there is no centroid".to_owned()),
        }
    }
}
