//! References and names: what is understood is written as it was read.
#![no_main]

use retune::reference::{ModelRef, Selector};

libfuzzer_sys::fuzz_target!(|text: &str| {
    if let Ok(reference) = text.parse::<ModelRef>() {
        assert_eq!(reference.to_string(), text);
    }
    if let Ok(selector) = text.parse::<Selector>() {
        assert_eq!(selector.to_string(), text);
    }
});
