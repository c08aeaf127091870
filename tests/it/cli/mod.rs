//! Whole conversations with the binary, as inline snapshots.

mod base;
mod dataset;
mod init;
mod model;
mod store;
