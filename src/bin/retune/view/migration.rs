//! Views of migrations.

use std::io::{self, Write};
use std::path::Path;

use retune::lifecycle::{Migration, MigrationPlan, MigrationStatus, MigrationStep, StepState};
use serde::Serialize;

use super::table::table;
use crate::ui::{BOLD, View, styled};

/// What `migration plan` made.
#[derive(Serialize)]
pub(crate) struct Planned {
    id: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    file: Option<String>,
    plan: MigrationPlan,
    #[serde(skip)]
    text: String,
}

impl Planned {
    pub(crate) fn new(migration: &Migration, file: Option<&Path>) -> Self {
        Self {
            id: migration.id(),
            file: file.map(|path| path.display().to_string()),
            plan: migration.plan.clone(),
            text: migration.text.clone(),
        }
    }
}

impl View for Planned {
    const SCHEMA: &'static str = "retune.migration-plan/1";

    fn human(&self, out: &mut dyn Write) -> io::Result<()> {
        match &self.file {
            None => out.write_all(self.text.as_bytes()),
            Some(file) => writeln!(out, "wrote migration {} to {file}", self.id),
        }
    }
}

/// What `migration show`, `apply` and `abort` show.
#[derive(Serialize)]
pub(crate) struct Standing {
    id: String,
    model: String,
    to: String,
    /// Absent when it was never begun.
    #[serde(skip_serializing_if = "Option::is_none")]
    recorded: Option<&'static str>,
    steps: Vec<Line>,
    dry_run: bool,
}

#[derive(Serialize)]
struct Line {
    alias: String,
    from: String,
    state: &'static str,
    /// Since when it is done, until when the step before soaks, or where the alias points instead.
    #[serde(skip_serializing_if = "Option::is_none")]
    detail: Option<String>,
}

impl Standing {
    pub(crate) fn new(migration: &Migration, status: &MigrationStatus, dry_run: bool) -> Self {
        Self {
            id: migration.id(),
            model: migration.plan.model.to_string(),
            to: migration.plan.to.to_string(),
            recorded: status.recorded.map(|state| state.word()),
            steps: status.steps.iter().map(Line::from).collect(),
            dry_run,
        }
    }
}

impl From<&(MigrationStep, StepState)> for Line {
    fn from((step, state): &(MigrationStep, StepState)) -> Self {
        let (state, detail) = match state {
            StepState::Done(since) => ("done", Some(since.to_string())),
            StepState::Ready => ("ready", None),
            StepState::Soaking(until) => ("soaking", Some(until.to_string())),
            StepState::Waiting => ("waiting", None),
            StepState::Gone(now) => ("gone", Some(now.to_string())),
        };
        Self {
            alias: step.alias.to_string(),
            from: step.from.to_string(),
            state,
            detail,
        }
    }
}

impl View for Standing {
    const SCHEMA: &'static str = "retune.migration-show/1";

    fn human(&self, out: &mut dyn Write) -> io::Result<()> {
        let name = styled(BOLD, format!("migration {}", self.id));
        let recorded = self.recorded.unwrap_or("not begun");
        writeln!(out, "{name} of {} to {}: {recorded}", self.model, self.to)?;
        let row = |line: &Line| {
            let detail = line.detail.clone().unwrap_or_default();
            [
                line.alias.clone(),
                line.from.clone(),
                line.state.to_owned(),
                detail,
            ]
        };
        let rows: Vec<[String; 4]> = self.steps.iter().map(row).collect();
        table(out, ["ALIAS", "FROM", "STATE", ""], &rows)?;
        match self.dry_run {
            true => writeln!(out, "dry run: nothing was moved"),
            false => Ok(()),
        }
    }
}
