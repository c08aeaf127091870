//! Asking every case: several at a time, again where that may help, and within limits.

use std::collections::{BTreeMap, VecDeque};
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::mpsc::{self, Sender};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

use super::answered::{Answered, NAMELESS, Said, Served};
use super::backoff;
use super::cache::Cache;
use super::command::Program;
use super::declared::{Api, Target};
use super::file::{Limits, TargetFile, Terms};
use super::http::Endpoint;
use super::journal::{Journal, Known};
use super::outputs;
use super::window::Window;
use crate::digest::Digest;
use crate::document::canonical;
use crate::eval::error::EvalError;
use crate::eval::generation::Settings;
use crate::eval::report::Answer;
use crate::eval::subject::Subject;
use crate::eval::suite::{Case, Suite, Task};
use crate::progress::{Event, Reporter, Unit};
use crate::time::Timestamp;

/// So many cases in a row without an answer, and nobody is asked any more.
const GIVE_UP: usize = 20;
/// How often those who wait look whether they may go on.
const LOOK: Duration = Duration::from_millis(2);

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

/// One answer to come.
#[derive(Clone, Copy)]
pub(super) struct Turn<'a> {
    /// Its place among all answers.
    place: usize,
    pub(super) case: &'a Case,
    pub(super) repeat: u32,
}

/// What came of one call.
pub(super) enum Reply {
    /// An answer, or an error that would come again.
    Said(Said),
    /// Nothing that lasts: another attempt may help.
    Again {
        why: String,
        /// How long the other side asks to be left alone.
        wait: Option<Duration>,
        /// Whether there were too many calls.
        throttled: bool,
    },
}

/// Whatever can be called for one answer.
pub(super) trait Caller: Sync {
    fn call(&self, turn: &Turn<'_>) -> Reply;
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

/// What workers send: a turn, and its answer or why there is none for now.
type Came<'a> = (Turn<'a>, Result<Said, String>);

/// The next result; meanwhile a wish to stop is heard.
fn receiver_next<'a>(
    receiver: &mpsc::Receiver<Came<'a>>,
    desk: &Desk<'_>,
    reporter: &dyn Reporter,
) -> Result<Came<'a>, mpsc::RecvTimeoutError> {
    loop {
        match receiver.recv_timeout(Duration::from_millis(50)) {
            Err(mpsc::RecvTimeoutError::Timeout) if reporter.interrupted() => desk.stop(),
            Err(mpsc::RecvTimeoutError::Timeout) => {}
            other => return other,
        }
    }
}

/// Where the workers take their turns.
struct Desk<'a> {
    caller: &'a dyn Caller,
    terms: &'a Terms,
    elapsed: &'a (dyn Fn() -> Duration + Sync),
    seed: u64,
    open: Mutex<VecDeque<Turn<'a>>>,
    window: Mutex<Window>,
    spent: Mutex<Spent>,
    in_vain: AtomicUsize,
    stopped: AtomicBool,
}

/// What the calls have cost so far.
#[derive(Default)]
struct Spent {
    requests: u64,
    tokens: u64,
    cost_usd: f64,
}

impl Spent {
    /// Counts one more call, or says which limit forbids it.
    fn one_more(&mut self, limits: &Limits) -> Result<(), String> {
        if limits.requests.is_some_and(|most| self.requests >= most) {
            return Err(format!(
                "the limit of {} requests is reached",
                self.requests
            ));
        }
        if limits.tokens.is_some_and(|most| self.tokens >= most) {
            return Err(format!("the limit of tokens is reached: {}", self.tokens));
        }
        if limits.cost_usd.is_some_and(|most| self.cost_usd >= most) {
            return Err(format!(
                "the limit of cost is reached: {} USD",
                self.cost_usd
            ));
        }
        self.requests += 1;
        Ok(())
    }

    fn add(&mut self, said: &Said) {
        self.tokens += said.prompt_tokens.unwrap_or(0) + said.output_tokens.unwrap_or(0);
        self.cost_usd += said.cost_usd.unwrap_or(0.0);
    }
}

