//! Suites: the cases, in one order, under one identity.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use super::error::EvalError;
use crate::digest::Digest;
use crate::document::canonical;
use crate::name::SuiteName;
use crate::store::{Store, Verified};

const SCHEMA: &str = "retune.suite/1";
const CONTENT_SCHEMA: &str = "retune.suite-content/1";
const CASE_SCHEMA: &str = "retune.case/1";

crate::typed_id!(
    /// Identifies a suite: the SHA-256 of its canonical document, which names its cases by digest.
    SuiteId
);

/// A classification suite. Its cases are sorted by id, and no two have the same id.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Suite {
    name: SuiteName,
    cases: Vec<Case>,
}

/// One text and the label that is right for it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Case {
    /// Given by the author, else [`Case::derived_id`].
    pub id: String,
    /// The right label.
    pub label: String,
    /// What the subject is given, exactly as it stands in the file.
    pub text: String,
    /// What the gate can group cases by: texts, numbers and truth values of the row's `metadata`, as texts.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub metadata: BTreeMap<String, String>,
}

/// The stored document. What is not in it does not influence an answer or its grade.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Document {
    name: SuiteName,
    task: Task,
    grader: Grader,
    cases: Cases,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum Task {
    Classification,
}

/// A grader's version is part of the suite's identity: another way to grade is another suite.
#[derive(PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Grader {
    name: GraderName,
    version: u32,
}

#[derive(PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum GraderName {
    ExactMatch,
}

const EXACT_MATCH: Grader = Grader {
    name: GraderName::ExactMatch,
    version: 1,
};

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Cases {
    count: u64,
    digest: Digest,
}

impl Case {
    /// What the case has under `label` or `metadata.<key>`.
    pub fn value(&self, key: &str) -> Option<&str> {
        match key.strip_prefix("metadata.") {
            Some(key) => self.metadata.get(key).map(String::as_str),
            None if key == "label" => Some(&self.label),
            None => None,
        }
    }

    /// The first 12 hexadecimal digits of the SHA-256 of the canonical document of text and label.
    pub fn derived_id(text: &str, label: &str) -> Result<String, EvalError> {
        let value = serde_json::json!({"vars": {"text": text}, "target": label});
        let bytes = canonical::encode(CASE_SCHEMA, &value).map_err(|source| EvalError::Encode {
            what: "case",
            source,
        })?;
        Ok(Digest::of(&bytes).short())
    }
}

impl Suite {
    /// A suite of these cases; says which id is there twice, or that there is no case.
    pub fn new(name: SuiteName, mut cases: Vec<Case>) -> Result<Self, String> {
        cases.sort();
        if cases.is_empty() {
            return Err("there is no case".to_owned());
        }
        match cases.windows(2).find(|pair| pair[0].id == pair[1].id) {
            Some(pair) => Err(format!("the case id {:?} is there twice", pair[0].id)),
            None => Ok(Self { name, cases }),
        }
    }

    /// The name that people use.
    pub fn name(&self) -> &SuiteName {
        &self.name
    }

    /// The cases, sorted by id.
    pub fn cases(&self) -> &[Case] {
        &self.cases
    }

    /// The labels that are right for some case, sorted.
    pub fn labels(&self) -> BTreeSet<&str> {
        self.cases.iter().map(|case| case.label.as_str()).collect()
    }

    /// The suite's identity.
    pub fn id(&self) -> Result<SuiteId, EvalError> {
        Ok(Digest::of(&self.document()?).into())
    }

    /// The digest of cases and grader without the name: a renamed suite measures the same.
    pub fn content(&self) -> Result<Digest, EvalError> {
        let unnamed = serde_json::json!({
            "cases": Digest::of(&self.lines()?),
            "grader": EXACT_MATCH,
        });
        let bytes = canonical::encode(CONTENT_SCHEMA, &unnamed);
        let bytes = bytes.map_err(|source| EvalError::Encode {
            what: "suite",
            source,
        })?;
        Ok(Digest::of(&bytes))
    }

    /// The canonical document that [`SuiteId`] is the digest of.
    pub fn document(&self) -> Result<Vec<u8>, EvalError> {
        let document = Document {
            name: self.name.clone(),
            task: Task::Classification,
            grader: EXACT_MATCH,
            cases: Cases {
                count: self.cases.len() as u64,
                digest: Digest::of(&self.lines()?),
            },
        };
        canonical::encode(SCHEMA, &document).map_err(|source| EvalError::Encode {
            what: "suite",
            source,
        })
    }

    /// Puts the cases and the document into the store.
    pub fn store(&self, store: &Store) -> Result<SuiteId, EvalError> {
        store.put_bytes(&self.lines()?)?;
        Ok(store.put_bytes(&self.document()?)?.digest.into())
    }

    /// Reads a suite from the store; every byte is checked.
    pub fn load(store: &Store, id: &SuiteId) -> Result<Self, EvalError> {
        let bytes = store.read(&id.digest())?;
        let document: Document =
            canonical::decode(SCHEMA, &bytes).map_err(|source| EvalError::Document {
                what: "suite",
                digest: id.digest(),
                source,
            })?;
        let lines = store.read(&document.cases.digest)?;
        Self::assemble(&document, &lines).map_err(|why| EvalError::Cases {
            suite: id.digest(),
            cases: document.cases.digest,
            why,
        })
    }

    fn assemble(document: &Document, lines: &Verified<Vec<u8>>) -> Result<Self, String> {
        if document.grader != EXACT_MATCH {
            return Err("this version does not have its grader".to_owned());
        }
        let cases = lines
            .strip_suffix(b"\n")
            .ok_or("the cases do not end with a line feed")?
            .split(|byte| *byte == b'\n')
            .map(|line| serde_json::from_slice(line).map_err(|e| e.to_string()))
            .collect::<Result<Vec<Case>, String>>()?;
        if cases.len() as u64 != document.cases.count {
            return Err(format!(
                "{} cases instead of {}",
                cases.len(),
                document.cases.count
            ));
        }
        let suite = Self::new(document.name.clone(), cases)?;
        match suite.lines() {
            Ok(again) if again == **lines => Ok(suite),
            _ => Err("the bytes of the cases are not their canonical encoding".to_owned()),
        }
    }

    /// One compact JSON object per line, keys and lines sorted.
    fn lines(&self) -> Result<Vec<u8>, EvalError> {
        let mut bytes = Vec::new();
        for case in &self.cases {
            serde_json::to_writer(&mut bytes, case).map_err(|source| EvalError::Encode {
                what: "case",
                source: canonical::CanonicalError::Shape {
                    schema: CASE_SCHEMA.to_owned(),
                    source,
                },
            })?;
            bytes.push(b'\n');
        }
        Ok(bytes)
    }
}
