//! Documents of a registry: what is read has one spelling.
#![no_main]

use retune::document::canonical;
use retune::registry::{Deprecation, Event, MigrationRecord, Protection, Retirement, VersionManifest};

macro_rules! one {
    ($kind:ty, $schema:literal, $bytes:expr) => {
        if let Ok(value) = canonical::decode::<$kind>($schema, $bytes) {
            assert_eq!(canonical::encode($schema, &value).ok().as_deref(), Some($bytes));
        }
    };
}

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    one!(VersionManifest, "retune.version/1", bytes);
    one!(Event, "retune.event/1", bytes);
    one!(Deprecation, "retune.deprecation/1", bytes);
    one!(Protection, "retune.protection/1", bytes);
    one!(Retirement, "retune.retirement/1", bytes);
    one!(MigrationRecord, "retune.migration/1", bytes);
    let _ = retune::dataset::DatasetManifest::decode(bytes);
});
