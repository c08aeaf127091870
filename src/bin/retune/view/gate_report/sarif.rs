//! SARIF 2.1.0: what code hosts show at the line of a case.

use std::path::Path;

use retune::gate::{Change, Changed, MissedCase, Verdict};
use serde_json::{Value, json};

use super::{Lines, Page};

const SCHEMA: &str = "https://json.schemastore.org/sarif-2.1.0.json";

/// A result for every regressed case, every failed case of the floor and every reason of the verdict.
pub(crate) fn sarif(page: &Page<'_>) -> Result<String, String> {
    let content = &page.judged.content;
    let stops = content.verdict != Verdict::Pass && page.judged.waiver.is_none();
    let level = if stops { "error" } else { "note" };
    let mut results: Vec<Value> = page
        .cases(Change::Regressed)
        .into_iter()
        .map(|case| regressed(page, case, level))
        .collect();
    results.extend(
        page.failed()
            .into_iter()
            .map(|case| failed(page, case, level)),
    );
    for reason in &content.reasons {
        let level = match reason.code.verdict() {
            Some(_) => level,
            None => "note",
        };
        let mut result = json!({
            "ruleId": "gate/reason",
            "level": level,
            "message": {"text": reason.text},
        });
        if let Some(lines) = &page.lines {
            result["locations"] = json!([location(lines, 1)]);
        }
        results.push(result);
    }
    let document = json!({
        "$schema": SCHEMA,
        "version": "2.1.0",
        "runs": [{
            "tool": {"driver": {
                "name": "retune gate",
                "version": env!("CARGO_PKG_VERSION"),
                "rules": [
                    {
                        "id": "gate/regressed-case",
                        "shortDescription": {"text": "The baseline has this case right and the candidate has it wrong."},
                    },
                    {
                        "id": "gate/floor-case",
                        "shortDescription": {"text": "Every version has to pass this case, and the candidate does not."},
                    },
                    {
                        "id": "gate/reason",
                        "shortDescription": {"text": "Why the verdict is what it is, or a remark."},
                    },
                ],
            }},
            "properties": {
                "verdict": page.word(),
                "candidate": page.candidate(),
                "baselines": page.baselines(),
                "evidence": page.judged.evidence.to_string(),
            },
            "results": results,
        }],
    });
    let text = serde_json::to_string_pretty(&document).map_err(|error| error.to_string())?;
    Ok(format!("{text}\n"))
}

fn regressed(page: &Page<'_>, case: &Changed, level: &str) -> Value {
    let text = format!(
        "case {}: expected {}, {} said {}, {} says {}",
        case.id,
        case.expected,
        page.baselines(),
        case.baseline,
        page.candidate(),
        case.candidate
    );
    about_case(
        "gate/regressed-case",
        level,
        &text,
        &case.id,
        page.lines.as_ref(),
    )
}

fn failed(page: &Page<'_>, case: &MissedCase, level: &str) -> Value {
    let (id, candidate) = (&case.missed.id, page.candidate());
    let text = format!(
        "floor case {id}: expected {}, {candidate} says {}",
        case.expected, case.candidate
    );
    about_case(
        "gate/floor-case",
        level,
        &text,
        id,
        page.floor_lines.as_ref(),
    )
}

fn about_case(rule: &str, level: &str, text: &str, id: &str, lines: Option<&Lines>) -> Value {
    let mut result = json!({
        "ruleId": rule,
        "level": level,
        "message": {"text": text},
        "partialFingerprints": {"caseId/v1": id},
    });
    let line = lines.and_then(|lines| Some(location(lines, *lines.of.get(id)?)));
    if let Some(location) = line {
        result["locations"] = json!([location]);
    }
    result
}

fn location(lines: &Lines, line: usize) -> Value {
    json!({"physicalLocation": {
        "artifactLocation": {"uri": uri(&lines.file)},
        "region": {"startLine": line},
    }})
}

/// A path as a URI reference: everything but unreserved characters and slashes is percent-encoded.
fn uri(path: &Path) -> String {
    let text = path.to_string_lossy().replace('\\', "/");
    let mut uri = String::new();
    if path.is_absolute() {
        uri.push_str("file://");
    }
    for byte in text.bytes() {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' | b'/' => {
                uri.push(char::from(byte));
            }
            _ => uri.push_str(&format!("%{byte:02X}")),
        }
    }
    uri
}
