//! What can be demanded of an answer.

use serde::{Deserialize, Serialize};
use serde_json::Value;
use unicode_normalization::UnicodeNormalization;

use super::overlap;
use super::ready::Tool;
use crate::document::Decimal;
use crate::eval::suite::Case;

/// A demand on an answer. Where `value` is absent, the case's target is meant.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "kebab-case", deny_unknown_fields)]
pub enum Rule {
    /// It is this text.
    Equals {
        /// The text.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        value: Option<String>,
        /// What is done to both before they are compared, in this order.
        normalise: Vec<Normalise>,
    },
    /// It is JSON of the same value: blanks and the order of keys do not count.
    EqualsJson {
        /// The JSON.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        value: Option<String>,
    },
    /// It contains any of these texts, or all of them.
    Contains {
        /// The texts; the target where there is none.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        values: Vec<String>,
        /// Whether all of them have to be there.
        all: bool,
        /// Whether capitals do not count.
        ignore_case: bool,
    },
    /// It begins with this text.
    StartsWith {
        /// The text.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        value: Option<String>,
    },
    /// This regular expression, in the syntax of the crate `regex`, matches somewhere in it.
    Regex {
        /// The expression.
        value: String,
    },
    /// It is JSON, and valid by this JSON Schema where there is one.
    IsJson {
        /// The schema as JSON.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        schema: Option<String>,
    },
    /// Some part of it is a JSON object or list, and valid by this JSON Schema where there is one.
    ContainsJson {
        /// The schema as JSON.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        schema: Option<String>,
    },
    /// It is this number; of a longer text, its last number counts.
    Numeric {
        /// The number.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        value: Option<String>,
        /// How far off it may be.
        tolerance: Decimal,
        /// Whether the tolerance is a share of the number.
        relative: bool,
    },
    /// It names this one of several choices and no other.
    Choice {
        /// The right one.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        value: Option<String>,
        /// All of them.
        choices: Vec<String>,
    },
    /// F1 of its list of items.
    SetF1(Likeness),
    /// F1 of its words, as SQuAD counts them.
    TokenF1(Likeness),
    /// ROUGE-L, as rouge-score computes it.
    RougeL(Likeness),
    /// BLEU, as sacrebleu computes it for one sentence.
    Bleu(Likeness),
    /// The cosine of its embedding and the other text's, by the suite's base.
    Similar(Likeness),
    /// At most so many characters have to change.
    Levenshtein {
        /// The text.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        value: Option<String>,
        /// How many.
        threshold: u64,
    },
    /// The suite's judge says that it meets this rubric.
    LlmRubric {
        /// The rubric.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        value: Option<String>,
    },
    /// The suite's judge says that it is no worse than the answer that the suite compares with, in either order.
    Pairwise {
        /// What is better.
        value: String,
    },
    /// A program says so: it is given JSON on its standard input and answers with `{"pass", "score", "reason"}`.
    Command {
        /// The program and its arguments; no shell.
        argv: Vec<String>,
        /// How many seconds it may take.
        timeout_s: u32,
    },
    /// It took at most so many milliseconds.
    Latency {
        /// How many.
        threshold: Decimal,
    },
    /// It cost at most so many US dollars.
    Cost {
        /// How many.
        threshold: Decimal,
    },
}

/// A demand on a score from 0 to 1 that compares two texts.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Likeness {
    /// The other text.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub value: Option<String>,
    /// The least score that is right.
    pub threshold: Decimal,
}

/// What is taken out of a comparison.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Normalise {
    /// Outer blanks.
    Trim,
    /// Capitals: both sides in lower case.
    Casefold,
    /// Two spellings of one character: both sides in Unicode's NFC.
    Nfc,
}

/// What a rule says to an answer.
#[derive(Debug, Clone, PartialEq)]
pub(in crate::eval) struct Said {
    pub(in crate::eval) pass: bool,
    /// From 0 to 1.
    pub(in crate::eval) score: f64,
    pub(in crate::eval) reason: Option<String>,
}

/// What programs and judges answer.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawSaid {
    pass: bool,
    /// From 0 to 1; what `pass` says where it is absent.
    score: Option<f64>,
    reason: Option<String>,
}

impl Said {
    /// Reads `{"pass", "score", "reason"}` and nothing else.
    pub(in crate::eval) fn parse(answer: &[u8]) -> Result<Self, String> {
        let raw: RawSaid = serde_json::from_slice(answer)
            .map_err(|error| format!("its answer is not {{pass, score, reason}}: {error}"))?;
        let score = raw.score.unwrap_or(f64::from(raw.pass));
        match (0.0..=1.0).contains(&score) {
            true => Ok(Self {
                pass: raw.pass,
                score,
                reason: raw.reason,
            }),
            false => Err(format!("its score is {score}, outside 0 to 1")),
        }
    }

