//! How much two texts have in common: scores from 0 to 1, as their reference implementations compute them.

use std::collections::{BTreeSet, HashMap};
use std::sync::LazyLock;

use regex::Regex;

/// The longest n-grams of BLEU.
const ORDERS: usize = 4;

/// F1 of the words of SQuAD: lower case, without punctuation and the articles a, an, the.
///
/// Two texts without a word are equal; one without is as far from any other as can be.
pub(super) fn token_f1(answer: &str, target: &str) -> f64 {
    let (answer, target) = (squad_words(answer), squad_words(target));
    if answer.is_empty() || target.is_empty() {
        return f64::from(answer.is_empty() && target.is_empty());
    }
    let common = common(&answer, &target);
    f1(common as f64, answer.len() as f64, target.len() as f64)
}

/// F1 of two sets: JSON lists, or else what commas and line breaks separate. Outer blanks do not count.
pub(super) fn set_f1(answer: &str, target: &str) -> f64 {
    let (answer, target) = (items(answer), items(target));
    if answer.is_empty() || target.is_empty() {
        return f64::from(answer.is_empty() && target.is_empty());
    }
    let common = answer.intersection(&target).count();
    f1(common as f64, answer.len() as f64, target.len() as f64)
}

/// ROUGE-L of rouge-score without stemming: F1 by the longest common subsequence of words.
///
/// Words are runs of letters and digits in lower case. The reference takes ASCII only; here every script has words.
pub(super) fn rouge_l(answer: &str, target: &str) -> f64 {
    let (answer, target) = (words(answer), words(target));
    if answer.is_empty() || target.is_empty() {
        return 0.0;
    }
    let common = longest_common_subsequence(&answer, &target);
    f1(common as f64, answer.len() as f64, target.len() as f64)
}

/// BLEU of one sentence as sacrebleu computes it by default: tokens `13a`, smoothing `exp`, effective order; from 0 to 1.
pub(super) fn bleu(answer: &str, target: &str) -> f64 {
    let (answer, target) = (mteval_words(answer), mteval_words(target));
    let (length, wanted) = (answer.len() as f64, target.len() as f64);
    let mut logs = Vec::new();
    let mut matched = false;
    let mut smooth = 1.0;
    for order in 1..=ORDERS {
        let total = answer.len().saturating_sub(order - 1);
        if total == 0 {
            break;
        }
        let count = common(&grams(&answer, order), &grams(&target, order));
        matched |= count > 0;
        let precision = match count {
            0 => {
                smooth *= 2.0;
                1.0 / (smooth * total as f64)
            }
            count => count as f64 / total as f64,
        };
        logs.push(precision.ln());
    }
    if !matched {
        return 0.0;
    }
    let brevity = match length < wanted {
        true => (1.0 - wanted / length).exp(),
        false => 1.0,
    };
    brevity * (logs.iter().sum::<f64>() / logs.len() as f64).exp()
}

/// 1 less the share of the longer text's characters that have to change.
pub(super) fn levenshtein(answer: &str, target: &str) -> (usize, f64) {
    let distance = strsim::levenshtein(answer, target);
    let longer = answer.chars().count().max(target.chars().count());
    (distance, 1.0 - distance as f64 / longer.max(1) as f64)
}

fn f1(common: f64, answer: f64, target: f64) -> f64 {
    match common {
        0.0 => 0.0,
        common => 2.0 * common / (answer + target),
    }
}

/// How many elements of one list can be paired with equal ones of the other.
fn common<T: std::hash::Hash + Eq>(one: &[T], other: &[T]) -> usize {
    let mut counts: HashMap<&T, usize> = HashMap::new();
    for item in other {
        *counts.entry(item).or_default() += 1;
    }
    let taken = one.iter().filter(|item| match counts.get_mut(item) {
        Some(left) if *left > 0 => {
            *left -= 1;
            true
        }
        _ => false,
    });
    taken.count()
}

fn grams(words: &[String], order: usize) -> Vec<&[String]> {
    words.windows(order).collect()
}

fn longest_common_subsequence(one: &[String], other: &[String]) -> usize {
    let mut row = vec![0; other.len() + 1];
    for word in one {
        let mut diagonal = 0;
        for (at, there) in other.iter().enumerate() {
            let above = row[at + 1];
            row[at + 1] = match word == there {
                true => diagonal + 1,
                false => above.max(row[at]),
            };
            diagonal = above;
        }
    }
    row[other.len()]
}

fn words(text: &str) -> Vec<String> {
    let lower = text.to_lowercase();
    let words = lower.split(|c: char| !c.is_alphanumeric());
    words
        .filter(|word| !word.is_empty())
        .map(str::to_owned)
        .collect()
}

fn squad_words(text: &str) -> Vec<String> {
    let lower = text.to_lowercase();
    let plain: String = lower
        .chars()
        .filter(|c| !c.is_ascii_punctuation())
        .collect();
    let words = plain.split_whitespace();
    words
        .filter(|word| !matches!(*word, "a" | "an" | "the"))
        .map(str::to_owned)
        .collect()
}

fn items(text: &str) -> BTreeSet<String> {
    if let Ok(serde_json::Value::Array(items)) = serde_json::from_str(text.trim()) {
        let text = |item: serde_json::Value| match item {
            serde_json::Value::String(text) => text.trim().to_owned(),
            other => other.to_string(),
        };
        return items.into_iter().map(text).collect();
    }
    let parts = text.split([',', '\n']).map(str::trim);
    parts
        .filter(|part| !part.is_empty())
        .map(str::to_owned)
        .collect()
}

/// The replacements of mteval-v13a, in their order.
static MTEVAL: LazyLock<Vec<(Regex, &str)>> = LazyLock::new(|| {
    let rules = [
        (r"([{-~\[-` -&(-+:-@/])", " $1 "),
        (r"([^0-9])([.,])", "$1 $2 "),
        (r"([.,])([^0-9])", " $1 $2"),
        (r"([0-9])(-)", "$1 $2 "),
    ];
    let compiled = rules.map(|(rule, with)| Some((Regex::new(rule).ok()?, with)));
    compiled.into_iter().flatten().collect()
});

fn mteval_words(text: &str) -> Vec<String> {
    let mut text = text
        .trim_end()
        .replace("<skipped>", "")
        .replace("-\n", "")
        .replace('\n', " ")
        .replace("&quot;", "\"")
        .replace("&amp;", "&")
        .replace("&lt;", "<")
        .replace("&gt;", ">");
    text = format!(" {text} ");
    for (rule, with) in MTEVAL.iter() {
        text = rule.replace_all(&text, *with).into_owned();
    }
    text.split_whitespace().map(str::to_owned).collect()
}
