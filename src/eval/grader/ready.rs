//! Graders with everything made that they need: expressions compiled, schemas read.

use std::collections::BTreeMap;

use jsonschema::Validator;
use regex::Regex;
use serde_json::Value;

use super::rule::Said;
use super::{Grader, Grades, Opinions, Rule, command};
use crate::document::Decimal;
use crate::eval::suite::Case;

/// What a rule needs beside the answer.
#[derive(Debug)]
pub(in crate::eval) enum Tool {
    /// Nothing.
    None,
    /// An expression.
    Expression(Regex),
    /// A schema.
    Schema(Box<Validator>),
}

/// Where graders find what the answer alone does not say.
#[derive(Debug, Clone, Copy)]
pub(in crate::eval) enum Hearing<'a> {
    /// In the report: nothing is run and nobody is asked.
    Stored,
    /// Programs are run; what others say to this repeat was collected before.
    Fresh { opinions: &'a Opinions, repeat: u32 },
}

/// Graders, ready to grade.
#[derive(Debug)]
pub(in crate::eval) struct Marker<'a> {
    graders: Vec<(&'a Grader, Tool)>,
}

impl Tool {
    /// Makes what a rule needs, or says what is wrong with the rule.
    pub(in crate::eval) fn of(rule: &Rule) -> Result<Self, String> {
        match rule {
            Rule::Regex { value } => {
                let made = Regex::new(value).map_err(|error| error.to_string())?;
                Ok(Self::Expression(made))
            }
            Rule::IsJson {
                schema: Some(schema),
            }
            | Rule::ContainsJson {
                schema: Some(schema),
            } => {
                let schema: Value =
                    serde_json::from_str(schema).map_err(|error| error.to_string())?;
                let made = jsonschema::validator_for(&schema);
                let made = made.map_err(|error| format!("not a JSON Schema: {error}"))?;
                Ok(Self::Schema(Box::new(made)))
            }
            _ => Ok(Self::None),
        }
    }

    pub(super) fn matches(&self, text: &str) -> bool {
        matches!(self, Self::Expression(expression) if expression.is_match(text))
    }

    /// Whether a value is valid; everything is where there is no schema.
    pub(super) fn allows(&self, value: &Value) -> bool {
        match self {
            Self::Schema(schema) => schema.is_valid(value),
            _ => true,
        }
    }
}

impl<'a> Marker<'a> {
    pub(in crate::eval) fn new(graders: &'a [Grader]) -> Result<Self, String> {
        let ready = graders.iter().map(|grader| {
            let tool = Tool::of(&grader.rule);
            let tool = tool.map_err(|why| format!("grader {}: {why}", grader.metric))?;
            Ok((grader, tool))
        });
        Ok(Self {
            graders: ready.collect::<Result<_, String>>()?,
        })
    }

    /// What the suite's graders and the case's own say to an answer; an error when one cannot say anything.
    pub(in crate::eval) fn grade(
        &self,
        case: &Case,
        output: &str,
        measures: &BTreeMap<String, Decimal>,
        hearing: Hearing<'_>,
    ) -> Result<Grades, String> {
        let own = Marker::new(&case.graders)?;
        let mut said = Vec::new();
        for (grader, tool) in self.graders.iter().chain(&own.graders) {
            let asked = ask(grader, tool, case, output, measures, hearing);
            let asked = asked.map_err(|why| format!("grader {}: {why}", grader.metric))?;
            said.push((*grader, asked));
        }
        Ok(sum_up(&said, case.threshold))
    }
}

fn ask(
    grader: &Grader,
    tool: &Tool,
    case: &Case,
    output: &str,
    measures: &BTreeMap<String, Decimal>,
    hearing: Hearing<'_>,
) -> Result<Said, String> {
    let most = |name: &str, most: Decimal| {
        let found = measures
            .get(name)
            .ok_or(format!("{name} was not measured"))?;
        Ok::<_, String>(Said::of(found.get() <= most.get()))
    };
    let said = match (&grader.rule, hearing) {
        (Rule::Latency { threshold }, _) => most("latency_ms", *threshold)?,
        (Rule::Cost { threshold }, _) => most("cost_usd", *threshold)?,
        (rule, Hearing::Stored) if !rule.is_replayable() => return stored(grader, measures),
        (Rule::Command { argv, timeout_s }, _) => command::ask(argv, *timeout_s, case, output)?,
        (
            Rule::Similar(_) | Rule::LlmRubric { .. } | Rule::Pairwise { .. },
            Hearing::Fresh { opinions, repeat },
        ) => opinions.of(&case.id, repeat, &grader.metric)?,
        (rule, _) => rule.read(tool, case, output),
    };
    Ok(match grader.not {
        false => said,
        true => Said {
            pass: !said.pass,
            score: 1.0 - said.score,
            reason: said.reason,
        },
    })
}

/// What was said when the report was made; it has been turned already where the opposite is demanded.
fn stored(grader: &Grader, measures: &BTreeMap<String, Decimal>) -> Result<Said, String> {
    let score = |name: &str| Some(measures.get(name)?.get());
    let pass = score(&format!("{}.pass", grader.metric));
    Ok(Said {
        pass: pass.ok_or("what it said is not stored")? == 1.0,
        score: score(&grader.metric).unwrap_or_default(),
        reason: None,
    })
}

/// One verdict of all; without a demand nothing is right.
fn sum_up(said: &[(&Grader, Said)], threshold: Option<Decimal>) -> Grades {
    let mut grades = Grades::default();
    let decimal = |value: f64| Decimal::new(value).unwrap_or_default();
    let mut by_metric: BTreeMap<&str, Vec<(&Grader, &Said)>> = BTreeMap::new();
    for (grader, said) in said {
        by_metric
            .entry(&grader.metric)
            .or_default()
            .push((grader, said));
    }
    for (metric, said) in by_metric {
        let sum: f64 = said.iter().map(|(_, said)| said.score).sum();
        let score = decimal(sum / said.len() as f64);
        if said.len() > 1 || said[0].0.rule.is_graded() {
            let pass = said.iter().all(|(_, said)| said.pass);
            let name = format!("{metric}.pass");
            grades.scores.insert(name, decimal(f64::from(pass)));
        }
        grades.scores.insert(metric.to_owned(), score);
        let reasons = said.iter().filter(|(_, said)| !said.pass);
        let reason: Vec<&str> = reasons
            .filter_map(|(_, said)| said.reason.as_deref())
            .collect();
        if !reason.is_empty() {
            grades.notes.insert(metric.to_owned(), reason.join("; "));
        }
    }
    let weights: f64 = said.iter().map(|(grader, _)| grader.weight()).sum();
    let mut demands = said.iter().filter(|(grader, _)| grader.weight() > 0.0);
    grades.passed = match threshold {
        _ if weights <= 0.0 => false,
        Some(least) => {
            let score = |(grader, said): &(&Grader, Said)| grader.weight() * said.score;
            said.iter().map(score).sum::<f64>() / weights >= least.get()
        }
        None => demands.all(|(_, said)| said.pass),
    };
    grades
}
