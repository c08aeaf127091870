//! Programs that grade.

use std::time::Duration;

use serde_json::json;

use super::rule::Said;
use crate::eval::suite::Case;
use crate::process;

/// How much of a program's complaint is told.
const TOLD: usize = 200;

/// Gives a program the case and the answer; an error when it does not grade.
pub(super) fn ask(
    argv: &[String],
    timeout_s: u32,
    case: &Case,
    output: &str,
) -> Result<Said, String> {
    let asked = json!({
        "id": case.id,
        "prompt": case.text,
        "messages": case.messages,
        "target": case.label,
        "metadata": case.metadata,
        "output": output,
    });
    let limit = Duration::from_secs(u64::from(timeout_s));
    let ended = process::run(argv, asked.to_string().as_bytes(), limit);
    let ended = ended.map_err(|error| told(&error))?;
    if !ended.status.success() {
        let complaint = String::from_utf8_lossy(&ended.stderr);
        let complaint: String = complaint.trim().chars().take(TOLD).collect();
        return Err(format!("it ended with {}: {complaint}", ended.status));
    }
    Said::parse(&ended.stdout)
}

fn told(error: &process::ProcessError) -> String {
    use std::error::Error;
    match error.source() {
        Some(source) => format!("{error}: {source}"),
        None => error.to_string(),
    }
}
