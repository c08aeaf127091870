//! The passages whose embeddings are nearest to a question's.

use std::collections::HashMap;

use super::Documents;
use crate::eval::embeddings::{self, Embedding};
use crate::eval::error::EvalError;
use crate::eval::suite::Suite;

/// The embeddings of a folder's passages and of a suite's questions.
pub struct Vectors {
    passages: Vec<Vec<f32>>,
    questions: HashMap<String, Vec<f32>>,
}

impl Vectors {
    /// One for each passage, and one for each case's question, in their order.
    pub fn new(
        documents: &Documents,
        passages: Vec<Embedding>,
        suite: &Suite,
        questions: Vec<Embedding>,
    ) -> Result<Self, EvalError> {
        let refused = |what: String, why: String| {
            EvalError::NotAsked(format!("{what} cannot be embedded: {why}"))
        };
        let beginning = |text: &str| text.chars().take(40).collect::<String>();
        let passage = |(vector, text): (Embedding, &String)| {
            vector.map_err(|why| refused(format!("the passage {:?}…", beginning(text)), why))
        };
        let passages = passages.into_iter().zip(documents.passages()).map(passage);
        let cases = suite.cases().iter();
        let questions = questions.into_iter().zip(cases).map(|(vector, case)| {
            let vector = vector.map_err(|why| refused(format!("case {}", case.id), why))?;
            Ok((case.text.clone(), vector))
        });
        Ok(Self {
            passages: passages.collect::<Result<_, _>>()?,
            questions: questions.collect::<Result<_, EvalError>>()?,
        })
    }

    /// Which `k` passages have the largest cosine to the question, the largest first; of equals, the earlier.
    pub(super) fn like(&self, question: &str, k: usize) -> Vec<usize> {
        let Some(question) = self.questions.get(question) else {
            return Vec::new();
        };
        let passages = self.passages.iter().enumerate();
        let mut found: Vec<(f64, usize)> = passages
            .filter_map(|(place, passage)| Some((embeddings::cosine(question, passage)?, place)))
            .collect();
        found.sort_by(|a, b| b.0.total_cmp(&a.0).then(a.1.cmp(&b.1)));
        found.into_iter().take(k).map(|(_, place)| place).collect()
    }
}
