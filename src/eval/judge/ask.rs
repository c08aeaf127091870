//! Asking a judge, over the same wire as any other endpoint.

use std::collections::BTreeMap;

use super::question::TIE;
use super::{Agreement, JudgeFile, Judged, question};
use crate::dataset::Message;
use crate::eval::error::EvalError;
use crate::eval::generation::{Generation, Settings};
use crate::eval::grader::{Opinions, Rule, Said};
use crate::eval::report::Answer;
use crate::eval::subject::Subject;
use crate::eval::suite::{Case, Suite, Task};
use crate::eval::target::{Answered, Circumstances, Served};

/// What a judge said to the answers of a suite.
#[derive(Debug)]
pub struct Verdicts {
    /// Who said it, and how well that agrees with people.
    pub judged: Judged,
    /// How many verdicts are missing because calls failed in a way that may pass, or because a limit was reached.
    pub unanswered: u64,
    /// Why the first of them is.
    pub why: Option<String>,
    answered: Option<Answered>,
}

/// Something to judge, and what the judge is asked about it: once, in two orders, or not at all where it is plain.
struct Matter<'a> {
    about: About<'a>,
    asked: Vec<Vec<Message>>,
    /// Why there is nothing to judge.
    void: Option<String>,
}

/// What a verdict is about.
#[derive(Clone, Copy)]
enum About<'a> {
    Answer {
        case: &'a str,
        repeat: u32,
        metric: &'a str,
    },
    /// A case that people have judged, and what they said.
    Known { metric: &'a str, pass: bool },
}

impl Verdicts {
    /// Removes the journal: the verdicts are in a stored report now.
    pub fn settle(&self) -> Result<(), EvalError> {
        self.answered.as_ref().map_or(Ok(()), Answered::settle)
    }
}

impl JudgeFile {
    /// Has every answer judged by every rubric of its case, and every calibration case; adds the verdicts to `opinions`.
    ///
    /// `answers` are as many as the suite asks for, in its order; those that are errors are not judged. A verdict that
    /// cannot be read is an opinion that says so.
    pub fn ask(
        &self,
        suite: &Suite,
        answers: &[Answer],
        opinions: &mut Opinions,
        about: &Circumstances<'_>,
    ) -> Result<Verdicts, EvalError> {
        let target = self.file.target.unpriced();
        let matters = self.matters(suite, answers)?;
        let (answered, said) = match self.asked(suite, &matters)? {
            None => (None, Vec::new()),
            Some(asked) => {
                let subject = Subject::Target {
                    target: Box::new(target.clone()),
                };
                let answered = self.file.answer(&asked, &subject, about)?;
                let said = answered.answers.clone();
                (Some(answered), said)
            }
        };
        let mut agreement: BTreeMap<String, Agreement> = BTreeMap::new();
        let mut rest = said.as_slice();
        for matter in &matters {
            let (own, others) = rest.split_at(matter.asked.len().min(rest.len()));
            rest = others;
            let said = matter.read(own);
            match matter.about {
                About::Answer {
                    case,
                    repeat,
                    metric,
                } => opinions.add(case, repeat, metric, said),
                About::Known { metric, pass } => {
                    let judge = said.ok().filter(|said| said.score != TIE || own.len() == 1);
                    let judge = judge.map(|said| said.pass);
                    agreement
                        .entry(metric.to_owned())
                        .or_default()
                        .add(pass, judge);
                }
            }
        }
        // What a verdict cost and whether it was kept from earlier says nothing about the answers.
        let served = answered
            .as_ref()
            .map(|answered| answered.served.answered_by.clone());
        let by = Served {
            target,
            answered_by: served.unwrap_or_default(),
            cached: 0,
        };
        Ok(Verdicts {
            judged: Judged { by, agreement },
            unanswered: answered.as_ref().map_or(0, |answered| answered.unanswered),
            why: answered.as_ref().and_then(|answered| answered.why.clone()),
            answered,
        })
    }