    pub(super) fn of(pass: bool) -> Self {
        Self {
            pass,
            score: f64::from(pass),
            reason: None,
        }
    }

    pub(super) fn score(score: f64, least: Decimal) -> Self {
        Self {
            pass: score >= least.get(),
            score,
            reason: None,
        }
    }
}

impl Rule {
    /// The number of the way in which this version of retune decides.
    pub(super) fn version(&self) -> u32 {
        1
    }

    /// Whether it compares with the target of the case.
    pub(in crate::eval) fn wants_target(&self) -> bool {
        match self {
            Self::Equals { value, .. }
            | Self::EqualsJson { value }
            | Self::StartsWith { value }
            | Self::Numeric { value, .. }
            | Self::Choice { value, .. }
            | Self::Levenshtein { value, .. }
            | Self::LlmRubric { value } => value.is_none(),
            Self::SetF1(with)
            | Self::TokenF1(with)
            | Self::RougeL(with)
            | Self::Bleu(with)
            | Self::Similar(with) => with.value.is_none(),
            Self::Contains { values, .. } => values.is_empty(),
            Self::Regex { .. }
            | Self::Pairwise { .. }
            | Self::IsJson { .. }
            | Self::ContainsJson { .. }
            | Self::Command { .. }
            | Self::Latency { .. }
            | Self::Cost { .. } => false,
        }
    }

    /// Whether its scores lie between 0 and 1 too.
    pub(super) fn is_graded(&self) -> bool {
        matches!(
            self,
            Self::SetF1(_)
                | Self::TokenF1(_)
                | Self::RougeL(_)
                | Self::Bleu(_)
                | Self::Similar(_)
                | Self::Levenshtein { .. }
                | Self::LlmRubric { .. }
                | Self::Pairwise { .. }
                | Self::Command { .. }
        )
    }

    /// Whether the answer alone decides, so that a stored one can be graded again.
    pub(super) fn is_replayable(&self) -> bool {
        !matches!(
            self,
            Self::Command { .. }
                | Self::Similar(_)
                | Self::LlmRubric { .. }
                | Self::Pairwise { .. }
        )
    }

    /// The measure of an answer that it looks at, where that is not the text.
    pub(super) fn measure(&self) -> Option<&'static str> {
        match self {
            Self::Latency { .. } => Some("latency_ms"),
            Self::Cost { .. } => Some("cost_usd"),
            _ => None,
        }
    }

    /// What it says to a text; `tool` was made for it. Programs, embeddings, judges and
    /// measures are not asked here.
    pub(super) fn read(&self, tool: &Tool, case: &Case, output: &str) -> Said {
        let or_target = |value: &Option<String>| value.clone().unwrap_or(case.label.clone());
        match self {
            Self::Equals { value, normalise } => {
                let wanted = normalised(&or_target(value), normalise);
                Said::of(normalised(output, normalise) == wanted)
            }
            Self::EqualsJson { value } => Said::of(same_json(output, &or_target(value))),
            Self::Contains {
                values,
                all,
                ignore_case,
            } => {
                let target = [case.label.clone()];
                let values = if values.is_empty() {
                    &target
                } else {
                    &values[..]
                };
                Said::of(contains(output, values, *all, *ignore_case))
            }
            Self::StartsWith { value } => Said::of(output.starts_with(&or_target(value))),
            Self::Regex { .. } => Said::of(tool.matches(output)),
            Self::IsJson { .. } => {
                let value = serde_json::from_str::<Value>(output);
                Said::of(value.is_ok_and(|value| tool.allows(&value)))
            }
            Self::ContainsJson { .. } => {
                Said::of(json_parts(output).any(|value| tool.allows(&value)))
            }
            Self::Numeric {
                value,
                tolerance,
                relative,
            } => Said::of(is_near(
                output,
                &or_target(value),
                tolerance.get(),
                *relative,
            )),
            Self::Choice { value, choices } => {
                let wanted = or_target(value);
                Said::of(chosen(output, choices).is_some_and(|choice| choice == wanted.trim()))
            }
            Self::SetF1(with) => with.ask(overlap::set_f1, case, output),
            Self::TokenF1(with) => with.ask(overlap::token_f1, case, output),
            Self::RougeL(with) => with.ask(overlap::rouge_l, case, output),
            Self::Bleu(with) => with.ask(overlap::bleu, case, output),
            Self::Levenshtein { value, threshold } => {
                let (distance, score) = overlap::levenshtein(output, &or_target(value));
                Said {
                    pass: distance as u64 <= *threshold,
                    score,
                    reason: None,
                }
            }
            Self::Command { .. }
            | Self::Similar(_)
            | Self::LlmRubric { .. }
            | Self::Pairwise { .. }
            | Self::Latency { .. }
            | Self::Cost { .. } => Said::of(false),
        }
    }
}

impl Likeness {
    /// The text that an answer to this case is compared with.
    pub(super) fn other<'a>(&'a self, case: &'a Case) -> &'a str {
        self.value.as_deref().unwrap_or(&case.label)
    }

