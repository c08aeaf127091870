//! `adapter_config.json`: an answer or an error.
#![no_main]

use retune::adapter::AdapterConfig;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    let _ = AdapterConfig::parse(bytes);
});
