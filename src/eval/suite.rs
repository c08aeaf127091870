//! Suites: the cases, in one order, under one identity.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use super::error::EvalError;
use super::generation::Generation;
use super::grader::{Grader, Marker, Rule};
use super::judge::{Judge, JudgeFile};
use super::scored::Scored;
use crate::base::BaseId;
use crate::dataset::Message;
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

/// What is asked, and how answers are graded. Its cases are sorted by id, and no two have the same id.
#[derive(Debug, Clone, PartialEq)]
pub struct Suite {
    name: SuiteName,
    task: Task,
    cases: Vec<Case>,
    /// How its judge is asked, where it has one and was read from a file.
    judge: Option<Box<JudgeFile>>,
}

/// What the answers of a suite are.
#[derive(Debug, Clone, PartialEq)]
pub enum Task {
    /// One of several labels.
    Classification,
    /// A text.
    Generation(Generation),
    /// What another tool asked for and scored.
    Scored(Scored),
}

/// What is asked, and what is right.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Case {
    /// Given by the author, else [`Case::derived_id`].
    pub id: String,
    /// The right label; of a generated text the target, which may be empty.
    pub label: String,
    /// What the subject is given, exactly as it stands in the file; of a conversation, its last question.
    pub text: String,
    /// The conversation that the assistant is to go on with, where the case is one.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub messages: Vec<Message>,
    /// What is demanded of the answer to this case, beside what the suite demands of all.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub graders: Vec<Grader>,
    /// The least weighted mean score that passes; without it every demand has to be met.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub threshold: Option<crate::document::Decimal>,
    /// What the gate can group cases by: texts, numbers and truth values of the row's `metadata`, as texts.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub metadata: BTreeMap<String, String>,
}

/// The stored document. What is not in it does not influence an answer or its grade.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Document {
    name: SuiteName,
    task: TaskName,
    /// Of labels.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    grader: Option<LabelGrader>,
    /// Of texts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    generation: Option<Generation>,
    /// Of what another tool scored.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    scored: Option<Scored>,
    cases: Cases,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum TaskName {
    Classification,
    Generation,
    Scored,
}

/// A grader's version is part of the suite's identity: another way to grade is another suite.
#[derive(PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct LabelGrader {
    name: GraderName,
    version: u32,
}

#[derive(PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum GraderName {
    ExactMatch,
}

const EXACT_MATCH: LabelGrader = LabelGrader {
    name: GraderName::ExactMatch,
    version: 1,
};

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Cases {
    count: u64,
    digest: Digest,
}

impl Document {
    /// What it says about answers, where this version of retune grades so.
    fn task(&self) -> Result<Task, String> {
        match (&self.task, &self.grader, &self.generation, &self.scored) {
            (TaskName::Classification, Some(EXACT_MATCH), None, None) => Ok(Task::Classification),
            (TaskName::Generation, None, Some(generation), None)
                if generation.graders.iter().all(Grader::is_known) =>
            {
                Ok(Task::Generation(generation.clone()))
            }
            (TaskName::Scored, None, None, Some(scored)) => Ok(Task::Scored(scored.clone())),
            _ => Err("this version does not have its grader".to_owned()),
        }
    }
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
        Self::digits(&serde_json::json!({"vars": {"text": text}, "target": label}))
    }

    /// The same of a conversation and its target.
    pub fn derived_chat_id(messages: &[Message], target: &str) -> Result<String, EvalError> {
        Self::digits(&serde_json::json!({"messages": messages, "target": target}))
    }

    pub(super) fn digits(value: &serde_json::Value) -> Result<String, EvalError> {
        let bytes = canonical::encode(CASE_SCHEMA, value).map_err(|source| EvalError::Encode {
            what: "case",
            source,
        })?;
        Ok(Digest::of(&bytes).short())
    }
}

impl Suite {
    /// A suite of labelled texts; says which id is there twice, or that there is no case.
    pub fn new(name: SuiteName, cases: Vec<Case>) -> Result<Self, String> {
        Self::of(name, Task::Classification, cases)
    }

    /// A suite of any task; says which id is there twice, or that there is no case.
    pub fn of(name: SuiteName, task: Task, mut cases: Vec<Case>) -> Result<Self, String> {
        cases.sort_by(|a, b| a.id.cmp(&b.id));
        if cases.is_empty() {
            return Err("there is no case".to_owned());
        }
        match cases.windows(2).find(|pair| pair[0].id == pair[1].id) {
            Some(pair) => Err(format!("the case id {:?} is there twice", pair[0].id)),
            None => Ok(Self {
                name,
                task,
                cases,
                judge: None,
            }),
        }
    }

    /// The name that people use.
    pub fn name(&self) -> &SuiteName {
        &self.name
    }

    /// What the answers are.
    pub fn task(&self) -> &Task {
        &self.task
    }

