//! Files that people write: project, lock, job, policy, migration.
#![no_main]

use std::path::Path;

use retune::document::Source;
use retune::pin::{LockFile, Project};

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    let _ = Project::from_bytes(bytes);
    let _ = LockFile::parse(bytes.to_vec(), Path::new("retune.lock"));
    if let Ok(text) = std::str::from_utf8(bytes) {
        let source = Source::new(Path::new("fuzzed.yaml"), text.to_owned());
        let _ = retune::train::Job::parse(&source);
        let _ = retune::gate::Policy::parse(&source);
        let _ = retune::lifecycle::Migration::parse(&source);
    }
});
