//! The only writer to stdout and stderr.
//!
//! Data goes to stdout, everything else to stderr. A broken pipe is not an error and changes no exit code.

use std::io::{self, IsTerminal, Write};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, OnceLock};
use std::time::{Duration, Instant};

use anstyle::{AnsiColor, Style};
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use retune::progress::{Event, Reporter, Unit};
use serde::Serialize;
use serde_json::{Map, Value};

use crate::cli::{Color, Format, Global};
use crate::failure::Failure;

/// Something a command prints: text for people, one JSON document for programs.
pub(crate) trait View: Serialize {
    /// The document's name and number, such as `retune.dataset-list/1`.
    const SCHEMA: &'static str;

    /// The text for people.
    fn human(&self, out: &mut dyn Write) -> io::Result<()>;
}

/// Set by SIGINT and SIGTERM; long work looks at it between steps.
pub(crate) static INTERRUPTED: OnceLock<Arc<AtomicBool>> = OnceLock::new();

/// How often a log without a terminal hears from long work.
const LOG_EVERY: Duration = Duration::from_secs(10);

/// The terminal, or the log, or the program that called.
pub(crate) struct Ui {
    format: Format,
    quiet: bool,
    verbose: bool,
    bars: bool,
    work: Mutex<Option<Work>>,
}

struct Work {
    bar: ProgressBar,
    what: String,
    total: Option<u64>,
    spoke: Instant,
}

pub(crate) const BOLD: Style = Style::new().bold();
pub(crate) const GOOD: Style = AnsiColor::Green.on_default().bold();
pub(crate) const BAD: Style = AnsiColor::Red.on_default().bold();
pub(crate) const DOUBT: Style = AnsiColor::Yellow.on_default().bold();
pub(crate) const DIM: Style = Style::new().dimmed();

/// `text` in a style; [`anstream`] takes the style out again where it is not wanted.
pub(crate) fn styled(style: Style, text: impl std::fmt::Display) -> String {
    format!("{style}{text}{style:#}")
}

impl Ui {
    pub(crate) fn new(global: &Global) -> Self {
        match global.color {
            Color::Auto => anstream::ColorChoice::Auto,
            Color::Always => anstream::ColorChoice::Always,
            Color::Never => anstream::ColorChoice::Never,
        }
        .write_global();
        Self {
            format: global.format,
            quiet: global.quiet,
            verbose: global.verbose,
            bars: !global.quiet && !global.no_progress && io::stderr().is_terminal(),
            work: Mutex::new(None),
        }
    }

    /// Prints a result to stdout.
    pub(crate) fn emit<V: View>(&self, view: &V) {
        let mut text = Vec::new();
        let written = match self.format {
            Format::Human => view.human(&mut text),
            Format::Json => json(V::SCHEMA, view, &mut text),
        };
        if written.is_ok() {
            to_stdout(&text);
        }
    }

    /// Prints text that is itself the result, such as a shell completion script.
    pub(crate) fn raw(&self, text: &[u8]) {
        to_stdout(text);
    }

    /// Whether the caller reads JSON.
    pub(crate) fn is_json(&self) -> bool {
        self.format == Format::Json
    }

    /// Says why the command failed.
    pub(crate) fn failure(&self, failure: &Failure) {
        self.clear();
        if self.is_json() {
            let document = serde_json::json!({
                "schema": "retune.error/1",
                "kind": failure.exit().kind(),
                "exit": failure.exit() as u8,
                "message": failure.message(),
                "causes": failure.causes(),
                "hints": failure.hints(),
            });
            to_stderr(&document.to_string());
            return;
        }
        to_stderr(&format!("{} {}", styled(BAD, "error:"), failure.message()));
        for cause in failure.causes() {
            to_stderr(&format!(
                "  caused by: {}",
                cause.replace('\n', "\n             ")
            ));
        }
        for hint in failure.hints() {
            to_stderr(&format!("  {} {hint}", styled(BOLD, "hint:")));
        }
    }