impl<'a> Desk<'a> {
    fn new(
        caller: &'a dyn Caller,
        terms: &'a Terms,
        about: &Circumstances<'a>,
        open: VecDeque<Turn<'a>>,
    ) -> Self {
        Self {
            caller,
            terms,
            elapsed: about.elapsed,
            seed: about.seed,
            open: Mutex::new(open),
            window: Mutex::new(Window::new(terms.concurrency)),
            spent: Mutex::default(),
            in_vain: AtomicUsize::new(0),
            stopped: AtomicBool::new(false),
        }
    }

    fn stop(&self) {
        self.stopped.store(true, Ordering::Relaxed);
    }

    fn is_stopped(&self) -> bool {
        self.stopped.load(Ordering::Relaxed)
    }

    fn work(&self, sender: &Sender<Came<'a>>) {
        while !self.is_stopped() {
            let Some(turn) = held(&self.open).pop_front() else {
                return;
            };
            let came = self.answer(&turn);
            match &came {
                Ok(_) => self.in_vain.store(0, Ordering::Relaxed),
                Err(_) if self.in_vain.fetch_add(1, Ordering::Relaxed) + 1 >= GIVE_UP => {
                    self.stop()
                }
                Err(_) => {}
            }
            if sender.send((turn, came)).is_err() {
                return;
            }
        }
    }

    fn answer(&self, turn: &Turn<'_>) -> Result<Said, String> {
        let mut attempt = 1;
        loop {
            self.wait_for_room()?;
            let allowed = held(&self.spent).one_more(&self.terms.limits);
            if let Err(why) = allowed {
                held(&self.window).failed();
                self.stop();
                return Err(why);
            }
            let began = (self.elapsed)();
            let reply = self.caller.call(turn);
            let ended = (self.elapsed)();
            let (why, asked) = match reply {
                Reply::Said(said) => {
                    held(&self.window).answered();
                    held(&self.spent).add(&said);
                    let took = ended.saturating_sub(began).as_secs_f64() * 1e3;
                    return Ok(Said {
                        latency_ms: said.text.is_some().then_some(took),
                        attempts: Some(u64::from(attempt)),
                        ..said
                    });
                }
                Reply::Again {
                    why,
                    wait,
                    throttled,
                } => {
                    let mut window = held(&self.window);
                    match throttled {
                        true => {
                            window.throttled(began, ended, wait.filter(|wait| self.bearable(*wait)))
                        }
                        false => window.failed(),
                    }
                    (why, wait)
                }
            };
            if attempt >= self.terms.attempts {
                return Err(format!("{why} (attempt {attempt})"));
            }
            if asked.is_some_and(|wait| !self.bearable(wait)) {
                return Err(format!(
                    "{why} (it asks for a longer wait than `longest_wait_s`)"
                ));
            }
            let terms = self.terms;
            let drawn = backoff::wait(
                terms.backoff,
                attempt,
                terms.longest_wait,
                self.seed,
                turn.place as u64,
            );
            self.sleep(asked.unwrap_or_default().max(drawn))?;
            attempt += 1;
        }
    }

    fn bearable(&self, wait: Duration) -> bool {
        wait <= self.terms.longest_wait
    }

    fn wait_for_room(&self) -> Result<(), String> {
        loop {
            if self.is_stopped() {
                return Err("it was not asked any more".to_owned());
            }
            if held(&self.window).begin((self.elapsed)()) {
                return Ok(());
            }
            thread::sleep(LOOK);
        }
    }

    fn sleep(&self, wait: Duration) -> Result<(), String> {
        let until = (self.elapsed)().saturating_add(wait);
        while (self.elapsed)() < until {
            if self.is_stopped() {
                return Err("it was not asked any more".to_owned());
            }
            thread::sleep(LOOK);
        }
        Ok(())
    }
}

/// A lock that somebody held while panicking guards nothing that could be half-done.
fn held<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