    /// How many answers each case gets; 1 of labels.
    pub fn repeats(&self) -> u32 {
        match &self.task {
            Task::Classification => 1,
            Task::Generation(generation) => generation.repeats,
            Task::Scored(scored) => scored.repeats,
        }
    }

    /// Whether it can be asked: what another tool asked and scored cannot.
    pub fn check_askable(&self) -> Result<(), EvalError> {
        match &self.task {
            Task::Classification | Task::Generation(_) => Ok(()),
            Task::Scored(scored) => Err(EvalError::NotAsked(format!(
                "suite {} was asked and scored by {}: import the log of another run of it",
                self.name, scored.tool
            ))),
        }
    }

    /// What is demanded of every answer; nothing of labels, which are right or wrong.
    pub fn graders(&self) -> &[Grader] {
        match &self.task {
            Task::Classification | Task::Scored(_) => &[],
            Task::Generation(generation) => &generation.graders,
        }
    }

    /// The measures of an answer, beside its text, that some grader looks at.
    pub fn needs(&self) -> BTreeSet<&'static str> {
        let own = self.cases.iter().flat_map(|case| &case.graders);
        let all = self.graders().iter().chain(own);
        all.filter_map(Grader::measure).collect()
    }

    /// The base whose embeddings its `similar` graders compare.
    pub fn embeddings(&self) -> Option<&BaseId> {
        match &self.task {
            Task::Classification | Task::Scored(_) => None,
            Task::Generation(generation) => generation.embeddings.as_ref(),
        }
    }

    /// Who says whether answers meet rubrics.
    pub fn judge(&self) -> Option<&Judge> {
        match &self.task {
            Task::Classification | Task::Scored(_) => None,
            Task::Generation(generation) => generation.judge.as_deref(),
        }
    }

    /// How its judge is asked; only a suite that was read from a file knows.
    pub fn judge_file(&self) -> Option<&JudgeFile> {
        self.judge.as_deref()
    }

    /// The same suite of texts with a judge.
    pub(super) fn judged_by(mut self, file: JudgeFile) -> Self {
        if let Task::Generation(generation) = &mut self.task {
            generation.judge = Some(Box::new(file.judge()));
            self.judge = Some(Box::new(file));
        }
        self
    }

    /// The same with the judge of another suite.
    pub(super) fn judged_like(mut self, other: &Self) -> Self {
        self.judge.clone_from(&other.judge);
        self
    }

    /// Whether any of its answers is compared with another one.
    pub(super) fn is_compared(&self) -> bool {
        let mut graders = self.all_graders();
        graders.any(|grader| matches!(grader.rule, Rule::Pairwise { .. }))
    }

    /// The demands on all of its cases, one case after the other.
    pub(super) fn all_graders(&self) -> impl Iterator<Item = &Grader> {
        self.cases.iter().flat_map(|case| self.graders_of(case))
    }

    /// Every demand on the answers to a case.
    pub fn graders_of<'a>(&'a self, case: &'a Case) -> impl Iterator<Item = &'a Grader> {
        self.graders().iter().chain(&case.graders)
    }

    /// Every answer that it asks for: each case as often as there are repeats.
    pub(super) fn asked(&self) -> impl Iterator<Item = (&Case, u32)> {
        let repeats = self.repeats();
        let cases = self.cases.iter();
        cases.flat_map(move |case| (0..repeats).map(move |repeat| (case, repeat)))
    }

    /// The suite's graders, ready to grade.
    pub(super) fn marker(&self) -> Result<Marker<'_>, EvalError> {
        Marker::new(self.graders()).map_err(EvalError::Grader)
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
        let cases = Digest::of(&self.lines()?);
        let unnamed = match &self.task {
            Task::Classification => serde_json::json!({"cases": cases, "grader": EXACT_MATCH}),
            Task::Generation(generation) => {
                serde_json::json!({"cases": cases, "generation": generation})
            }
            Task::Scored(scored) => serde_json::json!({"cases": cases, "scored": scored}),
        };
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
            task: match &self.task {
                Task::Classification => TaskName::Classification,
                Task::Generation(_) => TaskName::Generation,
                Task::Scored(_) => TaskName::Scored,
            },
            grader: match &self.task {
                Task::Classification => Some(EXACT_MATCH),
                Task::Generation(_) | Task::Scored(_) => None,
            },
            generation: match &self.task {
                Task::Generation(generation) => Some(generation.clone()),
                Task::Classification | Task::Scored(_) => None,
            },
            scored: match &self.task {
                Task::Scored(scored) => Some(scored.clone()),
                Task::Classification | Task::Generation(_) => None,
            },
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
        for bytes in self.judge_file().into_iter().flat_map(JudgeFile::named) {
            store.put_bytes(bytes)?;
        }
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
        let task = document.task()?;
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
        let own = cases.iter().flat_map(|case| &case.graders);
        if !own.into_iter().all(Grader::is_known) {
            return Err("this version does not have its grader".to_owned());
        }
        let suite = Self::of(document.name.clone(), task, cases)?;
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
