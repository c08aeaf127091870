//! What a model did elsewhere, whoever measured it: one suite and one report.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};

use super::file::{self, File};
use super::{Choice, absent, listed};
use crate::digest::Digest;
use crate::document::{Decimal, Fault, Faults};
use crate::eval::error::EvalError;
use crate::eval::report::{CaseResult, MEASURED, Report};
use crate::eval::scored::Scored;
use crate::eval::subject::Subject;
use crate::eval::suite::{Case, Suite, Task};
use crate::eval::suite_rows::checked_id;
use crate::eval::target::{Served, Target};
use crate::name::SuiteName;

/// What one model did on the cases of another tool, and what the tool made of it.
#[derive(Debug)]
pub struct Results {
    log: Log,
    scored: Scored,
    /// Sorted by id.
    cases: Vec<Case>,
    /// As many for each case as there are repeats, in the order of the cases.
    answers: Vec<CaseResult>,
}

/// What a log says of itself.
#[derive(Debug, Default)]
pub(super) struct Log {
    pub(super) tool: &'static str,
    pub(super) version: Option<String>,
    /// What the suite is called there.
    pub(super) name: Option<String>,
    /// What answered.
    pub(super) model: Option<String>,
    pub(super) revision: Option<String>,
    pub(super) files: Vec<Digest>,
    /// What else it says about asking and scoring.
    pub(super) terms: BTreeMap<String, String>,
    /// The metric that says whether a case is right, where the tool itself says so.
    pub(super) right: Option<&'static str>,
    /// The model ids that replies named, and how many did.
    pub(super) answered_by: BTreeMap<String, u64>,
    /// What was left out, for people.
    pub(super) notes: BTreeSet<String>,
}

/// One answer, as the tool scored it.
pub(super) struct Row {
    /// Where it stands; its message is empty.
    pub(super) place: Fault,
    /// What was asked, and in `label` what is right.
    pub(super) case: Case,
    pub(super) repeat: u32,
    pub(super) output: Option<String>,
    pub(super) error: Option<String>,
    /// Scores, and `latency_ms` and `cost_usd` where they were measured.
    pub(super) measures: BTreeMap<String, Decimal>,
    /// What else was part of asking and grading this case.
    pub(super) terms: Value,
}

impl Row {
    pub(super) fn fault(&self, message: impl Into<String>) -> Fault {
        Fault {
            message: message.into(),
            ..self.place.clone()
        }
    }
}

impl Results {
    /// The answers of one model. Faulty: ids that are none, answers that are there twice or not at all, a case that is
    /// two, and a metric that nobody chose.
    pub(super) fn new(
        file: &File,
        log: Log,
        rows: Vec<Row>,
        choice: &Choice,
    ) -> Result<Self, Faults> {
        if rows.is_empty() {
            return Err(file.whole("there is no scored answer in it").into());
        }
        let right =
            right(&rows, log.right, choice.metric.as_deref()).map_err(|why| file.whole(why))?;
        let mut faults = Vec::new();
        let mut met: BTreeMap<String, BTreeMap<u32, Row>> = BTreeMap::new();
        for row in rows {
            if let Err(why) = checked_id(row.case.id.clone()) {
                faults.push(row.fault(why));
                continue;
            }
            let answers = met.entry(row.case.id.clone()).or_default();
            match answers.values().next() {
                Some(_) if answers.contains_key(&row.repeat) => {
                    faults.push(row.fault(format!("{} is there already", named(&row))));
                }
                Some(other) if (&other.case, &other.terms) != (&row.case, &row.terms) => {
                    let message = format!(
                        "case {:?} is another one elsewhere in the file",
                        row.case.id
                    );
                    faults.push(row.fault(message));
                }
                _ => drop(answers.insert(row.repeat, row)),
            }
        }
        let last = met
            .values()
            .filter_map(|answers| answers.keys().next_back())
            .max();
        let repeats = last.copied().unwrap_or_default().saturating_add(1);
        for answers in met.values() {
            if let (Some(row), true) = (
                answers.values().next(),
                answers.len() as u64 != u64::from(repeats),
            ) {
                let (found, id) = (answers.len(), &row.case.id);
                faults.push(row.fault(format!("case {id:?} has {found} of {repeats} answers")));
            }
        }
        file::check(faults)?;
        let mut results = Self {
            scored: Scored {
                tool: log.tool.to_owned(),
                version: log.version.clone(),
                right,
                terms: log.terms.clone(),
                repeats,
            },
            log,
            cases: Vec::new(),
            answers: Vec::new(),
        };
        results.take(met);
        Ok(results)
    }

