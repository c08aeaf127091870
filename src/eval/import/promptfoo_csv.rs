//! A row of promptfoo's CSV as a test.

use std::sync::LazyLock;

use regex::Regex;
use serde_json::{Map, Value, json};

use super::promptfoo_tests::Wrong;

/// The types that a cell of `__expected` may begin with; any other text is what the answer has to equal.
const TYPES: &str = "answer-relevance|bleu|classifier|contains|contains-all|contains-any|contains-html|contains-json|\
    contains-sql|contains-xml|context-faithfulness|context-recall|context-relevance|conversation-relevance|cost|equals|\
    factuality|finish-reason|g-eval|gleu|guardrails|icontains|icontains-all|icontains-any|is-html|is-json|is-refusal|\
    is-sql|is-valid-function-call|is-valid-openai-function-call|is-valid-openai-tools-call|is-xml|javascript|latency|\
    levenshtein|llm-rubric|meteor|model-graded-closedqa|model-graded-factuality|moderation|perplexity|\
    perplexity-score|pi|python|regex|rouge-n|ruby|search-rubric|similar|starts-with|tool-call-f1|webhook|word-count";

static EXPECTED: LazyLock<Option<Regex>> = LazyLock::new(|| {
    Regex::new(&format!(
        r"(?s)^(not-)?({TYPES})(?:\((\d+(?:\.\d+)?)\))?(?::(.*))?$"
    ))
    .ok()
});

/// Its columns are vars, but for those that begin with two underscores.
pub(super) fn row<'h>(cells: impl Iterator<Item = (&'h str, String)>) -> Result<Value, Wrong> {
    let mut wrong = Wrong::new();
    let (mut vars, mut metadata, mut test) = (Map::new(), Map::new(), Map::new());
    let (mut asserts, mut metric) = (Vec::new(), None);
    for (column, cell) in cells {
        let blank = cell.trim().is_empty();
        match column.strip_prefix("__") {
            Some(_) if blank => {}
            Some("description") => drop(test.insert("description".to_owned(), json!(cell))),
            Some("metric") => metric = Some(cell),
            Some("threshold") => match cell.trim().parse::<f64>() {
                Ok(threshold) => drop(test.insert("threshold".to_owned(), json!(threshold))),
                Err(_) => wrong.push(format!("`{column}`: {cell:?} is no number")),
            },
            Some(name) if name.starts_with("expected") => match demand(&cell) {
                Ok(assert) => asserts.push(assert),
                Err(why) => wrong.push(format!("`{column}`: {why}")),
            },
            Some(name) => match name.strip_prefix("metadata:") {
                Some(key) => {
                    let list = key.strip_suffix("[]");
                    let items = || cell.split(',').map(str::trim).collect::<Vec<_>>();
                    let value = list.map_or_else(|| json!(cell), |_| json!(items()));
                    metadata.insert(list.unwrap_or(key).to_owned(), value);
                }
                None => wrong.push(format!("the column `{column}` cannot be taken over")),
            },
            None => drop(vars.insert(column.to_owned(), json!(cell))),
        }
    }
    if let Some(metric) = metric {
        for assert in &mut asserts {
            assert["metric"] = json!(metric);
        }
    }
    test.extend([
        ("vars".to_owned(), Value::Object(vars)),
        ("assert".to_owned(), Value::Array(asserts)),
        ("metadata".to_owned(), Value::Object(metadata)),
    ]);
    match wrong.is_empty() {
        true => Ok(Value::Object(test)),
        false => Err(wrong),
    }
}

/// Whether a column was meant to begin with two underscores.
pub(super) fn is_slip(column: &str) -> bool {
    let special = [
        "_expected",
        "_description",
        "_metric",
        "_threshold",
        "_metadata:",
        "_prefix",
        "_suffix",
    ];
    special.iter().any(|name| column.starts_with(name))
}

/// A cell of `__expected`: `type`, `type: value` or `type(threshold): value`, else the text that the answer has to be.
fn demand(cell: &str) -> Result<Value, String> {
    let legacy = [
        ("fn:", "javascript"),
        ("eval:", "javascript"),
        ("grade:", "llm-rubric"),
    ];
    if let Some((start, kind)) = legacy
        .into_iter()
        .find(|(start, _)| cell.starts_with(start))
    {
        return Ok(json!({"type": kind, "value": cell[start.len()..].trim()}));
    }
    if let Some(name) = cell.strip_prefix("file://") {
        return Err(format!(
            "the program {name} cannot be taken over: use `type: command`"
        ));
    }
    let found = EXPECTED
        .as_ref()
        .and_then(|expected| expected.captures(cell));
    let Some(found) = found else {
        return Ok(json!({"type": "equals", "value": cell}));
    };
    let kind = &found[2];
    let mut assert =
        json!({"type": format!("{}{kind}", found.get(1).map_or("", |not| not.as_str()))});
    if let Some(value) = found
        .get(4)
        .map(|value| value.as_str().trim())
        .filter(|value| !value.is_empty())
    {
        assert["value"] = json!(value);
    }
    match (
        found
            .get(3)
            .and_then(|threshold| threshold.as_str().parse::<f64>().ok()),
        kind,
    ) {
        // There a threshold means nothing.
        (_, "starts-with") | (None, _) if kind != "levenshtein" && kind != "similar" => {}
        (Some(threshold), _) => assert["threshold"] = json!(threshold),
        (None, "similar") => assert["threshold"] = json!(0.8),
        (None, _) => {
            return Err(format!(
                "how many characters may change? say `{kind}(5): …`"
            ));
        }
    }
    Ok(assert)
}
