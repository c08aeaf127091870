//! Answers that are used again by whatever suite asks the same of the same.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};
use serde_json::json;

use super::answered::Said;
use super::declared::Target;
use super::journal::{sealed, unsealed};
use super::request;
use crate::digest::Digest;
use crate::document::canonical;
use crate::eval::error::EvalError;
use crate::eval::generation::Settings;
use crate::eval::subject::Subject;
use crate::eval::suite::Case;
use crate::fsio;

const SCHEMA: &str = "retune.question-of-target/1";

/// A folder of answers.
pub(super) struct Cache<'a> {
    pub(super) dir: PathBuf,
    pub(super) subject: &'a Subject,
    pub(super) target: &'a Target,
    pub(super) settings: Option<&'a Settings>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Kept {
    question: Digest,
    said: Said,
}

impl Cache<'_> {
    /// Version, target, prompt, parameters and the number of the repeat: nothing else changes an answer.
    fn question(&self, case: &Case, repeat: u32) -> Result<Digest, EvalError> {
        let question = json!({
            "subject": self.subject.digest()?,
            "target": self.target,
            "asked": request::asked(case),
            // Draws depend on the case's id; without draws it does not matter.
            "case": match self.settings {
                Some(settings) if settings.temperature.get() > 0.0 => case.id.as_str(),
                _ => "",
            },
            "settings": self.settings.map(|settings| json!(settings)).unwrap_or(json!({})),
            "repeat": repeat,
        });
        let bytes = canonical::encode(SCHEMA, &question);
        let bytes = bytes.map_err(|source| EvalError::Encode {
            what: "question",
            source,
        })?;
        Ok(Digest::of(&bytes))
    }

    fn path(&self, question: &Digest) -> PathBuf {
        let hex = question.hex();
        self.dir.join(&hex[..2]).join(&hex[2..])
    }

    /// The answer that is kept; one that does not read back is none.
    pub(super) fn get(&self, case: &Case, repeat: u32) -> Result<Option<Said>, EvalError> {
        let question = self.question(case, repeat)?;
        let path = self.path(&question);
        if !path.is_file() {
            return Ok(None);
        }
        let bytes = fsio::read(&path)?;
        let kept = unsealed::<Kept>(bytes.trim_ascii_end()).ok();
        let same = kept.filter(|kept| kept.question == question);
        Ok(same.map(|kept| kept.said.cached()))
    }

    /// Keeps an answer.
    pub(super) fn put(&self, case: &Case, repeat: u32, said: &Said) -> Result<(), EvalError> {
        let question = self.question(case, repeat)?;
        let path = self.path(&question);
        let kept = Kept {
            question,
            said: said.clone(),
        };
        let line = sealed(&kept).map_err(|source| EvalError::Encode {
            what: "answer",
            source: canonical::CanonicalError::Shape {
                schema: SCHEMA.to_owned(),
                source,
            },
        })?;
        if let Some(dir) = path.parent() {
            fsio::create_dir(dir)?;
        }
        Ok(fsio::write_atomic(&path, line.as_bytes())?)
    }
}
