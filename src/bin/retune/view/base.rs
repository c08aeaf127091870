//! Views of bases.

use std::io::{self, Write};

use retune::base::{BaseManifest, Facts};
use retune::lifecycle::{AddedBase, KnownBase};
use retune::progress::{bytes, grouped};
use serde::Serialize;

use super::table::table;
use crate::ui::{BOLD, DIM, View, styled};

/// What `base add` did.
#[derive(Serialize)]
pub(crate) struct Added {
    #[serde(flatten)]
    base: Line,
    new: bool,
    dry_run: bool,
    ignored: Vec<String>,
}

impl Added {
    pub(crate) fn new(added: &AddedBase, dry_run: bool) -> Self {
        Self {
            base: Line::new(&added.base, None),
            new: added.new,
            dry_run,
            ignored: added.ignored.clone(),
        }
    }
}

impl View for Added {
    const SCHEMA: &'static str = "retune.base-add/1";

    fn human(&self, out: &mut dyn Write) -> io::Result<()> {
        let done = match (self.new, self.dry_run) {
            (true, true) => "would add",
            (true, false) => "added",
            (false, _) => "already there:",
        };
        writeln!(
            out,
            "{done} {}",
            styled(BOLD, format!("{}@{}", self.base.name, self.base.version))
        )?;
        self.base.describe(out)?;
        if !self.ignored.is_empty() {
            writeln!(
                out,
                "left in the folder: {}",
                styled(DIM, self.ignored.join(", "))
            )?;
        }
        Ok(())
    }
}

/// What `base list` shows.
#[derive(Serialize)]
pub(crate) struct Bases {
    pub(crate) bases: Vec<Line>,
}

/// One version of a base.
#[derive(Serialize)]
pub(crate) struct Line {
    name: String,
    version: String,
    id: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    versions: Option<usize>,
    model: Facts,
    #[serde(skip_serializing_if = "Option::is_none")]
    source: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    revision: Option<String>,
    bytes: u64,
}

impl Line {
    /// `versions`: how many there are of the name, where the newest stands for all.
    pub(crate) fn new(known: &KnownBase, versions: Option<usize>) -> Self {
        let manifest: &BaseManifest = &known.manifest;
        let source = manifest.source.as_ref();
        Self {
            name: known.record.name.to_string(),
            version: known.record.label.to_string(),
            id: manifest.id().to_string(),
            versions,
            model: manifest.model.clone(),
            source: source.map(|source| source.repo().to_owned()),
            revision: source.map(|source| source.revision().to_owned()),
            bytes: manifest.size(),
        }
    }

    fn describe(&self, out: &mut dyn Write) -> io::Result<()> {
        let model = &self.model;
        let class = model.architecture.as_deref().unwrap_or(&model.model_type);
        writeln!(out, "id      {}", self.id)?;
        writeln!(
            out,
            "model   {class} ({}): {} layers, hidden size {}, vocabulary {}",
            model.model_type,
            model.layers,
            model.hidden_size,
            grouped(model.vocab)
        )?;
        writeln!(
            out,
            "weights {} parameters, {}; {} in all",
            grouped(model.parameters),
            model.dtype,
            bytes(self.bytes)
        )?;
        match (&self.source, &self.revision) {
            (Some(source), Some(revision)) => writeln!(out, "source  {source}@{revision}"),
            _ => Ok(()),
        }
    }
}

impl View for Bases {
    const SCHEMA: &'static str = "retune.base-list/1";

    fn human(&self, out: &mut dyn Write) -> io::Result<()> {
        if self.bases.is_empty() {
            return writeln!(out, "no bases yet; add one with `retune base add`");
        }
        let row = |line: &Line| {
            [
                format!("{}@{}", line.name, line.version),
                line.versions.map(|n| n.to_string()).unwrap_or_default(),
                line.model.model_type.clone(),
                grouped(line.model.parameters),
                line.model.dtype.clone(),
                bytes(line.bytes),
                line.source.clone().unwrap_or_default(),
            ]
        };
        let rows: Vec<[String; 7]> = self.bases.iter().map(row).collect();
        let heading = [
            "BASE",
            "VERSIONS",
            "MODEL",
            "PARAMETERS",
            "TYPE",
            "SIZE",
            "SOURCE",
        ];
        table(out, heading, &rows)
    }
}

/// What `base show` shows.
#[derive(Serialize)]
pub(crate) struct Shown {
    #[serde(flatten)]
    base: Line,
    files: Vec<File>,
}

#[derive(Serialize)]
struct File {
    path: String,
    size: u64,
    sha256: String,
}

impl Shown {
    pub(crate) fn new(known: &KnownBase) -> Self {
        let files = known.manifest.files.iter().map(|entry| File {
            path: entry.path.clone(),
            size: entry.size,
            sha256: entry.sha256.to_string(),
        });
        Self {
            base: Line::new(known, None),
            files: files.collect(),
        }
    }
}

impl View for Shown {
    const SCHEMA: &'static str = "retune.base-show/1";

    fn human(&self, out: &mut dyn Write) -> io::Result<()> {
        writeln!(
            out,
            "{}",
            styled(BOLD, format!("{}@{}", self.base.name, self.base.version))
        )?;
        self.base.describe(out)?;
        writeln!(out)?;
        let row = |file: &File| [file.path.clone(), bytes(file.size), file.sha256.clone()];
        let rows: Vec<[String; 3]> = self.files.iter().map(row).collect();
        table(out, ["FILE", "SIZE", "DIGEST"], &rows)
    }
}
