//! How near answers are to what they should be, by the embeddings of a base.

use std::collections::{BTreeSet, HashMap};

use super::rule::Said;
use super::{Likeness, Opinions, Rule};
use crate::eval::embeddings::{self, Embedding};
use crate::eval::report::Answer;
use crate::eval::suite::Suite;

/// An answer and the text it is compared with.
struct Pair<'a> {
    case: &'a str,
    repeat: u32,
    metric: &'a str,
    answer: &'a str,
    other: &'a str,
    with: &'a Likeness,
}

impl Opinions {
    /// Adds what `similar` graders say to `answers`, which are as many as the suite asks for, in its order.
    ///
    /// `embed` is given each text once and gives an embedding for each, or why there is none. It is not called when
    /// there is nothing to compare.
    pub fn compare<E>(
        &mut self,
        suite: &Suite,
        answers: &[Answer],
        embed: impl FnOnce(&[&str]) -> Result<Vec<Embedding>, E>,
    ) -> Result<(), E> {
        let pairs = pairs(suite, answers);
        let texts: BTreeSet<&str> = pairs.iter().flat_map(|p| [p.answer, p.other]).collect();
        if texts.is_empty() {
            return Ok(());
        }
        let texts: Vec<&str> = texts.into_iter().collect();
        let vectors: HashMap<&str, Embedding> = texts.iter().copied().zip(embed(&texts)?).collect();
        for pair in &pairs {
            self.add(pair.case, pair.repeat, pair.metric, pair.said(&vectors));
        }
        Ok(())
    }
}

fn pairs<'a>(suite: &'a Suite, answers: &'a [Answer]) -> Vec<Pair<'a>> {
    let asked = suite.asked().zip(answers);
    let texts = asked.filter_map(|((case, repeat), answer)| Some((case, repeat, answer.text()?)));
    let of = texts.flat_map(|(case, repeat, answer)| {
        suite
            .graders_of(case)
            .filter_map(move |grader| match &grader.rule {
                Rule::Similar(with) => Some(Pair {
                    case: &case.id,
                    repeat,
                    metric: &grader.metric,
                    answer,
                    other: with.other(case),
                    with,
                }),
                _ => None,
            })
    });
    of.collect()
}

impl Pair<'_> {
    fn said(&self, vectors: &HashMap<&str, Embedding>) -> Result<Said, String> {
        let vector = |what: &str, text: &str| match vectors.get(text) {
            Some(Ok(vector)) => Ok(vector.as_slice()),
            Some(Err(why)) => Err(format!("{what} cannot be embedded: {why}")),
            None => Err(format!("{what} was not embedded")),
        };
        let answer = vector("the answer", self.answer)?;
        let other = vector("what it is compared with", self.other)?;
        let cosine = embeddings::cosine(answer, other);
        let cosine = cosine.ok_or("an embedding has no direction")?;
        // Texts that point away from each other are no more unlike than those that have nothing in common.
        Ok(Said::score(cosine.clamp(0.0, 1.0), self.with.threshold))
    }
}
