//! A suite made of another tool's cases, to be written down and asked like any other.

use std::path::Path;

use serde::Serialize;
use serde_json::Value;

use super::file::{self, File};
use crate::document::{self, Fault, Faults, Source};
use crate::eval::error::EvalError;
use crate::eval::suite::Suite;
use crate::fsio::{self, PendingDir};
use crate::name::SuiteName;

const SUITE: &str = "suite.yaml";
const CASES: &str = "cases.jsonl";

/// Cases as retune's own files spell them.
pub struct Cases {
    /// The file that they were read from.
    source: Source,
    header: Header,
    lines: Vec<Line>,
}

/// One case, and where it stood.
pub(super) struct Line {
    pub(super) row: Value,
    /// Its message is empty.
    pub(super) place: Fault,
}

/// What holds for all cases.
#[derive(Default)]
pub(super) struct Header {
    pub(super) title: Option<String>,
    pub(super) prompt: Option<String>,
    pub(super) messages: Option<Value>,
    pub(super) default_test: Option<Value>,
}

/// `suite.yaml`, its keys in the order that people read them.
#[derive(Serialize)]
struct Written<'a> {
    version: u32,
    name: &'a str,
    task: &'static str,
    cases: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    prompt: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    messages: Option<&'a Value>,
    #[serde(rename = "defaultTest", skip_serializing_if = "Option::is_none")]
    default_test: Option<&'a Value>,
}

impl std::fmt::Debug for Cases {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(
            f,
            "{} cases of {}",
            self.lines.len(),
            self.source.path().display()
        )
    }
}

impl Cases {
    pub(super) fn new(file: &File, header: Header, lines: Vec<Line>) -> Result<Self, Faults> {
        if lines.is_empty() {
            return Err(file.whole("there is no case in it").into());
        }
        Ok(Self {
            source: Source::new(&file.path, file.text()?.to_owned()),
            header,
            lines,
        })
    }

    /// What the file calls the suite, in the letters that names have.
    pub fn name(&self) -> Option<SuiteName> {
        self.header.title.as_deref().and_then(file::suite_name)
    }

    /// Writes `suite.yaml` and `cases.jsonl` into a new folder, once `retune eval` can read them; with a dry run nothing
    /// stays. What it cannot read is told with its place in the file that was imported.
    pub fn write(&self, name: &SuiteName, dir: &Path, dry_run: bool) -> Result<Suite, EvalError> {
        if !fsio::list(dir)?.is_empty() {
            let why = "there is something in this folder already: name another one with --out";
            return Err(EvalError::Import(at(dir, why).into()));
        }
        let pending = PendingDir::beside(dir)?;
        let suite_file = pending.path().join(SUITE);
        fsio::write_atomic(&suite_file, self.suite_yaml(name)?.as_bytes())?;
        let lines: String = self
            .lines
            .iter()
            .map(|line| format!("{}\n", line.row))
            .collect();
        fsio::write_atomic(&pending.path().join(CASES), lines.as_bytes())?;
        let suite = Suite::read(&suite_file).map_err(|error| match error {
            EvalError::Suite(faults) => EvalError::Import(self.placed(faults)),
            other => other,
        })?;
        if !dry_run {
            pending.commit(dir)?;
        }
        Ok(suite)
    }

    fn suite_yaml(&self, name: &SuiteName) -> Result<String, EvalError> {
        let written = Written {
            version: 1,
            name: name.as_str(),
            task: "generation",
            cases: CASES,
            prompt: self.header.prompt.as_deref(),
            messages: self.header.messages.as_ref(),
            default_test: self.header.default_test.as_ref(),
        };
        document::to_yaml(&written)
            .map_err(|error| EvalError::Import(at(self.source.path(), error.to_string()).into()))
    }

    /// The same faults, told of the file that was imported.
    fn placed(&self, faults: Faults) -> Faults {
        let place = |fault: Fault| {
            let is_case = fault.file.file_name().is_some_and(|name| name == CASES);
            let line = fault
                .line
                .filter(|_| is_case)
                .and_then(|line| self.lines.get(line.checked_sub(1)?));
            let own = || Fault {
                file: self.source.path().to_owned(),
                line: None,
                ..fault.clone()
            };
            let place = line.map_or_else(own, |line| line.place.clone());
            let line = place.line.or_else(|| self.source.line_of(&place.key));
            Fault {
                line,
                message: fault.message.clone(),
                ..place
            }
        };
        let placed: Vec<Fault> = faults.into_vec().into_iter().map(place).collect();
        match Faults::check(placed) {
            Err(faults) => faults,
            Ok(()) => at(self.source.path(), "cannot be read").into(),
        }
    }
}

fn at(path: &Path, message: impl Into<String>) -> Fault {
    Fault {
        file: path.to_owned(),
        line: None,
        key: String::new(),
        message: message.into(),
    }
}
