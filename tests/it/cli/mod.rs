//! Whole conversations with the binary, as inline snapshots.

pub(crate) mod base;
#[cfg(feature = "s3")]
mod bucket;
mod dataset;
mod doctor;
#[cfg(feature = "train")]
mod eval;
#[cfg(feature = "train")]
mod export;
pub(crate) mod floor;
#[cfg(feature = "train")]
mod full;
mod gate;
mod graders;
mod import;
mod init;
mod judges;
mod migration;
pub(crate) mod model;
mod pin;
mod scan;
mod store;
mod targets;
#[cfg(feature = "train")]
mod train;
