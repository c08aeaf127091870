//! Demands as suite files spell them: promptfoo's `assert` entries, and a few more types.

use std::path::Path;

use serde::Deserialize;
use serde_json::Value;

use super::grader::{Grader, Likeness, Normalise, Rule, Tool};
use super::template::{self, Vars};
use crate::document::{Decimal, suggest};

/// What promptfoo takes for ROUGE, embeddings, BLEU and Levenshtein where nothing is said.
const ROUGE: f64 = 0.75;
const SIMILAR: f64 = 0.75;
const BLEU: f64 = 0.5;
const DISTANCE: f64 = 5.0;
/// Seconds that a program has where nothing is said.
const TIMEOUT: u32 = 60;

const TYPES: [&str; 25] = [
    "equals",
    "equals-json",
    "contains",
    "contains-any",
    "contains-all",
    "icontains",
    "icontains-any",
    "icontains-all",
    "starts-with",
    "regex",
    "is-json",
    "contains-json",
    "numeric",
    "choice",
    "set-f1",
    "token-f1",
    "rouge-l",
    "levenshtein",
    "bleu",
    "similar",
    "llm-rubric",
    "pairwise",
    "command",
    "latency",
    "cost",
];

/// One entry of `assert`.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawAssert {
    #[serde(rename = "type")]
    kind: String,
    value: Option<Value>,
    threshold: Option<f64>,
    metric: Option<String>,
    weight: Option<f64>,
    normalize: Option<Vec<Normalise>>,
    tolerance: Option<f64>,
    relative_tolerance: Option<f64>,
    choices: Option<Vec<String>>,
    command: Option<Vec<String>>,
    timeout_s: Option<u32>,
}

/// What entries may name.
pub(super) struct Context<'a> {
    /// What is filled in; `None` leaves everything but `{{target}}` to be filled in for each case.
    pub(super) vars: Option<&'a Vars>,
    /// Where `file://` begins.
    pub(super) dir: &'a Path,
    /// Whether the suite names a base that embeds.
    pub(super) embeds: bool,
    /// Whether the suite names a judge.
    pub(super) judges: bool,
}

impl RawAssert {
    /// Whether it says something else for each case.
    pub(super) fn is_template(&self) -> bool {
        let texts: Vec<&Value> = match &self.value {
            Some(Value::Array(items)) => items.iter().collect(),
            Some(value) => vec![value],
            None => Vec::new(),
        };
        let text = |value: &&Value| value.as_str().is_some_and(template::is_template);
        texts.iter().any(text) && !self.is_target()
    }

    fn is_target(&self) -> bool {
        let text = self.value.as_ref().and_then(Value::as_str);
        text.is_some_and(|text| {
            let name = text
                .strip_prefix("{{")
                .and_then(|rest| rest.strip_suffix("}}"));
            name.is_some_and(|name| name.trim() == "target")
        })
    }

    /// The grader that it asks for, or what is wrong with it.
    pub(super) fn grader(&self, context: &Context<'_>) -> Result<Grader, String> {
        let (not, kind) = match self.kind.strip_prefix("not-") {
            Some(kind) => (true, kind),
            None => (false, self.kind.as_str()),
        };
        let rule = self.rule(kind, context)?;
        Tool::of(&rule)?;
        self.check_keys(&rule)?;
        let metric = match &self.metric {
            Some(metric) => checked_metric(metric)?,
            None => self.kind.replace('-', "_"),
        };
        let weight = self.weight.filter(|weight| *weight != 1.0);
        if weight.is_some_and(|weight| !(weight.is_finite() && weight >= 0.0)) {
            return Err("`weight` must be at least 0".to_owned());
        }
        Ok(Grader {
            not,
            weight: weight.map(decimal).transpose()?,
            ..Grader::new(metric, rule)
        })
    }