    /// Every answer by every rubric of its case, then the calibration cases.
    fn matters<'a>(
        &'a self,
        suite: &'a Suite,
        answers: &'a [Answer],
    ) -> Result<Vec<Matter<'a>>, EvalError> {
        let mut matters = Vec::new();
        for (place, ((case, repeat), answer)) in suite.asked().zip(answers).enumerate() {
            let Some(text) = answer.text() else { continue };
            for grader in suite.graders_of(case) {
                let about = About::Answer {
                    case: &case.id,
                    repeat,
                    metric: &grader.metric,
                };
                let matter = match &grader.rule {
                    Rule::LlmRubric { value } => {
                        let rubric = value.as_ref().unwrap_or(&case.label);
                        Matter::single(about, rubric, case, text)
                    }
                    Rule::Pairwise { value } => match self.other(place) {
                        Some(Answer::Error(why)) => Ok(Matter::void(about, why)),
                        Some(other) => {
                            let other = other.text().unwrap_or_default();
                            Matter::pair(about, value, case, [text, other])
                        }
                        None => Ok(Matter::void(about, "it is not recorded")),
                    },
                    _ => continue,
                };
                matters.push(matter.map_err(EvalError::Judge)?);
            }
        }
        for row in self.rows() {
            let about = About::Known {
                metric: &row.metric,
                pass: row.pass,
            };
            let (rubric, case, output) = (&row.rubric, &row.case, row.output.as_str());
            let matter = match &row.other {
                None => Matter::single(about, rubric, case, output),
                Some(other) => Matter::pair(about, rubric, case, [output, other]),
            };
            matters.push(matter.map_err(EvalError::Judge)?);
        }
        Ok(matters)
    }

    /// All questions as a suite, numbered so that they keep their order; `None` where there is none.
    fn asked(&self, suite: &Suite, matters: &[Matter<'_>]) -> Result<Option<Suite>, EvalError> {
        let task = Task::Generation(Generation {
            settings: Settings {
                max_tokens: self.max_tokens,
                ..Settings::default()
            },
            graders: Vec::new(),
            repeats: 1,
            embeddings: None,
            judge: None,
        });
        let questions = matters.iter().flat_map(|matter| &matter.asked);
        let case = |(number, messages): (usize, &Vec<Message>)| Case {
            id: format!("{number:08}"),
            messages: messages.clone(),
            ..Case::default()
        };
        let cases: Vec<Case> = questions.enumerate().map(case).collect();
        if cases.is_empty() {
            return Ok(None);
        }
        let asked = Suite::of(suite.name().clone(), task, cases);
        asked.map(Some).map_err(EvalError::Judge)
    }
}

impl<'a> Matter<'a> {
    fn single(about: About<'a>, rubric: &str, case: &Case, text: &str) -> Result<Self, String> {
        Ok(Self {
            about,
            asked: vec![question::ask(rubric, case, text)?],
            void: None,
        })
    }

    fn pair(
        about: About<'a>,
        criterion: &str,
        case: &Case,
        [text, other]: [&str; 2],
    ) -> Result<Self, String> {
        let asked = match text == other {
            true => Vec::new(),
            false => vec![
                question::compare(criterion, case, [text, other])?,
                question::compare(criterion, case, [other, text])?,
            ],
        };
        Ok(Self {
            about,
            asked,
            void: None,
        })
    }

    fn void(about: About<'a>, why: &str) -> Self {
        Self {
            about,
            asked: Vec::new(),
            void: Some(format!("there is no answer to compare with: {why}")),
        }
    }

    /// The verdict in the answers to its questions.
    fn read(&self, answers: &[Answer]) -> Result<Said, String> {
        match (&self.void, answers) {
            (Some(why), _) => Err(why.clone()),
            (None, [only]) => question::read(only),
            (None, [straight, swapped]) => question::read_pair(straight, swapped),
            (None, []) if self.asked.is_empty() => Ok(question::tie()),
            _ => Err("it was not judged".to_owned()),
        }
    }
}
