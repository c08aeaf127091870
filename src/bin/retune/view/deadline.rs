//! Views of what has to be replaced, and by when.

use std::io::{self, Write};

use retune::lifecycle::{Cause, Deadline, Standing};
use retune::reference::VersionLabel;
use retune::registry::{Added, Deprecation, Retirement};
use retune::time::Timestamp;
use serde::Serialize;

use super::table::table;
use crate::ui::{BAD, BOLD, View, styled};

const DAY: i64 = 24 * 3600;

/// What `status` shows.
#[derive(Serialize)]
pub(crate) struct Status {
    aliases: Vec<Line>,
}

/// What `model list --due` shows.
#[derive(Serialize)]
pub(crate) struct Due {
    aliases: Vec<Line>,
}

#[derive(Serialize)]
struct Line {
    model: String,
    alias: String,
    version: String,
    since: String,
    forked: bool,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    unsigned: bool,
    deadlines: Vec<Until>,
}

#[derive(Serialize)]
struct Until {
    by: String,
    /// Whole days; negative when it is over.
    days_left: i64,
    cause: &'static str,
    /// The replacement, or the base.
    what: String,
}

impl Status {
    pub(crate) fn new(standings: &[Standing], now: Timestamp) -> Self {
        let line = |standing| Line::new(standing, now);
        Self {
            aliases: standings.iter().map(line).collect(),
        }
    }

    pub(crate) fn is_overdue(&self) -> bool {
        let mut deadlines = self.aliases.iter().flat_map(|line| &line.deadlines);
        deadlines.any(|until| until.days_left < 0)
    }
}

impl Due {
    /// Aliases whose version has to be replaced within some seconds, the first day first.
    pub(crate) fn new(standings: &[Standing], now: Timestamp, within: i64) -> Self {
        let first = |standing: &Standing| standing.deadlines.first().map(|deadline| deadline.by);
        let due = |standing: &&Standing| {
            first(standing).is_some_and(|by| by.unix() - now.unix() <= within)
        };
        let mut due: Vec<&Standing> = standings.iter().filter(due).collect();
        due.sort_by_key(|standing| first(standing));
        Self {
            aliases: due.into_iter().map(|one| Line::new(one, now)).collect(),
        }
    }
}

impl Line {
    fn new(standing: &Standing, now: Timestamp) -> Self {
        Self {
            model: standing.model.to_string(),
            alias: standing.alias.to_string(),
            version: standing.version.label.to_string(),
            since: standing.since.to_string(),
            forked: standing.forked,
            unsigned: standing.unsigned,
            deadlines: standing
                .deadlines
                .iter()
                .map(|one| Until::new(one, now))
                .collect(),
        }
    }

    fn deadlines(&self) -> String {
        let all: Vec<String> = self.deadlines.iter().map(Until::text).collect();
        match (self.forked, self.unsigned) {
            (true, _) => styled(BAD, "moved in two places at once: retune model rollback"),
            (_, true) => styled(
                BAD,
                "changed without a signature that counts: retune model verify",
            ),
            (false, false) => all.join("; "),
        }
    }
}

impl Until {
    fn new(deadline: &Deadline, now: Timestamp) -> Self {
        let (cause, what) = match &deadline.cause {
            Cause::Deprecated(replacement) => ("deprecated", replacement.to_string()),
            Cause::BaseRetires(base) => ("base-retires", base.to_string()),
        };
        Self {
            by: day(deadline.by),
            days_left: (deadline.by.unix() - now.unix()).div_euclid(DAY),
            cause,
            what,
        }
    }

    fn text(&self) -> String {
        let why = match self.cause {
            "deprecated" => format!("replaced by {}", self.what),
            _ => format!("base {} retires", self.what),
        };
        let text = format!("{} ({} days): {why}", self.by, self.days_left);
        match self.days_left {
            ..0 => styled(BAD, text),
            _ => text,
        }
    }
}

/// The day of a time.
fn day(time: Timestamp) -> String {
    time.to_string().chars().take(10).collect()
}

fn lines(out: &mut dyn Write, lines: &[Line]) -> io::Result<()> {
    let row = |line: &Line| {
        [
            format!("{}:{}", line.model, line.alias),
            line.version.clone(),
            line.since.clone(),
            line.deadlines(),
        ]
    };
    let rows: Vec<[String; 4]> = lines.iter().map(row).collect();
    table(out, ["ALIAS", "VERSION", "SINCE", "REPLACE BY"], &rows)
}

impl View for Status {
    const SCHEMA: &'static str = "retune.status/1";

    fn human(&self, out: &mut dyn Write) -> io::Result<()> {
        match self.aliases.as_slice() {
            [] => writeln!(out, "no alias points anywhere yet"),
            all => lines(out, all),
        }
    }
}

impl View for Due {
    const SCHEMA: &'static str = "retune.model-due/1";

    fn human(&self, out: &mut dyn Write) -> io::Result<()> {
        match self.aliases.as_slice() {
            [] => writeln!(out, "nothing that is in use has to be replaced by then"),
            due => lines(out, due),
        }
    }
}

/// What `model deprecate` did.
#[derive(Serialize)]
pub(crate) struct Deprecated {
    model: String,
    version: String,
    replacement: String,
    until: String,
    new: bool,
    dry_run: bool,
}

impl Deprecated {
    pub(crate) fn new(added: &Added<Deprecation>, dry_run: bool) -> Self {
        let record = &added.record;
        Self {
            model: record.model.to_string(),
            version: record.version.version.to_string(),
            replacement: record.replacement.version.to_string(),
            until: day(record.until),
            new: added.new,
            dry_run,
        }
    }
}

impl View for Deprecated {
    const SCHEMA: &'static str = "retune.model-deprecate/1";

    fn human(&self, out: &mut dyn Write) -> io::Result<()> {
        let version = styled(BOLD, format!("{}@{}", self.model, self.version));
        let verb = match (self.new, self.dry_run) {
            (false, _) => "is deprecated already",
            (true, true) => "would be deprecated",
            (true, false) => "is deprecated",
        };
        let (replacement, until) = (&self.replacement, &self.until);
        writeln!(out, "{version} {verb}: until {until}, then {replacement}")
    }
}

/// What `base retire` did.
#[derive(Serialize)]
pub(crate) struct Retired {
    base: String,
    version: String,
    on: String,
    new: bool,
    dry_run: bool,
}

impl Retired {
    pub(crate) fn new(label: &VersionLabel, added: &Added<Retirement>, dry_run: bool) -> Self {
        Self {
            base: added.record.name.to_string(),
            version: label.to_string(),
            on: day(added.record.on),
            new: added.new,
            dry_run,
        }
    }
}

impl View for Retired {
    const SCHEMA: &'static str = "retune.base-retire/1";

    fn human(&self, out: &mut dyn Write) -> io::Result<()> {
        let base = styled(BOLD, format!("{}@{}", self.base, self.version));
        let verb = match (self.new, self.dry_run) {
            (false, _) => "retires, as recorded already, on",
            (true, true) => "would retire on",
            (true, false) => "retires on",
        };
        writeln!(out, "{base} {verb} {}", self.on)
    }
}