    fn rule(&self, kind: &str, context: &Context<'_>) -> Result<Rule, String> {
        let ignore_case = kind.starts_with('i') && kind != "is-json";
        let contains = |values: Vec<String>, all: bool| Rule::Contains {
            values,
            all,
            ignore_case,
        };
        Ok(match kind {
            "equals" if matches!(self.value, Some(Value::Object(_) | Value::Array(_))) => {
                let value = self.value.as_ref().map(Value::to_string);
                Rule::EqualsJson { value }
            }
            "equals" => Rule::Equals {
                value: self.text(context)?,
                normalise: self.normalize.clone().unwrap_or_default(),
            },
            "equals-json" => {
                let value = match &self.value {
                    Some(Value::String(_)) | None => self.text(context)?,
                    Some(other) => Some(other.to_string()),
                };
                if let Some(text) = &value {
                    serde_json::from_str::<Value>(text)
                        .map_err(|e| format!("`value` is not JSON: {e}"))?;
                }
                Rule::EqualsJson { value }
            }
            "contains" | "icontains" => contains(self.text(context)?.into_iter().collect(), false),
            "contains-any" | "icontains-any" => contains(self.texts(context)?, false),
            "contains-all" | "icontains-all" => contains(self.texts(context)?, true),
            "starts-with" => Rule::StartsWith {
                value: self.text(context)?,
            },
            "regex" => Rule::Regex {
                value: self.text(context)?.ok_or("say `value`: the expression")?,
            },
            "is-json" => Rule::IsJson {
                schema: self.schema(context)?,
            },
            "contains-json" => Rule::ContainsJson {
                schema: self.schema(context)?,
            },
            "numeric" => self.numeric(context)?,
            "choice" => self.choice(context)?,
            "set-f1" => Rule::SetF1(self.likeness(None, context)?),
            "token-f1" => Rule::TokenF1(self.likeness(None, context)?),
            "rouge-l" => Rule::RougeL(self.likeness(Some(ROUGE), context)?),
            "bleu" => Rule::Bleu(self.likeness(Some(BLEU), context)?),
            "similar" if !context.embeds => {
                return Err(
                    "the suite has to name the base that embeds: `embeddings: NAME@sha256:…`"
                        .to_owned(),
                );
            }
            "similar" => Rule::Similar(self.likeness(Some(SIMILAR), context)?),
            "llm-rubric" | "pairwise" if !context.judges => {
                return Err("the suite has to name who judges: `judge: {target: FILE}`".to_owned());
            }
            "llm-rubric" if self.value.is_none() => {
                return Err("say `value`: the rubric".to_owned());
            }
            "llm-rubric" => Rule::LlmRubric {
                value: self.text(context)?,
            },
            "pairwise" => Rule::Pairwise {
                value: self.text(context)?.ok_or("say `value`: what is better")?,
            },
            "levenshtein" => {
                let most = self.threshold.unwrap_or(DISTANCE);
                if !(0.0..1e9).contains(&most) || most.fract() != 0.0 {
                    return Err("`threshold` is a number of characters".to_owned());
                }
                Rule::Levenshtein {
                    value: self.text(context)?,
                    threshold: most as u64,
                }
            }
            "command" => self.program()?,
            "latency" => Rule::Latency {
                threshold: self.most("milliseconds")?,
            },
            "cost" => Rule::Cost {
                threshold: self.most("US dollars")?,
            },
            other => return Err(unknown(other)),
        })
    }

    /// Keys that mean nothing for a rule are slips.
    fn check_keys(&self, rule: &Rule) -> Result<(), String> {
        let takes_threshold = matches!(
            rule,
            Rule::SetF1(_)
                | Rule::TokenF1(_)
                | Rule::RougeL(_)
                | Rule::Bleu(_)
                | Rule::Similar(_)
                | Rule::Levenshtein { .. }
                | Rule::Latency { .. }
                | Rule::Cost { .. }
        );
        let takes_value = !matches!(
            rule,
            Rule::Command { .. } | Rule::Latency { .. } | Rule::Cost { .. }
        );
        let numeric = matches!(rule, Rule::Numeric { .. });
        let command = matches!(rule, Rule::Command { .. });
        let given = [
            ("value", self.value.is_some(), takes_value),
            ("threshold", self.threshold.is_some(), takes_threshold),
            (
                "normalize",
                self.normalize.is_some(),
                matches!(rule, Rule::Equals { .. }),
            ),
            ("tolerance", self.tolerance.is_some(), numeric),
            (
                "relative_tolerance",
                self.relative_tolerance.is_some(),
                numeric,
            ),
            (
                "choices",
                self.choices.is_some(),
                matches!(rule, Rule::Choice { .. }),
            ),
            ("command", self.command.is_some(), command),
            ("timeout_s", self.timeout_s.is_some(), command),
        ];
        match given.into_iter().find(|(_, there, taken)| *there && !taken) {
            Some((key, ..)) => Err(format!("`{key}` means nothing for `type: {}`", self.kind)),
            None => Ok(()),
        }
    }

    /// The text to compare with; `None` for the target.
    fn text(&self, context: &Context<'_>) -> Result<Option<String>, String> {
        match &self.value {
            None => Ok(None),
            Some(_) if self.is_target() => Ok(None),
            Some(value) => filled(value, context).map(Some),
        }
    }

    fn texts(&self, context: &Context<'_>) -> Result<Vec<String>, String> {
        let texts: Vec<String> = match &self.value {
            Some(Value::Array(items)) => items
                .iter()
                .map(|item| filled(item, context))
                .collect::<Result<_, _>>()?,
            Some(Value::String(_)) if !self.is_target() => {
                let text = self.text(context)?.unwrap_or_default();
                text.split(',').map(|part| part.trim().to_owned()).collect()
            }
            _ => return Err("say `value`: a list of texts".to_owned()),
        };
        match texts.is_empty() || texts.iter().any(String::is_empty) {
            true => Err("`value` needs texts, none of them empty".to_owned()),
            false => Ok(texts),
        }
    }

