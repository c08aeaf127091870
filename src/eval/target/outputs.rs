//! Outputs that were recorded elsewhere, matched to a suite.

use std::collections::{BTreeSet, HashMap};
use std::path::Path;

use serde::Deserialize;

use super::answered::Said;
use crate::document::{Fault, Faults};
use crate::eval::report::Answer;
use crate::eval::suite::Suite;

/// After this many faults the rest is only counted.
const MAX_FAULTS: usize = 20;

/// One line of the file.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Line {
    id: String,
    #[serde(default)]
    repeat: u32,
    output: Option<String>,
    error: Option<String>,
    model: Option<String>,
    prompt_tokens: Option<u64>,
    output_tokens: Option<u64>,
    complete: Option<bool>,
    cost_usd: Option<f64>,
    latency_ms: Option<f64>,
}

/// The recorded answers to a suite, in its order.
pub(in crate::eval) fn recorded(
    path: &Path,
    bytes: &[u8],
    suite: &Suite,
) -> Result<Vec<Answer>, Faults> {
    let said = read(path, bytes, suite, &BTreeSet::new())?;
    Ok(said.iter().map(Said::answer).collect())
}

/// One for each answer that the suite asks for, in its order. Missing, unknown and doubled ids are faults; those of
/// cases that stand `elsewhere` alone are passed over.
pub(super) fn read(
    path: &Path,
    bytes: &[u8],
    suite: &Suite,
    elsewhere: &BTreeSet<String>,
) -> Result<Vec<Said>, Faults> {
    let mut faults = Vec::new();
    let at = |line: Option<usize>, message: String| Fault {
        file: path.to_owned(),
        line,
        key: String::new(),
        message,
    };
    let repeats = suite.repeats();
    let mut places: HashMap<(&str, u32), usize> = HashMap::new();
    for (index, case) in suite.cases().iter().enumerate() {
        for repeat in 0..repeats {
            let place = index * repeats as usize + repeat as usize;
            places.insert((&case.id, repeat), place);
        }
    }
    let mut found: Vec<Option<(Said, usize)>> = vec![None; places.len()];
    for (index, text) in bytes.split(|byte| *byte == b'\n').enumerate() {
        let number = index + 1;
        if text.trim_ascii().is_empty() {
            continue;
        }
        let line = match line(text) {
            Ok(line) => line,
            Err(why) => {
                faults.push(at(Some(number), why));
                continue;
            }
        };
        let place = places.get(&(line.id.as_str(), line.repeat));
        let Some(slot) = place.and_then(|place| found.get_mut(*place)) else {
            let here = places.contains_key(&(line.id.as_str(), 0));
            if !here && elsewhere.contains(&line.id) {
                continue;
            }
            faults.push(at(Some(number), unknown(&line, suite)));
            continue;
        };
        match slot {
            Some((_, first)) => {
                let message = format!("an output of {} is already on line {first}", named(&line));
                faults.push(at(Some(number), message));
            }
            None => *slot = Some((said(line), number)),
        }
    }
    for (index, slot) in found.iter().enumerate() {
        if slot.is_none() {
            let case = &suite.cases()[index / repeats as usize];
            let repeat = index % repeats as usize;
            let which = match repeats {
                1 => String::new(),
                _ => format!(", repeat {repeat}"),
            };
            faults.push(at(None, format!("no output of case {:?}{which}", case.id)));
        }
    }
    let more = faults.len().saturating_sub(MAX_FAULTS);
    if more > 0 {
        faults.truncate(MAX_FAULTS);
        faults.push(at(None, format!("and {more} more faults")));
    }
    Faults::check(faults)?;
    Ok(found.into_iter().flatten().map(|(said, _)| said).collect())
}

fn line(text: &[u8]) -> Result<Line, String> {
    let line: Line = serde_json::from_slice(text).map_err(|error| error.to_string())?;
    let number = |value: Option<f64>| value.is_none_or(|value| value.is_finite() && value >= 0.0);
    if line.output.is_some() == line.error.is_some() {
        return Err("either `output` or `error` has to be there".to_owned());
    }
    if !number(line.cost_usd) || !number(line.latency_ms) {
        return Err("`cost_usd` and `latency_ms` are numbers from 0".to_owned());
    }
    Ok(line)
}

fn unknown(line: &Line, suite: &Suite) -> String {
    match line.repeat < suite.repeats() {
        true => format!("suite {} has no case {:?}", suite.name(), line.id),
        false => format!(
            "suite {} asks for {} answers to a case, from 0: there is no repeat {}",
            suite.name(),
            suite.repeats(),
            line.repeat
        ),
    }
}

fn named(line: &Line) -> String {
    match line.repeat {
        0 => format!("case {:?}", line.id),
        repeat => format!("case {:?}, repeat {repeat},", line.id),
    }
}

fn said(line: Line) -> Said {
    Said {
        text: line.output,
        error: line.error,
        model: line.model,
        prompt_tokens: line.prompt_tokens,
        output_tokens: line.output_tokens,
        complete: line.complete,
        cost_usd: line.cost_usd,
        latency_ms: line.latency_ms,
        attempts: None,
    }
}
