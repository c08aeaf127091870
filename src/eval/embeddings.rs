//! Vectors that stand for texts, and how near two of them are.

/// The vector of one text, or why it has none.
pub type Embedding = Result<Vec<f32>, String>;

/// The cosine of the angle between two vectors; `None` where one has no direction or they have not the same length.
///
/// Of mean-pooled hidden states this is what sentence-transformers calls the cosine similarity of normalised embeddings.
pub fn cosine(one: &[f32], other: &[f32]) -> Option<f64> {
    if one.len() != other.len() {
        return None;
    }
    let [one, other] =
        [one, other].map(|vector| unit(vector.iter().map(|value| f64::from(*value))));
    Some(one?.iter().zip(other?).map(|(a, b)| a * b).sum())
}

/// The vector scaled to length 1; `None` when its length is zero or not finite.
pub(super) fn unit(values: impl Iterator<Item = f64>) -> Option<Vec<f64>> {
    let values: Vec<f64> = values.collect();
    let length = values.iter().map(|value| value * value).sum::<f64>().sqrt();
    (length.is_finite() && length > 0.0).then(|| values.into_iter().map(|v| v / length).collect())
}
