//! The `judge` of a suite file.

use std::path::{Path, PathBuf};

use serde::Deserialize;

use super::Judge;
use super::calibration::{self, Row};
use crate::digest::Digest;
use crate::document::{Faults, Source};
use crate::eval::error::EvalError;
use crate::eval::grader::Rule;
use crate::eval::report::Answer;
use crate::eval::suite::Suite;
use crate::eval::target::{Api, Target, TargetFile, recorded};
use crate::fsio;

/// Enough for a reason and a verdict.
const MAX_TOKENS: u32 = 512;

/// What a suite file says about its judge.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(in crate::eval) struct RawJudge {
    target: PathBuf,
    calibration: Option<PathBuf>,
    against: Option<PathBuf>,
    max_tokens: Option<u32>,
}

/// A judge, and what it takes to ask it: its endpoint's terms, the name of its key, the calibration cases.
#[derive(Debug, Clone, PartialEq)]
pub struct JudgeFile {
    pub(super) file: TargetFile,
    pub(super) max_tokens: u32,
    /// The bytes of the calibration file, and what they say.
    calibration: Option<(Vec<u8>, Vec<Row>)>,
    /// The bytes of the answers that are compared with, and for each answer that the suite asks for the other one.
    against: Option<(Vec<u8>, Vec<Answer>)>,
}

impl JudgeFile {
    /// The part that suites are about.
    pub fn judge(&self) -> Judge {
        Judge {
            target: self.file.target.unpriced(),
            max_tokens: self.max_tokens,
            calibration: self
                .calibration
                .as_ref()
                .map(|(bytes, _)| Digest::of(bytes)),
            against: self.against.as_ref().map(|(bytes, _)| Digest::of(bytes)),
        }
    }

    /// The same judge where nothing is estimated and nothing compared.
    pub(in crate::eval) fn alone(&self) -> Self {
        Self {
            calibration: None,
            against: None,
            ..self.clone()
        }
    }

    /// The bytes of the files that [`Judge`] names.
    pub(in crate::eval) fn named(&self) -> impl Iterator<Item = &[u8]> {
        let calibration = self.calibration.as_ref().map(|(bytes, _)| bytes.as_slice());
        let against = self.against.as_ref().map(|(bytes, _)| bytes.as_slice());
        calibration.into_iter().chain(against)
    }

    /// What the answer at this place, in the suite's order, is compared with.
    pub(super) fn other(&self, place: usize) -> Option<&Answer> {
        self.against
            .as_ref()
            .and_then(|(_, others)| others.get(place))
    }

    pub(super) fn rows(&self) -> &[Row] {
        self.calibration.as_ref().map_or(&[], |(_, rows)| rows)
    }
}

impl RawJudge {
    /// The judge of a suite, with its files read relative to `dir`.
    pub(in crate::eval) fn read(
        &self,
        source: &Source,
        dir: &Path,
        suite: &Suite,
    ) -> Result<JudgeFile, Faults> {
        let max_tokens = self.max_tokens.unwrap_or(MAX_TOKENS);
        if max_tokens == 0 {
            return Err(source.fault("judge.max_tokens", "at least 1").into());
        }
        self.check_against(source, suite)?;
        let file = match TargetFile::read(&dir.join(&self.target)) {
            Ok(file) => file,
            Err(EvalError::Target(faults)) => return Err(faults),
            Err(error) => return Err(source.fault("judge.target", error.to_string()).into()),
        };
        if !matches!(file.target, Target::Endpoint { api: Api::Chat, .. }) {
            let message = "a judge is an endpoint: `kind: endpoint` with `api: chat`";
            return Err(source.fault("judge.target", message).into());
        }
        let calibration = named(source, dir, "calibration", self.calibration.as_ref())?;
        let calibration = calibration.map(|(path, bytes)| {
            let rows = calibration::read(&path, &bytes, suite)?;
            Ok::<_, Faults>((bytes, rows))
        });
        let against = named(source, dir, "against", self.against.as_ref())?;
        let against = against.map(|(path, bytes)| {
            let others = recorded(&path, &bytes, suite)?;
            Ok::<_, Faults>((bytes, others))
        });
        Ok(JudgeFile {
            file,
            max_tokens,
            calibration: calibration.transpose()?,
            against: against.transpose()?,
        })
    }

    fn check_against(&self, source: &Source, suite: &Suite) -> Result<(), Faults> {
        let mut graders = suite.cases().iter().flat_map(|case| suite.graders_of(case));
        let compares = graders.any(|grader| matches!(grader.rule, Rule::Pairwise { .. }));
        match (compares, self.against.is_some()) {
            (true, false) => {
                let message =
                    "`pairwise` needs `against`: the JSONL of the outputs that are compared with";
                Err(source.fault("judge", message).into())
            }
            (false, true) => {
                let message = "no grader is of `type: pairwise`";
                Err(source.fault("judge.against", message).into())
            }
            _ => Ok(()),
        }
    }
}

/// The path and the bytes of a file that the suite file names under `judge`.
fn named(
    source: &Source,
    dir: &Path,
    key: &str,
    name: Option<&PathBuf>,
) -> Result<Option<(PathBuf, Vec<u8>)>, Faults> {
    let Some(name) = name else { return Ok(None) };
    let path = dir.join(name);
    match fsio::read(&path) {
        Ok(bytes) => Ok(Some((path, bytes))),
        Err(error) => {
            let message = format!("cannot read {}: {}", path.display(), error.source);
            Err(source.fault(&format!("judge.{key}"), message).into())
        }
    }
}
