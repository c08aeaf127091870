//! Asking every case once: what is known already is not asked again.

use std::collections::{BTreeMap, VecDeque};
use std::path::PathBuf;
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use super::answered::{Answered, NAMELESS, Said, Served};
use super::cache::Cache;
use super::command::Program;
use super::declared::{Api, Target};
use super::desk::{Caller, Desk, Turn, receiver_next};
use super::file::TargetFile;
use super::http::Endpoint;
use super::journal::{Journal, Known};
use super::outputs;
use crate::digest::Digest;
use crate::document::canonical;
use crate::eval::error::EvalError;
use crate::eval::generation::Settings;
use crate::eval::report::Answer;
use crate::eval::subject::Subject;
use crate::eval::suite::{Suite, Task};
use crate::progress::{Event, Reporter, Unit};
use crate::time::Timestamp;

/// Clock, chance, keys and places: what the library does not look up itself.
pub struct Circumstances<'a> {
    /// Time since some fixed moment; never goes back.
    pub elapsed: &'a (dyn Fn() -> Duration + Sync),
    /// The time now.
    pub now: &'a (dyn Fn() -> Timestamp + Sync),
    /// Where the draws of waiting times begin.
    pub seed: u64,
    /// A variable of the environment.
    pub variable: &'a dyn Fn(&str) -> Option<String>,
    /// Where journals and kept answers lie.
    pub folder: PathBuf,
    /// Hears how far it is, and says when to stop.
    pub reporter: &'a dyn Reporter,
}

impl TargetFile {
    /// An answer to each case, for each of the suite's repeats, in the suite's order.
    ///
    /// `subject` is what the target is said to be. Calls that fail for good are errors of their cases; cases whose
    /// calls fail for now are counted as unanswered, and asking again asks only those.
    pub fn answer(
        &self,
        suite: &Suite,
        subject: &Subject,
        about: &Circumstances<'_>,
    ) -> Result<Answered, EvalError> {
        suite.check_askable()?;
        self.fits(suite)?;
        if let Some((path, bytes)) = &self.outputs {
            let said = outputs::read(path, bytes, suite, &self.cases).map_err(EvalError::Target)?;
            return Ok(Asking::recorded(self, said));
        }
        let settings = match suite.task() {
            Task::Generation(asked) => Some(&asked.settings),
            Task::Classification | Task::Scored(_) => None,
        };
        let usual = Settings::default();
        let endpoint = Endpoint::of(self, settings.unwrap_or(&usual), about)?;
        let program = match &self.target {
            Target::Command { argv } => Some(Program {
                argv,
                timeout: self.terms.timeout,
                settings,
            }),
            _ => None,
        };
        let caller: &dyn Caller = match (&endpoint, &program) {
            (Some(endpoint), _) => endpoint,
            (None, Some(program)) => program,
            (None, None) => {
                return Err(EvalError::NotAsked(
                    "the target cannot be called".to_owned(),
                ));
            }
        };
        let about_what = about_what(suite, subject, &self.target)?;
        let name = format!("evals/{}.journal", about_what.short());
        let path = about.folder.join(name);
        let (mut journal, known) = Journal::open(&path, about_what)?;
        let mut asking = Asking::new(self, suite, path);
        asking.take_known(known);
        let cache = self.terms.cache.then(|| Cache {
            dir: about.folder.join("answers"),
            subject,
            target: &self.target,
            settings,
        });
        asking.take_cached(cache.as_ref())?;
        asking.ask(caller, about, &mut journal, cache.as_ref())?;
        Ok(asking.finish())
    }

    /// Whether such a suite can be asked at all.
    fn fits(&self, suite: &Suite) -> Result<(), EvalError> {
        let Target::Endpoint { api, .. } = &self.target else {
            return Ok(());
        };
        let talks = suite.cases().iter().any(|case| !case.messages.is_empty());
        let why = match suite.task() {
            Task::Classification => {
                "an endpoint needs a prompt, and a suite of labels has none: make it `task: generation` with `prompt` and a `choice` grader"
            }
            Task::Generation(_) if talks && *api == Api::Completions => {
                "the suite has conversations: `api: chat` takes them, `api: completions` takes prompts"
            }
            Task::Generation(_) | Task::Scored(_) => return Ok(()),
        };
        Err(EvalError::NotAsked(why.to_owned()))
    }
}

/// What a journal is about.
fn about_what(suite: &Suite, subject: &Subject, target: &Target) -> Result<Digest, EvalError> {
    let what = serde_json::json!({
        "suite": suite.id()?,
        "subject": subject.digest()?,
        "target": target,
    });
    let bytes = canonical::encode("retune.evaluation/1", &what);
    let bytes = bytes.map_err(|source| EvalError::Encode {
        what: "evaluation",
        source,
    })?;
    Ok(Digest::of(&bytes))
}