    fn take(&mut self, met: BTreeMap<String, BTreeMap<u32, Row>>) {
        let mut terms = Vec::new();
        for (id, answers) in met {
            for (index, row) in answers.into_values().enumerate() {
                let answer = self.answer(&row);
                self.answers.push(answer);
                if index == 0 {
                    terms.push(json!([id, row.terms]));
                    self.cases.push(row.case);
                }
            }
        }
        if terms.iter().any(|pair| !pair[1].is_null()) {
            let digest = Digest::of(Value::Array(terms).to_string().as_bytes());
            self.scored
                .terms
                .insert("asked".to_owned(), digest.to_string());
        }
    }

    fn answer(&self, row: &Row) -> CaseResult {
        let broken = row.error.is_some();
        let mut answer = CaseResult {
            id: row.case.id.clone(),
            repeat: row.repeat,
            expected: row.case.label.clone(),
            predicted: row.output.clone().filter(|_| !broken),
            correct: false,
            error: row.error.clone(),
            // An error has no score, whatever the tool made of it.
            measures: if broken {
                BTreeMap::new()
            } else {
                row.measures.clone()
            },
            notes: BTreeMap::new(),
        };
        answer.correct = answer.is_right_by(&self.scored);
        answer
    }

    /// What the suite is called there, in the letters that names have.
    pub fn name(&self) -> Option<SuiteName> {
        self.log.name.as_deref().and_then(file::suite_name)
    }

    /// What answered, as the log calls it.
    pub fn subject(&self) -> Option<Subject> {
        Some(Subject::Named {
            model: self.log.model.clone()?,
            revision: self.log.revision.clone(),
        })
    }

    /// What was left out, for people.
    pub fn notes(&self) -> impl Iterator<Item = &str> {
        self.log.notes.iter().map(String::as_str)
    }

    /// Where the answers and scores come from.
    pub fn source(&self) -> Target {
        Target::Log {
            tool: self.log.tool.to_owned(),
            version: self.log.version.clone(),
            model: self.log.model.clone(),
            files: self.log.files.clone(),
        }
    }

    /// The suite under a name, and the report that `subject` answered so.
    pub fn report(&self, name: SuiteName, subject: Subject) -> Result<(Suite, Report), EvalError> {
        let suite = Suite::of(name, Task::Scored(self.scored.clone()), self.cases.clone());
        let suite = suite.map_err(|why| EvalError::Import(File::empty().whole(why).into()))?;
        let served = Served {
            target: self.source(),
            answered_by: self.log.answered_by.clone(),
            cached: 0,
        };
        let report = Report::scored(&suite, subject, self.answers.clone(), served)?;
        Ok((suite, report))
    }
}

fn named(row: &Row) -> String {
    match row.repeat {
        0 => format!("an answer to case {:?}", row.case.id),
        repeat => format!("answer {repeat} to case {:?}", row.case.id),
    }
}

/// The metric that says whether a case is right: the one asked for, the tool's own, or the only one.
fn right(rows: &[Row], own: Option<&str>, asked: Option<&str>) -> Result<String, String> {
    let all = rows.iter().flat_map(|row| row.measures.keys());
    let names: BTreeSet<&str> = all
        .map(String::as_str)
        .filter(|name| !MEASURED.contains(name))
        .collect();
    match (asked, own) {
        (Some(asked), _) if names.contains(asked) => Ok(asked.to_owned()),
        (Some(asked), _) => Err(absent("metric", asked, &names)),
        (None, Some(own)) => Ok(own.to_owned()),
        (None, None) => match names.iter().collect::<Vec<_>>()[..] {
            [only] => Ok((*only).to_owned()),
            [] => Err("no answer has a score".to_owned()),
            _ => Err(format!(
                "which metric says whether a case is right? say --metric, one of {}",
                listed(&names)
            )),
        },
    }
}
