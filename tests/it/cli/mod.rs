//! Whole conversations with the binary, as inline snapshots.

mod store;
