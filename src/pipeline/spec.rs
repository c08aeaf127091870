//! The pipeline file: raw text in, checked specification out.

use std::path::{Path, PathBuf};

use serde::Deserialize;

use crate::document::{Faults, Source};
use crate::name::{AliasName, BaseName, DatasetName, ModelName};

/// What a pipeline file asks for; every path is resolved against the file's directory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Spec {
    /// The pipeline's name.
    pub name: String,
    /// The file it was read from.
    pub file: PathBuf,
    /// The project's directory, when the file names one.
    pub project: Option<PathBuf>,
    /// The model whose next version this makes.
    pub model: ModelName,
    /// The frozen pretrained model.
    pub base: BaseSpec,
    /// The data.
    pub dataset: DatasetSpec,
    /// The training job file.
    pub train: PathBuf,
    /// The evaluation suite file.
    pub suite: PathBuf,
    /// The gate policy file.
    pub gate: PathBuf,
    /// The alias that a passing version is promoted to.
    pub promote: AliasName,
    /// Whether the project pins the promoted version.
    pub pin: bool,
}

/// Where the base comes from.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BaseSpec {
    /// The name it is registered under; the job file says the same.
    pub name: BaseName,
    /// A Hugging Face checkpoint folder.
    pub path: PathBuf,
    /// `org/name` on the Hub, when known.
    pub source: Option<String>,
    /// The 40-hex commit of `source`.
    pub revision: Option<String>,
}

/// Where the data comes from.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DatasetSpec {
    /// The name it is registered under; the job file says the same.
    pub name: DatasetName,
    /// The training split.
    pub train: PathBuf,
    /// The validation split, for early stopping.
    pub validation: Option<PathBuf>,
    /// The test split.
    pub test: PathBuf,
    /// The column or key that holds the text.
    pub text: Option<String>,
    /// The column or key that holds the label.
    pub label: Option<String>,
}

/// The file's own shape; paths are still relative to it.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawSpec {
    version: u32,
    kind: String,
    name: String,
    project: Option<PathBuf>,
    model: ModelName,
    base: BaseSpec,
    dataset: DatasetSpec,
    train: PathBuf,
    suite: PathBuf,
    gate: PathBuf,
    promote: AliasName,
    #[serde(default)]
    pin: bool,
}

impl Spec {
    /// Reads and checks a pipeline file.
    pub fn read(path: &Path) -> Result<Self, Faults> {
        let source = Source::read(path)?;
        let raw: RawSpec = source.parse()?;
        let mut faults = Vec::new();
        if raw.version != 1 {
            faults.push(source.fault("version", "this version reads `version: 1`"));
        }
        if raw.kind != "Pipeline" {
            faults.push(source.fault("kind", "expected `kind: Pipeline`"));
        }
        if raw.base.source.is_some() != raw.base.revision.is_some() {
            faults.push(source.fault("base", "`source` and `revision` go together"));
        }
        Faults::check(faults)?;
        Ok(raw.resolve(path))
    }

    /// The files and folders that the pipeline reads and that are not there.
    pub fn missing_files(&self) -> Vec<&Path> {
        let data = &self.dataset;
        let splits = [
            Some(&data.train),
            data.validation.as_ref(),
            Some(&data.test),
        ];
        let others = [&self.base.path, &self.train, &self.suite, &self.gate];
        let files = splits.into_iter().flatten().chain(others);
        files
            .map(PathBuf::as_path)
            .filter(|path| !path.exists())
            .collect()
    }
}

impl RawSpec {
    fn resolve(self, file: &Path) -> Spec {
        let here = file.parent().unwrap_or(Path::new(""));
        let at = |path: PathBuf| here.join(path);
        Spec {
            name: self.name,
            file: file.to_owned(),
            project: self.project.map(at),
            model: self.model,
            base: BaseSpec {
                path: at(self.base.path),
                ..self.base
            },
            dataset: DatasetSpec {
                train: at(self.dataset.train),
                validation: self.dataset.validation.map(at),
                test: at(self.dataset.test),
                ..self.dataset
            },
            train: at(self.train),
            suite: at(self.suite),
            gate: at(self.gate),
            promote: self.promote,
            pin: self.pin,
        }
    }
}
