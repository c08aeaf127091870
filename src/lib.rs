//! Fine-tuning as a planned, reversible, evidence-gated operation.
//!
//! The library is built in floors; a module uses only lower ones (`tests/it/tidy.rs` enforces it).
//! `docs/architecture.md` has the map. The command line is a separate crate, `src/bin/retune`.

// Floor 0: values and mechanisms, no domain decisions.
pub mod digest;
pub mod document;
pub mod fsio;
pub mod git;
pub mod name;
pub mod process;
pub mod progress;
pub mod reference;
pub mod signature;
pub mod stats;
pub mod time;
// Floor 1: bytes by content.
pub mod store;
// Floor 2: what is learned from.
pub mod dataset;
// Floor 3: pretrained models.
pub mod base;
// Floor 4: adapters.
pub mod adapter;
pub mod train;
// Floor 5: measuring.
pub mod eval;
// Floor 6: deciding.
pub mod gate;
// Floor 7: what exists, and which version is where.
pub mod registry;
// Floor 8: what uses a model, and whether it can change.
pub mod pin;
pub mod scan;
// Floor 9: the acts, and plans made of them.
pub mod lifecycle;
pub mod pipeline;
