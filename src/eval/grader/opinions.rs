//! What graders say that cannot be read off an answer, collected before it is graded.

use std::collections::HashMap;

use super::rule::Said;

/// By case, repeat and metric what is said to an answer, or why nothing is.
#[derive(Debug, Default)]
pub struct Opinions {
    said: HashMap<(String, u32, String), Result<Said, String>>,
}

impl Opinions {
    pub(in crate::eval) fn add(
        &mut self,
        case: &str,
        repeat: u32,
        metric: &str,
        said: Result<Said, String>,
    ) {
        let key = (case.to_owned(), repeat, metric.to_owned());
        self.said.insert(key, said);
    }

    pub(super) fn of(&self, case: &str, repeat: u32, metric: &str) -> Result<Said, String> {
        let key = (case.to_owned(), repeat, metric.to_owned());
        let said = self.said.get(&key).cloned();
        said.unwrap_or_else(|| Err("nobody was asked".to_owned()))
    }
}
