//! What reads hostile input, as functions of bytes: an answer or an error, never a panic. The fuzz targets call them on
//! what libFuzzer thinks of, and `tests/it/mutation.rs` on the corpora that were kept.
#![allow(dead_code, clippy::unwrap_used)]

use std::cell::OnceCell;
use std::fs;
use std::path::{Path, PathBuf};

use retune::document::{Source, canonical};
use retune::progress::Silent;

/// A reader and the folder of its corpus.
pub(super) type Reader = (&'static str, fn(&[u8]));

/// All of them.
pub(super) const ALL: [Reader; 8] = [
    ("safetensors", safetensors),
    ("adapter_config", adapter_config),
    ("documents", documents),
    ("project_files", project_files),
    ("lock_file", lock_file),
    ("references", references),
    ("suites", suites),
    ("rows", rows),
];

thread_local! {
    static FOLDER: OnceCell<tempfile::TempDir> = const { OnceCell::new() };
}

/// Writes a file that a reader takes by its path, in memory where the system has such a place.
fn file(name: &str, bytes: &[u8]) -> PathBuf {
    FOLDER.with(|folder| {
        let folder = folder.get_or_init(|| {
            let memory = Path::new("/dev/shm");
            match memory.is_dir() {
                true => tempfile::tempdir_in(memory).unwrap(),
                false => tempfile::tempdir().unwrap(),
            }
        });
        let path = folder.path().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, bytes).unwrap();
        path
    })
}

/// The tensors of an adapter, and the header of a checkpoint.
pub(super) fn safetensors(bytes: &[u8]) {
    let _ = retune::adapter::read_tensors(bytes);
    file(
        "base/config.json",
        br#"{"model_type":"bert","hidden_size":8}"#,
    );
    file("base/tokenizer.json", br#"{"model":{"type":"WordPiece"}}"#);
    let weights = file("base/model.safetensors", bytes);
    let _ = retune::base::inspect(weights.parent().unwrap(), None, &Silent);
}

/// `adapter_config.json`.
pub(super) fn adapter_config(bytes: &[u8]) {
    let _ = retune::adapter::AdapterConfig::parse(bytes);
}

/// Documents of a registry: what is read has one spelling.
pub(super) fn documents(bytes: &[u8]) {
    use retune::registry::{
        Deprecation, Event, MigrationRecord, Protection, Retirement, VersionManifest,
    };
    fn one<T: serde::de::DeserializeOwned + serde::Serialize>(schema: &str, bytes: &[u8]) {
        if let Ok(value) = canonical::decode::<T>(schema, bytes) {
            assert_eq!(canonical::encode(schema, &value).unwrap(), bytes);
        }
    }
    one::<VersionManifest>("retune.version/1", bytes);
    one::<Event>("retune.event/1", bytes);
    one::<Deprecation>("retune.deprecation/1", bytes);
    one::<Protection>("retune.protection/1", bytes);
    one::<Retirement>("retune.retirement/1", bytes);
    one::<MigrationRecord>("retune.migration/1", bytes);
    let _ = retune::dataset::DatasetManifest::decode(bytes);
    let _ = retune::train::RunRecord::decode(bytes);
    let _ = retune::train::RunStart::decode(bytes);
    let _ = retune::gate::Waiver::decode(bytes);
}

/// Files that people write: project, job, policy, migration.
pub(super) fn project_files(bytes: &[u8]) {
    let _ = retune::pin::Project::from_bytes(bytes);
    if let Ok(text) = std::str::from_utf8(bytes) {
        let source = Source::new(Path::new("given.yaml"), text.to_owned());
        let _ = retune::train::Job::parse(&source);
        let _ = retune::gate::Policy::parse(&source);
        let _ = retune::lifecycle::Migration::parse(&source);
    }
}

/// `retune.lock`.
pub(super) fn lock_file(bytes: &[u8]) {
    let _ = retune::pin::LockFile::parse(bytes.to_vec(), Path::new("retune.lock"));
}

/// References and names: what is understood is written as it was read.
pub(super) fn references(bytes: &[u8]) {
    fn same<T: std::str::FromStr + ToString>(text: &str) {
        if let Ok(read) = text.parse::<T>() {
            assert_eq!(read.to_string(), text);
        }
    }
    if let Ok(text) = std::str::from_utf8(bytes) {
        same::<retune::reference::ModelRef>(text);
        same::<retune::reference::Selector>(text);
        same::<retune::name::ModelName>(text);
        same::<retune::name::TenantName>(text);
        let _ = text.parse::<retune::git::Remote>();
    }
}

/// The cases of suites, of labels and of texts.
pub(super) fn suites(bytes: &[u8]) {
    file("cases.jsonl", bytes);
    for text in [
        "version: 1\nname: labels\ntask: classification\ncases: cases.jsonl\n",
        "version: 1\nname: texts\ntask: generation\nprompt: '{{x}}'\ngenerate: {max_tokens: 4}\ncases: cases.jsonl\n",
    ] {
        let suite = file("suite.yaml", text.as_bytes());
        if let Ok(suite) = retune::eval::Suite::read(&suite) {
            let _ = suite.id().unwrap();
        }
    }
}

/// The rows of a dataset.
pub(super) fn rows(bytes: &[u8]) {
    for name in ["rows.jsonl", "rows.csv"] {
        let files = [(retune::dataset::SplitName::Train, file(name, bytes))];
        if let Ok((id, manifest)) = retune::dataset::inspect(&files, &Default::default(), &Silent) {
            assert_eq!(manifest.id().unwrap(), id);
        }
    }
}
