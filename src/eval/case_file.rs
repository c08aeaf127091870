//! The JSONL files of cases.

use std::collections::HashMap;
use std::path::Path;

use super::suite::Case;
use super::suite_rows::RowReader;
use crate::document::{Fault, Faults};
use crate::fsio;

/// Suites are read whole; a larger file is not one.
const MAX_BYTES: usize = 256 << 20;
/// After this many faulty lines the rest is only counted.
const MAX_FAULTS: usize = 20;

/// Cases, and the line of each by its id.
pub(super) type Numbered = (Vec<Case>, HashMap<String, usize>);

pub(super) fn read_cases(file: &Path, reader: &RowReader<'_>) -> Result<Numbered, Faults> {
    let text = text_of(file)?;
    let mut cases = Vec::new();
    let mut faults = Vec::new();
    let mut seen: HashMap<String, usize> = HashMap::new();
    for (index, line) in text.lines().enumerate() {
        let number = index + 1;
        match reader.case(line) {
            Ok(case) => {
                if let Some(first) = seen.insert(case.id.clone(), number) {
                    let message = format!("the case {:?} is already on line {first}", case.id);
                    faults.push(at(file, number, message));
                }
                cases.push(case);
            }
            Err(message) => faults.push(at(file, number, message)),
        }
    }
    Faults::check(shorten(file, faults))?;
    Ok((cases, seen))
}

fn text_of(file: &Path) -> Result<String, Faults> {
    let bytes = fsio::read(file).map_err(|e| whole(file, format!("cannot read: {}", e.source)))?;
    if bytes.len() > MAX_BYTES {
        let message = format!("{} bytes is more than the {MAX_BYTES} allowed", bytes.len());
        return Err(whole(file, message).into());
    }
    String::from_utf8(bytes).map_err(|e| {
        let before = e.utf8_error().valid_up_to();
        let line = 1 + e.as_bytes()[..before]
            .iter()
            .filter(|b| **b == b'\n')
            .count();
        at(file, line, "not UTF-8".to_owned()).into()
    })
}

/// The first of them, and how many more there are.
pub(super) fn shorten(file: &Path, mut faults: Vec<Fault>) -> Vec<Fault> {
    if faults.len() > MAX_FAULTS {
        let more = faults.len() - MAX_FAULTS;
        faults.truncate(MAX_FAULTS);
        let last = faults.last().and_then(|fault| fault.line);
        faults.push(Fault {
            line: last,
            ..whole(file, format!("and {more} more faults after this line"))
        });
    }
    faults
}

pub(super) fn at(file: &Path, line: usize, message: String) -> Fault {
    Fault {
        line: Some(line),
        ..whole(file, message)
    }
}

pub(super) fn whole(file: &Path, message: String) -> Fault {
    Fault {
        file: file.to_owned(),
        line: None,
        key: String::new(),
        message,
    }
}
