//! Views of hooks.

use std::io::{self, Write};

use retune::scan::hook::{Change, HookStatus, Installed, State};
use serde::Serialize;

use super::table::table;
use crate::ui::{DIM, View, styled};

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
