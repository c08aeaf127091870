//! Tests of job files, of checkpoints and of whole runs on a tiny model.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

#[cfg(feature = "train")]
mod causal;
mod checkpoints;
#[cfg(feature = "train")]
mod from;
mod job;
#[cfg(feature = "train")]
mod runs;
#[cfg(feature = "train")]
mod support;
#[cfg(feature = "train")]
mod whole;
