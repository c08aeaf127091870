//! Whole conversations with the binary, as inline snapshots.

mod base;
mod dataset;
mod doctor;
#[cfg(feature = "train")]
mod eval;
#[cfg(feature = "train")]
mod export;
mod gate;
mod init;
mod migration;
mod model;
mod pin;
mod scan;
mod store;
#[cfg(feature = "train")]
mod train;
