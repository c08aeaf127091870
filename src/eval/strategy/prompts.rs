//! Cases with more before them.

use super::documents::Index;
use super::{Documents, Strategy, Vectors};
use crate::dataset::{Example, Message, Role};
use crate::digest::Hasher;
use crate::eval::error::EvalError;
use crate::eval::suite::{Case, Suite, Task};

/// A strategy and what it draws from.
pub struct Prompting<'a> {
    /// The strategy.
    pub strategy: &'a Strategy,
    /// The rows of the training split; none where no examples are shown.
    pub rows: &'a [Example],
    /// The documents; none where no passages are given.
    pub documents: Option<&'a Documents>,
    /// The embeddings of passages and questions; none where BM25 finds the passages.
    pub vectors: Option<&'a Vectors>,
}

impl Prompting<'_> {
    /// The suite with instruction, examples and passages before the question of every case. Ids, targets and graders stay.
    ///
    /// A conversation gets the instruction as its system message and the examples as earlier turns; a prompt gets all of
    /// it as text, with an empty line between the parts.
    pub fn apply(&self, suite: &Suite) -> Result<Suite, EvalError> {
        let refused = |why: &str| EvalError::NotAsked(why.to_owned());
        suite.check_askable()?;
        if *suite.task() == Task::Classification {
            return Err(refused(
                "a strategy asks for texts, and the suite is one of labels: make it `task: generation` with a `choice` grader",
            ));
        }
        let order = self.order();
        let wanted = self.strategy.examples.map_or(0, |shots| shots.k as usize);
        if order.len() < wanted {
            let why = format!(
                "{wanted} examples are wanted; the training split has {}",
                order.len()
            );
            return Err(refused(&why));
        }
        let by_vectors = self.strategy.documents.is_some_and(|by| by.base.is_some());
        if by_vectors != self.vectors.is_some() {
            return Err(refused("the passages are to be found in another way"));
        }
        let index = self.documents.filter(|_| !by_vectors).map(Documents::index);
        let cases = suite.cases().iter().map(|case| {
            let mut shots = order.iter().filter(|row| row.question() != question(case));
            let shots: Vec<&Example> = shots.by_ref().take(wanted).copied().collect();
            let passages = self.passages(index.as_ref(), question(case));
            match case.messages.is_empty() {
                true => self.prompt(case, &shots, &passages),
                false => self.conversation(case, &shots, &passages),
            }
        });
        Suite::of(suite.name().clone(), suite.task().clone(), cases.collect())
            .map_err(|why| refused(&why))
    }

    /// The rows by the SHA-256 of seed and row, each once.
    fn order(&self) -> Vec<&Example> {
        let Some(shots) = &self.strategy.examples else {
            return Vec::new();
        };
        let key = |row: &Example| {
            let mut hasher = Hasher::new();
            hasher.update(b"retune.shot/1\n");
            hasher.update(&shots.seed.to_le_bytes());
            for part in [row.input().as_bytes(), row.output().as_bytes()] {
                hasher.update(&(part.len() as u64).to_le_bytes());
                hasher.update(part);
            }
            hasher.finish().hex()
        };
        let mut keyed: Vec<(String, &Example)> =
            self.rows.iter().map(|row| (key(row), row)).collect();
        keyed.sort_by(|a, b| a.0.cmp(&b.0));
        keyed.dedup_by(|a, b| a.0 == b.0);
        keyed.into_iter().map(|(_, row)| row).collect()
    }

    fn passages(&self, index: Option<&Index<'_>>, question: &str) -> Option<String> {
        let (documents, wanted) = self.documents.zip(self.strategy.documents.as_ref())?;
        let k = wanted.k as usize;
        let found: Vec<&str> = match (self.vectors, index) {
            (Some(vectors), _) => {
                let places = vectors.like(question, k).into_iter();
                let passages = places.filter_map(|place| documents.passages().get(place));
                passages.map(String::as_str).collect()
            }
            (None, Some(index)) => index.like(question, k),
            (None, None) => Vec::new(),
        };
        (!found.is_empty()).then(|| found.join("\n\n"))
    }

    fn prompt(&self, case: &Case, shots: &[&Example], passages: &Option<String>) -> Case {
        let shown = shots.iter().map(|row| {
            let (asked, answer) = (row.input(), row.output());
            // What already ends or begins with a blank is put together as it is; labels are not.
            let joined =
                asked.ends_with(char::is_whitespace) || answer.starts_with(char::is_whitespace);
            let between = if joined { "" } else { " " };
            format!("{asked}{between}{}", answer.trim_end())
        });
        let first = self.strategy.instruction.iter().chain(passages).cloned();
        let mut parts: Vec<String> = first.chain(shown).collect();
        parts.push(case.text.clone());
        Case {
            text: parts.join("\n\n"),
            ..case.clone()
        }
    }

    fn conversation(&self, case: &Case, shots: &[&Example], passages: &Option<String>) -> Case {
        let say = |role, content: &str| Message {
            role,
            content: content.to_owned(),
        };
        let mut own = case.messages.as_slice();
        let mut scene: Vec<&str> = self
            .strategy
            .instruction
            .iter()
            .map(String::as_str)
            .collect();
        if let [first, rest @ ..] = own
            && first.role == Role::System
        {
            scene.push(&first.content);
            own = rest;
        }
        scene.extend(passages.as_deref());
        let mut messages = Vec::new();
        if !scene.is_empty() {
            messages.push(say(Role::System, &scene.join("\n\n")));
        }
        for row in shots {
            messages.push(say(Role::User, row.question()));
            messages.push(say(Role::Assistant, row.output()));
        }
        messages.extend_from_slice(own);
        Case {
            messages,
            ..case.clone()
        }
    }
}

fn question(case: &Case) -> &str {
    &case.text
}
