//! SARIF 2.1.0: what code hosts show at the line of a case.

use std::path::Path;

use retune::gate::{Change, Changed, Verdict};
use serde_json::{Value, json};

use super::{Lines, Page};

const SCHEMA: &str = "https://json.schemastore.org/sarif-2.1.0.json";

/// A result for every regressed case and every reason of the verdict.
pub(crate) fn sarif(page: &Page<'_>) -> Result<String, String> {
    let content = &page.judged.content;
    let stops = content.verdict != Verdict::Pass && page.judged.waiver.is_none();
    let level = if stops { "error" } else { "note" };
    let mut results: Vec<Value> = page
        .cases(Change::Regressed)
        .into_iter()
        .map(|case| regressed(page, case, level))
        .collect();
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
    let mut result = json!({
        "ruleId": "gate/regressed-case",
        "level": level,
        "message": {"text": text},
        "partialFingerprints": {"caseId/v1": case.id},
    });
    let line = page.lines.as_ref().and_then(|lines| {
        let line = lines.of.get(&case.id)?;
        Some(location(lines, *line))
    });
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
