//! The tensors of an adapter: an answer or an error.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    let _ = retune::adapter::read_tensors(bytes);
});
