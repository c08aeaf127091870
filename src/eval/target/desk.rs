//! Calls for answers: several at a time, again where that may help, and within limits.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::mpsc::{self, Sender};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

use super::answered::Said;
use super::ask::Circumstances;
use super::backoff;
use super::file::{Limits, Terms};
use super::window::Window;
use crate::eval::suite::Case;
use crate::progress::Reporter;

/// So many cases in a row without an answer, and nobody is asked any more.
const GIVE_UP: usize = 20;
/// How often those who wait look whether they may go on.
const LOOK: Duration = Duration::from_millis(2);

/// One answer to come.
#[derive(Clone, Copy)]
pub(super) struct Turn<'a> {
    /// Its place among all answers.
    pub(super) place: usize,
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

/// What workers send: a turn, and its answer or why there is none for now.
pub(super) type Came<'a> = (Turn<'a>, Result<Said, String>);

/// The next result; meanwhile a wish to stop is heard.
pub(super) fn receiver_next<'a>(
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
pub(super) struct Desk<'a> {
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
    pub(super) fn new(
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

    pub(super) fn stop(&self) {
        self.stopped.store(true, Ordering::Relaxed);
    }

    fn is_stopped(&self) -> bool {
        self.stopped.load(Ordering::Relaxed)
    }

    pub(super) fn work(&self, sender: &Sender<Came<'a>>) {
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
