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
    unwritten: AtomicBool,
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
            unwritten: AtomicBool::new(false),
        }
    }

    fn to_stdout(&self, text: &[u8]) {
        let mut out = anstream::stdout().lock();
        match out.write_all(text).and_then(|()| out.flush()) {
            Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
                to_stderr(&format!("error: the answer could not be written: {error}"));
                self.unwritten.store(true, Ordering::Relaxed);
            }
            _ => {}
        }
    }

    /// Whether an answer could not be written, as on a full disk. That nobody reads on is not such a case.
    pub(crate) fn lost_an_answer(&self) -> bool {
        self.unwritten.load(Ordering::Relaxed)
    }

    /// Prints a result to stdout.
    pub(crate) fn emit<V: View>(&self, view: &V) {
        let mut text = Vec::new();
        let written = match self.format {
            Format::Human => view.human(&mut text),
            Format::Json => json(V::SCHEMA, view, &mut text),
        };
        match (written, self.format) {
            (Err(_), _) => {}
            (Ok(()), Format::Human) => {
                self.to_stdout(clean(&String::from_utf8_lossy(&text)).as_bytes())
            }
            (Ok(()), Format::Json) => self.to_stdout(&text),
        }
    }

    /// Prints text that is itself the result, such as a shell completion script.
    pub(crate) fn raw(&self, text: &[u8]) {
        self.to_stdout(text);
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

    /// A way out, beside a result that is not what was hoped for.
    pub(crate) fn hint(&self, hint: &str) {
        self.say(&format!("{} {hint}", styled(BOLD, "hint:")));
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

fn to_stderr(line: &str) {
    let _ = writeln!(anstream::stderr().lock(), "{}", clean(line));
}

/// Text for people without what a terminal or a CI runner would obey: labels, names in files, reasons and messages of
/// other programs come from strangers. Our own styles stay; control characters and those that turn the direction of
/// writing are shown instead of sent; a line that a runner would take for a command does not begin like one.
fn clean(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    let mut begins = true;
    while let Some(first) = rest.chars().next() {
        if let Some(style) = own_style(rest) {
            out.push_str(&rest[..style]);
            rest = &rest[style..];
            continue;
        }
        if begins && !first.is_whitespace() {
            begins = false;
            if rest.starts_with("::") || rest.starts_with("##[") {
                out.push('\\');
            }
        }
        match first {
            '\n' => {
                begins = true;
                out.push(first);
            }
            '\t' => out.push(first),
            unsafe_char if is_obeyed(unsafe_char) => out.extend(unsafe_char.escape_unicode()),
            plain => out.push(plain),
        }
        rest = &rest[first.len_utf8()..];
    }
    out
}

/// The length of one of the styles above at the beginning of a text.
fn own_style(text: &str) -> Option<usize> {
    const OWN: [&str; 6] = ["0", "1", "2", "31", "32", "33"];
    let (code, _) = text.strip_prefix("\u{1b}[")?.split_once('m')?;
    OWN.contains(&code).then(|| code.len() + 3)
}

fn is_obeyed(c: char) -> bool {
    let turns = matches!(c, '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
    c.is_control() || turns || matches!(c, '\u{2028}' | '\u{2029}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_terminal_would_obey_is_shown() {
        for (hostile, shown) in [
            ("\u{1b}]0;title\u{7}", "\\u{1b}]0;title\\u{7}"),
            ("\u{1b}[2J", "\\u{1b}[2J"),
            ("\u{1b}[8mhidden", "\\u{1b}[8mhidden"),
            ("ok\rno", "ok\\u{d}no"),
            ("a\u{8}b\u{9b}31m", "a\\u{8}b\\u{9b}31m"),
            ("a\u{202e}b\u{2066}", "a\\u{202e}b\\u{2066}"),
            ("tab\tand\nline é 漢", "tab\tand\nline é 漢"),
        ] {
            assert_eq!(clean(hostile), shown);
        }
        let styled = [BOLD, GOOD, BAD, DOUBT, DIM]
            .map(|style| styled(style, "x"))
            .concat();
        assert_eq!(clean(&styled), styled);
    }

    #[test]
    fn no_line_begins_like_a_command_of_a_runner() {
        for (hostile, shown) in [
            ("::error::x", "\\::error::x"),
            ("a\n  ::add-mask::x", "a\n  \\::add-mask::x"),
            ("##[group]x", "\\##[group]x"),
            ("a::b", "a::b"),
        ] {
            assert_eq!(clean(hostile), shown);
        }
        let styled = styled(BOLD, "::stop-commands::x");
        assert!(clean(&styled).contains("\\::stop"));
    }
}
