//! Views of what is different between two versions.

use std::io::{self, Write};

use retune::lifecycle::{Change, Difference, Norms};
use retune::registry::Version;
use serde::Serialize;

use super::table::table;
use crate::ui::{BOLD, View, styled};

/// What `model diff` shows.
#[derive(Serialize)]
pub(crate) struct Compared {
    before: String,
    after: String,
    parts: Vec<Row>,
    #[serde(skip_serializing_if = "Option::is_none")]
    config: Option<Vec<Row>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    data: Option<Vec<Rows>>,
    metrics: Vec<Row>,
    #[serde(skip_serializing_if = "Option::is_none")]
    weights: Option<Vec<Tensor>>,
}

#[derive(Serialize)]
struct Row {
    key: String,
    before: Option<String>,
    after: Option<String>,
}

#[derive(Serialize)]
struct Rows {
    split: String,
    added: u64,
    removed: u64,
    changed: u64,
}

/// Norms are texts: a document holds no floating-point literals.
#[derive(Serialize)]
struct Tensor {
    tensor: String,
    before: Option<String>,
    after: Option<String>,
    between: Option<String>,
}

impl Compared {
    pub(crate) fn new(before: &Version, after: &Version, found: &Difference) -> Self {
        let rows = |changes: &[Change]| changes.iter().map(Row::from).collect();
        let data = found.data.as_ref().map(|diff| {
            let split = diff.splits.iter().map(|(name, split)| Rows {
                split: name.to_string(),
                added: split.added,
                removed: split.removed,
                changed: split.changed,
            });
            split.collect()
        });
        Self {
            before: before.to_string(),
            after: after.to_string(),
            parts: rows(&found.parts),
            config: found.config.as_deref().map(rows),
            data,
            metrics: rows(&found.metrics),
            weights: found
                .weights
                .as_ref()
                .map(|norms| norms.iter().map(Tensor::from).collect()),
        }
    }
}

impl From<&Change> for Row {
    fn from(change: &Change) -> Self {
        Self {
            key: change.key.clone(),
            before: change.before.clone(),
            after: change.after.clone(),
        }
    }
}

impl From<&Norms> for Tensor {
    fn from(norms: &Norms) -> Self {
        let text = |norm: Option<f64>| norm.map(|norm| format!("{norm:.6}"));
        Self {
            tensor: norms.tensor.clone(),
            before: text(norms.before),
            after: text(norms.after),
            between: text(norms.between),
        }
    }
}

fn cell(value: Option<&str>) -> String {
    let value = value.unwrap_or("-");
    // Digests are told apart by their beginning.
    match value.strip_prefix("sha256:") {
        Some(digits) => digits.chars().take(12).collect(),
        None => value.to_owned(),
    }
}

fn section(out: &mut dyn Write, heading: &str, rows: Option<&[Row]>) -> io::Result<()> {
    match rows {
        None => writeln!(out, "{}: not in the store", styled(BOLD, heading)),
        Some([]) => writeln!(out, "{}: the same", styled(BOLD, heading)),
        Some(rows) => {
            writeln!(out, "{}", styled(BOLD, heading))?;
            let row = |row: &Row| {
                let [before, after] = [&row.before, &row.after].map(|value| cell(value.as_deref()));
                [row.key.clone(), before, after]
            };
            let rows: Vec<[String; 3]> = rows.iter().map(row).collect();
            table(out, ["KEY", "BEFORE", "AFTER"], &rows)
        }
    }
}

impl View for Compared {
    const SCHEMA: &'static str = "retune.model-diff/1";

    fn human(&self, out: &mut dyn Write) -> io::Result<()> {
        writeln!(out, "{} → {}", self.before, self.after)?;
        section(out, "parts", Some(&self.parts))?;
        section(out, "config", self.config.as_deref())?;
        match &self.data {
            None => writeln!(out, "{}: the same", styled(BOLD, "data"))?,
            Some(splits) => {
                writeln!(out, "{}", styled(BOLD, "data"))?;
                let row = |rows: &Rows| {
                    let counts = [rows.added, rows.removed, rows.changed];
                    let [added, removed, changed] = counts.map(|count| count.to_string());
                    [rows.split.clone(), added, removed, changed]
                };
                let rows: Vec<[String; 4]> = splits.iter().map(row).collect();
                table(out, ["SPLIT", "ADDED", "REMOVED", "CHANGED"], &rows)?;
            }
        }
        section(out, "metrics", Some(&self.metrics))?;
        match self.weights.as_deref() {
            None => writeln!(out, "{}: no PEFT weights", styled(BOLD, "weights")),
            Some(tensors) => {
                writeln!(out, "{}", styled(BOLD, "weights"))?;
                let row = |tensor: &Tensor| {
                    let norms = [&tensor.before, &tensor.after, &tensor.between];
                    let [before, after, between] = norms.map(|norm| cell(norm.as_deref()));
                    [tensor.tensor.clone(), before, after, between]
                };
                let rows: Vec<[String; 4]> = tensors.iter().map(row).collect();
                table(
                    out,
                    ["TENSOR", "NORM BEFORE", "AFTER", "OF DIFFERENCE"],
                    &rows,
                )
            }
        }
    }
}