/// An evaluation under way.
struct Asking<'a> {
    file: &'a TargetFile,
    turns: Vec<Turn<'a>>,
    said: Vec<Option<Said>>,
    cached: u64,
    why: Option<String>,
    journal: Option<PathBuf>,
}

impl<'a> Asking<'a> {
    fn new(file: &'a TargetFile, suite: &'a Suite, journal: PathBuf) -> Self {
        let repeats = suite.repeats();
        let cases = suite.cases().iter();
        let turns = cases.flat_map(|case| (0..repeats).map(move |repeat| (case, repeat)));
        let turns: Vec<Turn<'_>> = turns
            .enumerate()
            .map(|(place, (case, repeat))| Turn {
                place,
                case,
                repeat,
            })
            .collect();
        Self {
            file,
            said: vec![None; turns.len()],
            turns,
            cached: 0,
            why: None,
            journal: Some(journal),
        }
    }

    fn recorded(file: &'a TargetFile, said: Vec<Said>) -> Answered {
        let asking = Self {
            file,
            turns: Vec::new(),
            said: said.into_iter().map(Some).collect(),
            cached: 0,
            why: None,
            journal: None,
        };
        asking.finish()
    }

    fn take_known(&mut self, mut known: Known) {
        for turn in &self.turns {
            self.said[turn.place] = known.remove(&(turn.case.id.clone(), turn.repeat));
        }
    }

    fn take_cached(&mut self, cache: Option<&Cache<'_>>) -> Result<(), EvalError> {
        let Some(cache) = cache else { return Ok(()) };
        for turn in &self.turns {
            let slot = &mut self.said[turn.place];
            if slot.is_none() {
                *slot = cache.get(turn.case, turn.repeat)?;
                self.cached += u64::from(slot.is_some());
            }
        }
        Ok(())
    }

    fn ask(
        &mut self,
        caller: &dyn Caller,
        about: &Circumstances<'_>,
        journal: &mut Journal,
        cache: Option<&Cache<'_>>,
    ) -> Result<(), EvalError> {
        let open: VecDeque<Turn<'_>> = self
            .turns
            .iter()
            .filter(|turn| self.said[turn.place].is_none())
            .copied()
            .collect();
        let total = self.turns.len() as u64;
        let mut done = total - open.len() as u64;
        about.reporter.report(&Event::Started {
            what: "asking",
            total: Some(total),
            unit: Unit::Items,
        });
        about.reporter.report(&Event::Advanced { done, note: "" });
        let expected = self.file.target.expected_model();
        let workers = self.file.terms.concurrency.min(open.len());
        let desk = Desk::new(caller, &self.file.terms, about, open);
        let (sender, receiver) = mpsc::channel();
        let mut failed = Ok(());
        thread::scope(|scope| {
            for _ in 0..workers {
                let (desk, sender) = (&desk, sender.clone());
                scope.spawn(move || desk.work(&sender));
            }
            drop(sender);
            while let Ok((turn, came)) = receiver_next(&receiver, &desk, about.reporter) {
                let said = match came {
                    Err(why) => {
                        self.why.get_or_insert(why);
                        continue;
                    }
                    Ok(said) => said,
                };
                // What another model says is told in the report, and is asked again next time.
                let right = expected.is_none_or(|model| said.model.as_deref() == Some(model));
                if right || said.error.is_some() {
                    let mut kept = journal.add(&turn.case.id, turn.repeat, &said);
                    if let (Some(cache), Some(_)) = (cache, &said.text) {
                        kept = kept.and_then(|()| cache.put(turn.case, turn.repeat, &said));
                    }
                    if let Err(error) = kept {
                        failed = Err(error);
                        desk.stop();
                    }
                }
                self.said[turn.place] = Some(said);
                done += 1;
                about.reporter.report(&Event::Advanced { done, note: "" });
            }
        });
        about.reporter.report(&Event::Finished);
        failed?;
        match about.reporter.interrupted() {
            true => Err(EvalError::Interrupted),
            false => Ok(()),
        }
    }

    fn finish(self) -> Answered {
        let expected = self.file.target.expected_model();
        let mut answered_by: BTreeMap<String, u64> = BTreeMap::new();
        for said in self
            .said
            .iter()
            .flatten()
            .filter(|said| said.text.is_some())
        {
            let nameless = expected.map(|_| NAMELESS.to_owned());
            if let Some(model) = said.model.clone().or(nameless) {
                *answered_by.entry(model).or_default() += 1;
            }
        }
        let why = self.why.clone();
        let unasked = why.as_deref().unwrap_or("it was not asked");
        let answer = |said: &Option<Said>| match said {
            Some(said) => said.answer(),
            None => Answer::Error(unasked.to_owned()),
        };
        Answered {
            answers: self.said.iter().map(answer).collect(),
            unanswered: self.said.iter().filter(|said| said.is_none()).count() as u64,
            why: self.why,
            served: Served {
                target: self.file.target.clone(),
                answered_by,
                cached: self.cached,
            },
            journal: self.journal,
        }
    }
}