    /// A line on stderr for people; silent with `--quiet`.
    pub(crate) fn say(&self, line: &str) {
        if !self.quiet {
            self.line(line);
        }
    }

    fn line(&self, line: &str) {
        match self.work.lock() {
            Ok(work) => match work.as_ref().filter(|_| self.bars) {
                Some(work) => work.bar.suspend(|| to_stderr(line)),
                None => to_stderr(line),
            },
            Err(_) => to_stderr(line),
        }
    }

    fn clear(&self) {
        if let Ok(mut work) = self.work.lock()
            && let Some(work) = work.take()
        {
            work.bar.finish_and_clear();
        }
    }

    fn start(&self, what: &str, total: Option<u64>, unit: Unit) {
        self.clear();
        let bar = ProgressBar::with_draw_target(total, ProgressDrawTarget::hidden());
        bar.set_style(style(total.is_some(), unit));
        bar.set_prefix(what.to_owned());
        if self.bars {
            bar.set_draw_target(ProgressDrawTarget::stderr_with_hz(10));
        }
        if let Ok(mut work) = self.work.lock() {
            *work = Some(Work {
                bar,
                what: what.to_owned(),
                total,
                spoke: Instant::now(),
            });
        }
    }

    fn advance(&self, done: u64, note: &str) {
        let Ok(mut guard) = self.work.lock() else {
            return;
        };
        let Some(work) = guard.as_mut() else { return };
        work.bar.set_position(done);
        work.bar.set_message(note.to_owned());
        if !self.bars && !self.quiet && work.spoke.elapsed() >= LOG_EVERY {
            work.spoke = Instant::now();
            let of = work
                .total
                .map(|total| format!("/{total}"))
                .unwrap_or_default();
            to_stderr(&format!("{}: {done}{of} {note}", work.what));
        }
    }
}

impl Reporter for Ui {
    fn report(&self, event: &Event<'_>) {
        match *event {
            Event::Started { what, total, unit } => self.start(what, total, unit),
            Event::Advanced { done, note } => self.advance(done, note),
            Event::Finished => self.clear(),
            Event::Note(text) if self.verbose => self.line(text),
            Event::Note(_) => {}
            Event::Warning(text) => self.line(&format!("{} {text}", styled(DOUBT, "warning:"))),
        }
    }

    fn interrupted(&self) -> bool {
        INTERRUPTED
            .get()
            .is_some_and(|asked| asked.load(Ordering::Relaxed))
    }
}

fn style(bounded: bool, unit: Unit) -> ProgressStyle {
    let template = match (bounded, unit) {
        (true, Unit::Bytes) => {
            "{prefix:<10} {bar:24} {bytes}/{total_bytes} {binary_bytes_per_sec} eta {eta} {msg}"
        }
        (true, Unit::Items) => "{prefix:<10} {bar:24} {pos}/{len} eta {eta} {msg}",
        (false, Unit::Bytes) => "{prefix:<10} {spinner} {bytes} {msg}",
        (false, Unit::Items) => "{prefix:<10} {spinner} {pos} {msg}",
    };
    ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar())
}

/// A view's JSON document as text.
pub(crate) fn document<V: View>(view: &V) -> Result<String, String> {
    let mut text = Vec::new();
    json(V::SCHEMA, view, &mut text).map_err(|error| error.to_string())?;
    String::from_utf8(text).map_err(|error| error.to_string())
}

fn json<V: View>(schema: &str, view: &V, out: &mut Vec<u8>) -> io::Result<()> {
    let mut document = Map::new();
    document.insert("schema".to_owned(), Value::String(schema.to_owned()));
    match serde_json::to_value(view)? {
        Value::Object(fields) => document.extend(fields),
        other => {
            document.insert("value".to_owned(), other);
        }
    }
    serde_json::to_writer_pretty(&mut *out, &document)?;
    writeln!(out)
}

fn to_stdout(text: &[u8]) {
    let mut out = anstream::stdout().lock();
    let _ = out.write_all(text).and_then(|()| out.flush());
}

fn to_stderr(line: &str) {
    let _ = writeln!(anstream::stderr().lock(), "{line}");
}