    fn ask(&self, score: fn(&str, &str) -> f64, case: &Case, output: &str) -> Said {
        Said::score(score(output, self.other(case)), self.threshold)
    }
}

fn normalised(text: &str, steps: &[Normalise]) -> String {
    let mut text = text.to_owned();
    for step in steps {
        text = match step {
            Normalise::Trim => text.trim().to_owned(),
            Normalise::Casefold => text.to_lowercase(),
            Normalise::Nfc => text.nfc().collect(),
        };
    }
    text
}

fn same_json(one: &str, other: &str) -> bool {
    let parse = |text: &str| serde_json::from_str::<Value>(text).ok();
    match (parse(one), parse(other)) {
        (Some(one), Some(other)) => same_value(&one, &other),
        _ => false,
    }
}

/// Numbers are the same when their values are: `1` and `1.0`.
fn same_value(one: &Value, other: &Value) -> bool {
    match (one, other) {
        (Value::Number(one), Value::Number(other)) => {
            one == other || one.as_f64() == other.as_f64()
        }
        (Value::Array(one), Value::Array(other)) => {
            one.len() == other.len() && one.iter().zip(other).all(|(a, b)| same_value(a, b))
        }
        (Value::Object(one), Value::Object(other)) => {
            let same = |(key, value): (&String, &Value)| {
                other.get(key).is_some_and(|there| same_value(value, there))
            };
            one.len() == other.len() && one.iter().all(same)
        }
        _ => one == other,
    }
}

fn contains(output: &str, values: &[String], all: bool, ignore_case: bool) -> bool {
    let fold = |text: &str| match ignore_case {
        true => text.to_lowercase(),
        false => text.to_owned(),
    };
    let output = fold(output);
    let mut found = values.iter().map(|value| output.contains(&fold(value)));
    match all {
        true => found.all(|found| found),
        false => found.any(|found| found),
    }
}

/// Every JSON object or list that stands in a text, from left to right; what is inside of one is part of it.
fn json_parts(text: &str) -> impl Iterator<Item = Value> {
    let mut rest = text;
    std::iter::from_fn(move || {
        while let Some(at) = rest.find(['{', '[']) {
            rest = &rest[at..];
            let mut values = serde_json::Deserializer::from_str(rest).into_iter::<Value>();
            if let Some(Ok(value)) = values.next() {
                rest = &rest[values.byte_offset()..];
                return Some(value);
            }
            rest = &rest[1..];
        }
        None
    })
}

/// The number that a text is, thousands separated by commas or not, or else the last number in it.
fn number(text: &str) -> Option<f64> {
    let parse = |text: &str| text.replace(',', "").parse::<f64>().ok();
    let finite = |number: &f64| number.is_finite();
    if let Some(number) = parse(text.trim()) {
        return Some(number).filter(finite);
    }
    let is_part = |c: char| c.is_ascii_digit() || matches!(c, '.' | ',' | '-' | '+' | 'e' | 'E');
    let words = text.split(|c| !is_part(c));
    let words = words.map(trimmed);
    words.filter_map(parse).rfind(finite)
}

/// A word without the punctuation that ends a sentence and without a sign that leads nowhere.
fn trimmed(word: &str) -> &str {
    word.trim_end_matches(['.', ',', '-', '+', 'e', 'E'])
        .trim_start_matches([',', 'e', 'E', '+'])
}

fn is_near(output: &str, wanted: &str, tolerance: f64, relative: bool) -> bool {
    let (Some(found), Some(wanted)) = (number(output), number(wanted)) else {
        return false;
    };
    let allowed = match relative {
        true => tolerance * wanted.abs(),
        false => tolerance,
    };
    (found - wanted).abs() <= allowed
}

/// The only choice that a text is, or else the only one that stands in it as a word.
fn chosen<'c>(output: &str, choices: &'c [String]) -> Option<&'c str> {
    let fold = |text: &str| {
        let bare = text.trim().trim_matches(|c: char| c.is_ascii_punctuation());
        bare.trim().to_lowercase()
    };
    let whole = fold(output);
    if let Some(choice) = choices.iter().find(|choice| fold(choice) == whole) {
        return Some(choice.trim());
    }
    let lower = output.to_lowercase();
    let mut named = choices
        .iter()
        .filter(|choice| is_word(&lower, &fold(choice)));
    match (named.next(), named.next()) {
        (Some(choice), None) => Some(choice.trim()),
        _ => None,
    }
}

fn is_word(text: &str, word: &str) -> bool {
    let border = |c: Option<char>| c.is_none_or(|c| !c.is_alphanumeric());
    !word.is_empty()
        && text.match_indices(word).any(|(at, _)| {
            let (before, after) = (&text[..at], &text[at + word.len()..]);
            border(before.chars().next_back()) && border(after.chars().next())
        })
}