    /// The schema as JSON: an object, or a text that is one in JSON or YAML.
    fn schema(&self, context: &Context<'_>) -> Result<Option<String>, String> {
        let schema = match &self.value {
            None => return Ok(None),
            Some(Value::String(_)) => {
                let text = self.text(context)?.unwrap_or_default();
                crate::document::yaml_value(&text).map_err(|why| format!("the schema: {why}"))?
            }
            Some(value) => value.clone(),
        };
        match schema {
            Value::Object(_) | Value::Bool(_) => Ok(Some(schema.to_string())),
            _ => Err("`value` is not a JSON Schema".to_owned()),
        }
    }

    fn numeric(&self, context: &Context<'_>) -> Result<Rule, String> {
        let (tolerance, relative) = match (self.tolerance, self.relative_tolerance) {
            (Some(_), Some(_)) => {
                return Err("both `tolerance` and `relative_tolerance`: keep one".to_owned());
            }
            (tolerance, None) => (tolerance.unwrap_or(0.0), false),
            (None, Some(share)) => (share, true),
        };
        if !(tolerance.is_finite() && tolerance >= 0.0) {
            return Err("the tolerance must be at least 0".to_owned());
        }
        Ok(Rule::Numeric {
            value: self.text(context)?,
            tolerance: decimal(tolerance)?,
            relative,
        })
    }

    fn choice(&self, context: &Context<'_>) -> Result<Rule, String> {
        let choices = self.choices.clone().unwrap_or_default();
        if choices.len() < 2 || choices.iter().any(|choice| choice.trim().is_empty()) {
            return Err("say `choices`: at least two texts".to_owned());
        }
        let value = self.text(context)?;
        let known = |value: &String| choices.iter().any(|choice| choice.trim() == value.trim());
        match &value {
            Some(value) if !known(value) => Err(format!("{value:?} is none of the choices")),
            _ => Ok(Rule::Choice { value, choices }),
        }
    }

    fn likeness(&self, usual: Option<f64>, context: &Context<'_>) -> Result<Likeness, String> {
        let least = self.threshold.or(usual);
        let least = least.ok_or("say `threshold`: the least score that is right, 0 to 1")?;
        if !(0.0..=1.0).contains(&least) {
            return Err("`threshold` must be 0 to 1".to_owned());
        }
        Ok(Likeness {
            value: self.text(context)?,
            threshold: decimal(least)?,
        })
    }

    fn program(&self) -> Result<Rule, String> {
        let argv = self.command.clone().unwrap_or_default();
        let timeout_s = self.timeout_s.unwrap_or(TIMEOUT);
        if argv.first().is_none_or(String::is_empty) {
            return Err("say `command`: a list of the program and its arguments".to_owned());
        }
        if timeout_s == 0 {
            return Err("`timeout_s` must be at least 1".to_owned());
        }
        Ok(Rule::Command { argv, timeout_s })
    }

    fn most(&self, unit: &str) -> Result<Decimal, String> {
        match self.threshold {
            Some(most) if most.is_finite() && most > 0.0 => decimal(most),
            _ => Err(format!("say `threshold`: how many {unit} at most")),
        }
    }
}

fn filled(value: &Value, context: &Context<'_>) -> Result<String, String> {
    let text = match value {
        Value::String(text) => text.clone(),
        Value::Number(number) => number.to_string(),
        Value::Bool(truth) => truth.to_string(),
        _ => return Err("`value` is not a text".to_owned()),
    };
    let text = match text.strip_prefix("file://") {
        Some(name) => crate::fsio::read(&context.dir.join(name))
            .map_err(|error| error.to_string())
            .and_then(|bytes| {
                String::from_utf8(bytes).map_err(|_| format!("{name} is not UTF-8"))
            })?,
        None => text,
    };
    match context.vars {
        Some(vars) => template::fill(&text, vars),
        None => Ok(text),
    }
}

fn checked_metric(metric: &str) -> Result<String, String> {
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.');
    let reserved = [
        "accuracy",
        "latency_ms",
        "cost_usd",
        "complete",
        "output_tokens",
        "prompt_tokens",
    ];
    if reserved.contains(&metric) {
        return Err(format!(
            "the metric {metric:?} is measured without a grader: take another name"
        ));
    }
    match !metric.is_empty()
        && metric.len() <= 64
        && metric.chars().all(plain)
        && !metric.ends_with(".pass")
    {
        true => Ok(metric.to_owned()),
        false => Err(format!(
            "{metric:?} is not the name of a metric: letters, digits, `_`, `-` and `.`, not ending in `.pass`"
        )),
    }
}

fn unknown(kind: &str) -> String {
    let needs_code = matches!(kind, "javascript" | "python" | "ruby" | "webhook");
    if needs_code {
        return format!("`type: {kind}` is not supported: write a program and `type: command`");
    }
    match suggest(kind, TYPES) {
        Some(like) => format!("`type: {kind}` is not supported; did you mean `{like}`?"),
        None => format!("`type: {kind}` is not supported"),
    }
}

fn decimal(value: f64) -> Result<Decimal, String> {
    Decimal::new(value).map_err(|error| error.to_string())
}
