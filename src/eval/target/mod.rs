//! What answers a suite from outside: an OpenAI-compatible endpoint, a program, or outputs that were recorded.
//!
//! [`TargetFile`] is what people write; [`Target`] is the part of it that can change an answer or what it costs, and
//! so the part of it that reports are about. [`TargetFile::answer`] asks every case, several at a time, again where
//! that may help, and never beyond the limits; a journal lets it go on where it stopped.
//!
//! Home of the crate `ureq`.

mod answered;
mod ask;
mod backoff;
mod cache;
mod command;
mod declared;
mod desk;
mod file;
mod http;
mod journal;
mod outputs;
mod request;
#[cfg(test)]
mod tests;
mod window;

pub use answered::{Answered, Served};
pub use ask::Circumstances;
pub use declared::{Api, Prices, Target};
pub use file::{Limits, TargetFile, Terms};
pub(super) use outputs::recorded;
