//! Views of hooks.

use std::io::{self, Write};

use retune::pin::Problem;
use retune::scan::Report;
use retune::scan::hook::{Change, Hook, HookStatus, Installed, State};
use serde::Serialize;

use super::pin::{self, Wrong};
use super::scan::{self, Scanned, at_tip, counted};
use super::table::table;
use crate::exit::Exit;
use crate::ui::{BAD, DIM, View, styled};

/// What an installed hook found; silent about what is in order.
#[derive(Serialize)]
pub(crate) struct HookRun {
    hook: &'static str,
    #[serde(flatten)]
    scanned: Scanned,
    pins: Vec<WrongPin>,
    #[serde(skip)]
    exit: Exit,
}

#[derive(Serialize)]
struct WrongPin {
    /// The pushed reference whose tip holds the files.
    #[serde(skip_serializing_if = "Option::is_none")]
    tip: Option<String>,
    #[serde(flatten)]
    wrong: Wrong,
}

/// What `hook status` shows.
#[derive(Serialize)]
pub(crate) struct Status {
    hooks: Vec<One>,
}

#[derive(Serialize)]
struct One {
    hook: &'static str,
    state: &'static str,
    /// Another hook is kept beside it and runs first.
    chained: bool,
    path: String,
}

/// What `hook install` and `hook uninstall` did.
#[derive(Serialize)]
pub(crate) struct Changed {
    dry_run: bool,
    hooks: Vec<Done>,
}

#[derive(Serialize)]
struct Done {
    hook: &'static str,
    change: &'static str,
    path: String,
}

impl HookRun {
    pub(crate) fn new(hook: Hook, report: &Report) -> Self {
        Self {
            hook: hook.name(),
            scanned: Scanned::new(report),
            pins: Vec::new(),
            exit: scan::exit(report),
        }
    }

    /// Adds what is wrong between project file and lock, in the index or at a pushed tip.
    pub(crate) fn add_pins(&mut self, tip: Option<&str>, problems: &[Problem]) {
        let wrong = |problem| WrongPin {
            tip: tip.map(str::to_owned),
            wrong: Wrong::from(problem),
        };
        self.pins.extend(problems.iter().map(wrong));
        match pin::exit(problems) {
            Exit::Done => {}
            worse => self.exit = worse,
        }
    }

    /// The exit code that all of it means.
    pub(crate) fn exit(&self) -> Exit {
        self.exit
    }
}

impl From<&[HookStatus]> for Status {
    fn from(hooks: &[HookStatus]) -> Self {
        let one = |status: &HookStatus| One {
            hook: status.hook.name(),
            state: match status.state {
                State::Absent => "absent",
                State::Foreign => "foreign",
                State::Installed => "installed",
                State::Outdated => "outdated",
            },
            chained: status.chained,
            path: status.path.display().to_string(),
        };
        Self {
            hooks: hooks.iter().map(one).collect(),
        }
    }
}

impl Changed {
    pub(crate) fn new(done: &[Installed], dry_run: bool) -> Self {
        let one = |done: &Installed| Done {
            hook: done.hook.name(),
            change: match done.change {
                Change::Added => "added",
                Change::Chained => "chained",
                Change::Updated => "updated",
                Change::Removed => "removed",
                Change::Restored => "restored",
                Change::Unchanged => "unchanged",
            },
            path: done.path.display().to_string(),
        };
        Self {
            dry_run,
            hooks: done.iter().map(one).collect(),
        }
    }
}

impl View for HookRun {
    const SCHEMA: &'static str = "retune.hook/1";

    fn human(&self, out: &mut dyn Write) -> io::Result<()> {
        let what = match self.hook == Hook::PreCommit.name() {
            true => "commit",
            false => "push",
        };
        let stopped = styled(BAD, format!("{what} stopped:"));
        self.scanned.places(out)?;
        let found = self.scanned.findings.len();
        if found > 0 {
            writeln!(
                out,
                "{stopped} {} can change. Fix the places, or allow one beside it:",
                counted(found, "model")
            )?;
            writeln!(out, "  # retune: allow RULE -- the reason")?;
        }
        for pin in &self.pins {
            writeln!(out, "pins{}: {}", at_tip(&pin.tip), pin.wrong.message)?;
        }
        if !self.pins.is_empty() {
            writeln!(
                out,
                "{stopped} retune.lock is not what retune.yaml asks for. Choose the versions anew and {what} both:"
            )?;
            writeln!(
                out,
                "  retune pin update && git add retune.yaml retune.lock"
            )?;
        }
        Ok(())
    }
}

impl View for Status {
    const SCHEMA: &'static str = "retune.hook-status/1";

    fn human(&self, out: &mut dyn Write) -> io::Result<()> {
        let rows: Vec<[String; 3]> = self
            .hooks
            .iter()
            .map(|one| {
                let chained = if one.chained {
                    ", after the one that was there"
                } else {
                    ""
                };
                [
                    one.hook.to_owned(),
                    format!("{}{chained}", one.state),
                    one.path.clone(),
                ]
            })
            .collect();
        table(out, ["HOOK", "STATE", "PATH"], &rows)
    }
}

impl View for Changed {
    const SCHEMA: &'static str = "retune.hook-change/1";

    fn human(&self, out: &mut dyn Write) -> io::Result<()> {
        for done in &self.hooks {
            let change = match done.change {
                "chained" => "added, after the one that was there",
                "restored" => "removed; the one from before is back",
                other => other,
            };
            writeln!(out, "{} {change} {}", done.hook, styled(DIM, &done.path))?;
        }
        if self.dry_run {
            writeln!(out, "dry run: nothing was written")?;
        }
        Ok(())
    }
}
