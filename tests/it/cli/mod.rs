//! Whole conversations with the binary, as inline snapshots.

mod init;
mod model;
mod store;
