//! Whole conversations with the binary, as inline snapshots.

mod gate;
mod base;
mod dataset;
mod init;
mod model;
mod pin;
mod scan;
mod store;
