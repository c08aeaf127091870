//! Views of migrations.

use std::io::{self, Write};
use std::path::Path;

use retune::lifecycle::{
    Migration, MigrationPlan, MigrationStatus, MigrationStep, Retraining, StepState,
};
use retune::registry::MigrationState;
use retune::time::Timestamp;
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
    /// Absent while the version has to be trained.
    #[serde(skip_serializing_if = "Option::is_none")]
    to: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    retrain: Option<Retraining>,
    #[serde(skip_serializing_if = "Option::is_none")]
    deadline: Option<String>,
    /// Whether the deadline has passed and the migration has not ended.
    overdue: bool,
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
    pub(crate) fn new(
        migration: &Migration,
        status: &MigrationStatus,
        now: Timestamp,
        dry_run: bool,
    ) -> Self {
        let ended = !matches!(status.recorded, None | Some(MigrationState::Begun));
        let deadline = migration.plan.deadline;
        Self {
            id: migration.id(),
            model: migration.plan.model.to_string(),
            to: status.to.as_ref().map(ToString::to_string),
            retrain: migration.plan.retrain.clone(),
            deadline: deadline.map(|deadline| deadline.to_string()),
            overdue: !ended && deadline.is_some_and(|deadline| now > deadline),
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
        let to = match (&self.to, &self.retrain) {
            (Some(to), _) => to.clone(),
            (None, Some(retrain)) => format!("what {} makes", retrain.job),
            (None, None) => "nothing".to_owned(),
        };
        writeln!(out, "{name} of {} to {to}: {recorded}", self.model)?;
        if let (Some(deadline), true) = (&self.deadline, self.overdue) {
            writeln!(out, "overdue: its last day ended {deadline}")?;
        }
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
