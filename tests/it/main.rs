//! The one integration binary: the tool as its users meet it.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod adapter;
mod browser;
mod cli;
#[cfg(feature = "train")]
mod complaints;
mod crash;
mod disk;
mod docs;
mod hooks;
#[cfg(feature = "train")]
mod logits;
mod lora;
mod mutation;
#[cfg(feature = "train")]
mod network;
#[cfg(feature = "train")]
mod parity;
#[cfg(feature = "train")]
mod pipelines;
mod race;
mod registry;
mod schemas;
mod signatures;
mod support;
mod sync;
mod tenants;
#[cfg(feature = "train")]
mod text;
#[cfg(feature = "train")]
mod throughput;
mod tidy;
