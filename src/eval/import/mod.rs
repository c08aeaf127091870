//! Cases and results of the tools that teams already use.
//!
//! Each reader takes files as its tool writes them and makes one of two things. [`Results`] are what one model did: for
//! every answer a score that is believed as it stands, so the suite made of it can be neither asked nor graded again, and
//! has the same identity for two models exactly when tool, terms and cases are the same. [`Cases`] are a suite to be
//! written down, which is then asked and graded like any other. What cannot be taken over is a fault with file and line.
//!
//! Home of the crate `zip`.

mod cases;
mod file;
mod inspect;
mod lm_eval;
mod openai_evals;
mod promptfoo;
mod promptfoo_csv;
mod promptfoo_tests;
mod results;
mod table;

use std::collections::BTreeSet;
use std::path::PathBuf;

pub use cases::Cases;
pub use results::Results;

use self::file::File;
use super::error::EvalError;
use crate::document::{Faults, suggest};

/// Whose files are read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Tool {
    /// promptfoo: test cases, and the JSON of results.
    Promptfoo,
    /// lm-evaluation-harness: `samples_*.jsonl`, perhaps with its `results_*.json`.
    LmEval,
    /// Inspect: a log in JSON, or as `.eval`.
    Inspect,
    /// OpenAI evals: `{"input", "ideal"}` lines, and logs of events.
    OpenaiEvals,
    /// A table of scores: CSV or JSONL.
    Table,
}

/// Which part of a file is meant, where it has several.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Choice {
    /// The model, where several are in one file.
    pub arm: Option<String>,
    /// The metric that says whether a case is right.
    pub metric: Option<String>,
    /// lm-eval's filter of answers.
    pub filter: Option<String>,
    /// The prompt that promptfoo's tests are filled into, where their file has none.
    pub prompt: Option<String>,
}

/// What a file turned out to hold.
#[derive(Debug)]
pub enum Imported {
    /// Cases to ask.
    Cases(Box<Cases>),
    /// What a model did.
    Results(Box<Results>),
}

/// Reads what a tool wrote.
pub fn read(tool: Tool, paths: &[PathBuf], choice: &Choice) -> Result<Imported, EvalError> {
    let read = || -> Result<Imported, Faults> {
        let files = paths.iter().map(|path| File::read(path));
        let files = files.collect::<Result<Vec<File>, Faults>>()?;
        match tool {
            Tool::Promptfoo if !promptfoo::is_results(only(&files)?) => {
                promptfoo_tests::read(only(&files)?, choice).map(of_cases)
            }
            Tool::Promptfoo => promptfoo::read(only(&files)?, choice).map(of_results),
            Tool::LmEval => lm_eval::read(files, choice).map(of_results),
            Tool::Inspect => inspect::read(only(&files)?, choice).map(of_results),
            Tool::OpenaiEvals if !openai_evals::is_log(only(&files)?) => {
                openai_evals::cases(only(&files)?).map(of_cases)
            }
            Tool::OpenaiEvals => openai_evals::read(only(&files)?, choice).map(of_results),
            Tool::Table => table::read(&files, choice).map(of_results),
        }
    };
    read().map_err(EvalError::Import)
}

/// The one file of a tool that writes one for each run.
fn only(files: &[File]) -> Result<&File, Faults> {
    match files {
        [file] => Ok(file),
        [_, second, ..] => Err(second
            .whole("one file at a time: each is a run or a suite of its own")
            .into()),
        [] => Err(File::empty().whole("which file?").into()),
    }
}

/// That something is not among what a file has, with the likeliest that was meant.
fn absent(what: &str, asked: &str, there: &BTreeSet<&str>) -> String {
    let like = suggest(asked, there.iter().copied());
    let like = like.map_or_else(String::new, |like| format!("; did you mean {like:?}?"));
    format!("there is no {what} {asked:?}, only {}{like}", listed(there))
}

fn listed(names: &BTreeSet<&str>) -> String {
    const SHOWN: usize = 12;
    let mut list: Vec<&str> = names.iter().copied().take(SHOWN).collect();
    if names.len() > SHOWN {
        list.push("…");
    }
    list.join(", ")
}

fn of_cases(cases: Cases) -> Imported {
    Imported::Cases(Box::new(cases))
}

fn of_results(results: Results) -> Imported {
    Imported::Results(Box::new(results))
}
